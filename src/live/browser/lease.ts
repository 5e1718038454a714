/** The right to follow: a ticket that is good for a short time and is renewed before its end. Loaded where a page can renew its own. PROTOCOL.md §9.11. */
import { LiveError } from './live-error.ts'

const renewTimeoutMs = 10_000

export class Lease {
  ticket: string | undefined
  readonly #url: string
  readonly #onRenewed: () => void
  readonly #onError: (error: unknown) => void
  #endsAt = Infinity
  #timer: ReturnType<typeof setTimeout> | undefined

  /** `onRenewed` is to tell the bridge. */
  constructor(
    url: string,
    ticket: string | undefined,
    onRenewed: () => void,
    onError: (error: unknown) => void,
  ) {
    this.#url = url
    this.ticket = ticket
    this.#onRenewed = onRenewed
    this.#onError = onError
  }

  /** The bridge goes on for so long, which may be with a ticket of its own; in the middle of it the page asks for a new one. */
  extend(leaseMs = Infinity, ticket: string | undefined = this.ticket): void {
    this.stop()
    this.ticket = ticket
    this.#endsAt = Date.now() + leaseMs
    if (leaseMs === Infinity) return
    this.#timer = setTimeout(() => this.#renew().then(this.#onRenewed, this.#onError), leaseMs / 2)
  }

  /** Renews what has ended. Errors: `api-unreachable`, `api-refused`. */
  async prepare(): Promise<void> {
    if (Date.now() >= this.#endsAt) await this.#renew()
  }

  stop(): void {
    clearTimeout(this.#timer)
  }

  async #renew(): Promise<void> {
    const response = await fetch(new URL(this.#url, document.baseURI), {
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
      throw new LiveError(
        'api-refused',
        `The ticket was not renewed: ${this.#url} answered ${response.status}.`,
      )
    }
    this.ticket = ticket
    this.#endsAt = Infinity
  }
}
