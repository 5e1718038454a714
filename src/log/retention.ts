/**
 * How far a stream may be cut, and whether the clock can be trusted for it. Pure.
 *
 * Ages are by the wall clock. One that jumped ahead would age everything at once, so from then on ages are told by
 * the monotonic clock, until both agree again or the log is opened anew. PROTOCOL.md §7.
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

/** Gives the time by which ages are told. */
export class PruningClock {
  readonly #now: () => number
  readonly #monotonicMs: () => number
  /** How far the wall clock was ahead of the monotonic one when it was last believed. */
  #offsetMs: number | undefined
  #isAhead = false

  constructor(now: () => number, monotonicMs: () => number = () => performance.now()) {
    this.#now = now
    this.#monotonicMs = monotonicMs
  }

  /**
   * The time by the wall clock or, where that has jumped ahead, as it would be without the jump, which keeps changes
   * longer. Calls `onJump` once for each jump.
   */
  nowMs(onJump: (notice: Error) => void): number {
    const wallMs = this.#now()
    const monotonicMs = this.#monotonicMs()
    const offsetMs = this.#offsetMs ?? wallMs - monotonicMs
    const jumpMs = wallMs - monotonicMs - offsetMs
    if (jumpMs <= maxClockDriftMs) {
      // One that was set back is believed: by it everything is younger.
      this.#offsetMs = wallMs - monotonicMs
      this.#isAhead = false
      return wallMs
    }
    if (!this.#isAhead) {
      this.#isAhead = true
      onJump(
        new Error(
          `The clock jumped ahead by ${Math.round(jumpMs / 1_000)} s. Until the service is started again, changes are kept by so much longer.`,
        ),
      )
    }
    return monotonicMs + offsetMs
  }
}
