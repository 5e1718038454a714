/**
 * Views: which language and which members of a representation a request asks for, and what is shown of a state.
 *
 * A request that asks for nothing has no view: it gets the stored texts as they are. PROTOCOL.md §10.
 */
import { createHash } from 'node:crypto'
import {
  type Fields,
  formatFields,
  formatMemberPath,
  formatTextPlaces,
  isLanguageTag,
  type JsonObject,
  LockstepError,
  listFields,
  lookupLanguage,
  parseFields,
  parseLanguageRanges,
  quote,
  selectFields,
  setMember,
  showLanguage,
  type Texts,
} from '../../contract/index.ts'
import type { Reference } from '../reference.ts'
import type { Resource } from '../resource.ts'
import { findMember, listNames } from '../schema-member.ts'
import type { Route } from './context.ts'

export interface View {
  /** One of the resource's languages; `undefined` for the maps of all. */
  readonly language: string | undefined
  /** `undefined` for all members. */
  readonly fields: Fields | undefined
  /** In the order of their declaration. */
  readonly embeds: readonly Reference[]
  /** For the embeds, which have languages of their own. */
  readonly wish: LanguageWish
}

/** The query parameters that make a view. */
export interface ViewQuery {
  readonly lang?: string
  readonly fields?: string
  readonly embed?: string
}

/** Which languages a request asks for: `lang`, else the ranges of its Accept-Language, the most wanted first. */
export interface LanguageWish {
  readonly lang: string | undefined
  readonly ranges: readonly string[]
}

/** The longest text of fields that stands in an ETag as it is. */
const maxVariantChars = 100

/** Reads the view, and says in the headers what it was chosen from. Errors: `invalid-query`. */
export function readView(route: Route, { lang, fields, embed }: ViewQuery): View | undefined {
  const { exchange, resource, headers } = route
  const hasTexts = resource.texts.places.length > 0
  if (!hasTexts && lang === undefined && fields === undefined && embed === undefined) return undefined
  const embeds = embed === undefined ? [] : readReferences(resource, embed)
  const wish: LanguageWish = {
    lang,
    ranges: lang === undefined ? parseLanguageRanges(exchange.header('accept-language') ?? '') : [],
  }
  if (lang !== undefined)
    findLanguage(hasTexts ? resource.texts.languages : [], lang, { isElsewhere: embeds.length > 0 })
  else if (hasTexts || embeds.length > 0) headers['vary'] = 'Accept-Language'
  if (hasTexts) {
    headers['lockstep-languages'] = resource.texts.languages.join(', ')
    headers['lockstep-texts'] = formatTextPlaces(resource.texts)
  }
  const language = chooseLanguage(resource.texts, wish)
  if (language === undefined && fields === undefined && embeds.length === 0) return undefined
  return {
    language,
    fields: fields === undefined ? undefined : readFields(resource, fields, embeds),
    embeds,
    wish,
  }
}

/**
 * The language in which texts are shown: the one that the request leads to, else the default where it asks for others only.
 * `undefined`, for the maps of all, where it asks for none, or most for `*`.
 */
export function chooseLanguage(
  { languages, places }: Texts,
  { lang, ranges }: LanguageWish,
): string | undefined {
  const wanted = lang === undefined ? ranges : [lang]
  if (places.length === 0 || wanted.length === 0 || wanted[0] === '*') return undefined
  return lookupLanguage(wanted, languages) ?? languages[0]
}

/** The language that a write means: exactly one of these; `undefined` for `*`. Errors: `invalid-query`. */
export function findWriteLanguage(languages: readonly string[], lang: string): string | undefined {
  const language = findLanguage(languages, lang)
  if (language?.toLowerCase() === lang.toLowerCase() || language === undefined) return language
  throw noLanguage(languages, lang)
}

/** Finds what `lang` leads to; nothing where it may lead elsewhere only. Errors: `invalid-query`. */
function findLanguage(
  languages: readonly string[],
  lang: string,
  { isElsewhere = false }: { readonly isElsewhere?: boolean } = {},
): string | undefined {
  if (lang === '*') return undefined
  const language = isLanguageTag(lang) ? lookupLanguage([lang], languages) : undefined
  if (language !== undefined || (isElsewhere && languages.length === 0 && isLanguageTag(lang)))
    return language
  throw noLanguage(languages, lang)
}

function noLanguage(languages: readonly string[], lang: string): LockstepError {
  return new LockstepError(
    'invalid-query',
    `lang=${quote(lang)} is none of the languages here: ${languages.join(', ') || 'none'}, or * for all of them.`,
  )
}

/** The variant of the ETag; `''` for the whole. */
export function formatVariant(view: View | undefined): string {
  if (view === undefined) return ''
  const { language, fields } = view
  const parts = language === undefined ? [] : [`lang=${language}`]
  if (fields !== undefined) parts.push(`fields=${shorten(formatFields(fields))}`)
  return parts.join(';')
}

/** Shows states, and says in the headers in which languages. */
export function showStates(
  { resource, headers }: Pick<Route, 'resource' | 'headers'>,
  { language, fields }: View,
  states: readonly JsonObject[],
): readonly JsonObject[] {
  const languages = new Set<string>()
  const shown = states.map(state => {
    const selected = fields === undefined ? state : selectFields(state, fields)
    if (language === undefined) return selected
    const inLanguage = showLanguage(selected, resource.texts, language)
    for (const tag of inLanguage.languages) languages.add(tag)
    return inLanguage.state
  })
  if (language !== undefined) {
    const others = [...languages].filter(tag => tag !== language)
    const isShown = languages.size === 0 || languages.has(language)
    headers['content-language'] = [...(isShown ? [language] : []), ...others].join(', ')
  }
  return shown
}

/** Shows what is stored as JSON texts, with members beside it; without a view they are served as they are. */
export function showTexts(
  route: Route,
  view: View | undefined,
  stateTexts: readonly string[],
  members: readonly JsonObject[] = [],
): readonly string[] {
  if (view === undefined) return stateTexts
  const states = stateTexts.map(text => JSON.parse(text) as JsonObject)
  return showStates(route, view, states).map((state, index) => {
    for (const [name, value] of Object.entries(members[index] ?? {})) setMember(state, name, value)
    return JSON.stringify(state)
  })
}

/** Errors: `invalid-query` for what the schema does not know; what is embedded is looked at only as far as it is asked for. */
function readFields({ schema }: Resource<object>, text: string, embeds: readonly Reference[]): Fields {
  const fields = parseFields(text)
  for (const path of listFields(fields)) {
    const isEmbedded =
      path[0] === '_embedded' && embeds.some(({ name }) => path.length === 1 || path[1] === name)
    if (!isEmbedded) checkMember(schema, path, 'fields')
  }
  return fields
}

/** Errors: `invalid-query`. */
function readReferences({ references }: Resource<object>, text: string): readonly Reference[] {
  const names = text.split(',')
  const unknown = names.find(name => !references.has(name))
  if (unknown === undefined) return [...references.values()].filter(({ name }) => names.includes(name))
  throw new LockstepError(
    'invalid-query',
    `embed names ${quote(unknown)}, which refers to nothing. Known: ${[...references.keys()].join(', ')}.`,
  )
}

/** The parameters of a view that the resource has. */
export function viewParameters({ texts, references }: Resource<object>): readonly (keyof ViewQuery)[] {
  if (references.size > 0) return ['fields', 'lang', 'embed']
  return texts.places.length === 0 ? ['fields'] : ['fields', 'lang']
}

/** Refuses a path to what cannot be there. Errors: `invalid-query`. */
export function checkMember(schema: Readonly<JsonObject>, path: readonly string[], what: string): void {
  const known = path.findIndex((_, index) => findMember(schema, path.slice(0, index + 1)).length === 0)
  if (known === -1) return
  const names = listNames(schema, path.slice(0, known))
  const inside = known === 0 ? 'here' : `in ${quote(formatMemberPath(path.slice(0, known)))}`
  throw new LockstepError(
    'invalid-query',
    `${what} names ${quote(formatMemberPath(path))}, but there is no member ${quote(path[known])} ${inside}. Known: ${names.slice(0, 50).join(', ') || 'none'}.`,
  )
}

/** A long text as its hash, so that an ETag stays short. */
export function shorten(text: string, maxChars: number = maxVariantChars): string {
  return text.length <= maxChars ? text : createHash('sha256').update(text).digest('base64url')
}
