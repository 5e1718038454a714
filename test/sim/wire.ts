/**
 * One connection between a page and a bridge: bytes in order, late, held back, cut in the middle of a frame, or lost without a word
 * to either side. The bridge's end has what the bridge uses of a socket or of a response.
 */
import { EventEmitter } from 'node:events'
import type { Runtime } from './runtime.ts'

/** What the system takes from a program that writes before the program has to keep it. */
const systemBytes = 1_000

export class SimWire {
  readonly toPage: Pipe
  readonly toBridge: Pipe
  readonly socket: SimSocket
  #onEnd: (() => void) | undefined

  /** `onBytes` and `onEnd` are the page's. */
  constructor(runtime: Runtime, onBytes: (bytes: Buffer) => void, onEnd: () => void) {
    this.#onEnd = onEnd
    this.socket = new SimSocket(this)
    this.toPage = new Pipe(runtime, bytes => {
      if (this.#onEnd !== undefined && bytes.length > 0) onBytes(bytes)
      this.socket.passed()
    })
    this.toBridge = new Pipe(runtime, bytes => {
      if (!this.socket.destroyed && bytes.length > 0) this.socket.emit('data', bytes)
    })
  }

  /** The connection breaks, and both sides are told; of what was on its way a part may still arrive. */
  cut(): void {
    this.toPage.cut()
    this.toBridge.cut()
    this.endPage()
    this.socket.destroy()
  }

  /** It is dead, and neither side is told: a router has forgotten it. */
  drop(): void {
    this.toPage.isDead = true
    this.toBridge.isDead = true
  }

  /** Nothing passes until {@link release}, in the page's direction or in both. */
  hold(both: boolean): void {
    this.toPage.isHeld = true
    if (both) this.toBridge.isHeld = true
  }

  release(): void {
    this.toPage.release()
    this.toBridge.release()
  }

  /** The page has closed it, and hears no more. */
  leave(): void {
    this.#onEnd = undefined
    this.toBridge.send(Buffer.alloc(0), () => {
      this.socket.emit('end')
      this.socket.destroy()
    })
  }

  endPage(): void {
    const onEnd = this.#onEnd
    this.#onEnd = undefined
    onEnd?.()
  }
}

interface Chunk {
  readonly bytes: Buffer
  readonly then: (() => void) | undefined
}

class Pipe {
  isHeld = false
  isDead = false
  inFlight = 0
  readonly #runtime: Runtime
  readonly #deliver: (bytes: Buffer) => void
  #queue: Chunk[] = []
  #due = 0
  #lastAt = 0

  constructor(runtime: Runtime, deliver: (bytes: Buffer) => void) {
    this.#runtime = runtime
    this.#deliver = deliver
  }

  send(bytes: Buffer, then?: () => void): void {
    this.inFlight += bytes.length
    this.#queue.push({ bytes, then })
    const runtime = this.#runtime
    this.#lastAt = Math.max(this.#lastAt, runtime.now() + runtime.between(1, 12))
    runtime.after(this.#lastAt - runtime.now(), () => {
      this.#due++
      this.#pump()
    })
  }

  release(): void {
    this.isHeld = false
    this.#pump()
  }

  cut(): void {
    const [next] = this.#queue
    if (!this.isDead && next !== undefined && this.#runtime.chance(0.5))
      this.#deliver(next.bytes.subarray(0, this.#runtime.between(0, next.bytes.length)))
    this.isDead = true
    this.#queue = []
  }

  #pump(): void {
    while (this.#due > 0 && !this.isHeld && !this.isDead) {
      this.#due--
      const { bytes, then } = this.#queue.shift()!
      this.inFlight -= bytes.length
      this.#deliver(bytes)
      then?.()
    }
  }
}

/** The bridge's end. */
export class SimSocket extends EventEmitter {
  destroyed = false
  /** Is told of what the bridge writes, before it is on its way. */
  onWrite: ((bytes: Buffer) => void) | undefined
  readonly #wire: SimWire
  #isFull = false

  constructor(wire: SimWire) {
    super()
    this.#wire = wire
  }

  get writableLength(): number {
    return Math.max(0, this.#wire.toPage.inFlight - systemBytes)
  }

  setTimeout(): this {
    return this
  }

  setNoDelay(): this {
    return this
  }

  cork(): void {}

  uncork(): void {}

  write(data: string | Buffer): boolean {
    if (this.destroyed) return false
    const bytes = Buffer.from(data)
    this.onWrite?.(bytes)
    this.#wire.toPage.send(bytes)
    this.#isFull ||= this.writableLength > 0
    return !this.#isFull
  }

  end(data: string | Buffer = ''): this {
    this.write(data)
    this.#wire.toPage.send(Buffer.alloc(0), () => {
      this.#wire.endPage()
      this.destroy()
    })
    return this
  }

  destroy(): this {
    if (this.destroyed) return this
    this.destroyed = true
    queueMicrotask(() => this.emit('close'))
    this.#wire.endPage()
    return this
  }

  /** Something has reached the page. */
  passed(): void {
    if (this.destroyed || !this.#isFull || this.writableLength > 0) return
    this.#isFull = false
    this.emit('drain')
  }
}

/** The bridge's end of a request whose response stays open: its first line says what the answer is. */
export class SimResponse extends EventEmitter {
  headersSent = false
  readonly #socket: SimSocket
  #head = ''

  constructor(socket: SimSocket) {
    super()
    this.#socket = socket
    for (const event of ['drain', 'close']) socket.on(event, () => this.emit(event))
  }

  get destroyed(): boolean {
    return this.#socket.destroyed
  }

  get writableLength(): number {
    return this.#socket.writableLength
  }

  writeHead(status: number, headers: Readonly<Record<string, string>>): this {
    this.#head = `${JSON.stringify({ status, headers })}\n`
    return this
  }

  flushHeaders(): void {
    if (this.headersSent) return
    this.headersSent = true
    this.#socket.write(this.#head)
  }

  write(bytes: Buffer): boolean {
    this.flushHeaders()
    return this.#socket.write(bytes)
  }

  end(data = ''): this {
    this.flushHeaders()
    this.#socket.end(data)
    return this
  }

  destroy(): this {
    this.#socket.destroy()
    return this
  }
}
