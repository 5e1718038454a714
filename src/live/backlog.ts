/**
 * The backlog of a stream: its last changes in memory, contiguous or silent.
 *
 * It is fed by hints (a broker, an event stream), which may lose, repeat and reorder, and by pages of the feed, which prove what they cover. It
 * ends where the first hole begins: what comes beyond a hole waits beside it, and is not served before the hole is filled. Pure: no
 * I/O, no clock. PROTOCOL.md §6.2, §9.6.
 */

/** One change as it is kept: the message as a JSON text of one line. */
export interface Entry {
  readonly seq: number
  /** The canonical path of what changed. */
  readonly resource: string
  readonly text: string
}

/** What a page of the feed says: every change in (`after`, `to`], and where the stream is. */
export interface FeedPage {
  readonly epoch: string
  readonly after: number
  readonly to: number
  readonly head: number
  /** The first number that the change log still holds. */
  readonly first: number
  readonly entries: readonly Entry[]
}

export interface BacklogLimits {
  /** @default 4_096 */
  readonly maxMessages: number
  /** In characters of JSON; the newest message stays however large it is. @default 8_388_608 */
  readonly maxChars: number
  /** Messages beyond a hole; past it the newest are forgotten, and the feed brings them. @default 1_024 */
  readonly maxAhead: number
}

export const backlogLimits: BacklogLimits = { maxMessages: 4_096, maxChars: 8_388_608, maxAhead: 1_024 }

/** Holds (`start`, `last`] of one epoch. */
export class Backlog {
  readonly #limits: BacklogLimits
  /** A ring would be smaller by nothing: the front is cut off in steps. */
  #entries: Entry[] = []
  #dropped = 0
  #chars = 0
  readonly #ahead = new Map<number, Entry>()
  #epoch: string | undefined
  #start = 0
  #heard = 0

  constructor(limits: Partial<BacklogLimits> = {}) {
    this.#limits = { ...backlogLimits, ...limits }
  }

  /** `undefined` before the first {@link restart}: it holds nothing and takes nothing. */
  get epoch(): string | undefined {
    return this.#epoch
  }

  /** Everything after this number, up to {@link last}, is held. */
  get start(): number {
    return this.#start
  }

  get last(): number {
    return this.#start + this.#entries.length - this.#dropped
  }

  /** There is more than it holds, as far as it has heard. */
  get isBehind(): boolean {
    return this.#heard > this.last
  }

  /** Messages beyond the hole. */
  get ahead(): number {
    return this.#ahead.size
  }

  get chars(): number {
    return this.#chars
  }

  /** Begins anew at a position: nothing is held, and the next change is `seq + 1`. */
  restart(epoch: string, seq: number): void {
    this.#epoch = epoch
    this.#start = seq
    this.#heard = seq
    this.#entries = []
    this.#dropped = 0
    this.#chars = 0
    this.#ahead.clear()
  }

  /** Takes a hint that a number exists. */
  hint(epoch: string, seq: number): void {
    if (epoch === this.#epoch && seq > this.#heard) this.#heard = seq
  }

  /** Takes a message as it was heard; gives what is new at the end of the backlog by it. */
  hear(epoch: string, entry: Entry): readonly Entry[] {
    if (epoch !== this.#epoch || entry.seq <= this.last) return []
    this.hint(epoch, entry.seq)
    if (entry.seq === this.last + 1) return this.#append([entry])
    if (this.#ahead.size < this.#limits.maxAhead) this.#ahead.set(entry.seq, entry)
    return []
  }

  /** Takes a page of the feed; gives what is new by it. One that does not reach the end of what is held changes nothing. */
  takePage(page: FeedPage): readonly Entry[] {
    if (page.epoch !== this.#epoch) return []
    this.hint(page.epoch, page.head)
    if (page.after > this.last || page.to <= this.last) return []
    return this.#append(page.entries.filter(({ seq }) => seq > this.last))
  }

  /** The changes in (`after`, {@link last}]; `after` must lie within what is held. */
  after(seq: number): readonly Entry[] {
    return this.#entries.slice(this.#dropped + seq - this.#start)
  }

  #append(entries: readonly Entry[]): readonly Entry[] {
    const added = [...entries]
    for (const entry of added) this.#push(entry)
    for (;;) {
      const next = this.#ahead.get(this.last + 1)
      if (next === undefined) break
      this.#ahead.delete(next.seq)
      this.#push(next)
      added.push(next)
    }
    if (this.#ahead.size > 0) {
      for (const seq of this.#ahead.keys()) if (seq <= this.last) this.#ahead.delete(seq)
    }
    this.#trim()
    return added
  }

  #push(entry: Entry): void {
    this.#entries.push(entry)
    this.#chars += entry.text.length
  }

  #trim(): void {
    const { maxMessages, maxChars } = this.#limits
    while (this.last - this.#start > maxMessages || (this.#chars > maxChars && this.last - this.#start > 1)) {
      this.#chars -= this.#entries[this.#dropped]!.text.length
      this.#dropped += 1
      this.#start += 1
    }
    if (this.#dropped > maxMessages) {
      this.#entries = this.#entries.slice(this.#dropped)
      this.#dropped = 0
    }
  }
}
