/** Counts what went over one route: how many, with which status, how long. Numbers only grow. */

/** Upper bounds in seconds. */
export const durationBuckets: readonly number[] = [
  0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10,
]

export class Traffic {
  /** By the first digit of the status; 0 where the client left before there was one. */
  readonly byClass: number[] = [0, 0, 0, 0, 0, 0]
  /** By the smallest bucket that holds it; the last is for what is in none. */
  readonly durations: number[] = durationBuckets.map(() => 0).concat(0)
  durationS = 0
  requests = 0
  retries = 0
  /** Open WebSockets. */
  tunnels = 0
  /** When the last request came (RFC 3339); of none, `undefined`. */
  lastMs: number | undefined

  count(status: number, durationMs: number): void {
    const seconds = durationMs / 1_000
    this.requests++
    this.lastMs = Date.now()
    this.byClass[(status / 100) | 0]!++
    this.durationS += seconds
    let bucket = 0
    while (bucket < durationBuckets.length && seconds > durationBuckets[bucket]!) bucket++
    this.durations[bucket]!++
  }
}
