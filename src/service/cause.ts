/** The `cause` of a write that brings no id of its own: a place in a trace, or a random id. PROTOCOL.md §4.11. */
import { describeValue, LockstepError, parseTraceparent, quote, type ReportError } from '../contract/index.ts'
import { createRequestId, isRequestId } from './id.ts'

/** Makes a cause; `traceparent` is the header of the request, where there is one. Never throws. */
export type CreateCause = (traceparent?: string) => string

/** `current` gives the cause that the application knows of; what cannot be one is told, and left out. Errors: `invalid-option`. */
export function createCauses(
  current: (() => string | undefined) | undefined,
  report: ReportError,
): CreateCause {
  if (current !== undefined && typeof current !== 'function') {
    throw new LockstepError(
      'invalid-option',
      `The cause of openService is ${describeValue(current)}. Give a function that returns the id of the write, or undefined.`,
    )
  }
  const ask = (): string | undefined => {
    try {
      const cause = current?.()
      if (cause === undefined || isRequestId(cause)) return cause
      throw new LockstepError(
        'invalid-option',
        `The cause ${quote(cause)} cannot be used: give 1 to 128 visible ASCII characters, or undefined.`,
      )
    } catch (error) {
      report(error, { stage: 'cause' })
      return undefined
    }
  }
  return traceparent => {
    const cause = current === undefined ? undefined : ask()
    if (cause !== undefined) return cause
    return parseTraceparent(traceparent) === undefined ? createRequestId() : traceparent!
  }
}
