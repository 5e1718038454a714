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
  isLockstepError,
  LockstepError,
  type Marker,
  maxTimerMs,
  type OptionNames,
  type Position,
  parseMarker,
  parseMemberPath,
  quote,
} from '../contract/index.ts'
import type { ReplicaOptions } from './replica.ts'
import type { ViewOptions } from './view.ts'

export interface WaitOptions {
  /** How long to wait before it fails with `timeout`. @default 10_000 */
  readonly timeoutMs?: number
}

export interface FollowOptions<State = unknown> extends ViewOptions<State> {
  /**
   * Follows what these members refer to as well, and shows it in `_embedded`: `'owner,members'`, or an array. At most
   * 1,000 resources; past it the others are missing, and `onError` hears `list-too-large`. @default nothing
   */
  readonly embed?: string | readonly string[]
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
  embed: true,
}
const waitNames: OptionNames<WaitOptions> = { timeoutMs: true }
const waitMs = 10_000

/** Errors: `invalid-option`. */
export function checkFollowOptions(options: FollowOptions): void {
  checkOptions('follow', options, followNames)
  const { maxWaitingChanges } = options
  if (maxWaitingChanges !== undefined) checkCount('maxWaitingChanges', maxWaitingChanges)
}

/** The members that `embed` names. Errors: `invalid-option`. */
export function readEmbed({ embed, replica }: FollowOptions): readonly string[] {
  if (embed === undefined) return []
  const isList = Array.isArray(embed) && embed.every(name => typeof name === 'string')
  const names: readonly string[] = typeof embed === 'string' ? embed.split(',') : isList ? embed : []
  if (names.length === 0 || names.includes('')) {
    throw new LockstepError(
      'invalid-option',
      `embed is ${describeValue(embed)}. Give the members that refer to what is wanted, as in "owner,members" or ["owner"].`,
    )
  }
  for (const name of names) readPath(name)
  if (replica === undefined) return [...new Set(names)]
  throw new LockstepError(
    'invalid-option',
    'A replica keeps one collection, not what is embedded from others. Leave out embed or replica, or follow the collections each with a replica.',
  )
}

function readPath(name: string): void {
  try {
    parseMemberPath(name)
  } catch (error) {
    throw isLockstepError(error)
      ? new LockstepError('invalid-option', `embed cannot be used: ${error.message}`)
      : error
  }
}

/** How long a call may wait. Errors: `invalid-option`. */
export function readTimeout(call: string, options: WaitOptions): number {
  checkOptions(call, options, waitNames)
  const { timeoutMs = waitMs } = options
  return checkCount('timeoutMs', timeoutMs, { max: maxTimerMs })
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
        Number.isSafeInteger(position.seq),
    )
  )
}
