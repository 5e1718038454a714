/** Requests to the API of a source: the same for one that is far away and for a service of this process. PROTOCOL.md §4, §5. */
import { isJsonObject, isLockstepError, type Json, LockstepError, quote } from '../contract/index.ts'
import type { LiveSource } from './source.ts'

/** Asks an API; answers of any status. Errors: `api-unreachable`, `timeout`. */
export type ApiRequest = (path: string, options?: ApiRequestOptions) => Promise<Response>

export interface ApiRequestOptions {
  readonly headers?: Readonly<Record<string, string>>
  readonly signal?: AbortSignal
  /** The answer stays open: the time limit is for its beginning. */
  readonly isStream?: boolean
}

/** The longest answer that is read, in bytes. */
const maxAnswerBytes = 67_108_864

export function createApiRequest({ api, root = '', headers, timeoutMs = 10_000 }: LiveSource): ApiRequest {
  const isPlace = typeof api === 'string' || api instanceof URL
  // A service of this process looks at the path alone; the host is there because a Request needs one.
  const base = isPlace ? String(api).replace(/\/+$/, '') : `http://service.localhost${root}`
  const ask = isPlace ? fetch : (request: Request) => api.fetch(request)
  return async (path, options = {}) => {
    const url = path.startsWith('/') ? base + path : path
    const ending = new AbortController()
    const signals = [ending.signal, ...(options.signal === undefined ? [] : [options.signal])]
    const timer = setTimeout(() => ending.abort(), timeoutMs)
    try {
      const request = new Request(url, {
        headers: { accept: 'application/json', ...headers?.(), ...options.headers },
        signal: AbortSignal.any(signals),
      })
      const response = await ask(request)
      if (options.isStream) return response
      const body = await readLimited(response, url)
      // A response may not have a body with these.
      const isEmpty = response.status === 204 || response.status === 304
      return new Response(isEmpty ? null : body, response)
    } catch (cause) {
      if (isLockstepError(cause)) throw cause
      if (ending.signal.aborted) {
        throw new LockstepError('timeout', `GET ${url} was not answered within ${timeoutMs / 1_000} s.`)
      }
      throw new LockstepError('api-unreachable', `GET ${url} failed: the API cannot be reached.`, { cause })
    } finally {
      clearTimeout(timer)
    }
  }
}

async function readLimited(response: Response, url: string): Promise<Buffer<ArrayBuffer>> {
  const parts: Uint8Array[] = []
  let size = 0
  for await (const part of response.body ?? []) {
    size += part.length
    if (size > maxAnswerBytes) {
      throw new LockstepError(
        'message-too-large',
        `The answer to GET ${url} is over ${maxAnswerBytes} bytes.`,
      )
    }
    parts.push(part)
  }
  return Buffer.concat(parts)
}

/** The error for an answer that is no success. Errors: `position-gone`, `position-ahead` where the API says so; `api-unreachable`, `api-refused`. */
export async function toApiError(response: Response, what: string): Promise<LockstepError> {
  const problem = readProblem(await response.text().catch(() => ''))
  const { code, detail } = problem
  const told = typeof detail === 'string' ? `: ${quote(detail, 300)}` : ''
  const text = `GET ${what} was answered with ${response.status}${told}.`
  if (code === 'position-gone' || code === 'position-ahead') return new LockstepError(code, text)
  const isPassing = response.status >= 500 || response.status === 429 || response.status === 408
  return new LockstepError(isPassing ? 'api-unreachable' : 'api-refused', text)
}

function readProblem(text: string): { readonly code?: Json; readonly detail?: Json } {
  try {
    const problem = JSON.parse(text) as Json
    return isJsonObject(problem) ? problem : {}
  } catch {
    return {}
  }
}
