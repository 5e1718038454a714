/**
 * A change that an application records itself, of data in tables of its own: what it says, and the change of the log
 * that comes of it. Pure. PROTOCOL.md §7.
 */
import {
  checkDepth,
  describeValue,
  diffMergePatch,
  idOf,
  isEqualJson,
  isJsonObject,
  type Json,
  type JsonObject,
  LockstepError,
  parentOf,
  parsePath,
  quote,
} from '../contract/index.ts'
import type { ResourceState } from './batch.ts'
import type { NewChange } from './change-log.ts'

/** What became of one resource. The log makes version and message of it, and finds out what has changed. */
export interface RecordedChange {
  /** The resource's path below the API root, such as `/people/johndoe`. */
  readonly path: string
  /**
   * The whole representation as a GET gives it from now on; `null` where the resource is deleted. An `id` is the last
   * segment of the path, as text, and is added where it is missing.
   */
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
  /** That of the resource from now on; what its ETag names. */
  readonly version: number
  /** Is there no such resource from now on? */
  readonly deleted: boolean
}

/**
 * Decides what comes of changes that are recorded together, each seen by the next. `look` tells where a resource stands
 * before all of them. Errors: `invalid-path`, and those of {@link createRecordedChange}.
 */
export function decideRecorded(
  changes: readonly RecordedChange[],
  timeMs: number,
  look: (path: string) => ResourceState,
): { readonly recorded: Recorded[]; readonly made: readonly NewChange[] } {
  const recorded: Recorded[] = []
  const made: NewChange[] = []
  const states = new Map<string, ResourceState>()
  for (const given of changes) {
    const path = readRecordedPath(given)
    const before = states.get(path) ?? look(path)
    const change = createRecordedChange(path, given, before, timeMs)
    const { version, stateText } = change ?? before
    recorded.push({ path, event: change?.event, version, deleted: stateText === undefined })
    if (change === undefined) continue
    states.set(path, change)
    made.push(change)
  }
  return { recorded, made }
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
  before: ResourceState,
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
  return withId(path, value)
}

/** The id comes first, as in what REST writes. PROTOCOL.md §4.1. */
function withId(path: string, state: JsonObject): JsonObject {
  const id = idOf(path)
  if (!Object.hasOwn(state, 'id')) return { id, ...state }
  if (typeof state['id'] === 'string' && state['id'].normalize('NFC') === id) return { ...state, id }
  const detail = `is ${describeValue(state['id'])} and not the text ${quote(id)} of its path`
  throw new LockstepError('invalid-id', `The id of the state that is recorded of ${path} ${detail}.`, {
    faults: [{ pointer: '/id', detail }],
  })
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
