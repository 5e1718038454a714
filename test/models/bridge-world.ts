/**
 * What the model of bridge.ts is made of: two streams, two bridge instances, one page, and what may be left out.
 *
 * A state holds counts only; rows are told apart by stream and number.
 */

export const bridgeInvariants = {
  converges: 'C the page ends equal to the service',
  monotonic: 'M nothing is shown again, nor an older version after a newer one',
  noHole: 'H a claimed interval has no hole',
  honest: 'B no bridge says live to a page that is ahead of it',
  noOldNews: 'O no bridge sends what the page has said to hold',
  neededRefresh: 'U a refresh is said only where the ring does not reach',
} as const

/** One mechanism that is left out, or done wrongly. */
export type BridgeAblation =
  | 'maximum of markers'
  | 'ring one too lenient'
  | 'ring one too strict'
  | 'serves beyond its hole'
  | 'behind: sends its ring'
  | 'behind: says bridged'
  | 'waits between ring and live set'
  | 'joins after the feed'
  | 'no check of after'
  | 'no version check'
  | 'reconnects with the first marker'
  | 'refresh from a cache'

export interface BridgeScope {
  /** The resource that each row of the stream P changes: a or b; those of the stream Q change c. */
  readonly p: readonly ('a' | 'b')[]
  readonly qLength: number
  /** How many rows of each stream a ring holds. */
  readonly ringLength: number
  /** Where the ring does not reach: is the feed read, or does the page have to refresh? */
  readonly beyondRing: 'feed' | 'refresh'
  readonly without?: readonly BridgeAblation[]
  /** How many messages bridges may lose. */
  readonly losses: number
  /** How often the page may be cut off. */
  readonly cuts: number
}

/** One of two streams, or one of two bridges. */
export type Index = 0 | 1
export const both: readonly Index[] = [0, 1]
/** A number for each stream. */
export type Pair = readonly [number, number]
/** The versions of a, b and c. */
export type Versions = readonly [number, number, number]

export interface Bridge {
  readonly isStarted: boolean
  /** The rows of a ring begin after this number, or later. */
  readonly start: Pair
  /** Up to here the ring is filled. */
  readonly last: Pair
  /** A row that the bridge did not get and does not have yet; 0 where there is none. */
  readonly lost: Pair
}

export interface Page {
  readonly phase: number
  readonly shown: Versions
  readonly position: Pair
  /** What the HTML said and showed, where somebody still needs it. */
  readonly html: { readonly position: Pair; readonly shown: Versions } | undefined
  /** How far the session with the bridge is, per stream. */
  readonly session: Pair
}

export interface State {
  readonly head: Pair
  readonly bridges: readonly [Bridge, Bridge]
  readonly page: Page
  readonly losses: number
  readonly cuts: number
}

/** From `connected` on, the number of the instance is added. */
export const phases = { empty: 0, half: 1, rendered: 2, connected: 3 } as const
/** `apart`: the ring or the feed was read, but the session is not in the live set yet. */
export const sessions = { waiting: 0, apart: 1, live: 2 } as const
export const nothing: Pair = [0, 0]

export const emptyPage: Page = {
  phase: phases.empty,
  shown: [0, 0, 0],
  position: nothing,
  html: undefined,
  session: nothing,
}

export interface World extends BridgeScope {
  readonly length: Pair
  /** Per stream and number the resource that the row changes (0, 1, 2 for a, b, c), and its version. */
  readonly rows: readonly (readonly { readonly resource: 0 | 1 | 2; readonly version: number }[])[]
  has(ablation: BridgeAblation): boolean
}

export function createWorld(scope: BridgeScope): World {
  const versions = [0, 0, 0]
  const row = (resource: 0 | 1 | 2): { resource: 0 | 1 | 2; version: number } => {
    versions[resource]! += 1
    return { resource, version: versions[resource]! }
  }
  const p = scope.p.map(name => row(name === 'a' ? 0 : 1))
  const q = Array.from({ length: scope.qLength }, () => row(2))
  return {
    ...scope,
    length: [p.length, q.length],
    rows: [p, q],
    has: ablation => scope.without?.includes(ablation) ?? false,
  }
}

export function keyOf({ head, bridges: [one, two], page, losses, cuts }: State): string {
  const pair = ([p, q]: Pair): number => p | (q << 3)
  const versions = ([a, b, c]: Versions): number => a | (b << 3) | (c << 6)
  const { html } = page
  return String.fromCharCode(
    pair(head) | (losses << 6) | (cuts << 8) | (page.phase << 10),
    pair(one.last) | (pair(one.lost) << 6) | (two.isStarted ? 1 << 12 : 0),
    pair(two.start) | (pair(two.last) << 6),
    pair(two.lost) | (pair(page.position) << 6) | (page.session[0] << 12) | (page.session[1] << 14),
    versions(page.shown),
    html === undefined ? 0 : pair(html.position) | (1 << 15),
    html === undefined ? 0 : versions(html.shown),
  )
}

/** The versions of a, b and c after so many rows of P and Q. */
export function versionsAt({ rows }: World, counts: Pair): Versions {
  const versions: [number, number, number] = [0, 0, 0]
  for (const stream of both) {
    for (let i = 0; i < counts[stream]; i++) {
      const { resource, version } = rows[stream]![i]!
      versions[resource] = version
    }
  }
  return versions
}

export function withNumber(pair: Pair, stream: Index, number: number): Pair {
  return stream === 0 ? [number, pair[1]] : [pair[0], number]
}

export function formatRow(stream: Index, seq: number): string {
  return `${formatStream(stream)}:${seq}`
}

export function formatStream(stream: Index): string {
  return stream === 0 ? 'P' : 'Q'
}

export function formatMarker([p, q]: Pair): string {
  return `P:${p},Q:${q}`
}
