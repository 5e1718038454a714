/**
 * What stays open: event streams, WebSockets, long answers. One ends where the key or token that let it in is no longer good, and what its client
 * comes back for ends as soon as the gateway closes.
 *
 * One timer for all, which runs while there is something to look at.
 */

export interface OpenStream {
  /** Is what let it in still good? Missing where nothing can end. */
  readonly stillHolds: (() => boolean) | undefined
  /** Cuts it off. */
  readonly end: () => void
  /** Ends it so that its client comes back, elsewhere or later; missing where it would be a loss. */
  readonly leave: (() => void) | undefined
}

export const lookEveryMs = 2_000

export class OpenStreams {
  readonly #open = new Set<OpenStream>()
  #timer: NodeJS.Timeout | undefined
  #isLeaving = false

  /** Gives a function that forgets it. */
  add(stream: OpenStream): () => void {
    const { stillHolds, leave } = stream
    if (stillHolds === undefined && leave === undefined) return nothing
    this.#open.add(stream)
    if (stillHolds !== undefined) this.#timer ??= setInterval(() => this.look(), lookEveryMs).unref()
    // What was asked for before and opens only now.
    if (this.#isLeaving && leave !== undefined) setImmediate(leave)
    return () => void this.#open.delete(stream)
  }

  look(): void {
    let isWatched = false
    for (const stream of this.#open) {
      if (stream.stillHolds === undefined) continue
      isWatched = true
      if (holds(stream.stillHolds)) continue
      this.#open.delete(stream)
      stream.end()
    }
    if (isWatched) return
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  /** The gateway closes. */
  leave(): void {
    this.#isLeaving = true
    for (const { leave } of this.#open) leave?.()
  }
}

/** What cannot be asked is not let on. */
function holds(stillHolds: () => boolean): boolean {
  try {
    return stillHolds()
  } catch {
    return false
  }
}

function nothing(): void {}
