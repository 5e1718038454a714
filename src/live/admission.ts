/**
 * Who is let in: connections in all and per address, and how many may arrive in a second, so that a storm is a queue outside and not inside.
 *
 * Those turned away, or sent away by a restart, are told to come back at random moments of a window that grows with how many they are. Pure: `now` and
 * randomness come from outside. PROTOCOL.md §9.12.
 */
import { checkCount, LockstepError } from '../contract/index.ts'

export interface AdmissionOptions {
  /** @default 20_000 */
  readonly maxConnections?: number
  /** Behind a proxy all have its address: see `addressOf` of the bridge. @default 1_000 */
  readonly maxConnectionsPerAddress?: number
  /** Connections taken in a second, with a second's worth at once. @default 2_000 */
  readonly maxArrivalsPerSecond?: number
}

export class Admission {
  readonly #maxConnections: number
  readonly #maxPerAddress: number
  readonly #perSecond: number
  readonly #addresses = new Map<string, { readonly address: string; count: number }>()
  #connections = 0
  #tokens: number
  #filledMs: number
  readonly #random: () => number

  /** Errors: `invalid-option`. */
  constructor(options: AdmissionOptions, nowMs: number, random: () => number) {
    this.#maxConnections = checkCount('maxConnections', options.maxConnections ?? 20_000)
    this.#maxPerAddress = checkCount('maxConnectionsPerAddress', options.maxConnectionsPerAddress ?? 1_000)
    this.#perSecond = checkCount('maxArrivalsPerSecond', options.maxArrivalsPerSecond ?? 2_000)
    this.#tokens = this.#perSecond
    this.#filledMs = nowMs
    this.#random = random
  }

  get connections(): number {
    return this.#connections
  }

  /** Takes a connection, which {@link leave} gives back with what this returned: one text for all of an address. Errors: `overloaded`. */
  enter(address: string, nowMs: number): string {
    const own = this.#addresses.get(address) ?? { address, count: 0 }
    const arrived = ((nowMs - this.#filledMs) / 1_000) * this.#perSecond
    this.#tokens = Math.min(this.#perSecond, this.#tokens + arrived)
    this.#filledMs = nowMs
    if (this.#connections >= this.#maxConnections)
      throw overloaded(`${this.#maxConnections} pages are connected`)
    if (own.count >= this.#maxPerAddress)
      throw overloaded(`${own.count} pages are connected from one address`)
    if (this.#tokens < 1) throw overloaded(`${this.#perSecond} pages have connected within a second`)
    this.#tokens -= 1
    this.#connections += 1
    own.count += 1
    this.#addresses.set(address, own)
    return own.address
  }

  leave(address: string): void {
    const own = this.#addresses.get(address)
    if (own === undefined) return
    this.#connections -= 1
    own.count -= 1
    if (own.count === 0) this.#addresses.delete(address)
  }

  /** When a page should come back: a random moment, in so long a window that all of them would fit at half the rate. */
  retryAfterMs(): number {
    const windowMs = Math.max(1_000, (2_000 * this.#connections) / this.#perSecond)
    return Math.round(this.#random() * Math.min(60_000, windowMs))
  }
}

function overloaded(what: string): LockstepError {
  return new LockstepError('overloaded', `${what}, which is the limit. Come back shortly.`)
}
