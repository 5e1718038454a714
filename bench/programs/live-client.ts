/**
 * One page as the load has it: a socket, a handshake by hand, and frames that are read where they lie.
 *
 * Nothing is made for a message: all connections read into the same piece of memory, one after another.
 */
import { connect, type Socket } from 'node:net'
import { type Dialect, readNumber, type Speaker } from './live-dialect.ts'

/** What all clients of a load share. */
export interface Crowd {
  readonly port: number
  readonly dialect: Dialect
  onReady(client: LiveClient): void
  onMessage(client: LiveClient, number: number): void
  onFailure(error: Error): void
}

const readBuffer = Buffer.allocUnsafeSlow(262_144)
const headEnd = Buffer.from('\r\n\r\n')
const [quote, closingBrace] = [0x22, 0x7d]
const maxRestBytes = 1_048_576

/** How long the last message was: the end of the next is about as far. */
let messageBytes = 100

export class LiveClient implements Speaker {
  readonly index: number
  readonly place: string | undefined
  next: number
  session: string
  isReady = false
  readonly #crowd: Crowd
  readonly #socket: Socket
  /** The handshake has been sent, and answered. */
  #isAsked = false
  #isOpen = false
  #isCut = false
  #rest: Buffer | undefined

  /** Connects; `before` is the connection that it takes the place of. */
  constructor(crowd: Crowd, index: number, next: number, before?: LiveClient) {
    this.#crowd = crowd
    this.index = index
    this.next = next
    this.place = before === undefined ? undefined : (crowd.dialect.place?.() ?? '')
    this.session = before?.session ?? ''
    const { port, dialect } = crowd
    const onread = { buffer: readBuffer, callback: (bytes: number) => this.#read(bytes) }
    this.#socket = connect({ port, host: '127.0.0.1', noDelay: true, onread })
    this.#socket.on('error', error => this.#fail(error))
    this.#socket.on('close', () => this.#fail(new Error('The server closed a connection.')))
    if (dialect.before === undefined) this.#shakeHands()
    else this.#socket.write(`GET ${dialect.before} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\n\r\n`)
  }

  /** Cuts the connection, as a network does. */
  cut(): void {
    this.#isCut = true
    this.#socket.resetAndDestroy()
  }

  /** Reads nothing from now on, and does not mind being sent away for it. */
  stall(): void {
    this.#isCut = true
    this.#socket.pause()
  }

  ready(): void {
    if (this.isReady) return
    this.isReady = true
    this.#crowd.onReady(this)
  }

  /** A frame whose mask is 0, which leaves the text as it is. */
  send(text: string): void {
    const size = Buffer.byteLength(text)
    const header = size < 126 ? 6 : 8
    const bytes = Buffer.alloc(header + size)
    bytes[0] = 0x81
    bytes[1] = 0x80 | (size < 126 ? size : 126)
    if (size >= 126) bytes.writeUInt16BE(size, 2)
    bytes.write(text, header)
    this.#socket.write(bytes)
  }

  message(bytes: Buffer, start: number, end: number): number {
    let at = start + messageBytes - 8
    // A message ends with its number: `…:17"}`.
    let number = -1
    for (; at < end; at++) {
      if (bytes[at] !== closingBrace || bytes[at - 1] !== quote) continue
      number = readNumber(bytes, at - 1)
      if (number >= 0) break
    }
    if (number !== this.next) {
      throw new Error(
        `Client ${this.index} got ${number} instead of ${this.next}: ${bytes.toString('latin1', start, Math.min(end, start + 300))}`,
      )
    }
    messageBytes = at + 1 - start
    this.next = number + 1
    this.#crowd.onMessage(this, number)
    return at + 1
  }

  #read(length: number): boolean {
    if (this.#isCut) return false
    try {
      let bytes = readBuffer.subarray(0, length)
      if (this.#rest !== undefined) bytes = Buffer.concat([this.#rest, bytes])
      const at = this.#take(bytes)
      this.#rest = at === bytes.length ? undefined : Buffer.from(bytes.subarray(at))
      if (bytes.length - at > maxRestBytes) throw new Error('A frame is far too long.')
    } catch (error) {
      this.#fail(error as Error)
    }
    return true
  }

  #shakeHands(): void {
    const { port, dialect } = this.#crowd
    this.#isAsked = true
    this.#socket.write(
      `GET ${dialect.path(this)} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
        `Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n${dialect.header ?? ''}\r\n`,
    )
  }

  /** Takes what is whole; gives where the rest begins. */
  #take(bytes: Buffer): number {
    let at = 0
    if (!this.#isAsked) {
      this.#shakeHands()
      return bytes.length
    }
    if (!this.#isOpen) {
      const end = bytes.indexOf(headEnd)
      if (end < 0) return 0
      if (bytes.toString('latin1', 9, 12) !== '101') {
        throw new Error(`A handshake was answered with ${bytes.toString('latin1', 0, 300)}`)
      }
      this.#isOpen = true
      at = end + headEnd.length
      this.#crowd.dialect.opened(this)
    }
    for (;;) {
      const left = bytes.length - at
      if (left < 2) return at
      const short = bytes[at + 1]!
      const header = short < 126 ? 2 : short === 126 ? 4 : 10
      if (left < header) return at
      const size =
        short < 126
          ? short
          : short === 126
            ? bytes.readUInt16BE(at + 2)
            : Number(bytes.readBigUInt64BE(at + 2))
      if (left < header + size) return at
      const start = at + header
      at = start + size
      this.#frame(bytes, bytes[start - header]!, start, at)
    }
  }

  #frame(bytes: Buffer, first: number, start: number, end: number): void {
    if (first === 0x81) this.#crowd.dialect.text(this, bytes, start, end)
    else if (first !== 0x89) throw new Error(`A frame begins with ${first}.`)
    // The answer to a ping without content.
    else this.#socket.write(Buffer.from([0x8a, 0x80, 0, 0, 0, 0]))
  }

  #fail(error: Error): void {
    if (this.#isCut) return
    this.cut()
    this.#crowd.onFailure(error)
  }
}
