/**
 * Fits the service to the Fetch API: `(request: Request) => Promise<Response>`, the shape that Hono, Deno, Bun,
 * service workers and tests speak.
 */
import { LockstepError } from '../../contract/index.ts'
import type { Exchange } from './exchange.ts'
import type { HttpHandler } from './node.ts'

export type FetchHandler = (request: Request) => Promise<Response>

/** Makes a fetch-style handler of a service. */
export function createFetchHandler(service: HttpHandler): FetchHandler {
  return async request => {
    const url = new URL(request.url)
    const exchange: Exchange = {
      method: request.method,
      path: url.pathname,
      query: url.search.slice(1),
      header: name => request.headers.get(name) ?? undefined,
      readBody: maxBytes => readBody(request, maxBytes),
      signal: request.signal,
    }
    const reply = await service.handle(exchange)
    const { body } = reply
    const isBodyless =
      body === undefined || request.method === 'HEAD' || reply.status === 204 || reply.status === 304
    if (isBodyless) return new Response(null, reply)
    return new Response(typeof body === 'string' ? body : toStream(body), reply)
  }
}

function toStream(parts: AsyncIterable<string>): ReadableStream<Uint8Array> {
  const iterator = parts[Symbol.asyncIterator]()
  const encoder = new TextEncoder()
  return new ReadableStream({
    async pull(controller) {
      const { done, value } = await iterator.next()
      if (done === true) controller.close()
      else controller.enqueue(encoder.encode(value))
    },
    async cancel() {
      await iterator.return?.()
    },
  })
}

async function readBody(request: Request, maxBytes: number): Promise<string> {
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of request.body ?? []) {
    size += chunk.length
    if (size > maxBytes)
      throw new LockstepError('body-too-large', `The body is over ${maxBytes} bytes. Send less, or in parts.`)
    chunks.push(chunk)
  }
  const body = new Uint8Array(size)
  let offset = 0
  for (const chunk of chunks) {
    body.set(chunk, offset)
    offset += chunk.length
  }
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(body)
  } catch {
    throw new LockstepError('invalid-json', 'The body is not UTF-8 text. Send JSON in UTF-8 (RFC 8259).')
  }
}
