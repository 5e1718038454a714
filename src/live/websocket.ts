/**
 * Fits sessions to WebSockets: the handshake on an `upgrade` of a Node server, and one socket per page.
 *
 * The sockets are used as they are: frames are made once for all pages, a page that is idle has nothing but its socket and its session, and
 * listeners are the same functions for all. There is no compression and no binary message. PROTOCOL.md §9.3, RFC 6455.
 */
import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { LockstepError } from '../contract/index.ts'
import type { Session, Wire } from './session.ts'
import { acceptKey, encodeClose, encodePong, FrameReader } from './websocket-frame.ts'

/** How long a page has to take the last bytes and to close its side. */
const closeWithinMs = 2_000
const subprotocol = 'lockstep.1'
/** So much is held back at most, to be written together. */
const maxGatheredBytes = 65_536

/** Where the wire of a socket is kept, so that no listener needs a closure of its own. */
const wireOf = Symbol('wire')
type LiveSocket = Duplex & { [wireOf]: WebSocketWire }

/** Is it a request for a WebSocket, complete enough to be answered? Errors: `invalid-frame`. */
export function checkUpgrade({ method, headers }: IncomingMessage): void {
  const isComplete =
    method === 'GET' &&
    headers.upgrade?.toLowerCase() === 'websocket' &&
    headers['sec-websocket-version'] === '13' &&
    /^[A-Za-z0-9+/]{22}==$/.test(headers['sec-websocket-key'] ?? '')
  if (isComplete) return
  throw new LockstepError('invalid-frame', 'This is no WebSocket handshake of version 13 (RFC 6455).')
}

/** Answers the handshake and gives the wire; {@link WebSocketWire.start} lets the session hear it. */
export function acceptWebSocket(
  request: IncomingMessage,
  socket: Duplex,
  maxFrameBytes: number,
): WebSocketWire {
  const offered = request.headers['sec-websocket-protocol']?.split(',').map(name => name.trim())
  const chosen = offered?.includes(subprotocol) ? `Sec-WebSocket-Protocol: ${subprotocol}\r\n` : ''
  // The limits of the HTTP server are for requests; a page may be silent between two pings.
  if ('setTimeout' in socket) (socket as Socket).setTimeout(0).setNoDelay(true)
  const accept = acceptKey(request.headers['sec-websocket-key']!)
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n${chosen}\r\n`,
  )
  return new WebSocketWire(socket, maxFrameBytes)
}

/** Answers a handshake with what an HTTP client understands. */
export function refuseWebSocket(socket: Duplex, { status, headers, body }: Refusal): void {
  const lines = Object.entries({ ...headers, connection: 'close', 'content-length': Buffer.byteLength(body) })
  socket.end(
    `HTTP/1.1 ${status} Refused\r\n${lines.map(line => line.join(': ')).join('\r\n')}\r\n\r\n${body}`,
  )
}

export interface Refusal {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

export class WebSocketWire implements Wire {
  readonly form = 'websocket'
  readonly #socket: Duplex
  readonly #reader = new FrameReader()
  readonly #maxFrameBytes: number
  #session: Session | undefined
  #isEnding = false

  constructor(socket: Duplex, maxFrameBytes: number) {
    this.#socket = socket
    this.#maxFrameBytes = maxFrameBytes
  }

  start(session: Session, head: Buffer): void {
    this.#session = session
    const socket = this.#socket as LiveSocket
    socket[wireOf] = this
    socket.on('data', onData).on('drain', onDrain).on('error', onGone).on('end', onGone).on('close', onGone)
    if (socket.destroyed) session.gone()
    else if (head.length > 0) this.hear(head)
  }

  get queuedBytes(): number {
    // What is held back is not what the page does not take.
    return this.#socket.writableCorked > 0 ? 0 : this.#socket.writableLength
  }

  write(bytes: Buffer): void {
    const socket = this.#socket
    if (socket.destroyed) return
    socket.write(bytes)
    if (socket.writableCorked > 0 && socket.writableLength >= maxGatheredBytes) socket.uncork()
  }

  gather(writes: () => void): void {
    const socket = this.#socket
    if (socket.writableLength === 0) socket.cork()
    try {
      writes()
    } finally {
      if (socket.writableCorked > 0) socket.uncork()
    }
  }

  end(status: number, code: string): void {
    if (this.#isEnding) return
    this.#isEnding = true
    const socket = this.#socket
    if (socket.destroyed) return
    socket.end(encodeClose(status, code))
    const timer = setTimeout(() => socket.destroy(), closeWithinMs)
    socket.once('close', () => clearTimeout(timer))
  }

  hear(chunk: Buffer): void {
    if (this.#isEnding) return
    const session = this.#session!
    try {
      for (const { kind, payload } of this.#reader.read(chunk, this.#maxFrameBytes)) {
        if (this.#isEnding) return
        if (kind === 'text') session.hear(payload.toString())
        else if (kind === 'close') this.#closed()
        else {
          session.heard()
          if (kind === 'ping') this.write(encodePong(payload))
        }
      }
    } catch (error) {
      session.fail(error)
    }
  }

  drained(): void {
    this.#session!.drained()
  }

  gone(): void {
    this.#session!.gone()
    // A page that has ended its side has nothing more to say, and takes nothing more.
    if (!this.#isEnding) this.#socket.destroy()
  }

  /** The page closes: it is answered with the same, and that is the end. */
  #closed(): void {
    this.#session!.gone()
    this.end(1000, '')
  }
}

function onData(this: Duplex, chunk: Buffer): void {
  ;(this as LiveSocket)[wireOf].hear(chunk)
}

function onDrain(this: Duplex): void {
  ;(this as LiveSocket)[wireOf].drained()
}

function onGone(this: Duplex): void {
  ;(this as LiveSocket)[wireOf].gone()
}
