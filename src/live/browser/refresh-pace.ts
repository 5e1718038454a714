/** How often a page may refresh by itself: not twice within 30 s, and less often while it does not help. Pure. PROTOCOL.md §9.13. */

export interface RefreshPace {
  /** When the last refresh began, also before the page was loaded again. */
  readonly lastAt: number
  /** How many there were since one helped. */
  readonly count: number
}

const pauseMs = 30_000
const mostPauseMs = 600_000
/** What meets all pages at once is answered within this window, not at one moment. */
const spreadMs = 3_000

/** How long to wait before the next refresh. `random` is in [0, 1). */
export function refreshWaitMs(
  { lastAt, count }: RefreshPace,
  reason: string,
  now: number,
  random: number,
): number {
  const pause = count === 0 ? 0 : Math.min(mostPauseMs, pauseMs * 2 ** (count - 1))
  // A clock that was set back must not lengthen the pause.
  const left = Math.min(pause, Math.max(0, lastAt + pause - now))
  return left + (/^(epoch|reset|ahead)$/.test(reason) ? random * spreadMs : 0)
}
