/**
 * A broker inside the process: for tests, examples and an application that is one process.
 *
 * Several connections share one hub. Deliveries come later than the call that caused them, in the order of the
 * calls, as over a network; `stop` and `start` make an outage. Nothing leaves the process. PROTOCOL.md §6.
 */
import { LockstepError, quote } from '../contract/index.ts'
import type { Broker, Delivery } from './broker.ts'
import { createConnectionState } from './connection-state.ts'
import { createErrorReport, type ReportError } from './report-error.ts'
import { createRetainedMessages, type RetainedMessages } from './retained-messages.ts'
import { checkTopic, createSubscriptionTable, type Listening } from './subscriptions.ts'

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

/** What the hub knows of one connection. */
interface Member {
  up(): void
  down(): void
  deliver(delivery: Delivery): void
}

interface Hub {
  readonly running: boolean
  readonly maxPayloadBytes: number
  readonly members: Set<Member>
  readonly retained: RetainedMessages<string>
  /** Does it later, after all that was asked before, unless an outage comes first. */
  later(work: () => void, lost: () => void): void
}

export function createMemoryHub(options: MemoryHubOptions = {}): MemoryHub {
  const reportError = createErrorReport(options.onError)
  const members = new Set<Member>()
  let running = true
  let outages = 0

  const hub: Hub = {
    get running() {
      return running
    },
    maxPayloadBytes: options.maxPayloadBytes ?? 262_144,
    members,
    retained: createRetainedMessages(options.maxRetained ?? 10_000),
    later(work, lost) {
      const before = outages
      setImmediate(() => (before === outages ? work() : lost()))
    },
  }

  return {
    connect: () => createMemoryBroker(hub, reportError),

    stop() {
      if (!running) return
      running = false
      outages++
      for (const member of [...members]) member.down()
    },

    start() {
      if (running) return
      running = true
      for (const member of [...members]) member.up()
    },
  }
}

function createMemoryBroker(hub: Hub, reportError: ReportError): Broker {
  const table = createSubscriptionTable(reportError)
  const state = createConnectionState(hub.running, reportError)
  const listenings = new Set<Listening>()
  /** Calls that wait for the hub to come back. */
  const waiting = new Map<Listening, { resolve(): void; reject(error: Error): void }>()
  let closed = false

  const member: Member = {
    deliver: table.dispatch,
    down: () => state.set(false),
    up() {
      for (const call of waiting.values()) call.resolve()
      waiting.clear()
      for (const listening of listenings) deliverRetained(listening)
      state.set(true)
    },
  }
  hub.members.add(member)

  function deliverRetained(listening: Listening): void {
    for (const filter of listening.filters) {
      for (const [topic, payload] of hub.retained.matching(filter)) {
        hub.later(() => table.deliver(listening, { topic, payload, retained: true }), noop)
      }
    }
  }

  function end(listening: Listening): void {
    listenings.delete(listening)
    table.remove(listening)
  }

  const broker: Broker = {
    get connected() {
      return state.connected
    },

    async publish(topic, payload, options = {}) {
      if (closed) throw closedError()
      checkTopic(topic)
      checkSize(topic, payload, hub.maxPayloadBytes)
      if (!state.connected) throw unreachableError()
      await new Promise<void>((resolve, reject) => {
        hub.later(
          () => {
            if (options.retain === true && !hub.retained.set(topic, payload === '' ? undefined : payload)) {
              reject(retainedError(topic))
              return
            }
            for (const other of [...hub.members]) other.deliver({ topic, payload, retained: false })
            if (closed) reject(closedError())
            else resolve()
          },
          () => reject(unreachableError()),
        )
      })
    },

    async subscribe(filters, listener) {
      if (closed) throw closedError()
      const listening = table.add(filters, listener)
      listenings.add(listening)
      if (state.connected) deliverRetained(listening)
      else await new Promise<void>((resolve, reject) => waiting.set(listening, { resolve, reject }))
      const close = async (): Promise<void> => end(listening)
      return { close, [Symbol.asyncDispose]: close }
    },

    onConnection: state.listen,

    async close() {
      if (closed) return
      closed = true
      hub.members.delete(member)
      table.clear()
      listenings.clear()
      for (const call of waiting.values()) call.reject(closedError())
      waiting.clear()
      state.set(false)
    },

    [Symbol.asyncDispose]: () => broker.close(),
  }
  return broker
}

function checkSize(topic: string, payload: string, maxPayloadBytes: number): void {
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

function noop(): void {}
