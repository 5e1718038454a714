/**
 * The one error class of Lockstep and the one table of its codes.
 *
 * Every refusal, limit and failure has a code here. Only the edges (HTTP handler, follower, live bridge)
 * read the columns `status` and `retry`; the rest of the code throws by code and never by number.
 * PROTOCOL.md §8.
 */

/** What an edge needs to know about a code. */
export interface ErrorEntry {
  /** HTTP status of the problem document. */
  readonly status: number
  /** `true` where the same request may succeed later without being changed. */
  readonly retry: boolean
  /** The problem document's `title`: the same for each occurrence (RFC 9457 §3.1.3). */
  readonly title: string
}

/** Every code; docs/errors.md says of each what it means and what to do. */
export type ErrorCode =
  | 'invalid-path'
  | 'invalid-request'
  | 'invalid-topic'
  | 'invalid-position'
  | 'invalid-query'
  | 'invalid-condition'
  | 'invalid-json'
  | 'unsafe-number'
  | 'json-too-deep'
  | 'invalid-state'
  | 'invalid-id'
  | 'invalid-bulk'
  | 'invalid-patch'
  | 'patch-conflict'
  | 'not-found'
  | 'gone'
  | 'already-exists'
  | 'method-not-allowed'
  | 'not-acceptable'
  | 'precondition-failed'
  | 'precondition-required'
  | 'invalid-idempotency-key'
  | 'idempotency-key-reused'
  | 'idempotency-key-in-use'
  | 'body-too-large'
  | 'unsupported-media-type'
  | 'request-timeout'
  | 'position-gone'
  | 'position-ahead'
  | 'too-many-changes'
  | 'list-too-large'
  | 'too-many-followers'
  | 'overloaded'
  | 'transaction-timeout'
  | 'log-failed'
  | 'log-closed'
  | 'log-replaced'
  | 'outcome-unknown'
  | 'broker-unreachable'
  | 'broker-refused'
  | 'message-too-large'
  | 'api-unreachable'
  | 'api-refused'
  | 'timeout'
  | 'closed'
  | 'replica-failed'
  | 'invalid-frame'
  | 'invalid-ticket'
  | 'ticket-expired'
  | 'access-denied'
  | 'invalid-credentials'
  | 'insufficient-scope'
  | 'rate-limited'
  | 'too-slow'
  | 'port-taken'
  | 'missing-dependency'
  | 'invalid-option'
  | 'internal'

/** Every code with what the edges need to know about it. */
export const errorCodes: Readonly<Record<ErrorCode, ErrorEntry>> = {
  'invalid-path': { status: 400, retry: false, title: 'The path cannot name a resource' },
  'invalid-request': { status: 400, retry: false, title: 'The request cannot be passed on' },
  'invalid-topic': { status: 400, retry: false, title: 'The topic does not come from a path' },
  'invalid-position': { status: 400, retry: false, title: 'The position or marker cannot be read' },
  'invalid-query': { status: 400, retry: false, title: 'A query parameter cannot be used' },
  'invalid-condition': { status: 400, retry: false, title: 'If-Match or If-None-Match cannot be read' },
  'invalid-json': { status: 400, retry: false, title: 'The body is not JSON' },
  'unsafe-number': { status: 422, retry: false, title: 'A number would change its value when stored' },
  'json-too-deep': { status: 422, retry: false, title: 'The JSON is nested too deeply' },
  'invalid-state': { status: 422, retry: false, title: 'The state does not fit the schema' },
  'invalid-id': { status: 422, retry: false, title: 'The id cannot be used' },
  'invalid-bulk': { status: 422, retry: false, title: 'The body is not a bulk of operations' },
  'invalid-patch': { status: 422, retry: false, title: 'The body is not a JSON Patch' },
  'patch-conflict': { status: 409, retry: false, title: 'The patch does not fit the resource as it is' },
  'not-found': { status: 404, retry: false, title: 'There is no such resource' },
  gone: { status: 410, retry: false, title: 'The resource was deleted' },
  'already-exists': { status: 409, retry: false, title: 'The id is taken' },
  'method-not-allowed': { status: 405, retry: false, title: 'The method is not allowed here' },
  'not-acceptable': { status: 406, retry: false, title: 'No representation fits the Accept header' },
  'precondition-failed': { status: 412, retry: false, title: 'The resource is not at the version you named' },
  'precondition-required': { status: 428, retry: false, title: 'The write needs a condition' },
  'invalid-idempotency-key': { status: 400, retry: false, title: 'The idempotency key cannot be used' },
  'idempotency-key-reused': {
    status: 422,
    retry: false,
    title: 'The idempotency key was used for another request',
  },
  'idempotency-key-in-use': {
    status: 409,
    retry: true,
    title: 'A request with the same idempotency key is running',
  },
  'body-too-large': {
    status: 413,
    retry: false,
    title: 'The body, or what it would make, is over the limit',
  },
  'unsupported-media-type': {
    status: 415,
    retry: false,
    title: 'The media type of the body is not supported',
  },
  'request-timeout': { status: 408, retry: true, title: 'The body did not arrive in time' },
  'position-gone': { status: 410, retry: false, title: 'The position is no longer in the change log' },
  'position-ahead': { status: 503, retry: true, title: 'The position is ahead of this service' },
  'too-many-changes': { status: 422, retry: false, title: 'One transaction holds too many changes' },
  'list-too-large': { status: 422, retry: false, title: 'The list is too large for what is asked of it' },
  'too-many-followers': { status: 503, retry: true, title: 'Too many event streams are open' },
  overloaded: { status: 503, retry: true, title: 'Too much is waiting to be done' },
  'transaction-timeout': { status: 503, retry: true, title: 'The transaction took too long' },
  'log-failed': { status: 503, retry: true, title: 'The change log could not be read or written' },
  'log-closed': { status: 503, retry: true, title: 'The change log is closed' },
  'log-replaced': {
    status: 503,
    retry: false,
    title: 'The database file was replaced under the running service',
  },
  'outcome-unknown': { status: 503, retry: true, title: 'It is not known whether the write was made' },
  'broker-unreachable': { status: 503, retry: true, title: 'The broker cannot be reached' },
  'broker-refused': { status: 502, retry: false, title: 'The broker refused' },
  'message-too-large': { status: 413, retry: false, title: 'The message is over the limit' },
  'api-unreachable': { status: 503, retry: true, title: 'The API cannot be reached' },
  'api-refused': { status: 502, retry: false, title: 'The API gave an answer that cannot be used' },
  timeout: { status: 504, retry: true, title: 'It took too long' },
  closed: { status: 503, retry: false, title: 'It is closed' },
  'replica-failed': { status: 503, retry: true, title: 'The stored copy cannot be used' },
  'invalid-frame': { status: 400, retry: false, title: 'What the page sent cannot be read' },
  'invalid-ticket': { status: 401, retry: false, title: 'The ticket of the page cannot be used' },
  'ticket-expired': { status: 401, retry: false, title: 'The ticket of the page has expired' },
  'access-denied': { status: 403, retry: false, title: 'The page may not follow this' },
  'invalid-credentials': { status: 401, retry: false, title: 'The key or token is missing or does not hold' },
  'insufficient-scope': { status: 403, retry: false, title: 'The key or token does not reach this far' },
  'rate-limited': { status: 429, retry: true, title: 'There were too many requests' },
  'too-slow': { status: 503, retry: true, title: 'The page takes too little of what it is sent' },
  'port-taken': { status: 500, retry: false, title: 'The port is taken' },
  'missing-dependency': { status: 500, retry: false, title: 'An optional package is not installed' },
  'invalid-option': { status: 500, retry: false, title: 'An option cannot be used' },
  internal: { status: 500, retry: false, title: 'Something failed inside the service' },
}

/** One fault in a body: where (JSON Pointer, RFC 6901; `''` is the whole) and what. */
export interface Fault {
  readonly pointer: string
  readonly detail: string
}

export interface LockstepErrorOptions {
  readonly cause?: unknown
  /** The single faults, where a body has several. */
  readonly faults?: readonly Fault[]
  /** Further members of the problem document, such as `marker`. */
  readonly extra?: Readonly<Record<string, unknown>>
}

/**
 * An error with a code of the table. The message says what failed, with which value, and what to do next;
 * it is shown to clients, so it MUST NOT hold secrets or internals (those go into `cause`).
 */
export class LockstepError extends Error {
  override readonly name = 'LockstepError'
  readonly code: ErrorCode
  readonly faults: readonly Fault[]
  readonly extra: Readonly<Record<string, unknown>>

  constructor(code: ErrorCode, message: string, options: LockstepErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.faults = options.faults ?? []
    this.extra = options.extra ?? {}
    // What is empty says nothing, and would stand below every error that a program prints.
    if (this.faults.length === 0) hide(this, 'faults')
    if (Object.keys(this.extra).length === 0) hide(this, 'extra')
  }
}

function hide(error: LockstepError, name: 'faults' | 'extra'): void {
  Object.defineProperty(error, name, { enumerable: false })
}

/** Is it a LockstepError, and, where a code is given, one of that code? */
export function isLockstepError(error: unknown, code?: ErrorCode): error is LockstepError {
  return error instanceof LockstepError && (code === undefined || error.code === code)
}

/** A problem document (RFC 9457). `type` is `about:blank` plus `code`, so that clients switch on `code`. */
export interface Problem {
  readonly title: string
  readonly status: number
  readonly code: ErrorCode
  readonly detail: string
  readonly faults?: readonly Fault[]
  readonly [extra: string]: unknown
}

/** Turns any error into its problem document. What is not a LockstepError becomes `internal` without its text. */
export function toProblem(error: unknown): Problem {
  if (!isLockstepError(error)) {
    const { title, status } = errorCodes.internal
    return {
      title,
      status,
      code: 'internal',
      detail: 'The service has logged the error. Try again, or report it.',
    }
  }
  const { title, status } = errorCodes[error.code]
  return {
    title,
    status,
    code: error.code,
    detail: error.message,
    ...(error.faults.length > 0 ? { faults: error.faults } : {}),
    ...error.extra,
  }
}

/** What could steer a terminal or turn the reading direction, beyond what JSON escapes by itself. */
const invisible = /[\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g

/** Shortens and quotes a foreign value as a JSON text of one line, so that it can stand in a message or a log. */
export function quote(value: unknown, maxLength = 80): string {
  const text = typeof value === 'string' ? value : formatForeign(value)
  const shown = text.length > maxLength ? `${text.slice(0, maxLength)}…` : text
  return JSON.stringify(shown.toWellFormed()).replace(
    invisible,
    character => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}

/** Shows the text of a header field, which has quotes of its own, as it is; what {@link quote} would hide stays hidden. */
export function showField(text: string, maxLength = 80): string {
  return quote(text, maxLength).slice(1, -1).replaceAll('\\"', '"')
}

/** Never throws, also where a value has no `toString` or one that fails. */
function formatForeign(value: unknown): string {
  try {
    return String(value)
  } catch {
    return Object.prototype.toString.call(value)
  }
}
