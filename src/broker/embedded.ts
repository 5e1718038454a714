/**
 * A small MQTT 3.1.1 broker inside the process, with a TCP listener for everyone else.
 *
 * For development, tests and small systems: it keeps no sessions, persists nothing and speaks no MQTT 5, TLS or
 * WebSocket. Who may do what is in embedded-policy.ts: anyone may subscribe, only publishers may publish. Open it
 * to a network (`host`) only where whoever is on it may read all, or name the `readers`.
 */
import type { Aedes } from 'aedes'
import { LockstepError, quote } from '../contract/index.ts'
import type { Broker } from './broker.ts'
import { createConnectionState } from './connection-state.ts'
import { closeAedes, startAedes } from './embedded-aedes.ts'
import { type Listener, openListener } from './embedded-listener.ts'
import { createEmbeddedPolicy } from './embedded-policy.ts'
import { EmbeddedStore } from './embedded-store.ts'
import { createPublishWindow } from './publish-window.ts'
import { createErrorReport, createPacedReport, type ReportError } from './report-error.ts'
import { createRetainedMessages, type RetainedMessages } from './retained-messages.ts'
import { checkTopic, createSubscriptionTable } from './subscriptions.ts'

export interface EmbeddedBrokerOptions {
  /** The address to listen at. @default '127.0.0.1' */
  readonly host?: string
  /** 0 takes any free port. @default 1883 */
  readonly port?: number
  /** Passwords by user name of those who may publish from outside this process. @default {} */
  readonly publishers?: Readonly<Record<string, string>>
  /** Who else may subscribe: `'anyone'`, or passwords by user name. @default 'anyone' */
  readonly readers?: 'anyone' | Readonly<Record<string, string>>
  /** A client that has not said CONNECT by then is cut. @default 10_000 */
  readonly connectTimeoutMs?: number
  /** A subscriber that is over `maxWaitingBytes` for so long is cut; until then it holds up all. @default 1_000 */
  readonly drainTimeoutMs?: number
  readonly limits?: EmbeddedBrokerLimits
  /** Is told of refused clients (at most one of a kind in 10 s) and of what fails. @default standard error */
  readonly onError?: ReportError
}

export interface EmbeddedBrokerLimits {
  /** More are closed at once. @default 10_000 */
  readonly maxConnections?: number
  /** The largest MQTT packet: payload, topic and a few bytes. A client that sends a larger one is cut. @default 327_680 */
  readonly maxPacketBytes?: number
  /** Filters of one client; more are refused. @default 1_000 */
  readonly maxSubscriptions?: number
  /** Bytes that wait for one subscriber to read them. @default 524_288 */
  readonly maxWaitingBytes?: number
  /** Topics with a retained message. @default 1_000 */
  readonly maxRetained?: number
}

/** The process's own connection to the broker, which may publish anything, and the listener. */
export interface EmbeddedBroker extends Broker {
  /** Where the others connect, such as `mqtt://127.0.0.1:1883`. */
  readonly url: string
  readonly port: number
  /** How many clients are connected from outside. */
  readonly clients: number
}

/** What Aedes does at once; the others wait in order. */
const concurrency = 100

/**
 * Starts the broker. It is up when this resolves. `close` cuts all clients.
 *
 * Errors: `port-taken`, `invalid-option`, `missing-dependency`; of `publish` also `message-too-large`, `overloaded`.
 */
export async function openEmbeddedBroker(options: EmbeddedBrokerOptions = {}): Promise<EmbeddedBroker> {
  const { host = '127.0.0.1', port = 1883, connectTimeoutMs = 10_000, drainTimeoutMs = 1_000 } = options
  const limits = readLimits(options.limits)
  const report = createErrorReport(options.onError)
  const pacedReport = createPacedReport(report, 10_000)
  const retained = createRetainedMessages<Buffer>(limits.maxRetained)
  const policy = createEmbeddedPolicy({
    publishers: options.publishers ?? {},
    readers: options.readers ?? 'anyone',
    maxSubscriptions: limits.maxSubscriptions,
    maxFilterChars: limits.maxPacketBytes,
    retained,
    report: pacedReport,
  })
  const aedes = await startAedes({
    ...policy,
    concurrency,
    connectTimeout: connectTimeoutMs,
    drainTimeout: drainTimeoutMs,
    maxInflightInbound: concurrency,
    maxClientsIdLength: 65_535,
    persistence: new EmbeddedStore(retained),
  })
  aedes.on('unsubscribe', (filters, client) => policy.forget(client, filters))
  aedes.on('clientError', (_client, error) => reportClient(pacedReport, error))
  aedes.on('connectionError', (_client, error) => reportClient(pacedReport, error))
  // An error that nobody listens to would end the process.
  const emitter: NodeJS.EventEmitter = aedes
  emitter.on('error', error => report(error, { stage: 'embedded broker' }))
  try {
    const listener = await openListener(socket => aedes.handle(socket), {
      host,
      port,
      ...limits,
      report: pacedReport,
    })
    return createEmbeddedBroker({
      aedes,
      listener,
      host,
      retained,
      report,
      maxPacketBytes: limits.maxPacketBytes,
    })
  } catch (error) {
    await closeAedes(aedes)
    throw error
  }
}

type Limits = Required<EmbeddedBrokerLimits>

function readLimits(limits: EmbeddedBrokerLimits = {}): Limits {
  const read = {
    maxConnections: limits.maxConnections ?? 10_000,
    maxPacketBytes: limits.maxPacketBytes ?? 327_680,
    maxSubscriptions: limits.maxSubscriptions ?? 1_000,
    maxWaitingBytes: limits.maxWaitingBytes ?? 524_288,
    maxRetained: limits.maxRetained ?? 1_000,
  }
  for (const [name, value] of Object.entries(read)) {
    if (Number.isInteger(value) && value > 0) continue
    throw new LockstepError(
      'invalid-option',
      `limits.${name} is ${quote(value)}. Give a whole number above 0.`,
    )
  }
  return read
}

interface Inside {
  readonly aedes: Aedes
  readonly listener: Listener
  readonly host: string
  readonly retained: RetainedMessages<Buffer>
  readonly report: ReportError
  readonly maxPacketBytes: number
}

function createEmbeddedBroker(inside: Inside): EmbeddedBroker {
  const { aedes, listener, host, retained, maxPacketBytes } = inside
  const table = createSubscriptionTable(inside.report)
  const state = createConnectionState(true, inside.report)
  const window = createPublishWindow({ maxWaiting: 10_000, onStuck: () => {} })
  let closing: Promise<void> | undefined

  aedes.subscribe(
    '#',
    (packet, done) => {
      table.dispatch({ topic: packet.topic, payload: packet.payload.toString(), retained: false })
      done()
    },
    () => {},
  )
  window.open({
    maxInFlight: concurrency,
    send(topic, payload, retain, done) {
      const bytes = Buffer.from(payload)
      if (retain && !retained.set(topic, payload === '' ? undefined : bytes)) {
        done(retainedError(topic))
        return
      }
      aedes.publish({ cmd: 'publish', topic, payload: bytes, qos: 1, retain: false, dup: false }, error =>
        done(error ? new LockstepError('broker-refused', `${quote(topic)}: ${error.message}.`) : undefined),
      )
    },
  })

  async function close(): Promise<void> {
    window.shut(closedError())
    table.clear()
    state.set(false)
    await closeAedes(aedes)
    await listener.close()
  }

  const broker: EmbeddedBroker = {
    url: `mqtt://${reachableHost(host)}:${listener.port}`,
    port: listener.port,

    get clients() {
      return aedes.connectedClients
    },

    get connected() {
      return state.connected
    },

    async publish(topic, payload, options = {}) {
      if (closing !== undefined) throw closedError()
      checkTopic(topic)
      checkSize(topic, payload, maxPacketBytes)
      return window.publish(topic, payload, options.retain === true, options.timeoutMs ?? 10_000)
    },

    async subscribe(filters, listener) {
      if (closing !== undefined) throw closedError()
      const listening = table.add(filters, listener)
      for (const filter of listening.filters) {
        for (const [topic, payload] of [...retained.matching(filter)]) {
          setImmediate(table.deliver, listening, { topic, payload: payload.toString(), retained: true })
        }
      }
      const end = async (): Promise<void> => {
        table.remove(listening)
      }
      return { close: end, [Symbol.asyncDispose]: end }
    },

    onConnection: state.listen,

    close() {
      closing ??= close()
      return closing
    },

    [Symbol.asyncDispose]: () => broker.close(),
  }
  return broker
}

/** An address that means "all of this machine's" is none to connect to. */
function reachableHost(host: string): string {
  if (host === '0.0.0.0') return '127.0.0.1'
  if (host === '::') return '[::1]'
  return host.includes(':') ? `[${host}]` : host
}

function reportClient(report: ReportError, error: Error): void {
  // What a policy refused is reported there; that networks break and clients go is no error of a broker.
  if (error instanceof LockstepError || 'errorCode' in error || 'code' in error) return
  if (/keep alive timeout|connection closed|connect did not arrive/.test(error.message)) return
  report(error, { stage: 'embedded broker client' })
}

function checkSize(topic: string, payload: string, maxPacketBytes: number): void {
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
