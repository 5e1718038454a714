/**
 * Cursors: a place in an ordered list, behind its last item. What was inserted before it changes nothing behind it.
 *
 * Clients do not look into one; it comes back as it was given, and is read as distrustfully as anything from outside.
 */
import {
  compareSortValues,
  formatSort,
  isSortValue,
  type Json,
  LockstepError,
  type SortKey,
  type SortValue,
} from '../../contract/index.ts'

/** Where an item stands in the order; the path decides where the values leave it open. */
export interface Place {
  readonly values: readonly SortValue[]
  readonly path: string
}

/** Below 0 where `a` comes first. */
export function comparePlaces(a: Place, b: Place, keys: readonly SortKey[]): number {
  const order = compareSortValues(a.values, b.values, keys)
  if (order !== 0) return order
  return a.path < b.path ? -1 : a.path > b.path ? 1 : 0
}

export function formatCursor({ values, path }: Place, keys: readonly SortKey[]): string {
  return Buffer.from(JSON.stringify([formatSort(keys), ...values, path])).toString('base64url')
}

/** Errors: `invalid-query` for what is no cursor, or one of another order. */
export function parseCursor(text: string, keys: readonly SortKey[]): Place {
  const [sort, ...rest] = readParts(text)
  const path = rest.pop()
  const isWhole = sort === formatSort(keys) && rest.length === keys.length && typeof path === 'string'
  if (isWhole && rest.every(isSortValue)) return { values: rest, path }
  throw new LockstepError(
    'invalid-query',
    'The cursor cannot be used. Follow the Link to the next page as it is, with the same sort.',
  )
}

function readParts(text: string): Json[] {
  try {
    const parts = JSON.parse(Buffer.from(text, 'base64url').toString()) as Json
    return Array.isArray(parts) ? parts : []
  } catch {
    return []
  }
}
