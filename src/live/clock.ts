/** Time as the bridge sees it: a clock that never goes back, and timers. Tests put their own in its place. */
export interface Clock {
  /** Milliseconds since any fixed moment; never goes back. */
  now(): number
  /** Calls back once, `delayMs` from now; gives what ends it before. */
  setTimer(callback: () => void, delayMs: number): () => void
}

export const systemClock: Clock = {
  now: () => performance.now(),
  setTimer(callback, delayMs) {
    const timer = setTimeout(callback, delayMs)
    return () => clearTimeout(timer)
  },
}
