/** What a replica holds in memory because it is not in the file yet: entries and deletions, by id. */
import type { Entry } from './replica-map.ts'

export class UnsavedEntries {
  /** `undefined` is a deletion. */
  readonly #entries = new Map<string, Entry | undefined>()
  /** The ids as SQLite orders them, made when they are asked for. */
  #order: readonly string[] | undefined
  #chars = 0

  get size(): number {
    return this.#entries.size
  }

  /** Characters of all states that were set since the last `clear`. */
  get chars(): number {
    return this.#chars
  }

  has(id: string): boolean {
    return this.#entries.has(id)
  }

  get(id: string): Entry | undefined {
    return this.#entries.get(id)
  }

  set(id: string, entry: Entry | undefined): void {
    if (!this.#entries.has(id)) this.#order = undefined
    this.#entries.set(id, entry)
    this.#chars += entry?.text.length ?? 0
  }

  clear(): void {
    this.#entries.clear()
    this.#order = undefined
    this.#chars = 0
  }

  [Symbol.iterator](): MapIterator<[string, Entry | undefined]> {
    return this.#entries.entries()
  }

  /**
   * Puts a page of the file's rows, which are all there are after `after` up to the last of them (to the end where it
   * `isLast`), together with what is here in the same range: in order, without what was deleted.
   */
  merge(
    rows: readonly (readonly [string, Entry])[],
    { after, isLast }: { after: string; isLast: boolean },
  ): readonly (readonly [string, Entry])[] {
    if (this.#entries.size === 0) return rows
    this.#order ??= [...this.#entries.keys()].sort(compareIds)
    const kept = rows.filter(([id]) => !this.#entries.has(id))
    const end = isLast ? undefined : rows.at(-1)![0]
    const order = this.#order
    for (let at = findAfter(order, after); at < order.length; at++) {
      const id = order[at]!
      if (end !== undefined && compareIds(id, end) > 0) break
      const entry = this.#entries.get(id)
      if (entry !== undefined) kept.push([id, entry])
    }
    return kept.sort(([a], [b]) => compareIds(a, b))
  }
}

/** The first place whose id is greater. */
function findAfter(order: readonly string[], id: string): number {
  let [low, high] = [0, order.length]
  while (low < high) {
    const middle = (low + high) >> 1
    if (compareIds(order[middle]!, id) > 0) high = middle
    else low = middle + 1
  }
  return low
}

/** By the bytes in UTF-8, as SQLite does: JavaScript's own order is another one beyond U+D800. */
function compareIds(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b))
}
