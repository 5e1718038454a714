/**
 * The order of one stream as it is printed: every message once, none left out, whatever the broker does.
 *
 * Pure: messages of the broker and pages of the feed in, messages to print out. What cannot follow on what was
 * printed waits; `isBehind` says that the feed has to be read. PROTOCOL.md §6.2.
 */
import type { Position } from 'lockstep/contract'

/** Something with a place in the stream. */
export interface Placed<T> {
  readonly epoch: string
  readonly seq: number
  readonly item: T
}

export interface TailPage<T> {
  readonly epoch: string
  readonly to: number
  readonly head: number
  readonly changes: readonly { readonly seq: number; readonly item: T }[]
}

export interface TailOrder<T> {
  /** Everything up to here was printed. */
  readonly position: Position
  /** Is there something that only the feed can give? */
  readonly isBehind: boolean
  /** Takes a message of the broker; returns what can be printed now. */
  takeMessage(message: Placed<T>): T[]
  /** Takes a head: it may prove that one is behind. */
  takeHead(head: { readonly epoch: string; readonly seq: number }): void
  /** Takes a page of the feed that begins at or before the position; returns what can be printed now. */
  takePage(page: TailPage<T>): T[]
  /** What lies between cannot be told: go on from here. */
  jump(position: { readonly epoch: string; readonly seq: number }): T[]
}

/** More are given back by the feed. */
const maxWaiting = 1_000

export function createTailOrder<T>(start: Position): TailOrder<T> {
  let { epoch, seq } = start
  const waiting = new Map<number, T>()
  /** The greatest number that is known to exist. */
  let known = seq
  let isElsewhere = false

  function drain(): T[] {
    const items: T[] = []
    for (const before of waiting.keys()) if (before <= seq) waiting.delete(before)
    while (waiting.has(seq + 1)) {
      seq++
      items.push(waiting.get(seq)!)
      waiting.delete(seq)
    }
    return items
  }

  return {
    get position() {
      return { stream: start.stream, epoch, seq }
    },
    get isBehind() {
      return isElsewhere || known > seq
    },
    takeMessage(message) {
      if (message.epoch !== epoch) {
        isElsewhere = true
        return []
      }
      if (message.seq <= seq) return []
      known = Math.max(known, message.seq)
      if (waiting.size < maxWaiting) waiting.set(message.seq, message.item)
      return drain()
    },
    takeHead(head) {
      if (head.epoch !== epoch) isElsewhere = true
      else known = Math.max(known, head.seq)
    },
    takePage(page) {
      if (page.epoch !== epoch) {
        isElsewhere = true
        return []
      }
      isElsewhere = false
      const items = page.changes.filter(change => change.seq > seq).map(({ item }) => item)
      seq = Math.max(seq, page.to)
      known = Math.max(known, page.head, seq)
      return [...items, ...drain()]
    },
    jump(position) {
      if (position.epoch !== epoch) {
        waiting.clear()
        known = 0
      }
      epoch = position.epoch
      seq = position.seq
      known = Math.max(known, seq)
      isElsewhere = false
      return drain()
    },
  }
}
