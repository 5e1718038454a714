/**
 * An answer of `node:http` that is held until what it tells of has been recorded: what the handler writes is kept, and sent when it is known
 * what is to be added. An answer that comes in parts, and is no JSON, is not held.
 */
import type { OutgoingHttpHeader, OutgoingHttpHeaders, ServerResponse } from 'node:http'
import { type Amendment, type MetAnswer, unamended } from './meeting.ts'

export interface HeldAnswerOptions {
  /** An answer that is larger is not held. */
  readonly maxBytes: number
  /** The answer is complete. Does not reject. */
  end(answer: MetAnswer): Amendment | Promise<Amendment>
  /** The request's body as the framework has parsed it. */
  requestBody(): unknown
  /** The connection closed before the handler had answered; `undefined` where that is no matter. */
  readonly leave: (() => void) | undefined
}

interface Part {
  readonly chunk: Uint8Array
  readonly callback: Callback | undefined
}

type Callback = () => void
type Chunk = string | Uint8Array
type Given = OutgoingHttpHeaders | OutgoingHttpHeader[]

/** Takes over the answer's own methods until it is sent. */
export function holdAnswer(response: ServerResponse, options: HeldAnswerOptions): void {
  const held = new HeldAnswer(response, options)
  // Assigned in one order, and never defined by a descriptor: each answer then has the same shape, and stays quick.
  const own = response as unknown as Record<string, unknown>
  own['writeHead'] = (status: number, reason?: string | Given, given?: Given) =>
    held.writeHead(status, reason, given)
  own['write'] = (chunk: Chunk, encoding?: BufferEncoding | Callback, callback?: Callback) =>
    held.write(chunk, encoding, callback)
  own['end'] = (chunk?: Chunk | Callback | null, encoding?: BufferEncoding | Callback, callback?: Callback) =>
    held.end(chunk, encoding, callback)
  own['flushHeaders'] = () => held.release()
  if (options.leave === undefined) return
  const { leave } = options
  response.once('close', () => {
    if (!held.isEnded) leave()
  })
}

class HeldAnswer {
  isEnded = false
  readonly #response: ServerResponse
  readonly #options: HeldAnswerOptions
  #parts: Part[] | undefined
  #bytes = 0
  #isReleased = false

  constructor(response: ServerResponse, options: HeldAnswerOptions) {
    this.#response = response
    this.#options = options
  }

  writeHead(status: number, reason?: string | Given, given?: Given): ServerResponse {
    const response = this.#response
    response.statusCode = status
    if (typeof reason === 'string') response.statusMessage = reason
    setHeaders(response, typeof reason === 'string' ? given : reason)
    return response
  }

  write(chunk: Chunk, encoding?: BufferEncoding | Callback, callback?: Callback): boolean {
    const part = toBytes(chunk, encoding)
    this.#parts ??= []
    this.#parts.push({ chunk: part, callback: typeof encoding === 'function' ? encoding : callback })
    this.#bytes += part.length
    const type = this.#response.getHeader('content-type')
    const isJson = type === undefined || /\bjson\b/.test(String(type))
    if (!isJson || this.#bytes > this.#options.maxBytes) this.release()
    return true
  }

  end(
    chunk?: Chunk | Callback | null,
    encoding?: BufferEncoding | Callback,
    callback?: Callback,
  ): ServerResponse {
    const response = this.#response
    // What comes after the end is lost, as it is without this.
    if (this.isEnded) return response
    this.isEnded = true
    const done = typeof chunk === 'function' ? chunk : typeof encoding === 'function' ? encoding : callback
    const last = typeof chunk === 'function' || chunk === null ? undefined : chunk
    const body = this.#join(last, typeof encoding === 'string' ? encoding : 'utf8')
    const amendment = this.#options.end({
      status: response.statusCode,
      header: name => readHeader(response, name),
      body: body.length > this.#options.maxBytes ? undefined : body,
      requestBody: this.#options.requestBody(),
    })
    if (!(amendment instanceof Promise)) this.#send(body, amendment, done)
    else {
      // Whoever looks meanwhile finds that the answer has been given.
      for (const name of ['headersSent', 'writableEnded'])
        Object.defineProperty(response, name, { value: true, configurable: true })
      void amendment.then(found => this.#send(body, found, done))
    }
    return response
  }

  /** Sends what was kept, and lets the rest through: from now on nothing can be added. */
  release(): void {
    if (this.#isReleased) return
    const parts = this.#parts ?? []
    const response = this.#response
    this.#restore()
    if (parts.length === 0) response.flushHeaders()
    for (const { chunk, callback } of parts) response.write(chunk, callback)
    // What it changed is observed at its end all the same.
    response.once('finish', () => {
      this.isEnded = true
      void this.#options.end({
        status: response.statusCode,
        header: name => readHeader(response, name),
        body: undefined,
        requestBody: this.#options.requestBody(),
      })
    })
  }

  #send(body: Chunk, amendment: Amendment, done: Callback | undefined): void {
    const response = this.#response
    const parts = this.#parts
    const { isUnchanged } = amendment
    this.#restore()
    if (amendment !== unamended) {
      for (const name in amendment.headers) response.setHeader(name, amendment.headers[name]!)
      if (isUnchanged) {
        response.statusCode = 304
        for (const name of ['content-length', 'content-type', 'transfer-encoding'])
          response.removeHeader(name)
      }
    }
    if (isUnchanged || body.length === 0) response.end(done)
    else response.end(body, done)
    for (const { callback } of parts ?? []) callback?.()
  }

  #restore(): void {
    this.#isReleased = true
    this.#parts = undefined
    const own = this.#response as unknown as Record<string, unknown>
    const proto = Object.getPrototypeOf(own) as Record<string, unknown>
    for (const name of ['writeHead', 'write', 'end', 'flushHeaders']) own[name] = proto[name]
    if (Object.hasOwn(own, 'headersSent'))
      for (const name of ['headersSent', 'writableEnded']) delete own[name]
  }

  #join(last: Chunk | undefined, encoding: BufferEncoding): Chunk {
    const isText =
      last === undefined || typeof last !== 'string' || encoding === 'utf8' || encoding === 'utf-8'
    const end = isText ? (last ?? '') : Buffer.from(last as string, encoding)
    if (this.#parts === undefined) return end
    return Buffer.concat([...this.#parts.map(({ chunk }) => chunk), toBytes(end, undefined)])
  }
}

function readHeader(response: ServerResponse, name: string): string | undefined {
  const value = response.getHeader(name)
  return value === undefined ? undefined : Array.isArray(value) ? value.join(', ') : String(value)
}

function toBytes(chunk: Chunk, encoding: BufferEncoding | Callback | undefined): Uint8Array {
  return typeof chunk === 'string'
    ? Buffer.from(chunk, typeof encoding === 'string' ? encoding : 'utf8')
    : chunk
}

function setHeaders(response: ServerResponse, given: Given | undefined): void {
  if (given === undefined) return
  if (!Array.isArray(given)) {
    for (const name in given) if (given[name] !== undefined) response.setHeader(name, given[name])
    return
  }
  // Pairs, or names and values in turn; a name may come several times.
  const flat = given.flat() as string[]
  for (let index = 0; index < flat.length; index += 2) response.removeHeader(flat[index]!)
  for (let index = 0; index < flat.length; index += 2) response.appendHeader(flat[index]!, flat[index + 1]!)
}
