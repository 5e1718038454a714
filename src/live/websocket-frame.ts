/**
 * WebSocket frames as bytes (RFC 6455 §5), the server's side: what comes from a page is read, what goes to it is written.
 *
 * There are no extensions and no binary messages. Nothing here knows a socket: bytes in, messages out. A page that sends nothing
 * costs nothing but this object.
 */
import { isUtf8 } from 'node:buffer'
import { hash } from 'node:crypto'
import { LockstepError } from '../contract/index.ts'

/** What a page sent: a whole text, or a control frame. */
export interface PageMessage {
  readonly kind: 'text' | 'close' | 'ping' | 'pong'
  readonly payload: Buffer
}

const opcodes = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const
const kinds: Readonly<Record<number, PageMessage['kind']>> = { 8: 'close', 9: 'ping', 10: 'pong' }
const finalBit = 0x80
const maxControlBytes = 125
/** Frames of one message and messages of one chunk, so that a page cannot make us hold a list without end. */
const maxFragments = 64

/** Reads the frames of one connection, chunk by chunk. */
export class FrameReader {
  #rest: Buffer | undefined
  #fragments: Buffer[] | undefined

  /** Gives the messages that are whole by now. Errors: `invalid-frame`; `message-too-large` over `maxBytes`. */
  read(chunk: Buffer, maxBytes: number): readonly PageMessage[] {
    let bytes = this.#rest === undefined ? chunk : Buffer.concat([this.#rest, chunk])
    this.#rest = undefined
    const messages: PageMessage[] = []
    for (;;) {
      const size = frameBytes(bytes, maxBytes)
      if (size === undefined || bytes.length < size) break
      const message = this.#take(bytes.subarray(0, size), maxBytes)
      if (message !== undefined) messages.push(message)
      bytes = bytes.subarray(size)
    }
    // A copy: a slice would keep the whole chunk, which is far larger, in memory.
    if (bytes.length > 0) this.#rest = Buffer.from(bytes)
    return messages
  }

  #take(frame: Buffer, maxBytes: number): PageMessage | undefined {
    const opcode = frame[0]! & 0x0f
    const isFinal = (frame[0]! & finalBit) !== 0
    const payload = unmask(frame)
    const kind = kinds[opcode]
    if (kind !== undefined) return { kind, payload }
    if ((opcode === opcodes.continuation) !== (this.#fragments !== undefined)) {
      throw invalid('a message begins in the middle of another')
    }
    const fragments = this.#fragments ?? []
    fragments.push(payload)
    const size = fragments.reduce((sum, { length }) => sum + length, 0)
    if (size > maxBytes) throw tooLarge(maxBytes)
    if (fragments.length > maxFragments) throw invalid(`a message has over ${maxFragments} parts`)
    this.#fragments = isFinal ? undefined : fragments
    if (!isFinal) return undefined
    const text = fragments.length === 1 ? payload : Buffer.concat(fragments)
    if (!isUtf8(text)) throw invalid('a text is not UTF-8')
    return { kind: 'text', payload: text }
  }
}

/** How long the first frame is in all; `undefined` where not even that is there yet. */
function frameBytes(bytes: Buffer, maxBytes: number): number | undefined {
  if (bytes.length < 2) return undefined
  const [first, second] = [bytes[0]!, bytes[1]!]
  const opcode = first & 0x0f
  if ((first & 0x70) !== 0) throw invalid('a reserved bit is set, and no extension was agreed on')
  if ((second & 0x80) === 0) throw invalid('a frame is not masked')
  const isControl = opcode >= 8
  const isKnown = isControl ? kinds[opcode] !== undefined : opcode <= opcodes.text
  if (!isKnown) throw invalid(opcode === opcodes.binary ? 'it is binary' : `its opcode is ${opcode}`)
  const short = second & 0x7f
  if (isControl && (short > maxControlBytes || (first & finalBit) === 0)) {
    throw invalid('a control frame is in parts or too long')
  }
  if (short < 126) return 6 + short
  const header = short === 126 ? 4 : 10
  if (bytes.length < header) return undefined
  const length = short === 126 ? bytes.readUInt16BE(2) : Number(bytes.readBigUInt64BE(2))
  if (length > maxBytes) throw tooLarge(maxBytes)
  return header + 4 + length
}

function unmask(frame: Buffer): Buffer {
  const short = frame[1]! & 0x7f
  const start = short < 126 ? 2 : short === 126 ? 4 : 10
  const payload = Buffer.from(frame.subarray(start + 4))
  for (let index = 0; index < payload.length; index++) payload[index]! ^= frame[start + (index & 3)]!
  return payload
}

function invalid(reason: string): LockstepError {
  return new LockstepError(
    'invalid-frame',
    `The page sent what is no frame of this protocol: ${reason}. Send JSON as text.`,
  )
}

function tooLarge(maxBytes: number): LockstepError {
  return new LockstepError(
    'message-too-large',
    `The page sent a frame of over ${maxBytes} bytes. Follow less in one page.`,
  )
}

/** Writes texts as frames, one after another in one piece of memory. */
export function encodeTexts(texts: readonly string[]): Buffer {
  const sizes = texts.map(text => Buffer.byteLength(text))
  const total = sizes.reduce((sum, size) => sum + size + headerBytes(size), 0)
  const bytes = Buffer.allocUnsafeSlow(total)
  let at = 0
  for (const [index, text] of texts.entries()) {
    at = writeHeader(bytes, at, opcodes.text, sizes[index]!)
    at += bytes.write(text, at)
  }
  return bytes
}

/** Writes the answer to a ping. */
export function encodePong(payload: Buffer): Buffer {
  return encodeControl(opcodes.pong, payload)
}

/** Writes a close frame; the reason is at most 123 bytes of ASCII. */
export function encodeClose(status: number, reason: string): Buffer {
  const payload = Buffer.alloc(2 + reason.length)
  payload.writeUInt16BE(status)
  payload.write(reason, 2, 'latin1')
  return encodeControl(opcodes.close, payload)
}

function encodeControl(opcode: number, payload: Buffer): Buffer {
  const bytes = Buffer.allocUnsafeSlow(2 + payload.length)
  payload.copy(bytes, writeHeader(bytes, 0, opcode, payload.length))
  return bytes
}

function headerBytes(size: number): number {
  return size < 126 ? 2 : size < 65_536 ? 4 : 10
}

function writeHeader(bytes: Buffer, at: number, opcode: number, size: number): number {
  bytes[at] = finalBit | opcode
  bytes[at + 1] = size < 126 ? size : size < 65_536 ? 126 : 127
  if (size < 126) return at + 2
  if (size < 65_536) return bytes.writeUInt16BE(size, at + 2)
  return bytes.writeBigUInt64BE(BigInt(size), at + 2)
}

/** The answer to `Sec-WebSocket-Key` (RFC 6455 §4.2.2). */
export function acceptKey(key: string): string {
  return hash('sha1', `${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`, 'base64')
}
