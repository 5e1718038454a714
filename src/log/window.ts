/** What part of a stream or collection one page covers. Pure. PROTOCOL.md §4.8 and §5. */
import type { Head } from '../contract/index.ts'

/** What one page may hold in characters where the caller does not say. */
export const defaultMaxChars = 8_388_608

/** Can what follows this number be given: is it neither gone nor ahead? */
export function isCovered(after: number, head: Head): boolean {
  return after >= head.first - 1 && after <= head.seq
}

/** Reads rows until they make up `maxChars` characters or are `maxItems`, but at least one; `full` where rows were left. */
export function fillPage<Row, Item>(
  rows: Iterable<Row>,
  maxChars: number,
  read: (row: Row) => Item,
  charsOf: (item: Item) => number,
  maxItems: number = Number.POSITIVE_INFINITY,
): { readonly items: Item[]; readonly full: boolean } {
  const items: Item[] = []
  let chars = 0
  for (const row of rows) {
    const item = read(row)
    chars += charsOf(item)
    if (items.length === maxItems || (chars > maxChars && items.length > 0)) return { items, full: true }
    items.push(item)
  }
  return { items, full: false }
}
