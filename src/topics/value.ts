/**
 * A payload as a value: JSON where it is JSON, else text where it is UTF-8, else bytes. Nothing is lost on the way.
 *
 * What a publisher says of the type is not kept: a page of this origin must not be made of what anyone may publish. PROTOCOL.md §16.
 */
import { isUtf8 } from 'node:buffer'
import { createHash } from 'node:crypto'
import { LockstepError, quote } from '../contract/index.ts'

export type ValueKind = 'json' | 'text' | 'binary'

/** The last value of a topic. */
export interface TopicValue {
  readonly bytes: Uint8Array
  /** When it came here, in milliseconds since 1970. */
  readonly timeMs: number
}

/** A message or last value as streams, lists and WebSockets show it: one of `value` (JSON), `text` and `base64`. */
export interface TopicEntry {
  readonly topic: string
  readonly time: string
  readonly value?: unknown
  readonly text?: string
  readonly base64?: string
  /** It is the last value from before the stream began. */
  readonly last?: true
}

const mediaTypes: Readonly<Record<ValueKind, string>> = {
  json: 'application/json; charset=utf-8',
  text: 'text/plain; charset=utf-8',
  binary: 'application/octet-stream',
}

export function kindOf(bytes: Uint8Array): ValueKind {
  if (!isUtf8(bytes)) return 'binary'
  return isJson(textOf(bytes)) ? 'json' : 'text'
}

export function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString()
}

function isJson(text: string): boolean {
  // Most texts show by their first character that they are none.
  if (!/^\s*[[{"\-0-9tfn]/.test(text)) return false
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

/** A body and its type. */
export interface Representation {
  readonly type: string
  readonly body: Uint8Array
}

/**
 * The value as a client accepts it, best first: `json`, `text` or `binary`. A text asked for as JSON is a JSON string; whatever it is, it can
 * be had as text where it is UTF-8, and as bytes. `undefined` where it cannot be shown so.
 */
export function represent(bytes: Uint8Array, as: ValueKind): Representation | undefined {
  const kind = kindOf(bytes)
  const type = mediaTypes[as]
  if (as === 'binary' || as === kind) return { type, body: bytes }
  if (kind === 'binary') return undefined
  return as === 'text' ? { type, body: bytes } : { type, body: Buffer.from(JSON.stringify(textOf(bytes))) }
}

/** The entry as JSON text; the digits of numbers stay as they were published. */
export function formatEntry(topic: string, { bytes, timeMs }: TopicValue, isLast = false): string {
  const kind = kindOf(bytes)
  const shown =
    kind === 'json'
      ? `"value":${compactJson(textOf(bytes))}`
      : kind === 'text'
        ? `"text":${JSON.stringify(textOf(bytes))}`
        : `"base64":"${Buffer.from(bytes).toString('base64')}"`
  const time = new Date(timeMs).toISOString()
  return `{"topic":${JSON.stringify(topic)},"time":"${time}",${shown}${isLast ? ',"last":true' : ''}}`
}

/** Takes the white space between its parts out of a JSON text; the rest stays as it was written. */
export function compactJson(text: string): string {
  return text.replaceAll(/("[^"\\]*(?:\\.[^"\\]*)*")|[ \t\r\n]+/g, '$1')
}

/** A JSON body as it is published. Errors: `invalid-json`. */
export function readJsonPayload(text: string): string {
  try {
    JSON.parse(text)
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    throw new LockstepError(
      'invalid-json',
      `The body is no JSON: ${quote(reason, 120)}. Correct it, or send it as text/plain.`,
    )
  }
  return compactJson(text)
}

/** The entity tag of the value in one representation. */
export function tagOf({ type, body }: Representation): string {
  return `"${createHash('sha256').update(type).update('\n').update(body).digest('base64url').slice(0, 22)}"`
}
