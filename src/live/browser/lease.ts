/**
 * The right to follow: a ticket that is good for a short time and is renewed before its end. PROTOCOL.md §9.11.
 *
 * Loaded where a page has a ticket. The bridge may send new ones by itself; where nobody else does, the page asks for them.
 */
import { LiveError } from './live-error.ts'
import type { Tag } from './tag.ts'

export interface LeaseOptions {
  /** There is a new ticket: tell the bridge. */
  readonly onRenewed: () => unknown
  /** There will be none: only a new page helps. */
  readonly onRefused: () => unknown
  readonly onError: (error: unknown) => unknown
}

const renewTimeoutMs = 10_000

export class Lease {
  ticket: string | undefined
  readonly #url: URL | undefined
  readonly #options: LeaseOptions
  #endsAt = Infinity
  #timer: ReturnType<typeof setTimeout> | undefined

  constructor({ ticket, renew }: Tag, options: LeaseOptions) {
    this.ticket = ticket
    this.#url = renew === undefined ? undefined : new URL(renew, document.baseURI)
    this.#options = options
  }

  get isRenewable(): boolean {
    return this.#url !== undefined
  }

  /** The bridge goes on for so long, maybe with a ticket of its own; in the middle of it the page asks for a new one. */
  extend(leaseMs: number = Infinity, ticket: string | undefined = this.ticket): void {
    this.stop()
    this.ticket = ticket
    this.#endsAt = performance.now() + leaseMs
    if (leaseMs === Infinity || !this.#url) return
    const { onRenewed, onError } = this.#options
    this.#timer = setTimeout(() => this.#renew().then(onRenewed).catch(onError), leaseMs / 2)
  }

  /** The bridge does not take the ticket. */
  expire(): void {
    this.stop()
    this.#endsAt = 0
  }

  /** Renews what has ended. Errors: `api-unreachable`, `api-refused`. */
  async prepare(): Promise<void> {
    if (this.#url && performance.now() >= this.#endsAt) await this.#renew()
  }

  stop(): void {
    clearTimeout(this.#timer)
  }

  async #renew(): Promise<void> {
    const response = await fetch(this.#url!, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ ticket: this.ticket }),
      cache: 'no-store',
      signal: AbortSignal.timeout(renewTimeoutMs),
    }).catch(cause => {
      throw new LiveError('api-unreachable', `The ticket could not be renewed at ${this.#url}.`, cause)
    })
    const { ticket } = response.ok ? await response.json() : {}
    if (typeof ticket !== 'string') {
      if (response.status < 500) this.#options.onRefused()
      throw new LiveError(
        'api-refused',
        `The ticket was not renewed: ${this.#url} answered ${response.status}.`,
      )
    }
    this.ticket = ticket
    this.#endsAt = Infinity
  }
}
