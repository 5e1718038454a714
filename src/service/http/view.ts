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
  type JsonObject,
  LockstepError,
  listFields,
  lookupLanguage,
  parseFields,
  parseLanguageRanges,
  quote,
  selectFields,
  showLanguage,
} from '../../contract/index.ts'
import type { Resource } from '../resource.ts'
import { findMember, listNames } from '../schema-member.ts'
import type { Route } from './context.ts'

export interface View {
  /** One of the resource's languages; `undefined` for the maps of all. */
  readonly language: string | undefined
  /** `undefined` for all members. */
  readonly fields: Fields | undefined
}

/** The query parameters that make a view. */
export interface ViewQuery {
  readonly lang?: string
  readonly fields?: string
}

/** The longest text of fields that stands in an ETag as it is. */
const maxVariantChars = 100

/** Reads the view, and says in the headers what it was chosen from. Errors: `invalid-query`. */
export function readView(route: Route, { lang, fields }: ViewQuery): View | undefined {
  const language = readLanguage(route, lang)
  if (language === undefined && fields === undefined) return undefined
  return { language, fields: fields === undefined ? undefined : readFields(route.resource, fields) }
}

/**
 * The language of a request: that of `lang`, else the best of `Accept-Language`, else the default where that asked for
 * others only. `undefined` where nothing was asked for, or `*`. Errors: `invalid-query`.
 */
export function readLanguage(
  { exchange, resource, headers }: Route,
  lang: string | undefined,
): string | undefined {
  const { texts } = resource
  if (texts.places.length === 0) return undefined
  const { languages } = texts
  headers['lockstep-languages'] = languages.join(', ')
  headers['lockstep-texts'] = formatTextPlaces(texts)
  if (lang !== undefined) return findLanguage(languages, lang)
  headers['vary'] = 'Accept-Language'
  const ranges = parseLanguageRanges(exchange.header('accept-language') ?? '')
  if (ranges.length === 0 || ranges[0] === '*') return undefined
  return lookupLanguage(ranges, languages) ?? languages[0]
}

/** Finds what `lang` names, `undefined` for `*`; a write means exactly this one. Errors: `invalid-query` where it names none. */
export function findLanguage(
  languages: readonly string[],
  lang: string,
  exactly = false,
): string | undefined {
  if (lang === '*') return undefined
  const language = lookupLanguage([lang], languages)
  const isMeant = !exactly || language?.toLowerCase() === lang.toLowerCase()
  if (language !== undefined && isMeant) return language
  throw new LockstepError(
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

/** Shows what is stored as JSON texts; without a view they are served as they are. */
export function showTexts(
  route: Route,
  view: View | undefined,
  stateTexts: readonly string[],
): readonly string[] {
  if (view === undefined) return stateTexts
  const states = stateTexts.map(text => JSON.parse(text) as JsonObject)
  return showStates(route, view, states).map(state => JSON.stringify(state))
}

/** Errors: `invalid-query` for what the schema does not know. */
function readFields({ schema }: Resource<object>, text: string): Fields {
  const fields = parseFields(text)
  for (const path of listFields(fields)) checkMember(schema, path, 'fields')
  return fields
}

/** The parameters of a view that the resource has. */
export function viewParameters({ texts }: Resource<object>): readonly (keyof ViewQuery)[] {
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
