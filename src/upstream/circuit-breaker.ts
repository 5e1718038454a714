/**
 * Stops sending to an instance that fails, as data: no clock, no sockets.
 *
 * Failures are those of the connection (refused, lost, late, unreadable), never a status: what answers is alive.
 */

export interface BreakerOptions {
  /** Failures in a row that open it. @default 5 */
  readonly failures?: number
  /** How long nothing is sent then; after it, one request is let through to see. @default 5_000 */
  readonly openMs?: number
}

export class CircuitBreaker {
  readonly #failures: number
  readonly #openMs: number
  #inARow = 0
  #openUntilMs = 0
  #isTrying = false

  constructor({ failures = 5, openMs = 5_000 }: BreakerOptions = {}) {
    this.#failures = failures
    this.#openMs = openMs
  }

  /** May a request be sent now? */
  allows(nowMs: number): boolean {
    return this.#inARow < this.#failures || (nowMs >= this.#openUntilMs && !this.#isTrying)
  }

  /** A request is being sent. */
  begin(): void {
    if (this.#inARow >= this.#failures) this.#isTrying = true
  }

  /** `undefined` where the request ended for another reason: its client left. */
  end(isWell: boolean | undefined, nowMs: number): void {
    this.#isTrying = false
    if (isWell === undefined) return
    if (isWell) this.#inARow = 0
    else if (++this.#inARow >= this.#failures) this.#openUntilMs = nowMs + this.#openMs
  }

  state(nowMs: number): 'closed' | 'open' | 'half-open' {
    if (this.#inARow < this.#failures) return 'closed'
    return nowMs < this.#openUntilMs ? 'open' : 'half-open'
  }
}
