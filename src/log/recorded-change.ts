/**
 * A change that an application records itself, of data in tables of its own: what it says, and the change of the log
 * that comes of it. Pure. PROTOCOL.md §7.
 */
import {
  checkDepth,
  diffMergePatch,
  isEqualJson,
  isJsonObject,
  type Json,
  type JsonObject,
  LockstepError,
  parentOf,
  parsePath,
  quote,
} from '../contract/index.ts'
import type { NewChange, StoredResource } from './change-log.ts'

/** What became of one resource. The log makes version and message of it, and finds out what has changed. */
export interface RecordedChange {
  /** The resource's path below the API root, such as `/people/johndoe`. */
  readonly path: string
  /** The whole representation as a GET gives it from now on; `null` where the resource is deleted. */
  readonly state: object | null
  /** How a resource was created: a POST is published on the topic of its collection. @default 'POST' */
  readonly createdBy?: 'POST' | 'PUT'
  /** Comes back as the message's `cause`: 1 to 128 visible ASCII characters, such as the request's id. */
  readonly cause?: string
}

/** What was recorded. */
export interface Recorded {
  /** The canonical path. */
  readonly path: string
  /** `undefined` where the state is what it was before: then nothing was recorded. */
  readonly event: NewChange['event'] | undefined
  readonly version: number
}

/** The canonical path of what a change is about. Errors: `invalid-path` where it is none of a resource. */
export function readRecordedPath({ path }: RecordedChange): string {
  const parsed = parsePath(path)
  if (parsed.kind === 'resource') return parsed.path
  throw new LockstepError(
    'invalid-path',
    `${quote(path, 200)} is the path of a collection. Record each of its resources by its own path, such as ${quote(`${parsed.path}/1`)}.`,
  )
}

/**
 * Makes the change of the log; `undefined` where nothing changes. `path` is canonical.
 * Errors: `invalid-state`, `json-too-deep`, `invalid-option` for the cause.
 */
export function createRecordedChange(
  path: string,
  { state, createdBy = 'POST', cause }: RecordedChange,
  before: Pick<StoredResource, 'version' | 'stateText'>,
  timeMs: number,
): NewChange | undefined {
  checkCause(cause)
  const version = before.version + 1
  const stateBefore =
    before.stateText === undefined ? undefined : (JSON.parse(before.stateText) as JsonObject)
  if (state === null) {
    if (stateBefore === undefined) return undefined
    return { event: 'deleted', path, topicPath: path, version, stateText: undefined, timeMs, cause }
  }
  const after = readState(path, state)
  const stateText = JSON.stringify(after)
  if (stateBefore === undefined) {
    const topicPath = createdBy === 'POST' ? parentOf(path) : path
    return { event: 'created', path, topicPath, version, stateText, timeMs, cause }
  }
  if (isEqualJson(stateBefore, after)) return undefined
  const changes = diffMergePatch(stateBefore, after)
  const text = changes && JSON.stringify(changes)
  const changesText = text !== undefined && text.length < stateText.length ? text : undefined
  return { event: 'modified', path, topicPath: path, version, stateText, changesText, timeMs, cause }
}

/** The state as it is on the wire: dates are texts, members without a value are not there. */
function readState(path: string, state: object): JsonObject {
  const text = JSON.stringify(state, refuseLostNumber)
  const value: Json = text === undefined ? null : JSON.parse(text)
  if (!isJsonObject(value)) {
    throw new LockstepError(
      'invalid-state',
      `The state that is recorded of ${path} is no object. Give the whole representation, or null where it is deleted.`,
    )
  }
  checkDepth(value)
  return value
}

/** JSON would make null of it without a word. */
function refuseLostNumber(name: string, value: unknown): unknown {
  if (typeof value !== 'number' || Number.isFinite(value)) return value
  throw new LockstepError('unsafe-number', `The member ${quote(name)} is ${value}, which JSON cannot hold.`)
}

function checkCause(cause: string | undefined): void {
  if (cause === undefined || /^[\x21-\x7e]{1,128}$/.test(cause)) return
  throw new LockstepError(
    'invalid-option',
    `The cause ${quote(cause)} cannot be used: give 1 to 128 visible ASCII characters.`,
  )
}
