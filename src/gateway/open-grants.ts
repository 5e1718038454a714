/**
 * What stays open only as long as it is allowed: event streams and WebSockets of a key that was revoked, or of a token that is over, end.
 *
 * One timer for all, which runs while there is something to look at.
 */

interface Grant {
  readonly stillHolds: () => boolean
  readonly end: () => void
}

export const lookEveryMs = 2_000

export class OpenGrants {
  readonly #open = new Set<Grant>()
  #timer: NodeJS.Timeout | undefined

  /** Calls `end` once it holds no more. Gives a function that forgets it. */
  add(stillHolds: (() => boolean) | undefined, end: () => void): () => void {
    if (stillHolds === undefined) return nothing
    const grant = { stillHolds, end }
    this.#open.add(grant)
    this.#timer ??= setInterval(() => this.look(), lookEveryMs).unref()
    return () => void this.#open.delete(grant)
  }

  look(): void {
    for (const grant of this.#open) {
      if (grant.stillHolds()) continue
      this.#open.delete(grant)
      grant.end()
    }
    if (this.#open.size > 0) return
    clearInterval(this.#timer)
    this.#timer = undefined
  }
}

function nothing(): void {}
