/**
 * Reads HTTP/1.1 responses: bytes in, events out; no sockets, no clock.
 *
 * It takes less than RFC 9112 allows: whatever two programs could read differently (a length twice, a length beside
 * chunks, a folded line, a bare CR or LF) ends the connection instead of being guessed at. Trailers are dropped.
 */
import { LockstepError } from '../contract/index.ts'

export interface ResponseHead {
  readonly status: number
  readonly reason: string
  /** Names and values in turn, as they came. */
  readonly fields: readonly string[]
  /** Of the body; `undefined` where it is in chunks, or ends with the connection. */
  readonly length: number | undefined
  /** For how long the other side says it keeps the connection (`Keep-Alive: timeout`). */
  readonly keepSeconds: number | undefined
}

/** Is told of one response, in this order: a head, any number of parts of the body, the end. */
export interface ResponseReader {
  /** The final head. One with 101 is followed by `onUpgrade`. */
  onHead(head: ResponseHead): void
  /** The bytes are those of the chunk that was fed: they are used or copied at once. */
  onBody(part: Buffer): void
  onEnd(): void
  /** The connection belongs to another protocol from here on; `rest` has come with the head. */
  onUpgrade(rest: Buffer): void
}

export interface ResponseLimits {
  /** @default 32_768 */
  readonly maxHeadBytes?: number
  /** @default 200 */
  readonly maxFields?: number
  /** Heads with 1xx before the final one. @default 10 */
  readonly maxInformational?: number
}

const statusLine = /^HTTP\/1\.([01]) ([1-5]\d\d)(?: ([\t\x20-\x7e\x80-\xff]*))?$/
const fieldName = /^[!#$%&'*+\-.^`|~\w]+$/
const fieldValue = /^[\t\x20-\x7e\x80-\xff]*$/
const wholeNumber = /^\d{1,15}$/
/** With extensions as RFC 9112 §7.1.1 has them, which are not looked at. */
const chunkLine =
  /^([0-9A-Fa-f]{1,12})(?:;[ \t]*[\w!#$%&'*+\-.^`|~]+(?:=(?:[\w!#$%&'*+\-.^`|~]+|"(?:[^"\\]|\\[\t\x20-\x7e])*"))?)*$/
const maxLineBytes = 1_024
const maxTrailerBytes = 16_384

type State =
  | 'idle'
  | 'head'
  | 'length'
  | 'chunk-line'
  | 'chunk'
  | 'chunk-end'
  | 'trailer'
  | 'until-close'
  | 'broken'

export class ResponseParser {
  readonly #maxHeadBytes: number
  readonly #maxFields: number
  readonly #maxInformational: number
  #state: State = 'idle'
  #reader: ResponseReader | undefined
  #isHead = false
  #mayUpgrade = false
  #keepAlive = false
  #informational = 0
  /** What has come of a head or line that is not complete. */
  #pending: Buffer | undefined
  /** Bytes of the body, or of the chunk, that are still to come; of trailers, that may still come. */
  #left = 0

  constructor({ maxHeadBytes = 32_768, maxFields = 200, maxInformational = 10 }: ResponseLimits = {}) {
    this.#maxHeadBytes = maxHeadBytes
    this.#maxFields = maxFields
    this.#maxInformational = maxInformational
  }

  /** Between two responses, after one that lets the connection live on. */
  get isReusable(): boolean {
    return this.#state === 'idle' && this.#keepAlive
  }

  /** Expects the response to a request that was sent. */
  begin(method: string, reader: ResponseReader, mayUpgrade = false): void {
    this.#state = 'head'
    this.#reader = reader
    this.#isHead = method === 'HEAD'
    this.#mayUpgrade = mayUpgrade
    this.#keepAlive = false
    this.#informational = 0
  }

  /** Takes what came from the connection. Errors: `api-refused` where it is no response; the connection is of no use then. */
  feed(chunk: Buffer): void {
    try {
      let at = 0
      while (at < chunk.length) at = this.#step(chunk, at)
    } catch (error) {
      this.#state = 'broken'
      throw error
    }
  }

  /** The other side has ended the connection. Errors: `api-refused` where a response is incomplete. */
  end(): void {
    if (this.#state === 'until-close') this.#finish()
    else if (this.#state !== 'idle' && this.#state !== 'broken') {
      this.#state = 'broken'
      throw refuse('ended before it was complete')
    }
  }

  /** Takes some bytes and gives where the next ones begin. */
  #step(chunk: Buffer, at: number): number {
    switch (this.#state) {
      case 'head':
        return this.#takeHead(chunk, at)
      case 'length':
      case 'chunk':
        return this.#takeBody(chunk, at)
      case 'chunk-line':
        return this.#takeLine(chunk, at, line => this.#beginChunk(line))
      case 'chunk-end':
        return this.#takeLine(chunk, at, line => {
          if (line !== '') throw refuse('has a chunk that is longer than it says')
          this.#state = 'chunk-line'
        })
      case 'trailer':
        return this.#takeLine(chunk, at, line => this.#takeTrailer(line))
      case 'until-close':
        this.#reader!.onBody(at === 0 ? chunk : chunk.subarray(at))
        return chunk.length
      default:
        throw refuse('came without a request')
    }
  }

  #takeHead(chunk: Buffer, from: number): number {
    let bytes = chunk
    let start = from
    if (this.#pending !== undefined) {
      const before = this.#pending.length
      bytes = Buffer.concat([this.#pending, from === 0 ? chunk : chunk.subarray(from)])
      // Seen from the joined bytes, the chunk begins at `before`.
      start = 0
      from -= before
      this.#pending = undefined
    }
    const end = bytes.indexOf('\r\n\r\n', start, 'latin1')
    const length = (end === -1 ? bytes.length : end) - start
    if (length > this.#maxHeadBytes) throw refuse(`has a head of over ${this.#maxHeadBytes} bytes`)
    if (end === -1) {
      this.#pending = Buffer.from(bytes.subarray(start))
      return chunk.length
    }
    const next = end + 4
    const isUpgrade = this.#beginBody(bytes.toString('latin1', start, end))
    if (isUpgrade) {
      const reader = this.#reader!
      this.#state = 'broken'
      reader.onUpgrade(bytes.subarray(next))
      return chunk.length
    }
    return bytes === chunk ? next : next + from
  }

  /** Reads a head and decides how the body ends (RFC 9112 §6.3). `true` for an upgrade. */
  #beginBody(text: string): boolean {
    const firstEnd = text.indexOf('\r\n')
    const line = statusLine.exec(firstEnd === -1 ? text : text.slice(0, firstEnd))
    if (line === null) throw refuse('does not begin with a status line of HTTP/1.1')
    const isLatest = line[1] === '1'
    const status = Number(line[2])
    const fields: string[] = []
    const framing = this.#readFields(text, firstEnd, fields)
    if (status < 200) {
      if (status === 101 && this.#mayUpgrade) {
        this.#reader!.onHead({
          status,
          reason: line[3] ?? '',
          fields,
          length: undefined,
          keepSeconds: undefined,
        })
        return true
      }
      if (status === 101 || ++this.#informational > this.#maxInformational) {
        throw refuse('has an upgrade that nobody asked for, or no final head')
      }
      return false
    }
    const { length, isChunked, isClose, keepSeconds } = framing
    if (isChunked && (length !== undefined || !isLatest)) throw refuse('has both a length and chunks')
    this.#keepAlive = isLatest && !isClose
    const isEmpty = this.#isHead || status === 204 || status === 304
    if (isEmpty && status === 204 && isChunked) throw refuse('is a 204 in chunks')
    this.#left = length ?? 0
    this.#state = isChunked ? 'chunk-line' : length === undefined ? 'until-close' : 'length'
    this.#reader!.onHead({ status, reason: line[3] ?? '', fields, length, keepSeconds })
    if (isEmpty || (length === 0 && !isChunked)) this.#finish()
    else if (this.#state === 'until-close') this.#keepAlive = false
    return false
  }

  #readFields(text: string, firstEnd: number, fields: string[]): Framing {
    let length: number | undefined
    let isChunked = false
    let isClose = false
    let keepSeconds: number | undefined
    let at = firstEnd === -1 ? text.length : firstEnd + 2
    while (at < text.length) {
      let end = text.indexOf('\r\n', at)
      if (end === -1) end = text.length
      const colon = text.indexOf(':', at)
      if (colon === -1 || colon >= end) throw refuse('has a line in its head that is no field')
      const name = text.slice(at, colon)
      const value = trimSpace(text, colon + 1, end)
      if (!fieldName.test(name)) throw refuse('has a field whose name is none')
      if (!fieldValue.test(value)) throw refuse('has a field with control characters')
      fields.push(name, value)
      if (fields.length > this.#maxFields * 2) throw refuse(`has over ${this.#maxFields} fields`)
      at = end + 2
      // Only these three lengths can be framing.
      const size = name.length
      if (size !== 14 && size !== 17 && size !== 10) continue
      const lower = name.toLowerCase()
      if (lower === 'content-length') {
        if (length !== undefined) throw refuse('says its length twice')
        if (!wholeNumber.test(value)) throw refuse('has a length that is no number')
        length = Number(value)
      } else if (lower === 'transfer-encoding') {
        if (isChunked || value.toLowerCase() !== 'chunked')
          throw refuse('is encoded for transfer as nobody asked')
        isChunked = true
      } else if (lower === 'connection') isClose ||= /(?:^|,)[ \t]*close[ \t]*(?:,|$)/i.test(value)
      else if (lower === 'keep-alive') {
        const seconds = /(?:^|[,\s])timeout=(\d{1,9})(?:$|[,\s])/i.exec(value)?.[1]
        if (seconds !== undefined) keepSeconds = Number(seconds)
      }
    }
    return { length, isChunked, isClose, keepSeconds }
  }

  #takeBody(chunk: Buffer, at: number): number {
    const size = Math.min(this.#left, chunk.length - at)
    this.#left -= size
    const part = size === chunk.length ? chunk : chunk.subarray(at, at + size)
    const isDone = this.#left === 0
    this.#reader!.onBody(part)
    if (isDone) {
      if (this.#state === 'chunk') this.#state = 'chunk-end'
      else this.#finish()
    }
    return at + size
  }

  #beginChunk(line: string): void {
    const size = chunkLine.exec(line)?.[1]
    if (size === undefined) throw refuse('has a chunk whose size is none')
    this.#left = Number.parseInt(size, 16)
    this.#state = 'chunk'
    if (this.#left > 0) return
    this.#state = 'trailer'
    this.#left = maxTrailerBytes
  }

  #takeTrailer(line: string): void {
    if (line === '') {
      this.#finish()
      return
    }
    this.#left -= line.length
    const colon = line.indexOf(':')
    if (this.#left < 0 || !fieldName.test(line.slice(0, colon)) || !fieldValue.test(line.slice(colon + 1))) {
      throw refuse('has trailers that cannot be read, or too many')
    }
  }

  /** Takes a line that ends with CR LF, without it. */
  #takeLine(chunk: Buffer, at: number, take: (line: string) => void): number {
    const end = chunk.indexOf(10, at)
    const before = this.#pending
    const size = (before?.length ?? 0) + (end === -1 ? chunk.length : end) - at
    if (size > maxLineBytes) throw refuse(`has a line of over ${maxLineBytes} bytes in its body`)
    if (end === -1) {
      const part = Buffer.from(chunk.subarray(at))
      this.#pending = before === undefined ? part : Buffer.concat([before, part])
      return chunk.length
    }
    this.#pending = undefined
    const text = (before?.toString('latin1') ?? '') + chunk.toString('latin1', at, end)
    const last = text.length - 1
    if (text.indexOf('\r') !== last || last === -1) throw refuse('has a line that does not end with CR LF')
    take(text.slice(0, last))
    return end + 1
  }

  #finish(): void {
    const reader = this.#reader!
    this.#state = 'idle'
    this.#reader = undefined
    reader.onEnd()
  }
}

interface Framing {
  readonly length: number | undefined
  readonly isChunked: boolean
  readonly isClose: boolean
  readonly keepSeconds: number | undefined
}

function trimSpace(text: string, from: number, to: number): string {
  let start = from
  let end = to
  while (start < end && isSpace(text.charCodeAt(start))) start++
  while (end > start && isSpace(text.charCodeAt(end - 1))) end--
  return text.slice(start, end)
}

function isSpace(code: number): boolean {
  return code === 32 || code === 9
}

function refuse(what: string): LockstepError {
  return new LockstepError('api-refused', `The answer of the service ${what}.`)
}
