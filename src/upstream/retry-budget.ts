/** How many requests may be sent again: a share of all, so that retries never become the load. Pure: `nowMs` comes in. */

export class RetryBudget {
  readonly #share: number
  readonly #perSecond: number
  #tokens: number
  #lastMs = 0

  /** @param share of the requests @param perSecond that are always allowed, so that few requests can be retried too */
  constructor(share = 0.1, perSecond = 3) {
    this.#share = share
    this.#perSecond = perSecond
    this.#tokens = perSecond
  }

  /** A request was sent for the first time. */
  earn(): void {
    this.#tokens = Math.min(this.#tokens + this.#share, this.#max)
  }

  /** Takes one, where there is one. */
  spend(nowMs: number): boolean {
    const seconds = Math.max(0, nowMs - this.#lastMs) / 1_000
    this.#lastMs = nowMs
    this.#tokens = Math.min(this.#tokens + seconds * this.#perSecond, this.#max)
    if (this.#tokens < 1) return false
    this.#tokens--
    return true
  }

  get #max(): number {
    return this.#perSecond * 10
  }
}
