/** A bridge that can be killed, closed and started again: the real one, with connections of the simulation. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import { Readable } from 'node:stream'
import type { AccessOptions } from '../../src/live/access.ts'
import { type Bridge, openBridge } from '../../src/live/bridge.ts'
import type { SimBroker, SimConnection } from './broker.ts'
import type { Ledger } from './ledger.ts'
import { SimLink } from './network.ts'
import type { Runtime } from './runtime.ts'
import { type SimService, streams } from './service.ts'
import { SimResponse, SimWire } from './wire.ts'

export interface BridgeParts {
  readonly runtime: Runtime
  readonly service: SimService
  readonly broker: SimBroker
  readonly ledger: Ledger
  readonly source: 'mqtt' | 'sse'
  readonly access: AccessOptions | 'public'
  readonly tell: (line: string) => void
  /** Hears what is sent to whom, when it is handed over. */
  readonly onWrite: (audience: string, bytes: Buffer) => void
}

/** Small, so that pages meet them. */
export const bridgeLimits = {
  backlogMessages: 12,
  warmMessages: 6,
  maxReplay: 60,
  conflateFrom: 4,
  holdMs: 2_000,
  maxQueuedBytes: 2_000,
  slowMs: 3_000,
} as const
const maxBacklogChars = 8_388_608

export class SimBridge {
  readonly name: string
  readonly link: SimLink
  readonly #parts: BridgeParts
  readonly #wires = new Set<SimWire>()
  #bridge: Bridge | undefined
  mqtt: SimConnection | undefined
  #boot = 0

  constructor(name: string, parts: BridgeParts) {
    this.name = name
    this.#parts = parts
    this.link = new SimLink(parts.runtime, parts.service)
  }

  get isUp(): boolean {
    return this.#bridge !== undefined
  }

  async start(): Promise<void> {
    if (this.#bridge !== undefined) return
    const { runtime, broker, source, access, tell } = this.#parts
    const boot = ++this.#boot
    const mqtt = source === 'mqtt' ? broker.connect() : undefined
    this.mqtt = mqtt
    const { link } = this
    const api = {
      fetch: (request: Request) =>
        link.fetch(request.url, { headers: request.headers, signal: request.signal }),
    }
    const bridge = await openBridge({
      sources: [{ api, streams, broker: mqtt, timeoutMs: 3_000 }],
      access,
      limits: bridgeLimits,
      pingEveryMs: 4_000,
      deadAfterMs: 9_000,
      staleAfterMs: 10_000,
      warmWithinMs: 1_000,
      audience: ({ headers }) => headers['cookie'],
      onError: (error, { stage }) => tell(`${this.name} ${stage}: ${String(error)}`),
    })
    if (boot === this.#boot) this.#bridge = bridge
    else await endBridge(bridge, mqtt)
    tell(`${this.name} is up at ${runtime.now()}`)
  }

  /** Ends it as `kill -9` does: what was written to the system may still arrive, and no page is told anything. */
  kill(): void {
    const { mqtt } = this
    const bridge = this.#bridge
    this.#boot++
    this.#bridge = undefined
    this.mqtt = undefined
    for (const wire of this.#wires) wire.cut()
    this.#wires.clear()
    if (bridge !== undefined) void endBridge(bridge, mqtt)
  }

  /** Ends it as a rolling restart does. */
  async close(): Promise<void> {
    const bridge = this.#bridge
    const { mqtt } = this
    this.#boot++
    this.#bridge = undefined
    this.mqtt = undefined
    if (bridge !== undefined) await endBridge(bridge, mqtt)
  }

  /** A connection of a page: a WebSocket, or the POST of a hello. `undefined` where nobody listens. */
  connect(
    audience: string,
    { hello }: { readonly hello?: string },
    onBytes: (bytes: Buffer) => void,
    onEnd: () => void,
  ): SimWire | undefined {
    const bridge = this.#bridge
    if (bridge === undefined) return undefined
    const { runtime, ledger, onWrite } = this.#parts
    const wire = new SimWire(runtime, onBytes, onEnd)
    const { socket } = wire
    this.#wires.add(wire)
    socket.on('close', () => this.#wires.delete(wire))
    socket.onWrite = bytes => {
      if (socket.writableLength > bridgeLimits.maxQueuedBytes && bytes.includes('"messages":[{'))
        ledger.violations.push(`unbounded: ${this.name} writes to a page that has not taken what it has`)
      onWrite(audience, bytes)
    }
    const headers = { host: 'site.example', origin: 'https://site.example', cookie: audience }
    const common = { url: '/live', socket: Object.assign(socket, { remoteAddress: '192.0.2.1' }) }
    runtime.after(runtime.between(1, 10), () => {
      if (this.#bridge !== bridge || socket.destroyed) {
        wire.cut()
        return
      }
      if (hello === undefined) {
        const request = { ...common, method: 'GET', headers: { ...headers, ...upgradeHeaders } }
        bridge.upgrade(request as never as IncomingMessage, socket as never as Duplex, Buffer.alloc(0))
        return
      }
      const post = { ...common, method: 'POST', headers: { ...headers, 'content-type': 'application/json' } }
      const request = Object.assign(Readable.from([Buffer.from(hello)]), post)
      const response = new SimResponse(socket)
      bridge.handle(request as never as IncomingMessage, response as never as ServerResponse)
    })
    return wire
  }

  /** What is kept in memory is bounded, and nobody is counted who is not there. */
  check(): void {
    const { ledger } = this.#parts
    const health = this.#bridge?.health()
    if (health === undefined) return
    const { websocket, events } = health.connections
    if (websocket + events > this.#wires.size)
      ledger.violations.push(
        `unbounded: ${this.name} counts ${websocket} + ${events} pages of ${this.#wires.size}`,
      )
    for (const [stream, { seq, start, backlogChars, waiting, ahead }] of Object.entries(health.streams)) {
      const isOver =
        seq - start > bridgeLimits.backlogMessages || backlogChars > maxBacklogChars || ahead > 1_024
      if (isOver || waiting > websocket + events)
        ledger.violations.push(
          `unbounded: ${this.name} keeps ${seq - start} + ${ahead} of ${stream}, ${waiting} wait`,
        )
    }
  }
}

const upgradeHeaders = {
  upgrade: 'websocket',
  'sec-websocket-version': '13',
  'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
}

async function endBridge(bridge: Bridge, mqtt: SimConnection | undefined): Promise<void> {
  await bridge.close()
  await mqtt?.close()
}
