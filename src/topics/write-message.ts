/**
 * A write as it came: its body, its conditions, and where the answer goes.
 *
 * With MQTT 5 the payload is the body, and the rest stands beside it: response topic, correlation data, content type, user properties. Without, the
 * payload is an envelope that has the body as a member. Which of both it is never depends on the body. PROTOCOL.md §18.
 */
import { isUtf8 } from 'node:buffer'
import { createHash } from 'node:crypto'
import type { Delivery } from '../broker/broker.ts'
import {
  isJsonObject,
  type Json,
  type JsonObject,
  LockstepError,
  parseJson,
  quote,
} from '../contract/index.ts'

/** Where the answer goes, and what it brings back. */
export interface ReplyTo {
  readonly topic?: string
  /** Of MQTT 5. */
  readonly correlationData?: Uint8Array
  /** Of an envelope. */
  readonly correlation?: string
}

export interface WriteMessage {
  readonly body: string
  /** As those of a request, by lower-case name. */
  readonly headers: Readonly<Record<string, string>>
  readonly token?: string
  /** User properties of MQTT 5. */
  readonly attributes: Readonly<Record<string, string>>
}

/** Who writes, as far as it is known: idempotency keys that are made of correlations are valid for it alone. */
export interface Writer {
  readonly user?: string
  readonly clientId?: string
}

/** Headers that a device may set by the same name, as user properties. */
const headerNames = ['if-match', 'if-none-match', 'idempotency-key', 'x-request-id', 'traceparent'] as const
const envelopeHeaders: Readonly<Record<string, string>> = {
  ifMatch: 'if-match',
  ifNoneMatch: 'if-none-match',
  idempotencyKey: 'idempotency-key',
  requestId: 'x-request-id',
  contentType: 'content-type',
}
const jsonType = 'application/json'
const envelopeNames = ['reply', 'correlation', 'token', 'body', ...Object.keys(envelopeHeaders)]

/** Is it in MQTT 5's own form? */
export function isPlainForm({ properties }: Delivery): boolean {
  const { contentType, responseTopic, correlationData } = properties ?? {}
  return contentType !== undefined || responseTopic !== undefined || correlationData !== undefined
}

/** Where the answer goes; read first, so that what is wrong with the rest can be answered. Never throws. */
export function readReplyTo(delivery: Delivery): ReplyTo {
  if (isPlainForm(delivery)) {
    const { responseTopic, correlationData } = delivery.properties ?? {}
    return {
      ...(responseTopic === undefined ? {} : { topic: responseTopic }),
      ...(correlationData === undefined ? {} : { correlationData }),
    }
  }
  const envelope = tryEnvelope(delivery.payload)
  const { reply, correlation } = envelope ?? {}
  return {
    ...(typeof reply === 'string' ? { topic: reply } : {}),
    ...(typeof correlation === 'string' ? { correlation } : {}),
  }
}

function tryEnvelope(payload: string): JsonObject | undefined {
  try {
    const envelope = JSON.parse(payload) as Json
    return isJsonObject(envelope) ? envelope : undefined
  } catch {
    return undefined
  }
}

/** Errors: `invalid-json`, `unsafe-number`, `invalid-request`. */
export function readWriteMessage(delivery: Delivery, writer: Writer, replyTo: ReplyTo): WriteMessage {
  const { payload, bytes } = delivery
  if (bytes !== undefined && !isUtf8(bytes))
    throw new LockstepError('invalid-json', 'The payload is not UTF-8. Send JSON.')
  const message = isPlainForm(delivery) ? readPlain(delivery) : readEnvelope(payload)
  const key = message.headers['idempotency-key'] ?? keyOf(writer, replyTo)
  return key === undefined ? message : { ...message, headers: { ...message.headers, 'idempotency-key': key } }
}

function readPlain({ payload, properties = {} }: Delivery): WriteMessage {
  const { contentType, attributes = {} } = properties
  const headers: Record<string, string> = { 'content-type': contentType ?? jsonType }
  for (const name of headerNames) {
    const value = attributes[name]
    if (value !== undefined) headers[name] = value
  }
  const token = attributes['token']
  return { body: payload, headers, attributes, ...(token === undefined ? {} : { token }) }
}

function readEnvelope(payload: string): WriteMessage {
  const envelope = payload === '' ? {} : parseJson(payload)
  if (!isJsonObject(envelope))
    throw new LockstepError(
      'invalid-request',
      'The payload is no envelope. Send {"body": …}, or use MQTT 5 with a content type.',
    )
  const unknown = Object.keys(envelope).find(name => !envelopeNames.includes(name))
  if (unknown !== undefined) {
    throw new LockstepError(
      'invalid-request',
      `The envelope has a member ${quote(unknown)}. Known: ${envelopeNames.join(', ')}. What is to be written goes into "body".`,
    )
  }
  const headers: Record<string, string> = { 'content-type': jsonType }
  for (const [member, name] of Object.entries(envelopeHeaders)) {
    const value = readText(envelope, member)
    if (value !== undefined) headers[name] = value
  }
  readText(envelope, 'reply')
  readText(envelope, 'correlation')
  const token = readText(envelope, 'token')
  const { body } = envelope
  return {
    body: body === undefined ? '' : JSON.stringify(body),
    headers,
    attributes: {},
    ...(token === undefined ? {} : { token }),
  }
}

function readText(envelope: JsonObject, name: string): string | undefined {
  const value = envelope[name]
  if (value === undefined || typeof value === 'string') return value
  throw new LockstepError('invalid-request', `The member ${quote(name)} of the envelope is no text.`)
}

/** A correlation names one write of one writer, so a repetition of it is the same write. */
function keyOf(
  { user, clientId }: Writer,
  { topic, correlation, correlationData }: ReplyTo,
): string | undefined {
  const named = correlation ?? correlationData
  if (named === undefined || named.length === 0) return undefined
  const hash = createHash('sha256')
  for (const part of [user, clientId, topic]) hash.update(JSON.stringify(part ?? null))
  return `mqtt-${hash.update(named).digest('base64url')}`
}
