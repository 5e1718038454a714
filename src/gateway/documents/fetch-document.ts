/**
 * Fetches a document over HTTP from an address that is configured, and from nowhere else.
 *
 * Redirects are not followed, size and time are limited, and neither cookies nor credentials of clients are sent. The address
 * is what the operator wrote, so it may be a private one; what is fetched never leads to another address.
 */
import { LockstepError, quote } from '../../contract/index.ts'
import { maxDocumentBytes } from './document-text.ts'

export interface FetchOptions {
  /** @default 10_000 */
  readonly timeoutMs?: number
  /** @default 33_554_432 */
  readonly maxBytes?: number
  /** Sent with the request: what the operator gives. */
  readonly headers?: Readonly<Record<string, string>>
  /** The tag of what is held. */
  readonly etag?: string
  readonly signal?: AbortSignal
}

export interface Fetched {
  /** `undefined` where what is held is still what is there. */
  readonly text: string | undefined
  readonly etag: string | undefined
}

const accept = 'application/json, application/vnd.oai.openapi+json;q=0.9, application/yaml;q=0.8, */*;q=0.5'

/** Errors: `api-unreachable`, `api-refused`, `timeout`, `body-too-large`. */
export async function fetchDocument(url: URL, options: FetchOptions = {}): Promise<Fetched> {
  const { timeoutMs = 10_000, maxBytes = maxDocumentBytes, headers = {}, etag, signal } = options
  const limit = AbortSignal.timeout(timeoutMs)
  const stop = signal === undefined ? limit : AbortSignal.any([limit, signal])
  try {
    const response = await fetch(url, {
      redirect: 'manual',
      credentials: 'omit',
      headers: { accept, ...headers, ...(etag === undefined ? {} : { 'if-none-match': etag }) },
      signal: stop,
    })
    if (response.status === 304 && etag !== undefined) {
      await response.body?.cancel()
      return { text: undefined, etag }
    }
    if (response.status !== 200) {
      await response.body?.cancel()
      const isRedirect = response.status >= 300 && response.status < 400
      const advice = isRedirect ? ' Redirects are not followed: configure the address that it leads to.' : ''
      throw new LockstepError('api-refused', `${show(url)} was answered with ${response.status}.${advice}`)
    }
    return { text: await readText(url, response, maxBytes), etag: response.headers.get('etag') ?? undefined }
  } catch (error) {
    if (error instanceof LockstepError) throw error
    if (limit.aborted) throw new LockstepError('timeout', `${show(url)} was not read within ${timeoutMs} ms.`)
    throw new LockstepError('api-unreachable', `${show(url)} cannot be reached.`, { cause: error })
  }
}

async function readText(url: URL, response: Response, maxBytes: number): Promise<string> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  for await (const chunk of response.body ?? []) {
    bytes += chunk.byteLength
    if (bytes > maxBytes)
      throw new LockstepError('body-too-large', `${show(url)} has over ${maxBytes} bytes.`)
    chunks.push(chunk)
  }
  return new TextDecoder().decode(Buffer.concat(chunks))
}

/** Without user and password. */
function show(url: URL): string {
  return quote(`${url.origin}${url.pathname}`)
}
