/**
 * A simulated broker that may lie: each connection keeps the port's promises to its owner, and the hub between
 * them loses, repeats, reorders, acknowledges and drops, forgets retained messages, brings old ones back, and dies.
 */
import type { Broker, Delivery, PublishOptions } from '../../src/broker/broker.ts'
import { LockstepError, matchesTopicFilter } from '../../src/contract/index.ts'
import type { Runtime } from './runtime.ts'

/** What goes wrong now; each a probability per delivery. */
export interface BrokerFaults {
  lose: number
  repeat: number
  reorder: number
}

export class SimBroker {
  readonly faults: BrokerFaults = { lose: 0, repeat: 0, reorder: 0 }
  /** Clients that are sent nothing, though publishers are told all is well. */
  readonly overflowing = new Set<SimConnection>()
  readonly connections = new Set<SimConnection>()
  readonly retained = new Map<string, string>()
  readonly #runtime: Runtime
  readonly #oldHeads: { topic: string; payload: string }[] = []
  isUp = true
  delivered = 0

  constructor(runtime: Runtime) {
    this.#runtime = runtime
  }

  connect(): SimConnection {
    const connection = new SimConnection(this, this.#runtime)
    this.connections.add(connection)
    return connection
  }

  /** All connections are lost, and with them everything on its way; `forget` loses the retained messages too. */
  stop(forget: boolean): void {
    this.isUp = false
    if (forget) this.retained.clear()
    for (const connection of this.connections) connection.cut()
  }

  start(): void {
    this.isUp = true
    for (const connection of this.connections) connection.comeBack()
  }

  /** A message that was retained long ago is told as if it were new: a paused relay that wakes up. */
  tellOldHead(): void {
    const head = this.#oldHeads.length > 0 ? this.#runtime.pick(this.#oldHeads) : undefined
    if (head === undefined) return
    this.retained.set(head.topic, head.payload)
    for (const connection of this.connections) connection.offer({ ...head, retained: false })
  }

  publish(topic: string, payload: string, retain: boolean): void {
    if (retain) {
      this.retained.set(topic, payload)
      if (this.#oldHeads.length < 50) this.#oldHeads.push({ topic, payload })
    }
    for (const connection of this.connections) connection.offer({ topic, payload, retained: false })
  }
}

interface Subscribed {
  readonly filters: readonly string[]
  readonly listener: (delivery: Delivery) => void
  isHeard: boolean
  readonly heard: () => void
  readonly refuse: (error: Error) => void
}

export class SimConnection implements Broker {
  readonly #hub: SimBroker
  readonly #runtime: Runtime
  readonly #subscriptions = new Set<Subscribed>()
  readonly #listeners = new Set<(connected: boolean) => void>()
  readonly #pending = new Set<(error: Error) => void>()
  #session = 0
  #lastAt = 0
  #lastPublishAt = 0
  #connected = false
  #isCut = false
  #closed = false

  constructor(hub: SimBroker, runtime: Runtime) {
    this.#hub = hub
    this.#runtime = runtime
    this.comeBack()
  }

  get connected(): boolean {
    return this.#connected
  }

  /** The network between the client and the broker: while it is cut nothing passes, and the client knows. */
  set isCut(isCut: boolean) {
    this.#isCut = isCut
    if (isCut) this.cut()
    else this.comeBack()
  }

  publish(
    topic: string,
    payload: string,
    { retain = false, timeoutMs = 10_000 }: PublishOptions = {},
  ): Promise<void> {
    if (this.#closed) return Promise.reject(new LockstepError('closed', 'The connection is closed.'))
    if (!this.#connected)
      return Promise.reject(new LockstepError('broker-unreachable', 'The broker is down.'))
    return new Promise((resolve, reject) => {
      const session = this.#session
      const settle = (error?: Error): void => {
        if (!this.#pending.delete(settle)) return
        if (error === undefined) resolve()
        else reject(error)
      }
      this.#pending.add(settle)
      // What one client publishes arrives in order, as TCP does.
      this.#lastPublishAt = Math.max(this.#lastPublishAt, this.#runtime.now() + this.#runtime.between(1, 8))
      const at = this.#lastPublishAt
      this.#runtime.after(at - this.#runtime.now(), () => {
        if (session !== this.#session || !this.#hub.isUp) return
        this.#hub.publish(topic, payload, retain)
        this.#runtime.after(this.#runtime.between(1, 8), () => session === this.#session && settle())
      })
      this.#runtime.after(timeoutMs, () => settle(new LockstepError('timeout', 'No acknowledgement came.')))
    })
  }

  subscribe(
    filters: readonly string[],
    listener: (delivery: Delivery) => void,
  ): Promise<{ close(): Promise<void>; [Symbol.asyncDispose](): Promise<void> }> {
    return new Promise((resolve, reject) => {
      const close = async (): Promise<void> => {
        this.#subscriptions.delete(subscribed)
      }
      const subscribed: Subscribed = {
        filters,
        listener,
        isHeard: false,
        heard: () => resolve({ close, [Symbol.asyncDispose]: close }),
        refuse: reject,
      }
      this.#subscriptions.add(subscribed)
      if (this.#connected) this.#hear([subscribed], () => {})
    })
  }

  onConnection(listener: (connected: boolean) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    this.cut()
    this.#hub.connections.delete(this)
    for (const { refuse } of this.#subscriptions)
      refuse(new LockstepError('closed', 'The connection is closed.'))
    this.#subscriptions.clear()
    this.#listeners.clear()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  /** The hub has a message for whoever it matches. */
  offer(delivery: Delivery): void {
    const { faults, overflowing } = this.#hub
    if (!this.#connected || overflowing.has(this)) return
    for (const subscribed of this.#subscriptions) {
      if (
        !subscribed.isHeard ||
        !subscribed.filters.some(filter => matchesTopicFilter(filter, delivery.topic))
      )
        continue
      if (this.#runtime.chance(faults.lose)) continue
      this.#send(subscribed, delivery)
      if (this.#runtime.chance(faults.repeat)) this.#send(subscribed, delivery)
    }
  }

  cut(): void {
    this.#session++
    for (const settle of [...this.#pending])
      settle(new LockstepError('broker-unreachable', 'The connection was lost.'))
    for (const subscribed of this.#subscriptions) subscribed.isHeard = false
    if (!this.#connected) return
    this.#connected = false
    for (const listener of [...this.#listeners]) listener(false)
  }

  /** Connects after a while, and is up when all subscriptions are acknowledged. */
  comeBack(): void {
    const session = ++this.#session
    this.#runtime.after(this.#runtime.between(5, 400), () => {
      if (session !== this.#session || this.#connected || this.#closed || this.#isCut || !this.#hub.isUp)
        return
      this.#hear([...this.#subscriptions], () => {
        this.#connected = true
        for (const subscribed of this.#subscriptions)
          if (!subscribed.isHeard) this.#hear([subscribed], () => {})
        for (const listener of [...this.#listeners]) listener(true)
      })
    })
  }

  #hear(subscriptions: readonly Subscribed[], then: () => void): void {
    const session = this.#session
    this.#runtime.after(this.#runtime.between(1, 10), () => {
      if (session !== this.#session || !this.#hub.isUp) return
      for (const subscribed of subscriptions) {
        subscribed.isHeard = true
        for (const [topic, payload] of this.#hub.retained) {
          if (subscribed.filters.includes(topic)) this.#send(subscribed, { topic, payload, retained: true })
        }
      }
      then()
      for (const { heard } of subscriptions) heard()
    })
  }

  #send(subscribed: Subscribed, delivery: Delivery): void {
    const session = this.#session
    const isLate = this.#runtime.chance(this.#hub.faults.reorder)
    let at = this.#runtime.now() + this.#runtime.between(1, 8)
    if (isLate) at += this.#runtime.between(10, 600)
    else {
      at = Math.max(this.#lastAt, at)
      this.#lastAt = at
    }
    this.#runtime.after(at - this.#runtime.now(), () => {
      if (session !== this.#session || !this.#subscriptions.has(subscribed)) return
      this.#hub.delivered++
      subscribed.listener(delivery)
    })
  }
}
