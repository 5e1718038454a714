/**
 * The connection that stays: network connections one after the other, and what outlives each of them.
 *
 * Subscriptions outlive them and are renewed before the connection counts as up; messages do not. PROTOCOL.md §6.
 */
import { LockstepError, quote, type ReportError } from '../contract/index.ts'
import type {
  Broker,
  Delivery,
  MessageProperties,
  PublishOptions,
  SubscribeOptions,
  Subscription,
} from './broker.ts'
import { type ConnectionState, createConnectionState } from './connection-state.ts'
import type { MqttAddress } from './mqtt-address.ts'
import { explainMqttFailure, type MqttEnd } from './mqtt-failure.ts'
import { type MqttConnect, MqttSession, type MqttSessionOptions } from './mqtt-session.ts'
import { MqttSubscriptions } from './mqtt-subscriptions.ts'
import { type Beside, createPublishWindow, type PublishWindow } from './publish-window.ts'
import { retryDelayMs } from './retry-delay.ts'
import { checkTopic } from './subscriptions.ts'

export interface MqttBrokerSettings extends Omit<MqttSessionOptions, 'address'> {
  /** The nodes of the broker, at least one: tried in turn. */
  readonly addresses: readonly MqttAddress[]
  readonly minDelayMs: number
  readonly maxDelayMs: number
  readonly maxWaiting: number
  /** Called when a connection is up of which a failure was reported before, once for each report. */
  readonly onRecovery?: (shown: string) => void
}

export class MqttBroker implements Broker {
  readonly #connect: MqttConnect
  readonly #settings: MqttBrokerSettings
  readonly #reportError: ReportError
  readonly #subscriptions: MqttSubscriptions
  readonly #state: ConnectionState
  readonly #window: PublishWindow
  #session: MqttSession | undefined
  /** The index of the address in use. */
  #node = 0
  #attempt = 0
  #upSinceMs = 0
  /** What was reported last of each address. */
  #reported: readonly (string | undefined)[] = []
  #isRecoveryDue = false
  #retryTimer: NodeJS.Timeout | undefined
  #closing: Promise<void> | undefined

  constructor(connect: MqttConnect, settings: MqttBrokerSettings, reportError: ReportError) {
    this.#connect = connect
    this.#settings = settings
    this.#reportError = reportError
    const { addresses, minDelayMs, maxDelayMs } = settings
    const hasOthers = addresses.length > 1
    this.#subscriptions = new MqttSubscriptions({ hasOthers, minDelayMs, maxDelayMs, reportError })
    this.#state = createConnectionState(false, reportError)
    this.#window = createPublishWindow({
      maxWaiting: settings.maxWaiting,
      onStuck: () => this.#session?.cut(new Error('the broker acknowledges nothing')),
    })
    try {
      this.#open()
    } catch (error) {
      throw new LockstepError(
        'invalid-option',
        `The connection to ${this.#address.shown} cannot be made: ${error instanceof Error ? error.message : error}. Check ca, cert and key.`,
        { cause: error },
      )
    }
  }

  get #address(): MqttAddress {
    return this.#settings.addresses[this.#node]!
  }

  get connected(): boolean {
    return this.#state.connected
  }

  async publish(topic: string, payload: string | Uint8Array, options: PublishOptions = {}): Promise<void> {
    if (this.#closing !== undefined) throw this.#closedError()
    checkTopic(topic)
    const { retain = false, timeoutMs = 10_000 } = options
    const beside = this.#settings.protocolVersion === 5 ? besideOf(options) : undefined
    this.#checkSize(topic, payload, beside)
    if (!this.#state.connected) throw this.#unreachableError()
    await this.#window.publish(topic, payload, retain, timeoutMs, beside)
  }

  async subscribe(
    filters: readonly string[],
    listener: (delivery: Delivery) => void,
    options: SubscribeOptions = {},
  ): Promise<Subscription> {
    if (this.#closing !== undefined) throw this.#closedError()
    return await this.#subscriptions.subscribe(filters, listener, options)
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
    clearTimeout(this.#retryTimer)
    const session = this.#session
    this.#session = undefined
    const error = this.#closedError()
    this.#window.shut(error)
    this.#subscriptions.close(error)
    this.#state.set(false)
    await session?.end()
  }

  #open(): void {
    const options = { ...this.#settings, address: this.#address }
    this.#session = new MqttSession(this.#connect, options, {
      onAccepted: session => {
        this.#renew(session).catch(error => session.cut(error))
      },
      onMessage: (topic, payload, retained, properties) =>
        this.#receive(topic, payload, retained, properties),
      onEnd: (session, end) => {
        if (session === this.#session) this.#lost(end)
      },
    })
  }

  /** Only with all subscriptions renewed it is up. */
  async #renew(session: MqttSession): Promise<void> {
    await this.#subscriptions.renew(session)
    if (session !== this.#session) return
    this.#upSinceMs = performance.now()
    this.#window.open(session)
    if (this.#isRecoveryDue) {
      this.#isRecoveryDue = false
      this.#settings.onRecovery?.(this.#address.shown)
    }
    this.#state.set(true)
  }

  #receive(topic: string, payload: Buffer, retained: boolean, properties?: MessageProperties): void {
    const { maxPayloadBytes } = this.#settings
    if (payload.length > maxPayloadBytes) {
      const error = new LockstepError(
        'message-too-large',
        `A message on ${quote(topic)} was dropped: ${payload.length} bytes, ${maxPayloadBytes} are allowed. Raise maxPayloadBytes.`,
      )
      this.#reportError(error, { stage: 'mqtt message' })
      return
    }
    const delivery = { topic, payload: payload.toString(), retained, bytes: payload }
    this.#subscriptions.dispatch(properties === undefined ? delivery : { ...delivery, properties })
  }

  #lost(end: MqttEnd): void {
    this.#session = undefined
    this.#subscriptions.lose()
    // A connection that does not last is one more failed attempt, or else two clients with one id never rest.
    const lasted = this.#state.connected && performance.now() - this.#upSinceMs >= this.#settings.maxDelayMs
    if (lasted) {
      this.#attempt = 0
      this.#reported = []
    }
    this.#window.shut(this.#unreachableError())
    this.#state.set(false)
    // The application may have closed it in one of these calls.
    if (this.#closing !== undefined) return
    this.#report(explainMqttFailure(this.#address, { ...this.#settings, ...end }))
    this.#retry()
  }

  /** With the next node. The waits grow when all of them have failed: one that is down keeps nobody waiting. */
  #retry(): void {
    const nodes = this.#settings.addresses.length
    this.#node = (this.#node + 1) % nodes
    const delayMs = retryDelayMs(Math.floor(this.#attempt++ / nodes), Math.random(), this.#settings)
    this.#retryTimer = setTimeout(() => {
      try {
        this.#open()
      } catch (error) {
        this.#lost({ reason: error, accepted: false, asked: [] })
      }
    }, delayMs)
  }

  #report(error: LockstepError): void {
    if (error.message === this.#reported[this.#node]) return
    this.#reported = this.#settings.addresses.map((_, node) =>
      node === this.#node ? error.message : this.#reported[node],
    )
    this.#isRecoveryDue = true
    this.#reportError(error, { stage: 'mqtt connection' })
  }

  #checkSize(topic: string, payload: string | Uint8Array, beside: Beside = {}): void {
    const { maxPayloadBytes } = this.#settings
    const maxPacketBytes = this.#session?.maxPacketBytes ?? Number.POSITIVE_INFINITY
    const { contentType = '', responseTopic = '', correlationData, attributes = {} } = beside
    const besides = [topic, contentType, responseTopic, ...Object.entries(attributes).flat()]
    const extraBytes = correlationData?.length ?? 0
    const chars = besides.reduce((sum, text) => sum + text.length + 3, payload.length + extraBytes)
    // UTF-8 takes at most three bytes for a code unit: nearly always there is nothing to count.
    if (payload.length * 3 <= maxPayloadBytes && chars * 3 + 64 <= maxPacketBytes) return
    const bytes = Buffer.byteLength(payload)
    const besidesBytes = besides.reduce((sum, text) => sum + Buffer.byteLength(text) + 3, 64 + extraBytes)
    const limit = Math.min(maxPayloadBytes, maxPacketBytes - besidesBytes)
    if (bytes <= limit) return
    throw new LockstepError(
      'message-too-large',
      `The message to ${quote(topic)} has ${bytes} bytes; ${limit} are allowed. Raise the limit, or send a reference instead.`,
    )
  }

  get #shown(): string {
    return this.#settings.addresses.map(({ shown }) => shown).join(' or ')
  }

  #unreachableError(): LockstepError {
    return new LockstepError(
      'broker-unreachable',
      `There is no connection to the broker at ${this.#shown}. Publish again when it is up.`,
    )
  }

  #closedError(): LockstepError {
    return new LockstepError('closed', `The connection to ${this.#shown} was closed by its owner.`)
  }
}

function besideOf({ attributes, properties }: PublishOptions): Beside | undefined {
  if (attributes === undefined) return properties
  return { ...properties, attributes: { ...properties?.attributes, ...attributes() } }
}
