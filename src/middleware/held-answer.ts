/**
 * An answer of `node:http` that is held until what it tells of has been recorded: what the handler writes is kept, and sent when it is known
 * what is to be added. An answer that comes in parts, and is no JSON, is not held.
 */
import type { OutgoingHttpHeader, OutgoingHttpHeaders, ServerResponse } from 'node:http'
import type { Amendment, MetAnswer } from './meeting.ts'

export interface HeldAnswerOptions {
  /** An answer that is larger is not held. */
  readonly maxBytes: number
  /** The answer is complete. Does not reject. */
  end(answer: MetAnswer): Amendment | Promise<Amendment>
  /** The request's body as the framework has parsed it. */
  requestBody(): unknown
  /** The connection closed before the handler had answered. */
  leave(): void
}

interface Part {
  readonly chunk: Uint8Array
  readonly callback: (() => void) | undefined
}

type Callback = () => void
const ownMembers = ['writeHead', 'write', 'end', 'flushHeaders', 'headersSent', 'writableEnded'] as const

/** Takes over the answer's own methods until it is sent. */
export function holdAnswer(response: ServerResponse, options: HeldAnswerOptions): void {
  const held = new HeldAnswer(response, options)
  const replacements: Record<(typeof ownMembers)[number], PropertyDescriptor> = {
    writeHead: { value: held.writeHead.bind(held) },
    write: { value: held.write.bind(held) },
    end: { value: held.end.bind(held) },
    flushHeaders: { value: () => held.release() },
    headersSent: { get: () => held.isHeadGiven },
    writableEnded: { get: () => held.isEnded },
  }
  for (const name of ownMembers)
    Object.defineProperty(response, name, { ...replacements[name], configurable: true, enumerable: false })
}

class HeldAnswer {
  isHeadGiven = false
  isEnded = false
  readonly #response: ServerResponse
  readonly #options: HeldAnswerOptions
  #parts: Part[] = []
  #bytes = 0
  #isReleased = false

  constructor(response: ServerResponse, options: HeldAnswerOptions) {
    this.#response = response
    this.#options = options
    response.once('close', () => {
      if (!this.isEnded) options.leave()
    })
  }

  writeHead(
    status: number,
    reason?: string | OutgoingHttpHeaders | OutgoingHttpHeader[],
    given?: OutgoingHttpHeaders | OutgoingHttpHeader[],
  ): ServerResponse {
    const response = this.#response
    response.statusCode = status
    if (typeof reason === 'string') response.statusMessage = reason
    setHeaders(response, typeof reason === 'string' ? given : reason)
    this.isHeadGiven = true
    return response
  }

  write(chunk: string | Uint8Array, encoding?: BufferEncoding | Callback, callback?: Callback): boolean {
    const done = typeof encoding === 'function' ? encoding : callback
    this.isHeadGiven = true
    this.#keep(toBytes(chunk, encoding), done)
    const type = this.#response.getHeader('content-type')
    const isJson = type === undefined || /\bjson\b/.test(String(type))
    if (!isJson || this.#bytes > this.#options.maxBytes) this.release()
    return true
  }

  end(
    chunk?: string | Uint8Array | Callback | null,
    encoding?: BufferEncoding | Callback,
    callback?: Callback,
  ): ServerResponse {
    const response = this.#response
    // What comes after the end is lost, as it is without this.
    if (this.isEnded) return response
    const done = [chunk, encoding, callback].find(each => typeof each === 'function') as Callback | undefined
    this.isEnded = true
    this.isHeadGiven = true
    const last = chunk === undefined || chunk === null || typeof chunk === 'function' ? undefined : chunk
    const body = this.#parts.length === 0 ? (last ?? '') : this.#join(last, encoding)
    const text = typeof body === 'string' && typeof encoding === 'string' && !/^utf-?8$/i.test(encoding)
    const whole = text ? Buffer.from(body as string, encoding as BufferEncoding) : body
    const header = (name: string): string | undefined => {
      const value = response.getHeader(name)
      return value === undefined ? undefined : Array.isArray(value) ? value.join(', ') : String(value)
    }
    const amendment = this.#options.end({
      status: response.statusCode,
      header,
      body: whole.length > this.#options.maxBytes ? undefined : whole,
      requestBody: this.#options.requestBody(),
    })
    if (amendment instanceof Promise) void amendment.then(found => this.#send(whole, found, done))
    else this.#send(whole, amendment, done)
    return response
  }

  /** Sends what was kept, and lets the rest through: from now on nothing can be added. */
  release(): void {
    if (this.#isReleased) return
    const parts = this.#parts
    this.#restore()
    for (const { chunk, callback } of parts) this.#response.write(chunk, callback)
    if (parts.length === 0) this.#response.flushHeaders()
    // What it changed is observed at its end all the same.
    this.#response.once('finish', () => {
      this.isEnded = true
      const { statusCode: status } = this.#response
      void this.#options.end({
        status,
        header: () => undefined,
        body: undefined,
        requestBody: this.#options.requestBody(),
      })
    })
  }

  #send(body: string | Uint8Array, { headers, isUnchanged }: Amendment, done: Callback | undefined): void {
    const response = this.#response
    const parts = this.#parts
    this.#restore()
    if (!response.headersSent) {
      for (const [name, value] of Object.entries(headers)) response.setHeader(name, value)
      if (isUnchanged) {
        response.statusCode = 304
        for (const name of ['content-length', 'content-type', 'transfer-encoding'])
          response.removeHeader(name)
      }
    }
    response.end(isUnchanged || body.length === 0 ? undefined : body, done)
    for (const { callback } of parts) callback?.()
  }

  #restore(): void {
    this.#isReleased = true
    this.#parts = []
    const own = this.#response as unknown as Record<string, unknown>
    for (const name of ownMembers) delete own[name]
  }

  #keep(chunk: Uint8Array, callback: Callback | undefined): void {
    this.#parts.push({ chunk, callback })
    this.#bytes += chunk.length
  }

  #join(last: string | Uint8Array | undefined, encoding: BufferEncoding | Callback | undefined): Buffer {
    const parts = this.#parts.map(({ chunk }) => chunk)
    return Buffer.concat(last === undefined ? parts : [...parts, toBytes(last, encoding)])
  }
}

function toBytes(chunk: string | Uint8Array, encoding: BufferEncoding | Callback | undefined): Uint8Array {
  return typeof chunk === 'string'
    ? Buffer.from(chunk, typeof encoding === 'string' ? encoding : 'utf8')
    : chunk
}

function setHeaders(
  response: ServerResponse,
  given: OutgoingHttpHeaders | OutgoingHttpHeader[] | undefined,
): void {
  if (given === undefined) return
  if (!Array.isArray(given)) {
    for (const [name, value] of Object.entries(given))
      if (value !== undefined) response.setHeader(name, value)
    return
  }
  // Pairs, or names and values in turn; a name may come several times.
  const flat = given.flat() as string[]
  for (let index = 0; index < flat.length; index += 2) response.removeHeader(flat[index]!)
  for (let index = 0; index < flat.length; index += 2) response.appendHeader(flat[index]!, flat[index + 1]!)
}
