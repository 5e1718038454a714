/** What a page says of itself. */

/** How well a page follows. */
export interface LiveStatus {
  /**
   * `live`: it shows what the bridge has. `catching-up`: it takes in what it missed. `stale`: it may be behind since
   * `since`. `refreshing`: the gap could not be bridged and the page is fetched anew. `closed`: for good.
   */
  readonly name: 'connecting' | 'catching-up' | 'live' | 'stale' | 'refreshing' | 'closed'
  /** Why: `disconnected`, a reason or code of PROTOCOL.md §9, or `refreshed` of a page that a refresh made live; often `''`. */
  readonly reason: string
  /** When this began; of `stale`, when the page was last known to be right. In ms as `Date.now()`. */
  readonly since: number
  /** How many changes it took in while it was not live. */
  readonly changes: number
}
