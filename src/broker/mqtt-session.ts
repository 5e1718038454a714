/**
 * One network connection to an MQTT broker: clean session, QoS 1, no memory of the one before.
 *
 * The client library is used for one connection only. Its reconnection, offline queue, store and renewal of
 * subscriptions are off: they lose, repeat or reorder messages without telling, so all that is done by our side.
 */
import { Socket } from 'node:net'
import type { IClientOptions, IClientPublishOptions, IConnackPacket, MqttClient, Packet } from 'mqtt'
import { LockstepError, quote } from '../contract/index.ts'
import type { MessageProperties } from './broker.ts'
import { formatProperties, readProperties } from './message-properties.ts'
import type { MqttAddress } from './mqtt-address.ts'
import type { MqttEnd } from './mqtt-failure.ts'
import type { Beside, PublishLink } from './publish-window.ts'

export interface MqttSessionOptions {
  readonly address: MqttAddress
  readonly clientId: string
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
  onMessage(topic: string, payload: Buffer, retained: boolean, properties?: MessageProperties): void
  /** The connection is over, or never came up. Called once, also after `end`. */
  onEnd(session: MqttSession, end: MqttEnd): void
}

/** mqtt.js's own `connect`, which is loaded on first use. */
export type MqttConnect = (options: IClientOptions) => MqttClient

/** Fixed header, topic and properties that come on top of a payload. */
const packetOverheadBytes = 70_000
const goodbyeMs = 1_000

/** Starts to connect. Throws where an option cannot be used, such as a certificate that is none. */
export class MqttSession implements PublishLink {
  readonly #client: MqttClient
  readonly #options: MqttSessionOptions
  readonly #publishOptions: IClientPublishOptions
  readonly #retainOptions: IClientPublishOptions
  /** The filters of each SUBSCRIBE that is not answered yet. */
  readonly #asked = new Set<readonly string[]>()
  #unsubscribed: Promise<void> = Promise.resolve()
  #reason: unknown
  #accepted: IConnackPacket | undefined
  #closed = false

  constructor(connect: MqttConnect, options: MqttSessionOptions, events: MqttSessionEvents) {
    this.#options = options
    this.#publishOptions = {
      qos: 1,
      ...(options.protocolVersion === 5 ? { properties: { contentType: 'application/json' } } : {}),
    }
    this.#retainOptions = { ...this.#publishOptions, retain: true }
    this.#client = connect(clientOptions(options))
    // Else a small message waits for the network's acknowledgement of the one before.
    if (this.#client.stream instanceof Socket) this.#client.stream.setNoDelay(true)
    this.#listen(events)
  }

  /** The broker's URL, fit to be shown. */
  get shown(): string {
    return this.#options.address.shown
  }

  get isOver(): boolean {
    return this.#closed
  }

  get maxInFlight(): number {
    return Math.min(this.#options.maxInFlight, this.#accepted?.properties?.receiveMaximum ?? 65_535)
  }

  /** The largest packet the broker takes. */
  get maxPacketBytes(): number {
    return this.#accepted?.properties?.maximumPacketSize ?? Number.POSITIVE_INFINITY
  }

  send(
    topic: string,
    payload: string | Uint8Array,
    retain: boolean,
    done: (error: LockstepError | undefined) => void,
    beside?: Beside,
  ): void {
    const canRetain = this.#accepted?.properties?.retainAvailable !== false
    const plain = retain && canRetain ? this.#retainOptions : this.#publishOptions
    const options = beside === undefined ? plain : withBeside(plain, beside)
    const message = typeof payload === 'string' ? payload : Buffer.from(payload)
    this.#client.publish(topic, message, options, error => {
      // Without a code it is no answer but the end of the connection, which ends all publications.
      const code = codeOf(error)
      if (!error) done(undefined)
      else if (code !== undefined) done(publishError(topic, error, code))
    })
  }

  /** Resolves with the refused filters. Rejects when the connection ends, or the broker is silent too long. */
  async subscribe(filters: readonly string[]): Promise<string[]> {
    // Some brokers (Aedes) let a SUBSCRIBE be undone by an UNSUBSCRIBE that they have not answered yet.
    await this.#unsubscribed
    const { connectTimeoutMs } = this.#options
    return new Promise((resolve, reject) => {
      const timer = setTimeout(
        () => this.cut(new Error(`it acknowledged no subscription in ${connectTimeoutMs} ms`)),
        connectTimeoutMs,
      )
      this.#asked.add(filters)
      this.#client.subscribe([...filters], { qos: 1 }, (error, _granted, packet) => {
        clearTimeout(timer)
        const codes = grantedCodes(packet)
        if (codes !== undefined) this.#asked.delete(filters)
        if (codes === undefined) reject(error)
        else resolve(filters.filter((_, index) => (codes[index] ?? 0x80) >= 0x80))
      })
    })
  }

  /** Asks the broker to stop; what comes of it does not matter. */
  unsubscribe(filters: readonly string[]): void {
    const before = this.#unsubscribed
    const answered = new Promise<void>(resolve => this.#client.unsubscribe([...filters], () => resolve()))
    this.#unsubscribed = before.then(() => answered)
  }

  /** Gives the connection up, for this reason. */
  cut(reason: Error): void {
    this.#reason ??= reason
    this.#client.end(true)
  }

  /** Says goodbye and resolves when the socket is closed, within a second. */
  async end(): Promise<void> {
    if (this.#closed) return
    const timer = setTimeout(() => this.#client.stream.destroy(), goodbyeMs)
    await new Promise<void>(resolve => {
      this.#client.once('close', () => resolve())
      // A goodbye waits for acknowledgements, and nobody does who closes with some of them open.
      this.#client.end(this.#accepted === undefined || Object.keys(this.#client.outgoing).length > 0)
    })
    clearTimeout(timer)
  }

  #listen(events: MqttSessionEvents): void {
    const client = this.#client
    client.on('connect', packet => {
      this.#accepted = packet
      events.onAccepted(this)
    })
    client.on('message', (topic, payload, packet) =>
      events.onMessage(topic, payload, packet.retain, readProperties(packet.properties)),
    )
    client.on('error', error => {
      this.#reason ??= error
      // A breach of the protocol does not always end the connection by itself.
      client.stream.destroy()
    })
    client.on('disconnect', packet => {
      this.#reason ??= new Error(`the broker ended it with reason code ${packet.reasonCode}`)
    })
    client.once('close', () => {
      this.#closed = true
      const [asked = []] = this.#asked
      events.onEnd(this, { reason: this.#reason, accepted: this.#accepted !== undefined, asked })
    })
  }
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
    ...(address.username === undefined ? {} : { username: address.username }),
    ...(address.password === undefined ? {} : { password: address.password }),
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

function withBeside(options: IClientPublishOptions, beside: Beside): IClientPublishOptions {
  return { ...options, properties: { ...options.properties, ...formatProperties(beside) } }
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
