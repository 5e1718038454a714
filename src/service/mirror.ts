/**
 * The mirror ★: what a write does to a resource, and the change that tells of it.
 *
 * Each function works inside one transaction of the change log: it reads the resource, decides what becomes of
 * it, checks that against the schema, and writes state, version and change together. A write that changes
 * nothing writes nothing. It knows neither HTTP nor brokers. PROTOCOL.md §3 and §4.
 */
import {
  checkDepth,
  diffMergePatch,
  encodeSegment,
  idOf,
  isEqualJson,
  isJsonObject,
  isReservedSegment,
  type Json,
  type JsonObject,
  LockstepError,
  parentOf,
  quote,
  setMember,
} from '../contract/index.ts'
import type { LogTransaction, StoredResource } from '../log/change-log.ts'
import type { Resource } from './resource.ts'

/** What all changes of one request or transaction have in common. */
export interface WriteContext {
  /** Milliseconds since 1970. */
  readonly timeMs: number
  /** The id of the request. */
  readonly cause?: string
  /** Called by all but POST with what is there before anything is done; throws to refuse (If-Match). */
  readonly checkBefore?: (path: string, before: StoredResource) => void
  /** Called by POST and PUT: makes the state to be stored from the one that is there, if any, and the body. */
  readonly translate?: (before: JsonObject | undefined, given: JsonObject) => JsonObject
}

/** What became of the resource. */
export interface Outcome {
  readonly path: string
  readonly version: number
  /** The JSON text of the state after. */
  readonly stateText: string
  readonly created: boolean
}

/** POST: creates a resource in a collection. Errors: `already-exists`, `invalid-id`, `invalid-state`, `not-found` (the parent). */
export async function createResource(
  tx: LogTransaction,
  resource: Resource<object>,
  collectionPath: string,
  body: Json,
  context: WriteContext,
): Promise<Outcome> {
  const given = translate(context, undefined, body)
  await checkParents(tx, collectionPath)
  if (resource.limits?.hasConditions && Object.hasOwn(given, 'id')) {
    throw new LockstepError('invalid-id', 'The id of what is created here is not for the client to choose.', {
      faults: [{ pointer: '/id', detail: 'must be left out' }],
    })
  }
  const id = Object.hasOwn(given, 'id') ? given['id'] : resource.generateId()
  const path = `${collectionPath}/${encodeId(id)}`
  const before = await tx.read(path)
  if (before.stateText !== undefined) {
    throw new LockstepError(
      'already-exists',
      `${path} exists already. Choose another id, or change it with PUT or PATCH.`,
    )
  }
  const state = withId((id as string).normalize('NFC'), given)
  return await writeState(tx, resource, { path, topicPath: collectionPath, before, state, context })
}

/** PUT: gives a resource a whole new state, creating it where it is not. Errors: as {@link createResource}. */
export async function putResource(
  tx: LogTransaction,
  resource: Resource<object>,
  path: string,
  body: Json,
  context: WriteContext,
): Promise<Outcome> {
  checkObject(body)
  const before = await tx.read(path)
  context.checkBefore?.(path, before)
  if (before.stateText === undefined) await checkParents(tx, parentOf(path))
  const stateBefore =
    before.stateText === undefined ? undefined : (JSON.parse(before.stateText) as JsonObject)
  const given = translate(context, stateBefore, body)
  const id = Object.hasOwn(given, 'id') ? checkId(path, given['id']) : idOf(path)
  const state = withId(id, given)
  if (stateBefore !== undefined && isEqualJson(stateBefore, state)) return unchanged(path, before)
  return await writeState(tx, resource, { path, topicPath: path, before, state, context })
}

/** PATCH, with what makes the state after from the one before. Errors: `not-found`, `gone`, `invalid-state`, `invalid-id`, `body-too-large`, those of the patch and of `checkBefore`. */
export async function patchResource(
  tx: LogTransaction,
  resource: Resource<object>,
  path: string,
  patch: (before: JsonObject) => Json | undefined,
  context: WriteContext,
): Promise<Outcome> {
  const before = await tx.read(path)
  if (before.stateText === undefined) throw missing(path, before)
  context.checkBefore?.(path, before)
  const stateBefore = JSON.parse(before.stateText) as JsonObject
  const state = patch(stateBefore)
  if (!isJsonObject(state)) throw notAnObject('The patch leaves no JSON object.')
  state['id'] = checkId(path, Object.hasOwn(state, 'id') ? state['id'] : undefined)
  const changes = diffMergePatch(stateBefore, state)
  if (changes !== undefined && Object.keys(changes).length === 0) return unchanged(path, before)
  const write = { path, topicPath: path, before, state, changes, context, maxBytes: resource.maxBodyBytes }
  return await writeState(tx, resource, write)
}

/** DELETE: removes a resource and, in the same transaction, all that is nested below it. Errors: `not-found`, `gone`, `too-many-changes`. */
export async function removeResource(
  tx: LogTransaction,
  path: string,
  context: WriteContext,
): Promise<undefined> {
  const before = await tx.read(path)
  if (before.stateText === undefined) throw missing(path, before)
  context.checkBefore?.(path, before)
  // Refused before anything is written: who catches the error may go on with the transaction.
  const { changesLeft } = tx
  const nested = await tx.readPathsUnder(path, changesLeft)
  if (nested.length >= changesLeft) {
    throw new LockstepError(
      'too-many-changes',
      `${path} and what is nested below it are more resources than the ${changesLeft} that the transaction may still change. Delete the nested ones first, in parts.`,
    )
  }
  // The deepest first, so that no message ever tells of a child whose parent is gone.
  for (const childPath of nested.toReversed()) {
    await writeDeletion(tx, childPath, await tx.read(childPath), context)
  }
  await writeDeletion(tx, path, before, context)
  return undefined
}

/** `gone` while the tombstone lives, else `not-found`. */
export function missing(path: string, stored: StoredResource): LockstepError {
  return stored.deleted
    ? new LockstepError('gone', `${path} was deleted.`)
    : new LockstepError('not-found', `There is no ${path}.`)
}

interface StateWrite {
  readonly path: string
  readonly topicPath: string
  readonly before: StoredResource
  readonly state: JsonObject
  /** The merge patch that makes the state of the one before, where it was patched and one can say it. */
  readonly changes?: JsonObject
  readonly context: WriteContext
  /** A state that grows may become so large. */
  readonly maxBytes?: number
}

async function writeState(
  tx: LogTransaction,
  resource: Resource<object>,
  { path, topicPath, before, state, changes, context, maxBytes }: StateWrite,
): Promise<Outcome> {
  checkState(resource, path === topicPath ? path : `The new resource of ${topicPath}`, state)
  const created = before.stateText === undefined
  const version = before.version + 1
  const stateText = JSON.stringify(state)
  if (maxBytes !== undefined) checkGrowth(path, before, stateText, maxBytes)
  const changesText = changes && JSON.stringify(changes)
  const isShorter = changesText !== undefined && changesText.length < stateText.length
  await tx.write({
    event: created ? 'created' : 'modified',
    path,
    topicPath,
    version,
    stateText,
    changesText: isShorter ? changesText : undefined,
    timeMs: context.timeMs,
    cause: context.cause,
  })
  return { path, version, stateText, created }
}

/** A write that changes nothing writes nothing. */
function unchanged(path: string, { version, stateText }: StoredResource): Outcome {
  return { path, version, stateText: stateText!, created: false }
}

async function writeDeletion(
  tx: LogTransaction,
  path: string,
  before: StoredResource,
  context: WriteContext,
): Promise<void> {
  await tx.write({
    event: 'deleted',
    path,
    topicPath: path,
    version: before.version + 1,
    stateText: undefined,
    timeMs: context.timeMs,
    cause: context.cause,
  })
}

function translate({ translate }: WriteContext, before: JsonObject | undefined, body: Json): JsonObject {
  const given = checkObject(body)
  return translate === undefined ? given : translate(before, given)
}

/** Errors: `invalid-state`. */
export function checkObject(body: Json): JsonObject {
  if (isJsonObject(body)) return body
  throw notAnObject('The body is not a JSON object.')
}

function notAnObject(message: string): LockstepError {
  return new LockstepError('invalid-state', message, {
    faults: [{ pointer: '', detail: 'must be an object' }],
  })
}

function checkState(resource: Resource<object>, what: string, state: JsonObject): void {
  checkDepth(state)
  const faults = resource.validate(state)
  if (faults.length === 0) return
  const first = faults[0]!
  const where = first.pointer === '' ? 'The state' : first.pointer
  const more = faults.length > 1 ? ` (and ${faults.length - 1} more)` : ''
  throw new LockstepError(
    'invalid-state',
    `${what} does not fit its schema: ${where} ${first.detail}${more}.`,
    { faults },
  )
}

/** What no PUT could bring, a PATCH cannot make either; what is larger already may still shrink. */
function checkGrowth(path: string, before: StoredResource, stateText: string, maxBytes: number): void {
  if (stateText.length * 3 <= maxBytes || stateText.length <= before.stateText!.length) return
  if (Buffer.byteLength(stateText) <= maxBytes) return
  throw new LockstepError(
    'body-too-large',
    `${path} would have a state of over ${maxBytes} bytes. Keep it smaller, or in several resources.`,
  )
}

/** A nested collection exists only below resources that do. */
async function checkParents(tx: LogTransaction, collectionPath: string): Promise<void> {
  const parentPath = parentOf(collectionPath)
  if (parentPath === '') return
  const parent = await tx.read(parentPath)
  if (parent.stateText === undefined) throw missing(parentPath, parent)
}

/** A text is quoted, so that 5 and "5" look different. */
function showId(id: Json | undefined): string {
  if (typeof id === 'string') return quote(id)
  if (Array.isArray(id)) return '[…]'
  return typeof id === 'object' && id !== null ? '{…}' : String(id)
}

function encodeId(id: Json | undefined): string {
  const refuse = (detail: string): LockstepError =>
    new LockstepError('invalid-id', `The id ${showId(id)} cannot be used: it ${detail}.`, {
      faults: [{ pointer: '/id', detail }],
    })
  if (typeof id !== 'string') throw refuse('must be a string')
  if (isReservedSegment(id)) throw refuse('must not begin with "_", which is reserved')
  try {
    return encodeSegment(id)
  } catch (error) {
    throw new LockstepError('invalid-id', (error as Error).message, {
      faults: [{ pointer: '/id', detail: 'cannot be part of a path' }],
    })
  }
}

/** The id stands in the path; what is written may repeat it, in any spelling, but not change it. Returns it. */
function checkId(path: string, given: Json | undefined): string {
  const id = idOf(path)
  if (typeof given === 'string' && given.normalize('NFC') === id) return id
  const shown = given === undefined ? 'no id' : `the id ${showId(given)}`
  throw new LockstepError(
    'invalid-id',
    `${path} would have ${shown}. An id cannot change: leave it as it is.`,
    { faults: [{ pointer: '/id', detail: `must be ${JSON.stringify(id)}` }] },
  )
}

/** The id stands first, whether the body has it or not. (A loop: spreading an object of 100,000 members takes seconds.) */
function withId(id: string, given: JsonObject): JsonObject {
  const state: JsonObject = { id }
  for (const name of Object.keys(given)) if (name !== 'id') setMember(state, name, given[name]!)
  return state
}
