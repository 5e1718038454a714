/**
 * A small MQTT 3.1.1 broker inside the process, with a TCP listener for everyone else.
 *
 * For development, tests and small systems: it keeps no sessions, persists nothing and speaks no MQTT 5, TLS or
 * WebSocket. Who may do what is in embedded-policy.ts: anyone may subscribe, only publishers may publish. Open it
 * to a network (`host`) only where whoever is on it may read all, or name the `readers`.
 */
import { checkOptions, createErrorReport, LockstepError, quote, type ReportError } from '../contract/index.ts'
import { closeAedes, startAedes } from './embedded-aedes.ts'
import { concurrency, type EmbeddedBroker, InsideBroker } from './embedded-broker.ts'
import { openListener } from './embedded-listener.ts'
import { createEmbeddedPolicy } from './embedded-policy.ts'
import { checkUserRights, type UserRights } from './embedded-rights.ts'
import { EmbeddedStore } from './embedded-store.ts'
import { createPacedReport } from './paced-report.ts'
import { createRetainedMessages } from './retained-messages.ts'

export interface EmbeddedBrokerOptions {
  /** The address to listen at. @default '127.0.0.1' */
  readonly host?: string
  /** 0 takes any free port. @default 1883 */
  readonly port?: number
  /** Passwords by user name of those who may publish from outside this process. @default {} */
  readonly publishers?: Readonly<Record<string, string>>
  /** Who else may subscribe: `'anyone'`, or passwords by user name. @default 'anyone' */
  readonly readers?: 'anyone' | Readonly<Record<string, string>>
  /**
   * Narrows each user to topics; who is not named, and who has no name, may do nothing. `lockstep acl` prints it.
   * @default publishers may publish and readers read everything
   */
  readonly rights?: UserRights
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

/**
 * Starts the broker. It is up when this resolves. `close` cuts all clients.
 *
 * Errors: `port-taken`, `invalid-option`, `missing-dependency`; of `publish` also `message-too-large`, `overloaded`.
 */
export async function openEmbeddedBroker(options: EmbeddedBrokerOptions = {}): Promise<EmbeddedBroker> {
  checkOptions('openEmbeddedBroker', options, {
    host: true,
    port: true,
    publishers: true,
    readers: true,
    rights: true,
    connectTimeoutMs: true,
    drainTimeoutMs: true,
    limits: true,
    onError: true,
  })
  const { host = '127.0.0.1', port = 1883, connectTimeoutMs = 10_000, drainTimeoutMs = 1_000 } = options
  const limits = readLimits(options.limits)
  checkUserRights(options.rights ?? {})
  const report = createErrorReport(options.onError)
  const pacedReport = createPacedReport(report, 10_000)
  const retained = createRetainedMessages<Buffer>(limits.maxRetained)
  const policy = createEmbeddedPolicy({
    publishers: options.publishers ?? {},
    readers: options.readers ?? 'anyone',
    rights: options.rights,
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
    return new InsideBroker({
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
  checkOptions('limits of openEmbeddedBroker', limits, {
    maxConnections: true,
    maxPacketBytes: true,
    maxSubscriptions: true,
    maxWaitingBytes: true,
    maxRetained: true,
  })
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

function reportClient(report: ReportError, error: Error): void {
  // What a policy refused is reported there; that networks break and clients go is no error of a broker.
  if (error instanceof LockstepError || 'errorCode' in error || 'code' in error) return
  if (/keep alive timeout|connection closed|connect did not arrive/.test(error.message)) return
  report(error, { stage: 'embedded broker client' })
}
