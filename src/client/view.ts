/**
 * Views: what an application wants to see of what is followed: one language, some members, some resources.
 *
 * The copy below holds whole states in all languages, since changes apply to nothing else; a view is a function of a
 * state and knows nothing of the one before. So what is shown follows from the copy, and the machine of following
 * does not know of it. PROTOCOL.md §6.11, §10.
 */
import {
  describeValue,
  diffMergePatch,
  type Fields,
  isLockstepError,
  type JsonObject,
  LockstepError,
  lookupLanguage,
  matchesWhere,
  parseFields,
  parseLanguageRanges,
  selectFields,
  showLanguage,
  type Texts,
  type Where,
} from '../contract/index.ts'
import type { Change, Occurrence } from './change.ts'
import { type Conditions, readConditions } from './conditions.ts'

export interface ViewOptions<State = unknown> {
  /**
   * Shows texts in this language as plain texts: `fr`, or a wish such as `fr-CH, de;q=0.5`. What it does not lead to is
   * shown in the default language. @default all languages, as maps
   */
  readonly lang?: string
  /** Shows these members and the id: `'id,name,address/city'`, or an array of paths. @default all */
  readonly fields?: string | readonly string[]
  /** Shows the resources of which all this holds: `{ status: 'open', 'age:gte': 18 }`. @default all */
  readonly where?: Conditions<State>
}

const noTexts: Texts = { languages: [], places: [] }

export class View {
  readonly where: Where
  readonly fields: Fields | undefined
  readonly #ranges: readonly string[]
  #texts: Texts = noTexts
  /** By the whole state. */
  #shown = new WeakMap<JsonObject, JsonObject>()

  /** Errors: `invalid-option`. */
  constructor({ lang, fields, where }: ViewOptions) {
    this.where = where === undefined ? [] : readConditions(where)
    this.fields = fields === undefined ? undefined : readFields(fields)
    this.#ranges = lang === undefined ? [] : readRanges(lang)
  }

  /** Takes up which members are texts; says whether states are shown in another way from now on. */
  learn(texts: Texts): boolean {
    if (this.#ranges.length === 0 || this.#ranges[0] === '*') return false
    if (JSON.stringify(texts) === JSON.stringify(this.#texts)) return false
    this.#texts = texts
    this.#shown = new WeakMap()
    return true
  }

  /** What is shown of a whole state; `undefined` where it is not in the view. The same object for the same state. */
  show(whole: JsonObject | undefined): JsonObject | undefined {
    if (whole === undefined || !matchesWhere(whole, this.where)) return undefined
    if (this.fields === undefined && this.#texts.places.length === 0) return whole
    let shown = this.#shown.get(whole)
    if (shown === undefined) {
      shown = this.#cut(whole)
      this.#shown.set(whole, shown)
    }
    return shown
  }

  /** A change of the copy as a change of what is shown; `undefined` where nothing that is shown changed. */
  change(change: Change<JsonObject>): Change<JsonObject> | undefined {
    if (change.event === 'refreshed') return change
    const { path, id, version, cause, position } = change
    const occurrence = { path, id, version, cause, position }
    return changeBetween(this.show(change.previous), this.show(change.state), occurrence)
  }

  #cut(whole: JsonObject): JsonObject {
    const state = this.fields === undefined ? whole : selectFields(whole, this.fields)
    const { languages, places } = this.#texts
    if (places.length === 0) return state
    return showLanguage(state, this.#texts, lookupLanguage(this.#ranges, languages) ?? languages[0]!).state
  }
}

/** What happened to what is shown; `undefined` where nothing did. */
export function changeBetween(
  previous: JsonObject | undefined,
  state: JsonObject | undefined,
  occurrence: Occurrence,
): Change<JsonObject> | undefined {
  if (previous === undefined) {
    return state && { ...occurrence, event: 'created', state, previous, changes: undefined }
  }
  if (state === undefined) return { ...occurrence, event: 'deleted', state, previous, changes: undefined }
  const changes = diffMergePatch(previous, state)
  if (changes !== undefined && Object.keys(changes).length === 0) return undefined
  return { ...occurrence, event: 'modified', state, previous, changes }
}

/** `undefined` where everything is to be seen as it is. Errors: `invalid-option`. */
export function readView(options: ViewOptions): View | undefined {
  const { lang, fields, where } = options
  return lang === undefined && fields === undefined && where === undefined ? undefined : new View(options)
}

function readFields(fields: string | readonly string[]): Fields {
  const isList = Array.isArray(fields) && fields.every(field => typeof field === 'string')
  if (typeof fields !== 'string' && !isList) {
    throw new LockstepError(
      'invalid-option',
      `fields is ${describeValue(fields)}. Give members, as in "id,name,address/city" or ["name", "address/city"].`,
    )
  }
  try {
    return parseFields(typeof fields === 'string' ? fields : fields.join(','))
  } catch (error) {
    throw isLockstepError(error)
      ? new LockstepError('invalid-option', `fields cannot be used: ${error.message}`)
      : error
  }
}

function readRanges(lang: string): readonly string[] {
  const ranges = typeof lang === 'string' ? parseLanguageRanges(lang) : []
  if (ranges.length > 0) return ranges
  throw new LockstepError(
    'invalid-option',
    `lang is ${describeValue(lang)}. Give a language such as "fr", a wish such as "fr-CH, de;q=0.5", or leave it out for all.`,
  )
}
