/** The process's own side of the embedded broker: no network, no login, the same order as for everyone else. */
import type { Aedes } from 'aedes'
import { LockstepError, quote, type ReportError } from '../contract/index.ts'
import type { Broker, Delivery, PublishOptions, Subscription } from './broker.ts'
import { type ConnectionState, createConnectionState } from './connection-state.ts'
import { closeAedes } from './embedded-aedes.ts'
import type { Listener } from './embedded-listener.ts'
import { publisherOf } from './embedded-policy.ts'
import { createPublishWindow, type PublishLink, type PublishWindow } from './publish-window.ts'
import type { RetainedMessages } from './retained-messages.ts'
import { checkTopic, createSubscriptionTable, type SubscriptionTable } from './subscriptions.ts'

/** The process's own connection to the broker, which may publish anything, and the listener. */
export interface EmbeddedBroker extends Broker {
  /** Where the others connect, such as `mqtt://127.0.0.1:1883`. */
  readonly url: string
  readonly port: number
  /** How many clients are connected from outside. */
  readonly clients: number
}

/** What Aedes does at once; the others wait in order. */
export const concurrency = 100
const maxWaiting = 10_000

export interface InsideBrokerOptions {
  readonly aedes: Aedes
  readonly listener: Listener
  readonly host: string
  readonly retained: RetainedMessages<Buffer>
  readonly report: ReportError
  readonly maxPacketBytes: number
}

export class InsideBroker implements EmbeddedBroker {
  readonly url: string
  readonly port: number
  readonly #options: InsideBrokerOptions
  readonly #table: SubscriptionTable
  readonly #state: ConnectionState
  readonly #window: PublishWindow
  #closing: Promise<void> | undefined

  constructor(options: InsideBrokerOptions) {
    this.#options = options
    this.port = options.listener.port
    this.url = `mqtt://${reachableHost(options.host)}:${this.port}`
    this.#table = createSubscriptionTable(options.report)
    this.#state = createConnectionState(true, options.report)
    this.#window = createPublishWindow({ maxWaiting, onStuck: () => {} })
    this.#window.open(createLink(options))
    options.aedes.subscribe(
      '#',
      (packet, done) => {
        const { topic, payload } = packet
        const bytes = typeof payload === 'string' ? Buffer.from(payload) : payload
        const publisher = publisherOf(packet)
        const delivery = { topic, payload: bytes.toString(), retained: false, bytes }
        this.#table.dispatch(publisher === undefined ? delivery : { ...delivery, publisher })
        done()
      },
      () => {},
    )
  }

  get clients(): number {
    return this.#options.aedes.connectedClients
  }

  get connected(): boolean {
    return this.#state.connected
  }

  async publish(topic: string, payload: string | Uint8Array, options: PublishOptions = {}): Promise<void> {
    if (this.#closing !== undefined) throw closedError()
    checkTopic(topic)
    checkSize(topic, payload, this.#options.maxPacketBytes)
    await this.#window.publish(topic, payload, options.retain === true, options.timeoutMs ?? 10_000)
  }

  async subscribe(filters: readonly string[], listener: (delivery: Delivery) => void): Promise<Subscription> {
    if (this.#closing !== undefined) throw closedError()
    const listening = this.#table.add(filters, listener)
    for (const filter of listening.filters) {
      for (const [topic, payload] of [...this.#options.retained.matching(filter)]) {
        const delivery = { topic, payload: payload.toString(), retained: true, bytes: payload }
        setImmediate(() => this.#table.deliver(listening, delivery))
      }
    }
    const close = async (): Promise<void> => {
      this.#table.remove(listening)
    }
    return { close, [Symbol.asyncDispose]: close }
  }

  onConnection(listener: (connected: boolean) => void): () => void {
    return this.#state.listen(listener)
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async #close(): Promise<void> {
    this.#window.shut(closedError())
    this.#table.clear()
    this.#state.set(false)
    await closeAedes(this.#options.aedes)
    await this.#options.listener.close()
  }
}

function createLink({ aedes, retained }: InsideBrokerOptions): PublishLink {
  return {
    maxInFlight: concurrency,
    send(topic, payload, retain, done) {
      const bytes = Buffer.from(payload)
      if (retain && !retained.set(topic, bytes.length === 0 ? undefined : bytes)) {
        done(retainedError(topic))
        return
      }
      const packet = { cmd: 'publish', topic, payload: bytes, qos: 1, retain: false, dup: false } as const
      aedes.publish(packet, error =>
        done(error ? new LockstepError('broker-refused', `${quote(topic)}: ${error.message}.`) : undefined),
      )
    },
  }
}

/** An address that means "all of this machine's" is none to connect to. */
function reachableHost(host: string): string {
  if (host === '0.0.0.0') return '127.0.0.1'
  if (host === '::') return '[::1]'
  return host.includes(':') ? `[${host}]` : host
}

function checkSize(topic: string, payload: string | Uint8Array, maxPacketBytes: number): void {
  const bytes = Buffer.byteLength(payload) + Buffer.byteLength(topic) + 9
  if (bytes <= maxPacketBytes) return
  throw new LockstepError(
    'message-too-large',
    `The message to ${quote(topic)} makes a packet of ${bytes} bytes; ${maxPacketBytes} are allowed. Raise limits.maxPacketBytes, or send a reference.`,
  )
}

function retainedError(topic: string): LockstepError {
  return new LockstepError(
    'overloaded',
    `The message to ${quote(topic)} cannot be retained: there are too many retained topics. Raise limits.maxRetained.`,
  )
}

function closedError(): LockstepError {
  return new LockstepError('closed', 'The embedded broker was closed by its owner.')
}
