/**
 * Orders of a list: `-priority,name`. Pure. PROTOCOL.md §10.
 *
 * Every two values have an order: nothing, null, false, true, numbers, texts by UTF-16 code units, and last what is an
 * object or array, which are all equal. Of a text only the beginning counts, so that a place in the order stays short.
 */
import { LockstepError, quote } from './error.ts'
import type { Json, JsonObject } from './json.ts'
import { formatMemberPath, type MemberPath, parseMemberPath, readMember } from './member-path.ts'

export interface SortKey {
  readonly path: MemberPath
  readonly descending: boolean
}

/** The value that counts, in the form in which a cursor keeps it: `[]` for nothing, `{}` for an object or array. */
export type SortValue = null | boolean | number | string | readonly never[] | Readonly<Record<string, never>>

/** The most members that an order may name. */
export const maxSortKeys = 4
/** So much of a text counts, in UTF-16 code units. */
export const maxSortChars = 256

/** Reads `-priority,name`; a minus stands for the greatest first. Errors: `invalid-query`. */
export function parseSort(text: string): readonly SortKey[] {
  const keys = text.split(',', maxSortKeys + 1).map((item): SortKey => {
    const descending = item.startsWith('-')
    return { path: parseMemberPath(descending ? item.slice(1) : item), descending }
  })
  if (
    keys.length <= maxSortKeys &&
    new Set(keys.map(({ path }) => formatMemberPath(path))).size === keys.length
  )
    return keys
  throw new LockstepError(
    'invalid-query',
    `sort=${quote(text)} cannot be used: name at most ${maxSortKeys} members, each once.`,
  )
}

export function formatSort(keys: readonly SortKey[]): string {
  return keys.map(({ path, descending }) => (descending ? '-' : '') + formatMemberPath(path)).join(',')
}

/** What the order of the state depends on, one value per key. */
export function sortValuesOf(state: JsonObject, keys: readonly SortKey[]): readonly SortValue[] {
  return keys.map(({ path }) => {
    const value = readMember(state, path)
    if (value === undefined) return []
    if (typeof value === 'string') return value.slice(0, maxSortChars)
    return typeof value === 'object' && value !== null ? {} : value
  })
}

/** Below 0 where `a` comes first, 0 where the keys leave it open. */
export function compareSortValues(
  a: readonly SortValue[],
  b: readonly SortValue[],
  keys: readonly SortKey[],
): number {
  for (const [index, { descending }] of keys.entries()) {
    const order = compareValues(a[index]!, b[index]!)
    if (order !== 0) return descending ? -order : order
  }
  return 0
}

/** Is it a value as {@link sortValuesOf} gives them? */
export function isSortValue(value: Json): value is Exclude<Json, Json[] | JsonObject> & SortValue {
  return typeof value !== 'object' || value === null || Object.keys(value).length === 0
}

function compareValues(a: SortValue, b: SortValue): number {
  const [rankA, rankB] = [rankOf(a), rankOf(b)]
  if (rankA !== rankB) return rankA - rankB
  if (typeof a !== 'number' && typeof a !== 'string') return 0
  return a < (b as typeof a) ? -1 : a > (b as typeof a) ? 1 : 0
}

function rankOf(value: SortValue): number {
  if (Array.isArray(value)) return 0
  if (value === null) return 1
  if (typeof value === 'boolean') return value ? 3 : 2
  return typeof value === 'number' ? 4 : typeof value === 'string' ? 5 : 6
}
