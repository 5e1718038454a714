/** What an answer that is no success means for a follower. PROTOCOL.md §4.9, §8; RFC 9110 §10.2.3, §15. */
import { isJsonObject, type Json, LockstepError, type ParsedPath, quote } from '../contract/index.ts'

/** An answer as it came, with what was asked. */
export interface RawAnswer {
  readonly response: Response
  readonly text: string
  readonly url: string
  readonly target: ParsedPath
}

const retryable = new Set([408, 425, 429, 500, 502, 503, 504])

const advice: Readonly<Record<number, string>> = {
  400: 'Check the API root: is it a Lockstep service?',
  401: 'Give credentials with the option `headers`.',
  403: 'The credentials given with `headers` do not allow to read it.',
  404: 'Check the path and the API root.',
}

/** The error for an answer that cannot be used, by its code: see Api.answer. */
export function toFailure({ response, text, url }: RawAnswer): LockstepError {
  const { status } = response
  const problem = readProblem(text)
  const retryAfterMs = readRetryAfter(response.headers.get('retry-after'))
  const extra = retryAfterMs === undefined ? {} : { retryAfterMs }
  const detail = problem.detail === undefined ? '' : ` ${quote(problem.detail, 300)}`
  const what = `GET ${url} was answered with ${status}${detail === '' ? '.' : `:${detail}.`}`
  if (problem.code === 'position-gone' || problem.code === 'position-ahead') {
    return new LockstepError(problem.code, what, { extra })
  }
  if (retryable.has(status))
    return new LockstepError('api-unreachable', `${what} It is asked again.`, { extra })
  return new LockstepError('api-refused', `${what} ${advice[status] ?? 'It cannot be followed like this.'}`, {
    extra,
  })
}

/** The error for an answer that says something else than the protocol allows. */
export function unreadable({ url }: RawAnswer, what: string): LockstepError {
  return new LockstepError('api-refused', `The answer to GET ${url} cannot be used: ${what}`)
}

export function readJson(answer: RawAnswer): Json {
  try {
    return JSON.parse(answer.text) as Json
  } catch {
    throw unreadable(answer, `it is not JSON but ${quote(answer.text, 40)}.`)
  }
}

function readProblem(text: string): { readonly code?: Json; readonly detail?: Json } {
  try {
    const problem = JSON.parse(text) as Json
    return isJsonObject(problem) ? { code: problem['code'], detail: problem['detail'] } : {}
  } catch {
    return {}
  }
}

/** Seconds, as our services send it. A date would depend on two clocks; it is left to the follower's own pace. */
function readRetryAfter(value: string | null): number | undefined {
  return value !== null && /^\d{1,6}$/.test(value) ? Number(value) * 1_000 : undefined
}
