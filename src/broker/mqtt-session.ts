/**
 * One network connection to an MQTT broker: clean session, QoS 1, no memory of the one before.
 *
 * The client library is used for one connection only. Its reconnection, offline queue, store and renewal of
 * subscriptions are off: they lose, repeat or reorder messages without telling, so all that is done by our side.
 */
import { Socket } from 'node:net'
import type { IClientOptions, IConnackPacket, MqttClient, Packet } from 'mqtt'
import { LockstepError, quote } from '../contract/index.ts'
import type { MqttAddress } from './mqtt-address.ts'
import type { PublishLink } from './publish-window.ts'

export interface MqttSessionOptions {
  readonly address: MqttAddress
  readonly clientId: string
  readonly username: string | undefined
  readonly password: string | undefined
  readonly protocolVersion: 4 | 5
  readonly ca: string | Buffer | undefined
  readonly cert: string | Buffer | undefined
  readonly key: string | Buffer | undefined
  readonly keepaliveMs: number
  readonly connectTimeoutMs: number
  readonly maxInFlight: number
  readonly maxPayloadBytes: number
}

export interface MqttSessionEvents {
  /** The broker has accepted the connection. */
  onAccepted(session: MqttSession): void
  onMessage(topic: string, payload: Buffer, retained: boolean): void
  /** The connection is over, or never came up. Called once, also after `end`. */
  onEnd(session: MqttSession, reason: unknown, accepted: boolean): void
}

export interface MqttSession extends PublishLink {
  /** The largest packet the broker takes. */
  readonly maxPacketBytes: number
  /** Resolves with the refused filters. Rejects when the connection ends, or the broker is silent too long. */
  subscribe(filters: readonly string[]): Promise<string[]>
  /** Asks the broker to stop; what comes of it does not matter. */
  unsubscribe(filters: readonly string[]): void
  /** Gives the connection up, for this reason. */
  cut(reason: Error): void
  /** Says goodbye and resolves when the socket is closed, within a second. */
  end(): Promise<void>
}

/** mqtt.js's own `connect`, which is loaded on first use. */
export type MqttConnect = (options: IClientOptions) => MqttClient

/** Fixed header, topic and properties that come on top of a payload. */
const packetOverheadBytes = 70_000
const goodbyeMs = 1_000

/** Starts to connect. Throws where an option cannot be used, such as a certificate that is none. */
export function openMqttSession(
  connect: MqttConnect,
  options: MqttSessionOptions,
  events: MqttSessionEvents,
): MqttSession {
  const client = connect(clientOptions(options))
  // Else a small message waits for the network's acknowledgement of the one before.
  if (client.stream instanceof Socket) client.stream.setNoDelay(true)
  const publishOptions = {
    qos: 1 as const,
    ...(options.protocolVersion === 5 ? { properties: { contentType: 'application/json' } } : {}),
  }
  const retainOptions = { ...publishOptions, retain: true }
  const silenceError = new Error(`it acknowledged no subscription in ${options.connectTimeoutMs} ms`)
  let unsubscribed: Promise<void> = Promise.resolve()
  let reason: unknown
  let accepted: IConnackPacket | undefined
  let closed = false

  const session: MqttSession = {
    get maxInFlight() {
      return Math.min(options.maxInFlight, accepted?.properties?.receiveMaximum ?? 65_535)
    },

    get maxPacketBytes() {
      return accepted?.properties?.maximumPacketSize ?? Number.POSITIVE_INFINITY
    },

    send(topic, payload, retain, done) {
      const canRetain = accepted?.properties?.retainAvailable !== false
      client.publish(topic, payload, retain && canRetain ? retainOptions : publishOptions, error => {
        // Without a code it is no answer but the end of the connection, which ends all publications.
        const code = codeOf(error)
        if (!error) done(undefined)
        else if (code !== undefined) done(publishError(topic, error, code))
      })
    },

    async subscribe(filters) {
      // Some brokers (Aedes) let a SUBSCRIBE be undone by an UNSUBSCRIBE that they have not answered yet.
      await unsubscribed
      return new Promise((resolve, reject) => {
        const timer = setTimeout(() => session.cut(silenceError), options.connectTimeoutMs)
        client.subscribe([...filters], { qos: 1 }, (error, _granted, packet) => {
          clearTimeout(timer)
          const codes = grantedCodes(packet)
          if (codes === undefined) reject(error)
          else resolve(filters.filter((_, index) => (codes[index] ?? 0x80) >= 0x80))
        })
      })
    },

    unsubscribe(filters) {
      const before = unsubscribed
      const answered = new Promise<void>(resolve => client.unsubscribe([...filters], () => resolve()))
      unsubscribed = before.then(() => answered)
    },

    cut(why) {
      reason ??= why
      client.end(true)
    },

    end: () =>
      new Promise(resolve => {
        if (closed) return resolve()
        const timer = setTimeout(() => client.stream.destroy(), goodbyeMs)
        client.once('close', () => {
          clearTimeout(timer)
          resolve()
        })
        // A goodbye waits for acknowledgements, and nobody does who closes with some of them open.
        client.end(accepted === undefined || Object.keys(client.outgoing).length > 0)
      }),
  }

  client.on('connect', packet => {
    accepted = packet
    events.onAccepted(session)
  })
  client.on('message', (topic, payload, packet) => events.onMessage(topic, payload, packet.retain))
  client.on('error', error => {
    reason ??= error
    // A breach of the protocol does not always end the connection by itself.
    client.stream.destroy()
  })
  client.on('disconnect', packet => {
    reason ??= new Error(`the broker ended it with reason code ${packet.reasonCode}`)
  })
  client.once('close', () => {
    closed = true
    events.onEnd(session, reason, accepted !== undefined)
  })
  return session
}

function clientOptions(options: MqttSessionOptions): IClientOptions {
  const { address, protocolVersion, ca, cert, key } = options
  return {
    protocol: address.protocol,
    host: address.host,
    hostname:
      address.host.includes(':') && address.protocol.startsWith('ws') ? `[${address.host}]` : address.host,
    port: address.port,
    ...(address.path === '' ? {} : { path: address.path }),
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
    ...(options.username === undefined ? {} : { username: options.username }),
    ...(options.password === undefined ? {} : { password: options.password }),
    ...(protocolVersion === 5
      ? { properties: { maximumPacketSize: options.maxPayloadBytes + packetOverheadBytes } }
      : {}),
    clientId: options.clientId,
    protocolVersion,
    clean: true,
    keepalive: Math.ceil(options.keepaliveMs / 1000),
    connectTimeout: options.connectTimeoutMs,
    reconnectPeriod: 0,
    resubscribe: false,
    queueQoSZero: false,
  }
}

function grantedCodes(packet: Packet | undefined): readonly number[] | undefined {
  if (packet?.cmd !== 'suback') return undefined
  return packet.granted.map(Number)
}

function codeOf(error: object | undefined): number | undefined {
  return error && 'code' in error && typeof error.code === 'number' ? error.code : undefined
}

/** What an MQTT 5 broker says in its acknowledgement; 3.1.1 has no way to refuse a message. */
function publishError(topic: string, error: Error, code: number): LockstepError {
  if (code === 149) {
    return new LockstepError(
      'message-too-large',
      `The broker finds the message to ${quote(topic)} too large. Raise its limit, or send a reference instead.`,
      { cause: error },
    )
  }
  return new LockstepError(
    'broker-refused',
    `The broker refused a message to ${quote(topic)}: ${error.message}. Check the rights of this user.`,
    { cause: error },
  )
}
