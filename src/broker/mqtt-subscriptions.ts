/**
 * What is subscribed over all network connections to an MQTT broker: asked for, granted, renewed, refused.
 *
 * A subscription that the broker refuses is asked for again, later each time, for as long as somebody wants it: rights
 * come and go while the connection stays. PROTOCOL.md §6.
 */
import { LockstepError, quote, type ReportError } from '../contract/index.ts'
import type { Delivery, SubscribeOptions, Subscription } from './broker.ts'
import type { MqttSession } from './mqtt-session.ts'
import { type RetryDelayOptions, retryDelayMs } from './retry-delay.ts'
import { createSubscriptionTable, type Listening, type SubscriptionTable } from './subscriptions.ts'

export interface MqttSubscriptionsOptions extends RetryDelayOptions {
  /** There are other nodes to ask. */
  readonly hasOthers: boolean
  readonly reportError: ReportError
}

/** One call of `subscribe`. */
interface Entry extends SubscribeOptions {
  readonly listening: Listening
  /** The connection on which the broker has answered it last. */
  session: MqttSession | undefined
  isRefused: boolean
  /** How often a node has refused what another one had granted; `undefined` where none had. */
  refusals: number | undefined
  /** The call, as long as it was never answered. */
  waiting: { resolve(): void; reject(error: LockstepError): void } | undefined
}

/** So much of filters goes into one SUBSCRIBE: brokers limit packets, some the number of filters too. */
const subscribeBatch = { filters: 100, chars: 16_384 }

const mostRefusals = 3

export class MqttSubscriptions {
  readonly #options: MqttSubscriptionsOptions
  readonly #table: SubscriptionTable
  readonly #entries = new Set<Entry>()
  /** The connection that is up. */
  #session: MqttSession | undefined
  #retryTimer: NodeJS.Timeout | undefined
  #attempt = 0
  #isClosed = false

  constructor(options: MqttSubscriptionsOptions) {
    this.#options = options
    this.#table = createSubscriptionTable(options.reportError)
  }

  /** Resolves when it is answered, at the latest when a connection is up. */
  async subscribe(
    filters: readonly string[],
    listener: (delivery: Delivery) => void,
    options: SubscribeOptions,
  ): Promise<Subscription> {
    const listening = this.#table.add(filters, listener)
    const entry: Entry = {
      ...options,
      listening,
      session: undefined,
      isRefused: false,
      refusals: undefined,
      waiting: undefined,
    }
    this.#entries.add(entry)
    await new Promise<void>((resolve, reject) => {
      entry.waiting = { resolve, reject }
      // Where the connection is down or still renewing, the renewal takes it along.
      if (this.#session !== undefined) this.#ask(this.#session, [entry])
    })
    const close = async (): Promise<void> => this.#end(entry)
    return { close, [Symbol.asyncDispose]: close }
  }

  /** Subscribes to all on a new connection, also to what is asked for meanwhile. Rejects when the connection ends. */
  async renew(session: MqttSession): Promise<void> {
    for (;;) {
      const missing = [...this.#entries].filter(entry => entry.session !== session)
      if (missing.length === 0) break
      await this.#acknowledge(session, missing)
    }
    this.#session = session
    // The wait may have ended while there was no connection to ask on.
    if ([...this.#entries].some(entry => entry.isRefused)) this.#retryLater()
  }

  /** The connection is over. */
  lose(): void {
    this.#session = undefined
  }

  dispatch(delivery: Delivery): void {
    this.#table.dispatch(delivery)
  }

  /** Ends all; who waits is told this error. */
  close(error: LockstepError): void {
    this.#isClosed = true
    clearTimeout(this.#retryTimer)
    this.#session = undefined
    for (const entry of this.#entries) entry.waiting?.reject(error)
    this.#entries.clear()
    this.#table.clear()
  }

  /** Where the connection ends meanwhile, the next renewal does it again. */
  #ask(session: MqttSession, entries: readonly Entry[]): void {
    this.#acknowledge(session, entries).catch(error => session.cut(error))
  }

  async #acknowledge(session: MqttSession, entries: readonly Entry[]): Promise<void> {
    const filters = new Set(entries.flatMap(entry => entry.listening.filters))
    const answers = await Promise.all(batches(filters).map(batch => session.subscribe(batch)))
    if (session.isOver || this.#isClosed) throw new Error('the connection ended')
    const refused = new Set(answers.flat())
    for (const entry of entries) {
      entry.session = session
      if (!this.#entries.has(entry)) continue
      const filter = entry.listening.filters.find(each => refused.has(each))
      if (filter === undefined) this.#grant(entry)
      else this.#refuse(entry, filter, session)
    }
  }

  #grant(entry: Entry): void {
    const { waiting, isRefused } = entry
    entry.waiting = undefined
    entry.isRefused = false
    entry.refusals = 0
    waiting?.resolve()
    if (!isRefused) return
    if (![...this.#entries].some(each => each.isRefused)) this.#attempt = 0
    this.#call(() => entry.onGranted?.())
  }

  /** A refusal is told once; that it goes on is no news. */
  #refuse(entry: Entry, filter: string, session: MqttSession): void {
    const error = new LockstepError(
      'broker-refused',
      `The broker at ${session.shown} refused the subscription to ${quote(filter)}. Give this user the right to read it.`,
    )
    const { waiting, isRefused, onRefused } = entry
    entry.waiting = undefined
    if (waiting !== undefined && onRefused === undefined) {
      this.#end(entry)
      waiting.reject(error)
      return
    }
    entry.isRefused = true
    this.#retryLater()
    this.#leaveAtLast(entry, session)
    if (!isRefused) this.#call(() => (onRefused ?? this.#report)(error))
    waiting?.resolve()
  }

  /** A node that is out of step with the others refuses what they grant, for as long as the connection lasts. Once only: rights may be gone. */
  #leaveAtLast(entry: Entry, session: MqttSession): void {
    if (!this.#options.hasOthers || entry.refusals === undefined) return
    if (++entry.refusals < mostRefusals) return
    entry.refusals = undefined
    session.cut(new Error('it refuses again and again what another node had granted'))
  }

  /** One wait for all that are refused. Where the connection is down by then, the renewal asks for them. */
  #retryLater(): void {
    if (this.#retryTimer !== undefined) return
    const delayMs = retryDelayMs(this.#attempt++, Math.random(), this.#options)
    this.#retryTimer = setTimeout(() => {
      this.#retryTimer = undefined
      const refused = [...this.#entries].filter(entry => entry.isRefused)
      if (refused.length > 0 && this.#session !== undefined) this.#ask(this.#session, refused)
    }, delayMs)
  }

  #end(entry: Entry): void {
    this.#entries.delete(entry)
    const unused = this.#table.remove(entry.listening)
    if (unused.length > 0) this.#session?.unsubscribe(unused)
  }

  readonly #report = (error: LockstepError): void => {
    this.#options.reportError(error, { stage: 'mqtt subscription' })
  }

  #call(callback: () => void): void {
    try {
      callback()
    } catch (error) {
      this.#options.reportError(error, { stage: 'broker subscription listener' })
    }
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
