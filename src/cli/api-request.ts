/**
 * Asks an API over HTTP, once, and says in words why there is no usable answer.
 *
 * For the commands that look at single answers; following is the part `lockstep/client`.
 */
import { isJsonObject, type Json, LockstepError, parseJson, quote } from 'lockstep/contract'
import { reasonOfFetch } from './advice.ts'

export interface ApiRequest {
  readonly url: string
  readonly method?: 'GET' | 'HEAD'
  readonly headers?: Readonly<Record<string, string>>
  readonly signal?: AbortSignal
  /** How long the answer may take. @default 10_000 */
  readonly timeoutMs?: number
}

export interface ApiAnswer {
  readonly response: Response
  /** The body as text; `''` where there is none. */
  readonly text: string
  /** From the request to the whole answer. */
  readonly tookMs: number
}

/** Asks and reads the whole answer, whatever its status. Errors: `api-unreachable`, `timeout`. */
export async function askApi(request: ApiRequest): Promise<ApiAnswer> {
  const { url, method = 'GET', timeoutMs = 10_000 } = request
  const begin = performance.now()
  try {
    const headers = { accept: 'application/json', ...request.headers }
    const signals = [AbortSignal.timeout(timeoutMs), ...(request.signal ? [request.signal] : [])]
    const response = await fetch(url, {
      method,
      headers,
      signal: AbortSignal.any(signals),
      cache: 'no-store',
    })
    const text = await response.text()
    return { response, text, tookMs: performance.now() - begin }
  } catch (error) {
    throw explainFailure(error, url, timeoutMs)
  }
}

/** Asks for JSON. Errors: also `api-refused` for another status than 200 and for what is not JSON, `position-gone`, `position-ahead`. */
export async function askForJson(request: ApiRequest): Promise<ApiAnswer & { readonly value: Json }> {
  const answer = await askApi(request)
  const { response, text } = answer
  if (response.status !== 200) throw explainStatus(request.url, response.status, text)
  return { ...answer, value: readJsonBody(request.url, text) }
}

/** The error for an answer with another status than the one that is needed. */
export function explainStatus(url: string, status: number, text: string): LockstepError {
  const problem = readProblem(text)
  const detail = typeof problem['detail'] === 'string' ? `: ${quote(problem['detail'], 300)}` : ''
  const message = `GET ${url} was answered with ${status}${detail}.`
  const { code } = problem
  if (code !== 'position-gone' && code !== 'position-ahead')
    return new LockstepError('api-refused', message, { extra: { status } })
  const { marker } = problem
  return new LockstepError(code, message, { extra: typeof marker === 'string' ? { marker } : {} })
}

/** Why there is no answer at all. */
export function explainFailure(error: unknown, url: string, timeoutMs: number): LockstepError {
  if (error instanceof LockstepError) return error
  if (error instanceof Error && error.name === 'TimeoutError') {
    return new LockstepError('timeout', `GET ${url} was not answered within ${timeoutMs / 1_000} s.`, {
      cause: error,
    })
  }
  return new LockstepError('api-unreachable', `GET ${url} failed: ${reasonOfFetch(error)}.`, { cause: error })
}

function readJsonBody(url: string, text: string): Json {
  try {
    return parseJson(text)
  } catch {
    throw new LockstepError(
      'api-refused',
      `GET ${url} was answered with ${quote(text, 60)}, which is not JSON.`,
    )
  }
}

function readProblem(text: string): Readonly<Record<string, Json>> {
  try {
    const problem = JSON.parse(text) as Json
    return isJsonObject(problem) ? problem : {}
  } catch {
    return {}
  }
}
