/** How long to wait before the next attempt to connect. */

export interface RetryDelayOptions {
  /** The shortest wait. @default 200 */
  readonly minDelayMs: number
  /** The longest wait. @default 5_000 */
  readonly maxDelayMs: number
}

/**
 * A wait between `minDelayMs` and a bound that doubles with each failed attempt (0, 1, 2 …) up to `maxDelayMs`.
 * `random` in [0, 1) spreads those who lost their connections at the same moment.
 */
export function retryDelayMs(attempt: number, random: number, options: RetryDelayOptions): number {
  const { minDelayMs, maxDelayMs } = options
  const bound = Math.min(maxDelayMs, minDelayMs * 2 ** (attempt + 1))
  return Math.round(minDelayMs + random * Math.max(0, bound - minDelayMs))
}
