/**
 * What becomes of a page's place in a stream: it joins those who are live, waits, is brought from the feed, or has to begin anew.
 *
 * A pure decision over two positions: that of the page, and what the bridge holds. It is asked again whenever either moves, and in one step
 * with what is done about it, so that nothing can come between looking at the backlog and joining. PROTOCOL.md §9.7.
 */

/** Why a stream cannot go on for a page. */
export type RefreshReason = 'gone' | 'epoch' | 'too-far' | 'ahead' | 'unmarked'
/** Why the bridge cannot say that a page is live. */
export type HoldReason = 'behind' | 'source'

export type Move =
  /** Everything after the page's position is in the backlog. */
  | { readonly kind: 'join' }
  /** It has to be read from the feed first. */
  | { readonly kind: 'fill' }
  /** `asks`: the bridge should ask the feed where the stream is. */
  | { readonly kind: 'hold'; readonly reason: HoldReason; readonly asks: boolean }
  | { readonly kind: 'refresh'; readonly reason: RefreshReason }

/** Where a page is in a stream, and since when. */
export interface Place {
  /** `undefined`: it begins with what comes from now on. */
  readonly epoch: string | undefined
  readonly seq: number
  /** When it came to this place, in milliseconds of the bridge's clock. */
  readonly sinceMs: number
  /** How many reads of the feed had begun when it came. */
  readonly proofs: number
}

/** What a bridge holds of a stream, and what the feed has said. */
export interface Holding {
  readonly epoch: string | undefined
  readonly start: number
  readonly last: number
  /** The first number of the change log, as last heard from the feed. */
  readonly first: number
  /** The last read of the feed that has led to its head. */
  readonly proofs: number
}

export interface SeatLimits {
  /** How long a page may be ahead of the API before it has to begin anew. */
  readonly holdMs: number
  /** The most changes that are read from the feed for one page. */
  readonly maxReplay: number
}

export function decide(place: Place, holding: Holding, limits: SeatLimits, nowMs: number): Move {
  const { epoch, start, last } = holding
  if (epoch === undefined) return { kind: 'hold', reason: 'source', asks: true }
  if (place.epoch === undefined) return { kind: 'join' }
  const isAsked = holding.proofs > place.proofs
  if (place.epoch !== epoch) {
    // The bridge may be the one that has not heard of the new epoch yet.
    return isAsked ? { kind: 'refresh', reason: 'epoch' } : { kind: 'hold', reason: 'behind', asks: true }
  }
  if (place.seq > last) {
    const isOver = isAsked && nowMs - place.sinceMs >= limits.holdMs
    return isOver ? { kind: 'refresh', reason: 'ahead' } : { kind: 'hold', reason: 'behind', asks: true }
  }
  if (place.seq >= start) return { kind: 'join' }
  if (place.seq < holding.first - 1) return { kind: 'refresh', reason: 'gone' }
  if (last - place.seq > limits.maxReplay) return { kind: 'refresh', reason: 'too-far' }
  return { kind: 'fill' }
}
