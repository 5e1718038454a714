/**
 * What `follow`, `refresh` and `atLeast` are given; a mistake in it is told at once.
 *
 * What a replica is given is judged in replica.ts, conditions in replica-index.ts.
 */
import {
  checkCount,
  checkOptions,
  describeValue,
  formatMarker,
  LockstepError,
  type Marker,
  maxTimerMs,
  type OptionNames,
  type Position,
  parseMarker,
  quote,
} from '../contract/index.ts'
import type { ReplicaOptions } from './replica.ts'
import type { ViewOptions } from './view.ts'

export interface WaitOptions {
  /** How long to wait before it fails with `timeout`. @default 10_000 */
  readonly timeoutMs?: number
}

export interface FollowOptions<State = unknown> extends ViewOptions<State> {
  /** Changes that may wait for each iterator; past it the older half becomes one `refreshed`. @default 1_000 */
  readonly maxWaitingChanges?: number
  /**
   * Keeps the copy in a SQLite file, and goes on from there after a restart: a file name, or one with indexes. For
   * copies that shall be there at once, or that are too large for memory. @default in memory only
   */
  readonly replica?: string | ReplicaOptions
}

const followNames: OptionNames<FollowOptions> = {
  maxWaitingChanges: true,
  replica: true,
  lang: true,
  fields: true,
  where: true,
}
const waitNames: OptionNames<WaitOptions> = { timeoutMs: true }
const waitMs = 10_000

/** Errors: `invalid-option`. */
export function checkFollowOptions(options: FollowOptions): void {
  checkOptions('follow', options, followNames)
  const { maxWaitingChanges } = options
  if (maxWaitingChanges !== undefined) checkCount('maxWaitingChanges', maxWaitingChanges)
}

/** How long a call may wait. Errors: `invalid-option`. */
export function readTimeout(call: string, options: WaitOptions): number {
  checkOptions(call, options, waitNames)
  return checkCount('timeoutMs', options.timeoutMs ?? waitMs, { max: maxTimerMs })
}

/**
 * The place of a stream in a marker; `undefined` where the marker bounds nothing. Errors: `invalid-position`, also for a
 * marker of other streams only, since waiting for it would tell nothing.
 */
export function findPlace(marker: string | Marker, stream: string, path: string): Position | undefined {
  const positions = typeof marker === 'string' ? parseMarker(marker) : marker
  if (!isMarker(positions)) {
    throw new LockstepError(
      'invalid-position',
      `atLeast was given ${describeValue(marker)} where a marker goes. Give the header Lockstep-Marker of a response, or the marker of another follower; who got no such header has not asked a Lockstep service.`,
    )
  }
  const place = positions.find(position => position.stream === stream)
  if (place !== undefined || positions.length === 0) return place
  throw new LockstepError(
    'invalid-position',
    `The marker ${quote(formatMarker(positions))} names no place in ${quote(stream)}, which ${path} is in. Wait for it with a follower of what was written.`,
  )
}

function isMarker(value: unknown): value is Marker {
  return (
    Array.isArray(value) &&
    value.every(
      (position: Partial<Position> | null) =>
        typeof position?.stream === 'string' &&
        typeof position.epoch === 'string' &&
        typeof position.seq === 'number',
    )
  )
}
