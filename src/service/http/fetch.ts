/**
 * Fits the service to the Fetch API: `(request: Request) => Promise<Response>`, the shape that Hono, Deno, Bun,
 * service workers and tests speak.
 */
import { LockstepError } from '../../contract/index.ts'
import type { Exchange, HttpHandler } from './exchange.ts'

export type FetchHandler = (request: Request) => Promise<Response>

/** Makes a fetch-style handler of a service. */
export function createFetchHandler(service: HttpHandler): FetchHandler {
  return async request => {
    const url = new URL(request.url)
    const ended = new AbortController()
    const exchange: Exchange = {
      method: request.method,
      path: url.pathname,
      query: url.search.slice(1),
      header: name => request.headers.get(name) ?? undefined,
      readBody: maxBytes => readBody(request, maxBytes),
      get signal() {
        return AbortSignal.any([request.signal, ended.signal])
      },
    }
    const reply = await service.handle(exchange)
    const { status, headers, body } = reply
    const isBodyless = body === undefined || request.method === 'HEAD' || status === 204 || status === 304
    if (isBodyless) return new Response(null, { status, headers })
    if (typeof body === 'string') return new Response(body, { status, headers })
    return new Response(
      toStream(body, reply.cut, () => ended.abort()),
      { status, headers },
    )
  }
}

/** Takes a part only when it is asked for. `onCancel` is called when nobody will ask any more. */
function toStream(
  parts: AsyncIterable<string>,
  cut: AbortSignal | undefined,
  onCancel: () => void,
): ReadableStream<Uint8Array> {
  const iterator = parts[Symbol.asyncIterator]()
  const encoder = new TextEncoder()
  return new ReadableStream({
    start(controller) {
      cut?.addEventListener('abort', () => {
        controller.error(cut.reason)
        void iterator.return?.()
      })
    },
    async pull(controller) {
      const { done, value } = await iterator.next()
      if (done === true) controller.close()
      else controller.enqueue(encoder.encode(value))
    },
    async cancel() {
      onCancel()
      await iterator.return?.()
    },
  })
}

async function readBody(request: Request, maxBytes: number): Promise<string> {
  const tooLarge = (): LockstepError =>
    new LockstepError('body-too-large', `The body is over ${maxBytes} bytes. Send less, or in parts.`)
  if (Number(request.headers.get('content-length') ?? 0) > maxBytes) throw tooLarge()
  if (request.bodyUsed) {
    throw new LockstepError(
      'invalid-option',
      'The body was read before it came to Lockstep. Hand over the request unread.',
    )
  }
  const chunks: Uint8Array[] = []
  let size = 0
  try {
    for await (const chunk of request.body ?? []) {
      size += chunk.length
      if (size > maxBytes) throw tooLarge()
      chunks.push(chunk)
    }
  } catch (cause) {
    if (cause instanceof LockstepError) throw cause
    throw new LockstepError('request-timeout', 'The connection closed before the body was complete.', {
      cause,
    })
  }
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
  try {
    return chunks.map(chunk => decoder.decode(chunk, { stream: true })).join('') + decoder.decode()
  } catch {
    throw new LockstepError('invalid-json', 'The body is not UTF-8 text. Send JSON in UTF-8 (RFC 8259).')
  }
}
