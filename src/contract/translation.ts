/**
 * Texts in several languages: in a state such a text is a map, `{"en": "A basic example", "fr": "Un exemple simple"}`.
 *
 * A representation may show one language of it, and a write may bring one, which leaves the others as they are.
 * Store and messages always hold the maps. PROTOCOL.md §10.
 */
import { type Fault, LockstepError } from './error.ts'
import { isJsonObject, type Json, type JsonObject, setMember } from './json.ts'
import { formatMemberPath, type MemberPath, readMember } from './member-path.ts'

/** Which members of a state are texts in several languages. */
export interface Texts {
  /** The languages that they may have; the first is the default. Never empty where there are `places`. */
  readonly languages: readonly string[]
  readonly places: readonly MemberPath[]
}

/** A state in which each text is the one to be shown. */
export interface ShownState {
  readonly state: JsonObject
  /** The languages that were shown, the chosen one first; with the default where a text has no other. */
  readonly languages: readonly string[]
}

/**
 * Shows each text in the given language; where it has none in the default one; where it has none of these either, in
 * the first one that it has. The given state stays as it is.
 */
export function showLanguage(state: JsonObject, texts: Texts, language: string): ShownState {
  const shown = new Set<string>()
  let result = state
  for (const place of texts.places) {
    const text = readMember(state, place)
    if (!isJsonObject(text)) continue
    const tag = chooseTag(text, texts, language)
    if (tag === undefined) continue
    shown.add(tag)
    result = withMember(result, place, text[tag]!)
  }
  const languages = [...shown].sort((a, b) => Number(b === language) - Number(a === language))
  return { state: result, languages: languages.length === 0 ? [language] : languages }
}

/**
 * What a PUT or POST in one language makes of the whole: a text that is as it was shown stays as it is, another one
 * is set in this language, and one that is missing is removed in this language.
 * Errors: `invalid-state` where a text is neither a string nor missing.
 */
export function writeLanguage(
  before: JsonObject | undefined,
  given: JsonObject,
  texts: Texts,
  language: string,
): JsonObject {
  checkTexts(given, texts, language)
  const old = before === undefined ? {} : liftTexts(before, texts)
  const shown = showLanguage(old, texts, language).state
  let result = given
  for (const place of texts.places) {
    // An object that was left out takes its texts with it, in all languages.
    const parent = place.length === 1 ? given : readMember(given, place.slice(0, -1))
    if (!isJsonObject(parent)) continue
    const text = readMember(given, place)
    const map = readMember(old, place)
    const kept = isJsonObject(map) ? map : {}
    const isAsShown = text !== undefined && text === readMember(shown, place)
    const next = isAsShown ? kept : withLanguage(kept, language, text)
    result = withMember(result, place, Object.keys(next).length === 0 ? undefined : next)
  }
  return result
}

/**
 * The merge patch in all languages of one in a single language: a text sets its own language only, `null` removes it.
 * Errors: `invalid-state` where a text is neither a string nor null.
 */
export function translatePatch(patch: JsonObject, texts: Texts, language: string): JsonObject {
  checkTexts(patch, texts, language, true)
  let result = patch
  for (const place of texts.places) {
    const text = readMember(patch, place)
    if (text !== undefined) result = withMember(result, place, withLanguage({}, language, text))
  }
  return result
}

/** Removes texts that have no language left. */
export function dropEmptyTexts(state: JsonObject, texts: Texts): JsonObject {
  let result = state
  for (const place of texts.places) {
    const text = readMember(state, place)
    if (isJsonObject(text) && Object.keys(text).length === 0) result = withMember(result, place, undefined)
  }
  return result
}

/** A plain text, stored before it was one in several languages, counts as one in the default language. */
export function liftTexts(state: JsonObject, texts: Texts): JsonObject {
  let result = state
  for (const place of texts.places) {
    const text = readMember(state, place)
    if (typeof text === 'string') result = withMember(result, place, { [texts.languages[0]!]: text })
  }
  return result
}

function chooseTag(text: JsonObject, { languages }: Texts, language: string): string | undefined {
  const has = (tag: string): boolean => Object.hasOwn(text, tag)
  return [language, ...languages].find(has) ?? Object.keys(text).sort()[0]
}

function withLanguage(map: JsonObject, language: string, text: Json | undefined): JsonObject {
  const result = { ...map }
  if (text === undefined) delete result[language]
  else result[language] = text
  return result
}

function checkTexts(given: JsonObject, { places }: Texts, language: string, orNull = false): void {
  const faults = places.flatMap((place): Fault[] => {
    const text = readMember(given, place)
    if (text === undefined || typeof text === 'string' || (orNull && text === null)) return []
    const pointer = place.map(name => `/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`).join('')
    return [{ pointer, detail: `must be a text in ${language}` }]
  })
  if (faults.length === 0) return
  throw new LockstepError(
    'invalid-state',
    `With lang=${language} each text is written in this language only: ${faults[0]!.pointer} ${faults[0]!.detail}. Leave lang out to write a map of all languages.`,
    { faults },
  )
}

/** A copy in which this member is another one, or gone; what does not lie on the way is shared. */
function withMember(state: JsonObject, path: MemberPath, value: Json | undefined): JsonObject {
  const [name, ...rest] = path as [string, ...string[]]
  const copy: JsonObject = {}
  for (const other of Object.keys(state)) setMember(copy, other, state[other]!)
  const inner = rest.length === 0 ? value : withMember(state[name] as JsonObject, rest, value)
  if (inner === undefined) delete copy[name]
  else setMember(copy, name, inner)
  return copy
}

/** As the header `Lockstep-Texts` writes the places. */
export function formatTextPlaces({ places }: Texts): string {
  return places.map(formatMemberPath).join(', ')
}
