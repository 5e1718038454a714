/**
 * Messages and heads: what travels over the broker and in the feed.
 *
 * A message is one change of one resource with its envelope in the same JSON object, so that any MQTT 3.1.1
 * client in any language can read it. PROTOCOL.md §3.
 */
import { LockstepError, quote } from './error.ts'
import { isJsonObject, type Json, type JsonObject, parseJson } from './json.ts'
import { formatPosition, type Position, parsePosition } from './position.ts'
import { parsePath } from './topic.ts'

/** The default limit of a message on the broker, in bytes; over it the message says `ref` instead of its content. */
export const maxMessageBytes = 65_536

/** What a change is to the public, where its resource declares what the public sees. PROTOCOL.md §13. */
export interface PublicMark {
  /** `none`: the public sees nothing of it. */
  readonly event: 'created' | 'modified' | 'deleted' | 'none'
  /** Stands for the declaration by which this was judged. */
  readonly rule: string
}

interface Envelope {
  /** The position of the change in its stream, as text. */
  readonly id: string
  /** The canonical path of the resource (of the collection, for `reset`). */
  readonly resource: string
  /** RFC 3339, by the service's clock: information only. */
  readonly time?: string
  /** The id of the request that made the change. */
  readonly cause?: string
  /** Which transaction it was, where that made several changes: its id and how many. */
  readonly tx?: { readonly id: string; readonly n: number }
  readonly public?: PublicMark
}

/** `state` is the whole; where it is missing, `ref` is true and the state must be fetched. */
export interface CreatedMessage extends Envelope {
  readonly event: 'created'
  readonly version: number
  readonly state?: JsonObject
  readonly ref?: true
}

/** `changes` is a merge patch onto exactly `version - 1`; `state` is the whole; `ref` means fetch it. */
export interface ModifiedMessage extends Envelope {
  readonly event: 'modified'
  readonly version: number
  readonly changes?: JsonObject
  readonly state?: JsonObject
  readonly ref?: true
}

export interface DeletedMessage extends Envelope {
  readonly event: 'deleted'
  readonly version: number
}

/** Stands for changes too many to replay: everything up to `id` needs a new baseline. */
export interface ResetMessage extends Envelope {
  readonly event: 'reset'
}

export type Message = CreatedMessage | ModifiedMessage | DeletedMessage | ResetMessage
export type ChangeMessage = Exclude<Message, ResetMessage>

/** Proves that a follower is behind; never that it is up to date. */
export interface Head {
  readonly stream: string
  readonly epoch: string
  /** The last position of the stream; 0 where it has none. */
  readonly seq: number
  /** The first position that the change log still holds; `seq + 1` where it holds none. */
  readonly first: number
  readonly time?: string
}

/** A change before it has a number: what the writer knows. Texts are JSON already, so that nothing is serialised twice. */
export interface UnnumberedChange {
  readonly event: 'created' | 'modified' | 'deleted'
  readonly resource: string
  readonly version: number
  readonly time: string
  readonly cause?: string
  readonly tx?: { readonly id: string; readonly n: number }
  /** JSON text of the whole state. For `modified`, give this or `changesText`. */
  readonly stateText?: string
  readonly changesText?: string
  readonly public?: PublicMark
}

/**
 * The message's JSON without its `id` and without the closing brace: what a change log stores.
 * {@link completeMessage} adds the rest when the number is known, without parsing.
 */
export function formatOpenMessage(change: UnnumberedChange): string {
  let text = `{"event":"${change.event}"`
  if (change.changesText !== undefined) text += `,"changes":${change.changesText}`
  else if (change.stateText !== undefined) text += `,"state":${change.stateText}`
  // A canonical path holds nothing that JSON would have to escape.
  text += `,"resource":"${change.resource}","version":${change.version},"time":"${change.time}"`
  if (change.cause !== undefined) text += `,"cause":${JSON.stringify(change.cause)}`
  if (change.tx !== undefined) text += `,"tx":${JSON.stringify(change.tx)}`
  if (change.public !== undefined) text += `,"public":${JSON.stringify(change.public)}`
  return text
}

export function completeMessage(openText: string, position: Position): string {
  return `${openText},"id":"${formatPosition(position)}"}`
}

/** The same change without its content, for brokers that would not take it. */
export function formatRefMessage(message: CreatedMessage | ModifiedMessage): string {
  const { state: _state, changes: _changes, ...rest } = message as ModifiedMessage
  return JSON.stringify({ ...rest, ref: true })
}

/** The message that asks for a new baseline of a whole stream. */
export function formatResetMessage(position: Position, time: string): string {
  const reset: ResetMessage = {
    event: 'reset',
    resource: `/${position.stream}`,
    time,
    id: formatPosition(position),
  }
  return JSON.stringify(reset)
}

export function formatHead(head: Head): string {
  return JSON.stringify(head)
}

/**
 * Reads a message as it came from a broker or feed. Unknown fields are kept and ignored; a message with an
 * unknown `event` gives `undefined`, as PROTOCOL.md §3 asks. Errors: `invalid-json`, also for a known field of
 * the wrong kind and for a resource outside the stream of the id; `invalid-position`, `invalid-path`.
 */
export function parseMessage(text: string): Message | undefined {
  return readMessage(parseJson(text))
}

/** As {@link parseMessage}, of a value that is parsed already. */
export function readMessage(value: Json): Message | undefined {
  if (!isJsonObject(value)) throw refuse(value, 'is no JSON object')
  const { event, id, resource } = value
  if (event !== 'created' && event !== 'modified' && event !== 'deleted' && event !== 'reset')
    return undefined
  if (typeof id !== 'string') throw refuse(value, 'has no id')
  const { stream } = parsePosition(id)
  if (typeof resource !== 'string') throw refuse(value, 'has no resource')
  const parsed = parsePath(resource)
  if (parsed.path !== resource) throw refuse(value, `does not spell its resource ${quote(parsed.path)}`)
  if (parsed.stream !== stream) throw refuse(value, 'names a resource outside its stream')
  if (event !== 'reset' && !isCount(value['version'], 1)) throw refuse(value, 'has no version')
  for (const [name, isKind] of kinds) {
    const field = value[name]
    if (field !== undefined && !isKind(field)) throw refuse(value, `has a "${name}" of the wrong kind`)
  }
  const { state, changes, ref } = value
  const content =
    event === 'created' ? (state ?? ref) : event === 'modified' ? (state ?? changes ?? ref) : true
  if (content === undefined) throw refuse(value, 'has neither state, changes nor ref')
  return value as unknown as Message
}

/** What a known field must be where it is there. */
const kinds: readonly (readonly [name: string, isKind: (field: Json) => boolean])[] = [
  ['state', isJsonObject],
  ['changes', isJsonObject],
  ['ref', field => field === true],
  ['time', field => typeof field === 'string'],
  ['cause', field => typeof field === 'string'],
  ['tx', field => isJsonObject(field) && typeof field['id'] === 'string' && isCount(field['n'], 1)],
]

function refuse(value: Json, reason: string): LockstepError {
  return new LockstepError('invalid-json', `The message ${quote(JSON.stringify(value))} ${reason}.`)
}

function isCount(value: Json | undefined, least: number): boolean {
  return Number.isSafeInteger(value) && (value as number) >= least
}

/** Reads a head. Errors: `invalid-json`, `invalid-position`. */
export function parseHead(text: string): Head {
  return readHead(parseJson(text))
}

/** As {@link parseHead}, of a value that is parsed already. */
export function readHead(value: Json): Head {
  const head = value as unknown as Head
  if (
    !isJsonObject(value) ||
    typeof head.stream !== 'string' ||
    typeof head.epoch !== 'string' ||
    !isCount(head.seq, 0) ||
    !isCount(head.first, 1) ||
    head.first > head.seq + 1
  ) {
    throw new LockstepError('invalid-json', `${quote(JSON.stringify(value))} is not a head.`)
  }
  parsePosition(formatPosition(head))
  return head
}
