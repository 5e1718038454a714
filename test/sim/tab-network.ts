/** How a tab reaches a bridge: the browser's side of WebSockets and of responses that stay open. */
import { currentTab, outside, type SimTab } from './tab.ts'
import type { SimWire } from './wire.ts'

/** What carries connections to a bridge; `undefined` where none can be made. */
export interface BridgeRoute {
  /** Connects; the bridge is asked with these bytes or with a POST of the body. */
  connect(
    ask: { readonly hello?: string },
    onBytes: (bytes: Buffer) => void,
    onEnd: () => void,
  ): SimWire | undefined
}

interface Routed {
  readonly route: BridgeRoute
}

function routeOf(tab: SimTab): BridgeRoute {
  return (tab.network as unknown as Routed).route
}

/** RFC 6455, the page's side: as much as the module uses. */
export class SimWebSocket {
  static readonly OPEN = 1
  readyState = 0
  onopen: (() => void) | undefined
  onmessage: ((event: { readonly data: string }) => void) | undefined
  onclose: ((event: { readonly code: number; readonly reason: string }) => void) | undefined
  readonly #tab = currentTab()
  #wire: SimWire | undefined
  #rest = Buffer.alloc(0)

  constructor(_url: string) {
    const tab = this.#tab
    outside(() =>
      tab.network.pass().then(
        () => {
          if (this.readyState !== 0 || tab.isDiscarded) return
          const take = (bytes: Buffer): void => tab.run(() => this.#take(bytes))
          const end = (): void => tab.run(() => this.#close(1006, ''))
          this.#wire = routeOf(tab).connect({}, take, end)
          if (this.#wire === undefined) end()
        },
        () => tab.run(() => this.#close(1006, '')),
      ),
    )
  }

  send(text: string): void {
    const wire = this.#wire
    outside(() => wire?.toBridge.send(encodeMasked(1, Buffer.from(text))))
  }

  close(): void {
    if (this.readyState > 1) return
    const wire = this.#wire
    this.readyState = 3
    outside(() => {
      wire?.toBridge.send(encodeMasked(8, Buffer.from([0x03, 0xe8])))
      wire?.leave()
    })
  }

  #take(bytes: Buffer): void {
    this.#rest = Buffer.concat([this.#rest, bytes])
    if (this.readyState === 0 && !this.#open()) return
    while (this.readyState === 1) {
      const frame = readFrame(this.#rest)
      if (frame === undefined) return
      this.#rest = this.#rest.subarray(frame.size)
      if (frame.opcode === 1) this.onmessage?.({ data: frame.payload.toString() })
      else if (frame.opcode === 8)
        this.#close(frame.payload.readUInt16BE(0), frame.payload.subarray(2).toString())
    }
  }

  #open(): boolean {
    const end = this.#rest.indexOf('\r\n\r\n')
    if (end < 0) return false
    if (!this.#rest.toString('latin1').startsWith('HTTP/1.1 101 ')) {
      this.#close(1006, '')
      return false
    }
    this.#rest = this.#rest.subarray(end + 4)
    this.readyState = 1
    this.onopen?.()
    return true
  }

  #close(code: number, reason: string): void {
    if (this.readyState > 1) return
    this.readyState = 3
    this.#wire?.leave()
    this.onclose?.({ code, reason })
  }
}

interface ServerFrame {
  readonly opcode: number
  readonly payload: Buffer
  readonly size: number
}

function readFrame(bytes: Buffer): ServerFrame | undefined {
  if (bytes.length < 2) return undefined
  const short = bytes[1]!
  const header = short < 126 ? 2 : short === 126 ? 4 : 10
  if (bytes.length < header) return undefined
  const length =
    short < 126 ? short : short === 126 ? bytes.readUInt16BE(2) : Number(bytes.readBigUInt64BE(2))
  const size = header + length
  return bytes.length < size
    ? undefined
    : { opcode: bytes[0]! & 0x0f, payload: bytes.subarray(header, size), size }
}

/** With a mask of zeros, which masks nothing. */
function encodeMasked(opcode: number, payload: Buffer): Buffer {
  const { length } = payload
  const header = length < 126 ? Buffer.from([0x80 | opcode, 0x80 | length]) : Buffer.alloc(4)
  if (length >= 126) {
    header[0] = 0x80 | opcode
    header[1] = 0x80 | 126
    header.writeUInt16BE(length, 2)
  }
  return Buffer.concat([header, Buffer.alloc(4), payload])
}

/** `fetch` of a response that stays open. */
export async function openEventStreamRequest(
  hello: string,
  signal: AbortSignal | undefined,
): Promise<Response> {
  const tab = currentTab()
  const answer = Promise.withResolvers<Response>()
  let wire: SimWire | undefined
  let head = Buffer.alloc(0)
  let body: ReadableStreamDefaultController<Uint8Array> | undefined
  let isOver = false
  const end = (error?: unknown): void => {
    if (isOver) return
    isOver = true
    const cause = error ?? new TypeError('network error')
    answer.reject(cause)
    if (error === undefined && body !== undefined) body.close()
    else body?.error(cause)
  }
  const take = (bytes: Buffer): void => {
    if (isOver) return
    if (body !== undefined) {
      body.enqueue(bytes)
      return
    }
    head = Buffer.concat([head, bytes])
    const length = head.indexOf('\n')
    if (length < 0) return
    const { status, headers } = JSON.parse(head.toString('utf8', 0, length))
    const rest = head.subarray(length + 1)
    const stream = new ReadableStream<Uint8Array>({
      start(controller) {
        body = controller
        if (rest.length > 0) controller.enqueue(rest)
      },
    })
    answer.resolve(new Response(stream, { status, headers }))
  }
  signal?.addEventListener('abort', () => {
    end(signal.reason)
    outside(() => wire?.leave())
  })
  outside(() =>
    tab.network.pass(signal).then(
      () => {
        if (isOver || tab.isDiscarded) return
        wire = routeOf(tab).connect(
          { hello },
          bytes => tab.run(() => take(bytes)),
          () => tab.run(() => end()),
        )
        if (wire === undefined) end(new TypeError('fetch failed'))
      },
      error => end(error),
    ),
  )
  return await answer.promise
}
