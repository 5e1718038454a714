/**
 * The connection that stays: network connections one after the other, and what outlives each of them.
 *
 * Subscriptions outlive them and are renewed before the connection counts as up; messages do not. PROTOCOL.md §6.
 */
import { LockstepError, quote, type ReportError } from '../contract/index.ts'
import type { Broker, Delivery, PublishOptions, Subscription } from './broker.ts'
import { type ConnectionState, createConnectionState } from './connection-state.ts'
import { explainMqttFailure } from './mqtt-failure.ts'
import { type MqttConnect, MqttSession, type MqttSessionOptions } from './mqtt-session.ts'
import { createPublishWindow, type PublishWindow } from './publish-window.ts'
import { retryDelayMs } from './retry-delay.ts'
import {
  checkTopic,
  createSubscriptionTable,
  type Listening,
  type SubscriptionTable,
} from './subscriptions.ts'

export interface MqttBrokerSettings extends MqttSessionOptions {
  readonly minDelayMs: number
  readonly maxDelayMs: number
  readonly maxWaiting: number
  /** Called when a connection is up of which a failure was reported before, once for each report. */
  readonly onRecovery?: () => void
}

/** One call of `subscribe`. */
interface Entry {
  readonly listening: Listening
  /** The connection on which the broker has acknowledged it last. */
  session: MqttSession | undefined
  /** The call, as long as it was never acknowledged. */
  waiting: { resolve(): void; reject(error: LockstepError): void } | undefined
}

/** So much of filters goes into one SUBSCRIBE: brokers limit packets, some the number of filters too. */
const subscribeBatch = { filters: 100, chars: 16_384 }

export class MqttBroker implements Broker {
  readonly #connect: MqttConnect
  readonly #settings: MqttBrokerSettings
  readonly #reportError: ReportError
  readonly #table: SubscriptionTable
  readonly #state: ConnectionState
  readonly #window: PublishWindow
  readonly #entries = new Set<Entry>()
  #session: MqttSession | undefined
  #attempt = 0
  #upSinceMs = 0
  #reported = ''
  #isRecoveryDue = false
  #retryTimer: NodeJS.Timeout | undefined
  #closing: Promise<void> | undefined

  constructor(connect: MqttConnect, settings: MqttBrokerSettings, reportError: ReportError) {
    this.#connect = connect
    this.#settings = settings
    this.#reportError = reportError
    this.#table = createSubscriptionTable(reportError)
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
        `The connection to ${settings.address.shown} cannot be made: ${error instanceof Error ? error.message : error}. Check ca, cert and key.`,
        { cause: error },
      )
    }
  }

  get connected(): boolean {
    return this.#state.connected
  }

  async publish(topic: string, payload: string, options: PublishOptions = {}): Promise<void> {
    if (this.#closing !== undefined) throw this.#closedError()
    checkTopic(topic)
    this.#checkSize(topic, payload)
    if (!this.#state.connected) throw this.#unreachableError()
    await this.#window.publish(topic, payload, options.retain === true, options.timeoutMs ?? 10_000)
  }

  async subscribe(filters: readonly string[], listener: (delivery: Delivery) => void): Promise<Subscription> {
    if (this.#closing !== undefined) throw this.#closedError()
    const entry: Entry = {
      listening: this.#table.add(filters, listener),
      session: undefined,
      waiting: undefined,
    }
    this.#entries.add(entry)
    await new Promise<void>((resolve, reject) => {
      entry.waiting = { resolve, reject }
      // Where the connection is down or still renewing, the renewal takes it along.
      const session = this.#session
      if (session !== undefined && this.#state.connected) {
        this.#acknowledge(session, [entry]).catch(error => session.cut(error))
      }
    })
    const close = async (): Promise<void> => this.#end(entry)
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
    clearTimeout(this.#retryTimer)
    const session = this.#session
    this.#session = undefined
    const error = this.#closedError()
    this.#window.shut(error)
    for (const entry of this.#entries) entry.waiting?.reject(error)
    this.#entries.clear()
    this.#table.clear()
    this.#state.set(false)
    await session?.end()
  }

  #open(): void {
    this.#session = new MqttSession(this.#connect, this.#settings, {
      onAccepted: session => {
        this.#renew(session).catch(error => session.cut(error))
      },
      onMessage: (topic, payload, retained) => this.#receive(topic, payload, retained),
      onEnd: (session, reason, accepted) => {
        if (session === this.#session) this.#lost(reason, accepted)
      },
    })
  }

  /** Subscribes to all on a new connection, also to what is asked for meanwhile; only then it is up. */
  async #renew(session: MqttSession): Promise<void> {
    for (;;) {
      const missing = [...this.#entries].filter(entry => entry.session !== session)
      if (missing.length === 0) break
      await this.#acknowledge(session, missing)
      if (session !== this.#session) return
    }
    this.#upSinceMs = performance.now()
    this.#window.open(session)
    if (this.#isRecoveryDue) {
      this.#isRecoveryDue = false
      this.#settings.onRecovery?.()
    }
    this.#state.set(true)
  }

  /** Rejects when the connection ends meanwhile: then the next renewal does it again. */
  async #acknowledge(session: MqttSession, entries: readonly Entry[]): Promise<void> {
    const filters = new Set(entries.flatMap(entry => entry.listening.filters))
    const answers = await Promise.all(batches(filters).map(batch => session.subscribe(batch)))
    if (session !== this.#session) return
    const refused = new Set(answers.flat())
    for (const entry of entries) {
      entry.session = session
      if (!this.#entries.has(entry)) continue
      const filter = entry.listening.filters.find(each => refused.has(each))
      const { waiting } = entry
      entry.waiting = undefined
      if (filter === undefined) waiting?.resolve()
      else this.#refuse(entry, filter, waiting)
    }
  }

  #refuse(entry: Entry, filter: string, waiting: Entry['waiting']): void {
    const error = new LockstepError(
      'broker-refused',
      `The broker at ${this.#settings.address.shown} refused the subscription to ${quote(filter)}. Give this user the right to read it.`,
    )
    if (waiting === undefined) {
      // It was granted before and keeps being renewed: the right may come back as it went.
      this.#reportError(error, { stage: 'mqtt subscription' })
    } else {
      this.#end(entry)
      waiting.reject(error)
    }
  }

  #end(entry: Entry): void {
    this.#entries.delete(entry)
    const unused = this.#table.remove(entry.listening)
    if (unused.length > 0 && this.#state.connected) this.#session?.unsubscribe(unused)
  }

  #receive(topic: string, payload: Buffer, retained: boolean): void {
    const { maxPayloadBytes } = this.#settings
    if (payload.length > maxPayloadBytes) {
      const error = new LockstepError(
        'message-too-large',
        `A message on ${quote(topic)} was dropped: ${payload.length} bytes, ${maxPayloadBytes} are allowed. Raise maxPayloadBytes.`,
      )
      this.#reportError(error, { stage: 'mqtt message' })
      return
    }
    this.#table.dispatch({ topic, payload: payload.toString(), retained })
  }

  #lost(reason: unknown, accepted: boolean): void {
    this.#session = undefined
    // A connection that does not last is one more failed attempt, or else two clients with one id never rest.
    const lasted = this.#state.connected && performance.now() - this.#upSinceMs >= this.#settings.maxDelayMs
    if (lasted) {
      this.#attempt = 0
      this.#reported = ''
    }
    this.#window.shut(this.#unreachableError())
    this.#state.set(false)
    // The application may have closed it in one of these calls.
    if (this.#closing !== undefined) return
    this.#report(explainMqttFailure(this.#settings.address, { ...this.#settings, reason, accepted }))
    this.#retry()
  }

  #retry(): void {
    const delayMs = retryDelayMs(this.#attempt++, Math.random(), this.#settings)
    this.#retryTimer = setTimeout(() => {
      try {
        this.#open()
      } catch (error) {
        this.#lost(error, false)
      }
    }, delayMs)
  }

  #report(error: LockstepError): void {
    if (error.message === this.#reported) return
    this.#reported = error.message
    this.#isRecoveryDue = true
    this.#reportError(error, { stage: 'mqtt connection' })
  }

  #checkSize(topic: string, payload: string): void {
    const { maxPayloadBytes } = this.#settings
    const maxPacketBytes = this.#session?.maxPacketBytes ?? Number.POSITIVE_INFINITY
    // UTF-8 takes at most three bytes for a code unit: nearly always there is nothing to count.
    if (payload.length * 3 <= maxPayloadBytes && (payload.length + topic.length) * 3 + 64 <= maxPacketBytes)
      return
    const bytes = Buffer.byteLength(payload)
    const limit = Math.min(maxPayloadBytes, maxPacketBytes - Buffer.byteLength(topic) - 64)
    if (bytes <= limit) return
    throw new LockstepError(
      'message-too-large',
      `The message to ${quote(topic)} has ${bytes} bytes; ${limit} are allowed. Raise the limit, or send a reference instead.`,
    )
  }

  #unreachableError(): LockstepError {
    return new LockstepError(
      'broker-unreachable',
      `There is no connection to the broker at ${this.#settings.address.shown}. Publish again when it is up.`,
    )
  }

  #closedError(): LockstepError {
    return new LockstepError(
      'closed',
      `The connection to ${this.#settings.address.shown} was closed by its owner.`,
    )
  }
}

function batches(filters: Iterable<string>): string[][] {
  const all: string[][] = []
  let batch: string[] = []
  let chars = 0
  for (const filter of filters) {
    const full = batch.length === subscribeBatch.filters || chars + filter.length > subscribeBatch.chars
    if (batch.length === 0 || full) {
      batch = []
      chars = 0
      all.push(batch)
    }
    batch.push(filter)
    chars += filter.length
  }
  return all
}
