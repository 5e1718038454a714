/**
 * A broker inside the process: for tests, examples and an application that is one process.
 *
 * Several connections share one hub. Deliveries come later than the call that caused them, in the order of the
 * calls, as over a network; `stop` and `start` make an outage. Nothing leaves the process. PROTOCOL.md §6.
 */
import { createErrorReport, LockstepError, quote, type ReportError } from '../contract/index.ts'
import type { Broker, Delivery, MessageProperties, PublishOptions, Subscription } from './broker.ts'
import { type ConnectionState, createConnectionState } from './connection-state.ts'
import { createRetainedMessages, type RetainedMessages } from './retained-messages.ts'
import {
  checkTopic,
  createSubscriptionTable,
  type Listening,
  type SubscriptionTable,
} from './subscriptions.ts'

export interface MemoryHubOptions {
  /** Is told when a listener throws. @default standard error */
  readonly onError?: ReportError
  /** The largest payload in bytes of UTF-8. @default 262_144 */
  readonly maxPayloadBytes?: number
  /** Topics with a retained message; one more is refused. @default 10_000 */
  readonly maxRetained?: number
}

export interface MemoryHub {
  /** A connection of its own to the hub; it is up at once, unless the hub is stopped. */
  connect(): Broker
  /** Takes all connections down; what was on its way is lost, retained messages are kept. Idempotent. */
  stop(): void
  /** Brings the connections up again and renews their subscriptions. Idempotent. */
  start(): void
}

/** What is delivered, apart from its topic. */
type Message = Pick<Delivery, 'payload' | 'bytes' | 'properties'>

interface Hub {
  readonly running: boolean
  readonly maxPayloadBytes: number
  readonly members: Set<MemoryBroker>
  readonly retained: RetainedMessages<Message>
  readonly reportError: ReportError
  /** Does it later, after all that was asked before, unless an outage comes first. */
  later(work: () => void, lost: () => void): void
}

/** Makes a hub that is running and has no connections yet. */
export function createMemoryHub(options: MemoryHubOptions = {}): MemoryHub {
  const members = new Set<MemoryBroker>()
  let running = true
  let outages = 0

  const hub: Hub = {
    get running() {
      return running
    },
    maxPayloadBytes: options.maxPayloadBytes ?? 262_144,
    members,
    retained: createRetainedMessages(options.maxRetained ?? 10_000),
    reportError: createErrorReport(options.onError),
    later(work, lost) {
      const before = outages
      setImmediate(() => (before === outages ? work() : lost()))
    },
  }

  return {
    connect: () => new MemoryBroker(hub),

    stop() {
      if (!running) return
      running = false
      outages++
      for (const member of [...members]) member.goDown()
    },

    start() {
      if (running) return
      running = true
      for (const member of [...members]) member.comeUp()
    },
  }
}

class MemoryBroker implements Broker {
  readonly #hub: Hub
  readonly #table: SubscriptionTable
  readonly #state: ConnectionState
  readonly #listenings = new Set<Listening>()
  /** Calls that wait for the hub to come back. */
  readonly #waiting = new Set<{ resolve(): void; reject(error: Error): void }>()
  #closed = false

  constructor(hub: Hub) {
    this.#hub = hub
    this.#table = createSubscriptionTable(hub.reportError)
    this.#state = createConnectionState(hub.running, hub.reportError)
    hub.members.add(this)
  }

  get connected(): boolean {
    return this.#state.connected
  }

  async publish(topic: string, payload: string | Uint8Array, options: PublishOptions = {}): Promise<void> {
    if (this.#closed) throw closedError()
    checkTopic(topic)
    checkSize(topic, payload, this.#hub.maxPayloadBytes)
    if (!this.#state.connected) throw unreachableError()
    const message = toMessage(payload, options.properties)
    await new Promise<void>((resolve, reject) => {
      this.#hub.later(resolve, () => reject(unreachableError()))
    })
    const { retained, members } = this.#hub
    if (options.retain === true && !retained.set(topic, payload.length === 0 ? undefined : message)) {
      throw retainedError(topic)
    }
    for (const member of [...members]) member.#table.dispatch({ topic, ...message, retained: false })
    if (this.#closed) throw closedError()
  }

  async subscribe(filters: readonly string[], listener: (delivery: Delivery) => void): Promise<Subscription> {
    if (this.#closed) throw closedError()
    const listening = this.#table.add(filters, listener)
    this.#listenings.add(listening)
    if (this.#state.connected) this.#deliverRetained(listening)
    else await new Promise<void>((resolve, reject) => this.#waiting.add({ resolve, reject }))
    const close = async (): Promise<void> => {
      this.#listenings.delete(listening)
      this.#table.remove(listening)
    }
    return { close, [Symbol.asyncDispose]: close }
  }

  onConnection(listener: (connected: boolean) => void): () => void {
    return this.#state.listen(listener)
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    this.#hub.members.delete(this)
    this.#table.clear()
    this.#listenings.clear()
    for (const call of this.#waiting) call.reject(closedError())
    this.#waiting.clear()
    this.#state.set(false)
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  /** The hub has stopped. */
  goDown(): void {
    this.#state.set(false)
  }

  /** The hub runs again: all subscriptions are renewed, as on a new connection to a broker. */
  comeUp(): void {
    for (const call of this.#waiting) call.resolve()
    this.#waiting.clear()
    for (const listening of this.#listenings) this.#deliverRetained(listening)
    this.#state.set(true)
  }

  #deliverRetained(listening: Listening): void {
    for (const filter of listening.filters) {
      for (const [topic, message] of this.#hub.retained.matching(filter)) {
        this.#hub.later(
          () => this.#table.deliver(listening, { topic, ...message, retained: true }),
          () => {},
        )
      }
    }
  }
}

function toMessage(payload: string | Uint8Array, properties: MessageProperties | undefined): Message {
  const beside = properties === undefined ? {} : { properties }
  if (typeof payload === 'string') return { payload, ...beside }
  const bytes = Buffer.from(payload)
  return { payload: bytes.toString(), bytes, ...beside }
}

function checkSize(topic: string, payload: string | Uint8Array, maxPayloadBytes: number): void {
  const bytes = Buffer.byteLength(payload)
  if (bytes <= maxPayloadBytes) return
  throw new LockstepError(
    'message-too-large',
    `The message to ${quote(topic)} has ${bytes} bytes; ${maxPayloadBytes} are allowed. Raise maxPayloadBytes, or send a reference.`,
  )
}

function retainedError(topic: string): LockstepError {
  return new LockstepError(
    'overloaded',
    `The message to ${quote(topic)} cannot be retained: there are too many retained topics. Raise maxRetained.`,
  )
}

function unreachableError(): LockstepError {
  return new LockstepError(
    'broker-unreachable',
    'The hub is stopped. Publish again when it has been started.',
  )
}

function closedError(): LockstepError {
  return new LockstepError('closed', 'The connection to the hub was closed by its owner.')
}
