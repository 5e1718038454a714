/**
 * One request to the application, from before its handler runs until its answer is known: what is noted first, and what the answer says.
 * Free of any framework's classes.
 */
import type { JsonObject } from '../contract/index.ts'

/** A request, as every framework has it. */
export interface MetRequest {
  readonly method: string
  /** The raw path with its query, from the root of the application. */
  readonly target: string
  /** By its lower-case name. */
  header(name: string): string | undefined
}

/** What the handler answered. */
export interface MetAnswer {
  readonly status: number
  /** By its lower-case name. */
  header(name: string): string | undefined
  /** `undefined` where it is not there as a whole: a stream, or too large. */
  readonly body: string | Uint8Array | undefined
  /** The request's body as the framework has parsed it, for rules that name members of it. */
  readonly requestBody?: unknown
}

/** What is changed of an answer before it goes out. */
export interface Amendment {
  readonly headers: Readonly<Record<string, string>>
  /** The client has it already: send 304 and no body. */
  readonly isUnchanged?: boolean
}

/** A request that is about something that is mirrored. */
export interface Meeting {
  /** Does it change anything? Then `leave` is to be called where nobody answers. */
  readonly isWrite: boolean
  /** Await it before the handler runs. It rejects where the intent could not be noted: then the handler MUST NOT run. */
  readonly ready: Promise<void> | undefined
  /** Set on the answer, whatever it is. */
  readonly headers: Readonly<Record<string, string>>
  /** Is `end` to be called with the answer before it is sent? Else it may be sent as it is, without a call. */
  readonly isHeld: boolean
  /** The handler has answered; what comes back is to be part of the answer. Never rejects, and takes no longer than `maxWaitMs`. */
  end(answer: MetAnswer): Amendment | Promise<Amendment>
  /** The request ended without an answer: nobody knows what was done. */
  leave(): void
}

/** Nothing to add. */
export const unamended: Amendment = { headers: {} }

/** Reads a body that should be one JSON object; `undefined` where it is none. */
export function readObject(body: string | Uint8Array | undefined): JsonObject | undefined {
  if (body === undefined || body.length === 0) return undefined
  try {
    const text =
      typeof body === 'string' ? body : Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString()
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as JsonObject)
      : undefined
  } catch {
    return undefined
  }
}
