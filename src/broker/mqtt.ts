/**
 * A broker reached over MQTT 3.1.1 or 5: Mosquitto, EMQX, HiveMQ, RabbitMQ, NATS, Aedes and others.
 *
 * It connects again by itself and renews subscriptions, but keeps no message over a loss of the connection, and
 * depends on no session, queue, retained message or will of the broker. PROTOCOL.md §6.
 */
import { randomBytes } from 'node:crypto'
import {
  checkOptions,
  createErrorReport,
  LockstepError,
  type OptionNames,
  quote,
  type ReportError,
} from '../contract/index.ts'
import type { Broker } from './broker.ts'
import { type MqttAddress, parseMqttUrl } from './mqtt-address.ts'
import { MqttBroker, type MqttBrokerSettings } from './mqtt-broker.ts'
import type { MqttConnect } from './mqtt-session.ts'

export interface ConnectMqttOptions {
  /** Two connections with one id throw each other out. @default a random one */
  readonly clientId?: string
  /** @default the one in each URL */
  readonly username?: string
  /** @default the one in each URL */
  readonly password?: string
  /** 4 is MQTT 3.1.1, which every broker speaks. @default 4 */
  readonly protocolVersion?: 4 | 5
  /** The certificate of the authority that signed the broker's, as PEM. @default those of Node.js */
  readonly ca?: string | Buffer
  /** A certificate of our own, as PEM, with its `key`. */
  readonly cert?: string | Buffer
  readonly key?: string | Buffer
  /** A silent broker is given up after one and a half times this. @default 15_000 */
  readonly keepaliveMs?: number
  /** How long to wait for the broker's answer to a connection or subscription. @default 10_000 */
  readonly connectTimeoutMs?: number
  /** The bounds of the waits between attempts to connect; they grow and are random. @default 200 and 5_000 */
  readonly retry?: { readonly minDelayMs?: number; readonly maxDelayMs?: number }
  readonly limits?: MqttLimits
  /**
   * Is told why there is no connection (once for each cause), and of what fails in the background; that it is back
   * is for `onConnection`. @default standard error, also that it is back
   */
  readonly onError?: ReportError
}

export interface MqttLimits {
  /** Messages sent and not acknowledged; an MQTT 5 broker may lower it. @default 1_000 */
  readonly maxInFlight?: number
  /** Messages not acknowledged in all; one more is `overloaded`. @default 10_000 */
  readonly maxWaiting?: number
  /** The largest payload, published or received, in bytes of UTF-8. @default 262_144 */
  readonly maxPayloadBytes?: number
}

/**
 * Makes a connection that stays: `mqtt://host:1883`, `mqtts://`, `ws://host/path` or `wss://`. Several URLs, up to 32, are the nodes
 * of one broker: it begins with the first, and goes on to the next whenever one cannot be reached, refuses or is lost.
 *
 * It resolves before the connection is up, so that a broker that is down keeps no service from starting:
 * `connected` and `onConnection` tell. Errors: `invalid-option`, `missing-dependency`; see {@link Broker} for the rest.
 */
export async function connectMqtt(
  url: string | readonly string[],
  options: ConnectMqttOptions = {},
): Promise<Broker> {
  const settings = readSettings(url, options)
  return new MqttBroker(await loadMqtt(), settings, createErrorReport(options.onError))
}

/** MQTT counts a keepalive in 16 bits of seconds. */
const maxKeepaliveMs = 65_535_000

/** More are no list of nodes but a mistake. */
const maxUrls = 32

/** mqtt.js is loaded by those who connect, not by all who import this part. */
async function loadMqtt(): Promise<MqttConnect> {
  try {
    const { connect } = await import('mqtt')
    return connect
  } catch (error) {
    throw new LockstepError(
      'missing-dependency',
      'connectMqtt needs the package "mqtt", which cannot be loaded. Install it: npm install mqtt@5',
      { cause: error },
    )
  }
}

const optionNames: OptionNames<ConnectMqttOptions> = {
  clientId: true,
  username: true,
  password: true,
  protocolVersion: true,
  ca: true,
  cert: true,
  key: true,
  keepaliveMs: true,
  connectTimeoutMs: true,
  retry: true,
  limits: true,
  onError: true,
}

function readSettings(url: string | readonly string[], options: ConnectMqttOptions): MqttBrokerSettings {
  checkOptions('connectMqtt', options, optionNames)
  const { protocolVersion = 4, retry = {}, limits = {} } = options
  if (protocolVersion !== 4 && protocolVersion !== 5) {
    throw new LockstepError('invalid-option', `protocolVersion is ${quote(protocolVersion)}. Give 4 or 5.`)
  }
  checkOptions('retry of connectMqtt', retry, { minDelayMs: true, maxDelayMs: true })
  checkOptions('limits of connectMqtt', limits, {
    maxInFlight: true,
    maxWaiting: true,
    maxPayloadBytes: true,
  })
  const minDelayMs = atLeast(1, 'retry.minDelayMs', retry.minDelayMs ?? 200)
  return {
    addresses: readAddresses(url, options),
    protocolVersion,
    // 23 characters are the most that every broker must take (MQTT 3.1.1 §3.1.3.1).
    clientId: options.clientId ?? `lockstep-${randomBytes(7).toString('hex')}`,
    ca: options.ca,
    cert: options.cert,
    key: options.key,
    keepaliveMs: Math.min(atLeast(1_000, 'keepaliveMs', options.keepaliveMs ?? 15_000), maxKeepaliveMs),
    connectTimeoutMs: atLeast(1, 'connectTimeoutMs', options.connectTimeoutMs ?? 10_000),
    minDelayMs,
    maxDelayMs: atLeast(minDelayMs, 'retry.maxDelayMs', retry.maxDelayMs ?? Math.max(5_000, minDelayMs)),
    maxInFlight: atLeast(1, 'limits.maxInFlight', limits.maxInFlight ?? 1_000),
    maxWaiting: atLeast(1, 'limits.maxWaiting', limits.maxWaiting ?? 10_000),
    maxPayloadBytes: atLeast(1, 'limits.maxPayloadBytes', limits.maxPayloadBytes ?? 262_144),
    // Who reads a log that the connection is lost looks there for when it came back.
    onRecovery:
      options.onError === undefined
        ? shown => console.error(`lockstep: mqtt connection: The connection to ${shown} is up.`)
        : undefined,
  }
}

/** With the credentials for each. */
function readAddresses(
  url: string | readonly string[],
  { username, password }: ConnectMqttOptions,
): readonly MqttAddress[] {
  const urls: readonly string[] = Array.isArray(url) ? url : [url]
  if (urls.length === 0 || urls.length > maxUrls) {
    throw new LockstepError(
      'invalid-option',
      `connectMqtt was given ${urls.length} URLs. Give 1 to ${maxUrls}, such as ["mqtt://one.example.com", "mqtt://two.example.com"].`,
    )
  }
  return urls.map(each => {
    const parsed = parseMqttUrl(each)
    const address = {
      ...parsed,
      username: username ?? parsed.username,
      password: password ?? parsed.password,
    }
    if (address.password === undefined || address.username !== undefined) return address
    throw new LockstepError('invalid-option', 'There is a password and no user name. Give username too.')
  })
}

function atLeast(min: number, name: string, value: number): number {
  if (Number.isFinite(value) && value >= min) return value
  throw new LockstepError('invalid-option', `${name} is ${quote(value)}. Give a number of at least ${min}.`)
}
