/**
 * Fits sessions to responses that stay open: the same frames as events, for where WebSockets do not get through. PROTOCOL.md §9.3.
 *
 * The page says its hello in the body of a POST and can say no more on this connection.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { LockstepError } from '../contract/index.ts'
import type { Session, Wire } from './session.ts'

/** How long a hello may take to arrive. */
const bodyWithinMs = 10_000
/** How long a page has to take the last bytes. */
const closeWithinMs = 2_000

/** Reads the hello. Errors: `unsupported-media-type`, `body-too-large`, `request-timeout`, `invalid-json`. */
export async function readHelloBody(request: IncomingMessage, maxBytes: number): Promise<string> {
  if (!/^application\/json\b/.test(request.headers['content-type'] ?? '')) {
    throw new LockstepError(
      'unsupported-media-type',
      'The hello of a page comes with Content-Type: application/json.',
    )
  }
  const chunks: Buffer[] = []
  let size = 0
  const timer = setTimeout(() => request.destroy(), bodyWithinMs)
  try {
    for await (const chunk of request as AsyncIterable<Buffer>) {
      size += chunk.length
      if (size > maxBytes) {
        throw new LockstepError(
          'body-too-large',
          `The hello is over ${maxBytes} bytes. Follow less in one page.`,
        )
      }
      chunks.push(chunk)
    }
  } catch (error) {
    if (error instanceof LockstepError) throw error
    throw new LockstepError('request-timeout', 'The hello did not arrive in time.', { cause: error })
  } finally {
    clearTimeout(timer)
  }
  return Buffer.concat(chunks).toString()
}

export class EventWire implements Wire {
  readonly form = 'events'
  readonly #response: ServerResponse

  constructor(response: ServerResponse, headers: Readonly<Record<string, string>>) {
    this.#response = response
    response.writeHead(200, {
      ...headers,
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-store',
      // Otherwise nginx and its like would hold events back until a buffer is full.
      'x-accel-buffering': 'no',
    })
    response.flushHeaders()
  }

  start(session: Session): void {
    const response = this.#response
    response.on('drain', () => session.drained())
    response.on('close', () => session.gone())
    response.on('error', () => session.gone())
    if (response.destroyed) session.gone()
  }

  get queuedBytes(): number {
    return this.#response.writableLength
  }

  write(bytes: Buffer): void {
    if (!this.#response.destroyed) this.#response.write(bytes)
  }

  gather(writes: () => void): void {
    writes()
  }

  end(): void {
    const response = this.#response
    if (response.destroyed) return
    response.end()
    const timer = setTimeout(() => response.destroy(), closeWithinMs)
    response.once('close', () => clearTimeout(timer))
  }
}
