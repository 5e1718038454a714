/**
 * What the sidecar knows of one resource of the API: where its list and its items are, and how their JSON is read. Pure.
 *
 * Most APIs need none of the options: `/people` is an array of objects with an `id`, and `/people/1` is one of them.
 */
import {
  checkOptions,
  formatPath,
  isJsonObject,
  type Json,
  type JsonObject,
  LockstepError,
  quote,
  setMember,
} from '../contract/index.ts'
import { type JsonPointer, parsePointer, readPointer, removePointer } from './json-pointer.ts'
import { fillPattern, type PatternValues, parseUrlPattern, type UrlPattern } from './url-pattern.ts'

export interface MirroredOptions {
  /** The path of the list, with a query where it needs one. `false`: there is none, and only what is written through is found. @default '/' and the name of the resource */
  readonly list?: string | false
  /** The path of one, whose id is `{id}`. @default that of the list, and `/{id}` */
  readonly item?: string
  /** Where the array is in the JSON of the list. An object there is taken as its values, with their names as ids. @default '' */
  readonly items?: string
  /** Where the id is in an item of the list. @default '/id' */
  readonly id?: string
  /** Where the representation is in an item of the list. @default '' */
  readonly listed?: string
  /** Where it is in the JSON of one. @default '' */
  readonly state?: string
  /** What of a representation is left out, since it changes without anybody's doing: `['/lastSeen']`. @default [] */
  readonly ignore?: readonly string[]
  /** Do the items of the list hold all that one of them does? @default found out, by comparing one */
  readonly whole?: boolean
  /** How a further page is asked for. @default by `Link: …; rel="next"` */
  readonly pages?: Pages
}

/** A number in the query that grows by 1 (`page`) or by the items that came (`offset`), or a place in the JSON that holds the next URL. */
export type Pages =
  | { readonly page: string; readonly first?: number }
  | { readonly offset: string }
  | { readonly next: string }

export interface Mirrored {
  /** As for `defineResource`: `people`, `people/{person}/friends`. */
  readonly template: string
  /** The parents' names in the template, in order. */
  readonly parents: readonly string[]
  readonly list: UrlPattern | undefined
  readonly item: UrlPattern
  readonly items: JsonPointer
  readonly id: JsonPointer
  readonly listed: JsonPointer
  readonly state: JsonPointer
  readonly ignore: readonly JsonPointer[]
  readonly whole: boolean | undefined
  readonly pages: Pages | undefined
}

/** Errors: `invalid-option`. */
export function readMirrored(template: string, options: MirroredOptions): Mirrored {
  const where = `The resource ${quote(template)}`
  checkOptions(where, options, {
    list: true,
    item: true,
    items: true,
    id: true,
    listed: true,
    state: true,
    ignore: true,
    whole: true,
    pages: true,
  })
  const list = options.list === false ? undefined : parseUrlPattern(options.list ?? `/${template}`)
  const itemText = options.item ?? (list === undefined ? undefined : `${list.text}/{id}`)
  if (itemText === undefined) {
    throw new LockstepError(
      'invalid-option',
      `${where} has neither list nor item. Give the path of one: item: "/people/{id}".`,
    )
  }
  const item = parseUrlPattern(itemText)
  const parents = [...template.matchAll(/\{([^}]*)\}/g)].map(match => match[1]!)
  checkNames(where, item, [...parents, 'id'])
  if (list !== undefined) checkNames(where, list, parents)
  return {
    template,
    parents,
    list,
    item,
    items: parsePointer(options.items ?? ''),
    id: parsePointer(options.id ?? '/id'),
    listed: parsePointer(options.listed ?? ''),
    state: parsePointer(options.state ?? ''),
    ignore: (options.ignore ?? []).map(parsePointer),
    whole: options.whole,
    pages: options.pages,
  }
}

/** The names that a path has are those that the resource has, no more and no fewer. */
function checkNames(where: string, { text, names }: UrlPattern, wanted: readonly string[]): void {
  if (names.length === wanted.length && wanted.every(name => names.includes(name))) return
  const braces = wanted.map(name => `{${name}}`).join(', ') || 'no names in braces'
  throw new LockstepError('invalid-option', `${where} is at ${quote(text)}. Its path needs ${braces}.`)
}

/** The canonical path of the collection that is meant. Errors: `invalid-path`. */
export function collectionPath({ template, parents }: Mirrored, values: PatternValues): string {
  let index = 0
  return formatPath(
    template.split('/').map(part => (part.startsWith('{') ? values[parents[index++]!]! : part)),
  ).path
}

/** The canonical path of a resource. Errors: `invalid-path`, also for an id that begins with `_`. */
export function resourcePath(mirrored: Mirrored, values: PatternValues): string {
  return `${collectionPath(mirrored, values)}${formatPath([values['id']!]).path}`
}

/** What the names stand for in a canonical path of this resource or its collection. */
export function valuesOf({ parents }: Mirrored, path: string): PatternValues {
  const segments = path.slice(1).split('/').map(decodeURIComponent)
  const values: Record<string, string> = {}
  for (const [index, name] of parents.entries()) values[name] = segments[index * 2 + 1]!
  if (segments.length % 2 === 0) values['id'] = segments.at(-1)!
  return values
}

/** Where the API has it. */
export function itemUrl(mirrored: Mirrored, path: string): string {
  return fillPattern(mirrored.item, valuesOf(mirrored, path)) + mirrored.item.query
}

/** One item as a list tells of it. */
export interface ListedItem {
  readonly id: string
  /** `undefined` where the list says only that it is there. */
  readonly state: JsonObject | undefined
}

/** Reads a page of a list; `undefined` where there is no list in it. */
export function readItems(mirrored: Mirrored, page: Json): readonly ListedItem[] | undefined {
  const found = readPointer(page, mirrored.items)
  if (isJsonObject(found)) {
    return Object.entries(found).map(([name, item]) => ({
      id: readId(mirrored, item) ?? name,
      state: readListed(mirrored, item),
    }))
  }
  if (!Array.isArray(found)) return undefined
  const items: ListedItem[] = []
  for (const item of found) {
    const id = typeof item === 'string' ? item : readId(mirrored, item)
    if (id !== undefined) items.push({ id, state: readListed(mirrored, item) })
  }
  return items
}

function readId({ id: pointer }: Mirrored, item: Json): string | undefined {
  const id = readPointer(item, pointer)
  if (typeof id === 'number') return String(id)
  return typeof id === 'string' && id !== '' ? id : undefined
}

function readListed({ listed }: Mirrored, item: Json): JsonObject | undefined {
  const state = readPointer(item, listed)
  return isJsonObject(state) ? state : undefined
}

/** Reads what the API says of one; `undefined` where that is no object. */
export function readState({ state: pointer }: Mirrored, body: Json): JsonObject | undefined {
  const state = readPointer(body, pointer)
  return isJsonObject(state) ? state : undefined
}

/**
 * The representation as it is mirrored: the `id` is the text that its path has. Where the API's own is another one (a number
 * that reads the same is not), it is kept as `_id`. Changes nothing of what it is given.
 */
export function toMirrored({ ignore }: Mirrored, id: string, given: JsonObject): JsonObject {
  const own = given['id']
  const state: JsonObject = { id }
  for (const name of Object.keys(given)) if (name !== 'id') setMember(state, name, given[name]!)
  if (own !== undefined && String(own) !== id && !Object.hasOwn(state, '_id')) setMember(state, '_id', own)
  if (ignore.length === 0) return state
  const kept = structuredClone(state)
  for (const pointer of ignore) if (pointer.length !== 1 || pointer[0] !== 'id') removePointer(kept, pointer)
  return kept
}
