/**
 * One subscription for all: keeps the last value of each topic, and tells the streams.
 *
 * The last value is what the broker delivered last, retained or not. After a reconnect what the broker has retained wins over what was heard
 * before, since nobody knows what was published meanwhile. PROTOCOL.md §16.
 */
import type { Broker, Delivery, Subscription } from '../broker/broker.ts'
import { isLockstepError, matchesTopicFilter, type ReportError } from '../contract/index.ts'
import type { LastValues } from './last-values.ts'
import type { TopicValue } from './value.ts'

export interface TopicHubOptions {
  readonly broker: Broker
  readonly filters: readonly string[]
  readonly values: LastValues
  /** Topics of which it is known that something came. */
  readonly maxTopics: number
  readonly now: () => number
  readonly report: ReportError
}

export interface HeardMessage extends TopicValue {
  readonly topic: string
}

export type MessageListener = (message: HeardMessage) => void

export class TopicHub {
  readonly values: LastValues
  readonly #options: TopicHubOptions
  readonly #listeners = new Set<MessageListener>()
  /** What has come on a topic since the connection came up: then an older retained message counts no more. */
  readonly #heard = new Map<string, number>()
  #subscription: Subscription | undefined
  #stopWatching: () => void = () => {}
  #isFull = false
  #isClosed = false

  constructor(options: TopicHubOptions) {
    this.#options = options
    this.values = options.values
  }

  /** Resolves when the broker was asked, whether or not it can be reached. */
  start(): void {
    const { broker, filters, report } = this.#options
    this.#stopWatching = broker.onConnection(isUp => {
      if (!isUp) this.#heard.clear()
    })
    broker
      .subscribe(filters, delivery => this.#receive(delivery), {
        onRefused: error => report(error, { stage: 'topics' }),
      })
      .then(
        subscription => {
          this.#subscription = subscription
          if (this.#isClosed) return subscription.close()
        },
        error => {
          if (!this.#isClosed) report(error, { stage: 'topics' })
        },
      )
  }

  get isClosed(): boolean {
    return this.#isClosed
  }

  shows(topic: string): boolean {
    return this.#options.filters.some(filter => matchesTopicFilter(filter, topic))
  }

  /** Publishes, and keeps it where nothing else has come meanwhile: what the broker delivers decides. Errors: those of the broker. */
  async publish(topic: string, bytes: Uint8Array, retain: boolean): Promise<void> {
    const before = this.#heard.get(topic)
    await this.#options.broker.publish(topic, bytes, {
      retain,
      properties: { contentType: 'application/octet-stream' },
    })
    if (this.#heard.get(topic) === before && this.shows(topic)) this.#keep(topic, bytes)
    await this.values.flush()
  }

  /** Calls `listener` for each message from now on. Returns what ends it. */
  listen(listener: MessageListener): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  async close(): Promise<void> {
    this.#isClosed = true
    this.#stopWatching()
    this.#listeners.clear()
    await this.#subscription?.close()
    await this.values.close()
  }

  #receive({ topic, payload, bytes = Buffer.from(payload), retained }: Delivery): void {
    const heard = this.#heard.get(topic) ?? 0
    if (retained && heard > 0) return
    const isNews = !retained || !isSame(this.values.read(topic)?.bytes, bytes)
    // The same retained message comes with every connection.
    if (!isNews) return
    if (!retained) {
      if (this.#heard.size >= this.#options.maxTopics) this.#heard.clear()
      this.#heard.set(topic, heard + 1)
    }
    const message = this.#keep(topic, bytes)
    for (const listener of this.#listeners) listener({ topic, ...message })
  }

  /** Nothing is the payload that takes a value away. */
  #keep(topic: string, bytes: Uint8Array): TopicValue {
    const value = { bytes, timeMs: this.#options.now() }
    try {
      this.values.write(topic, bytes.length === 0 ? undefined : value)
      this.#isFull = false
    } catch (error) {
      // Once, not for each message.
      if (!this.#isFull || !isLockstepError(error, 'overloaded'))
        this.#options.report(error, { stage: 'last values' })
      this.#isFull = isLockstepError(error, 'overloaded')
    }
    return value
  }
}

function isSame(one: Uint8Array | undefined, other: Uint8Array): boolean {
  return one !== undefined && Buffer.compare(one, other) === 0
}
