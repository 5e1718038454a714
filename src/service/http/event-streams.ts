/**
 * All event streams of a service together: how many are open, and what their readers have not taken yet.
 *
 * A stream holds one part at a time (event-stream.ts), but many that nobody reads hold many. Past the limit the one that has
 * waited longest for its reader is cut; the reader comes back with its position and has lost nothing.
 */
import { LockstepError, type ReportError } from '../../contract/index.ts'

interface Part {
  readonly chars: number
  readonly cut: (reason: Error) => void
}

export interface EventStreamLimits {
  readonly maxEventStreams: number
  readonly maxUnreadChars: number
}

export class EventStreams {
  readonly #limits: EventStreamLimits
  readonly #onError: ReportError
  #count = 0
  /** The part that waits longest first. */
  readonly #parts = new Set<Part>()
  #unreadChars = 0
  #isTold = false

  constructor(limits: EventStreamLimits, onError: ReportError) {
    this.#limits = limits
    this.#onError = onError
  }

  /** How many are open now. */
  get count(): number {
    return this.#count
  }

  /** Opens one. Returns an idempotent function that closes it. Errors: `too-many-followers`. */
  open(): () => void {
    const { maxEventStreams } = this.#limits
    if (this.#count >= maxEventStreams) {
      throw new LockstepError(
        'too-many-followers',
        `${maxEventStreams} event streams are open, which is the limit. Try again later.`,
      )
    }
    this.#count++
    let isOpen = true
    return () => {
      if (isOpen) this.#count--
      isOpen = false
    }
  }

  /**
   * A reader is given a part. `cut` ends its stream. Returns an idempotent function that says that the part was taken, or
   * given up.
   */
  hold(chars: number, cut: (reason: Error) => void): () => void {
    const part: Part = { chars, cut }
    this.#parts.add(part)
    this.#unreadChars += chars
    // The newest is spared: it may be larger than all that is allowed, and would never be read.
    while (this.#unreadChars > this.#limits.maxUnreadChars && this.#parts.size > 1) {
      const [slowest] = this.#parts
      this.#release(slowest!)
      slowest!.cut(this.#tell())
    }
    return () => this.#release(part)
  }

  #release(part: Part): void {
    if (!this.#parts.delete(part)) return
    this.#unreadChars -= part.chars
    if (this.#unreadChars < this.#limits.maxUnreadChars / 2) this.#isTold = false
  }

  /** Of many that are cut one after another, only the first is told of. */
  #tell(): Error {
    const error = new LockstepError(
      'overloaded',
      `The readers of event streams leave more than ${this.#limits.maxUnreadChars} characters untaken. Those that have waited longest are cut, and come back by themselves; raise maxUnreadChars where there is memory for it.`,
    )
    if (!this.#isTold) this.#onError(error, { stage: 'feed' })
    this.#isTold = true
    return error
  }
}
