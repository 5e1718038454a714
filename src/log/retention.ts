/**
 * How far a stream may be cut, and whether the clock can be trusted for it. Pure.
 *
 * Ages are by the wall clock. A clock that jumped would age everything at once, so pruning by age is left out
 * once where the wall clock has not moved along with the monotonic one since the last pruning. PROTOCOL.md §7.
 */
import { LockstepError } from '../contract/index.ts'
import type { Retention } from './change-log.ts'

export const defaultRetention: Required<Retention> = {
  maxAgeMs: 604_800_000,
  maxRows: 1_000_000,
  minRows: 1_000,
  maxReceiptAgeMs: 86_400_000,
  maxReceipts: 100_000,
}

/** How far the clocks may drift apart between two prunings. */
const maxClockDriftMs = 3_600_000

/** Completes and checks the options. Errors: `invalid-option`. */
export function readRetention(retention: Retention = {}): Required<Retention> {
  const {
    maxAgeMs = defaultRetention.maxAgeMs,
    maxRows = defaultRetention.maxRows,
    minRows = defaultRetention.minRows,
    maxReceiptAgeMs = defaultRetention.maxReceiptAgeMs,
    maxReceipts = defaultRetention.maxReceipts,
  } = retention
  const limits = { maxAgeMs, maxRows, minRows, maxReceiptAgeMs, maxReceipts }
  for (const [name, value] of Object.entries(limits)) {
    if (!(value >= 0)) {
      throw new LockstepError('invalid-option', `The retention ${name} is ${value}. Give 0 or more.`)
    }
  }
  return limits
}

/**
 * The last number that may go: those one too many, and those too old, but not the newest `minRows`.
 * `lastOld` is the last number before the first change that is young enough.
 */
export function lastToPrune(
  head: number,
  lastOld: number,
  { maxRows, minRows }: Required<Retention>,
): number {
  return Math.min(Math.max(head - maxRows, lastOld), head - minRows)
}

/** Gives the time by which ages are told, unless the wall clock has jumped since it was last asked. */
export class PruningClock {
  readonly #now: () => number
  readonly #monotonicMs: () => number
  #last: { readonly wallMs: number; readonly monotonicMs: number } | undefined

  constructor(now: () => number, monotonicMs: () => number = () => performance.now()) {
    this.#now = now
    this.#monotonicMs = monotonicMs
  }

  /** The time now; minus infinity, from which nothing is old, and a call of `onJump`, where the clock has jumped. */
  nowMs(onJump: (notice: Error) => void): number {
    const wallMs = this.#now()
    const monotonicMs = this.#monotonicMs()
    const last = this.#last
    this.#last = { wallMs, monotonicMs }
    const jumpMs = last === undefined ? 0 : wallMs - last.wallMs - (monotonicMs - last.monotonicMs)
    if (Math.abs(jumpMs) <= maxClockDriftMs) return wallMs
    onJump(
      new Error(
        `The clock jumped by ${Math.round(jumpMs / 1_000)} s since the last pruning, so nothing is pruned by age this time.`,
      ),
    )
    return Number.NEGATIVE_INFINITY
  }
}
