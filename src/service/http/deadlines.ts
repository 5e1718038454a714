/**
 * Many waits of the same length at the cost of one timer: a timer for each body would cost more than reading it.
 */

/** Waits that each end after the same time unless they are taken back. */
export class Deadlines {
  readonly timeoutMs: number
  /** What to call and when, the earliest first, since each waits equally long. */
  readonly #waiting = new Map<() => void, number>()
  #isTimed = false

  constructor(timeoutMs: number) {
    this.timeoutMs = timeoutMs
  }

  /** Calls `expire` after the time. */
  add(expire: () => void): void {
    this.#waiting.set(expire, performance.now() + this.timeoutMs)
    if (!this.#isTimed) this.#setTimer(this.timeoutMs)
  }

  delete(expire: () => void): void {
    this.#waiting.delete(expire)
  }

  #setTimer(ms: number): void {
    this.#isTimed = true
    // What waits holds a connection, which keeps the process alive where that is wanted.
    setTimeout(() => this.#sweep(), ms).unref()
  }

  #sweep(): void {
    this.#isTimed = false
    const now = performance.now()
    for (const [expire, dueAt] of this.#waiting) {
      if (dueAt > now) {
        this.#setTimer(dueAt - now)
        return
      }
      this.#waiting.delete(expire)
      expire()
    }
  }
}
