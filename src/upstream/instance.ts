/**
 * One instance of a service: its connections, how it stands, how much it has to do.
 *
 * Connections are kept and used again, the last one first. Where all are busy a request waits for one, in order, up to a
 * limit.
 */
import { LockstepError } from '../contract/index.ts'
import { type BreakerOptions, CircuitBreaker } from './circuit-breaker.ts'
import { type InstanceAddress, openSocket, UpstreamConnection } from './connection.ts'

export interface UpstreamLimits {
  /** Connections to one instance. */
  readonly maxConnections: number
  /** Requests that wait for one of them. */
  readonly maxWaiting: number
  readonly connectTimeoutMs: number
  /** From the request, sent whole, to the head of the response. */
  readonly headTimeoutMs: number
  /** Without a byte, in the middle of a body or a WebSocket. */
  readonly idleTimeoutMs: number
  readonly breaker: BreakerOptions
}

interface Waiter {
  readonly resolve: (connection: UpstreamConnection) => void
  readonly reject: (error: LockstepError) => void
  readonly deadlineMs: number
}

export class Instance {
  readonly url: string
  readonly address: InstanceAddress
  readonly breaker: CircuitBreaker
  /** What the active checks say. */
  isHealthy = true
  /** Of those that run, or wait for a connection. */
  inFlight = 0
  /** Requests since the start. */
  requests = 0
  failures = 0
  readonly #limits: UpstreamLimits
  readonly #idle: { readonly connection: UpstreamConnection; readonly untilMs: number }[] = []
  readonly #busy = new Set<UpstreamConnection>()
  readonly #waiting: Waiter[] = []
  #opening = 0
  #isDraining = false
  #onDrained: (() => void) | undefined

  constructor(url: string, limits: UpstreamLimits) {
    this.url = url
    this.address = parseInstanceUrl(url)
    this.#limits = limits
    this.breaker = new CircuitBreaker(limits.breaker)
  }

  get connections(): number {
    return this.#idle.length + this.#busy.size + this.#opening
  }

  /** A kept connection, where there is one: the usual case, without a promise. */
  takeIdle(): UpstreamConnection | undefined {
    for (let kept = this.#idle.pop(); kept !== undefined; kept = this.#idle.pop()) {
      if (!kept.connection.isUsable) continue
      this.#busy.add(kept.connection)
      return kept.connection
    }
    return undefined
  }

  /** A new connection, or the next that becomes free. Errors: `api-unreachable`, `timeout`, `overloaded`. */
  async open(nowMs: number): Promise<UpstreamConnection> {
    const { maxConnections, maxWaiting, connectTimeoutMs } = this.#limits
    if (this.connections < maxConnections) return await this.#connect()
    if (this.#waiting.length >= maxWaiting) {
      throw new LockstepError(
        'overloaded',
        `${maxWaiting} requests wait for the service already. Try again shortly.`,
        { cause: new Error(this.url) },
      )
    }
    return await new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject, deadlineMs: nowMs + connectTimeoutMs })
    })
  }

  async #connect(): Promise<UpstreamConnection> {
    this.#opening++
    try {
      const socket = await openSocket(this.address, this.#limits.connectTimeoutMs)
      const connection = new UpstreamConnection(socket, this)
      this.#busy.add(connection)
      return connection
    } catch (error) {
      // Nobody else may be left who would let them have a connection.
      this.#waiting.shift()?.reject(error as LockstepError)
      throw error
    } finally {
      this.#opening--
    }
  }

  onFree(connection: UpstreamConnection): void {
    if (!connection.isUsable) return
    const next = this.#waiting.shift()
    if (next !== undefined) {
      next.resolve(connection)
      return
    }
    this.#busy.delete(connection)
    if (this.#isDraining) connection.destroy()
    else this.#idle.push({ connection, untilMs: performance.now() + connection.keepMs })
  }

  onGone(connection: UpstreamConnection): void {
    this.#busy.delete(connection)
    const index = this.#idle.findIndex(kept => kept.connection === connection)
    if (index !== -1) this.#idle.splice(index, 1)
    const next = this.#waiting.shift()
    if (next !== undefined) this.#connect().then(next.resolve, next.reject)
    if (this.#isDraining && this.#busy.size === 0 && this.#opening === 0) this.#onDrained?.()
  }

  /** Ends what is late or has been idle for long. Called a few times a second. */
  sweep(nowMs: number): void {
    for (const connection of this.#busy) {
      if (nowMs < connection.deadlineMs) continue
      connection.fail(new LockstepError('timeout', 'The service did not answer in time.'))
    }
    while (this.#waiting[0] !== undefined && this.#waiting[0].deadlineMs <= nowMs) {
      this.#waiting.shift()?.reject(
        new LockstepError('overloaded', 'All connections to the service are busy. Try again shortly.', {
          cause: new Error(this.url),
        }),
      )
    }
    // The one that was used last is the last, so the first is the oldest.
    while (this.#idle[0] !== undefined && this.#idle[0].untilMs <= nowMs)
      this.#idle.shift()?.connection.destroy()
  }

  /** Lets what runs come to its end, at most for so long. */
  async drain(graceMs: number): Promise<void> {
    this.#isDraining = true
    for (const { connection } of this.#idle.splice(0)) connection.destroy()
    if (this.#busy.size > 0 || this.#opening > 0) {
      await new Promise<void>(resolve => {
        const timer = setTimeout(resolve, graceMs)
        timer.unref()
        this.#onDrained = () => {
          clearTimeout(timer)
          resolve()
        }
      })
    }
    for (const connection of [...this.#busy]) {
      connection.fail(new LockstepError('closed', 'No more is sent to this instance.'))
    }
  }
}

/** Errors: `invalid-option`. */
export function parseInstanceUrl(url: string): InstanceAddress {
  const parsed = URL.canParse(url) ? new URL(url) : undefined
  const isTls = parsed?.protocol === 'https:'
  const isPlain =
    parsed !== undefined && parsed.pathname === '/' && parsed.search === '' && parsed.hash === ''
  if (parsed === undefined || !(isTls || parsed.protocol === 'http:') || parsed.username !== '' || !isPlain) {
    throw new LockstepError(
      'invalid-option',
      `${JSON.stringify(url)} is no address such as "http://127.0.0.1:3001".`,
    )
  }
  const host = parsed.hostname.replace(/^\[(.*)\]$/, '$1')
  return { host, port: Number(parsed.port || (isTls ? 443 : 80)), isTls, authority: parsed.host }
}
