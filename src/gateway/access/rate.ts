/**
 * Rates: how many requests are let through, as pure arithmetic on a few numbers. PROTOCOL.md §13.
 *
 * A rate per second is a GCRA: requests come as evenly as the rate says, with a burst before. A number per day begins anew at midnight UTC.
 */

/** What is counted under one name. */
export interface Policy {
  /** In `RateLimit`: of what it is. */
  readonly name: string
  /** How many in a window. */
  readonly quota: number
  readonly windowMs: number
  /** `rate`: refilled evenly; `window`: begins anew at each multiple of the window. */
  readonly kind: 'rate' | 'window'
}

/** What is remembered: for a rate when all will be refilled; for a window its number and how many were taken. */
export interface Level {
  at: number
  taken: number
}

export interface Taken {
  readonly allowed: boolean
  /** How many are left. */
  readonly remaining: number
  /** In how long everything is refilled; where nothing was allowed: in how long one is. */
  readonly resetMs: number
}

const dayMs = 86_400_000

export function perSecond(name: string, rate: number, burst: number): Policy {
  return { name, quota: burst, windowMs: (burst / rate) * 1_000, kind: 'rate' }
}

export function perDay(name: string, quota: number): Policy {
  return { name, quota, windowMs: dayMs, kind: 'window' }
}

/** A level from which nothing was taken. */
export function createLevel(): Level {
  return { at: 0, taken: 0 }
}

/** What taking one would give. Changes nothing. */
export function look({ kind, quota, windowMs }: Policy, level: Level, nowMs: number): Taken {
  if (kind === 'window') {
    const window = Math.floor(nowMs / windowMs)
    const taken = level.at === window ? level.taken : 0
    const resetMs = (window + 1) * windowMs - nowMs
    return { allowed: taken < quota, remaining: Math.max(0, quota - taken - 1), resetMs }
  }
  const stepMs = windowMs / quota
  const fullAt = Math.max(level.at, nowMs) + stepMs
  const overMs = fullAt - nowMs - windowMs
  // Times are sums of steps: a hair's breadth of rounding must not refuse the last one.
  if (overMs > 1e-6 * stepMs) return { allowed: false, remaining: 0, resetMs: overMs }
  return { allowed: true, remaining: Math.floor(-overMs / stepMs + 1e-6), resetMs: fullAt - nowMs }
}

/** Takes one, which {@link look} has allowed. */
export function take({ kind, quota, windowMs }: Policy, level: Level, nowMs: number): void {
  if (kind === 'window') {
    const window = Math.floor(nowMs / windowMs)
    level.taken = level.at === window ? level.taken + 1 : 1
    level.at = window
  } else level.at = Math.max(level.at, nowMs) + windowMs / quota
}
