/** What the relay of a stream tells of its progress: on the channel `lockstep:relay`, and for how long it has waited. */
import { relayChannel } from '../contract/index.ts'

/** How often it is told how far behind the broker is. */
const lagEveryMs = 1_000

export class RelayTelling {
  readonly #stream: string
  #lagDueAt = 0
  #waitingSince: number | undefined

  constructor(stream: string) {
    this.#stream = stream
  }

  /** For how long nothing was acknowledged of what was sent; 0 where nothing waits. */
  get waitingMs(): number {
    return this.#waitingSince === undefined ? 0 : performance.now() - this.#waitingSince
  }

  connection(connected: boolean): void {
    if (relayChannel.hasSubscribers)
      relayChannel.publish({ event: 'connection', stream: this.#stream, connected })
  }

  sent(): void {
    this.#waitingSince ??= performance.now()
  }

  /** A change was acknowledged; `more` still wait for that. */
  published(seq: number, more: boolean): void {
    this.#waitingSince = more ? performance.now() : undefined
    if (relayChannel.hasSubscribers) relayChannel.publish({ event: 'published', stream: this.#stream, seq })
  }

  /** The relay goes on behind what was on its way. */
  jumped(): void {
    this.#waitingSince = undefined
  }

  reset(seq: number): void {
    this.jumped()
    if (relayChannel.hasSubscribers) relayChannel.publish({ event: 'reset', stream: this.#stream, seq })
  }

  /** Reads and tells the lag now and then, where somebody listens. Does not reject. */
  async lag(connected: boolean, read: () => Promise<number>): Promise<void> {
    if (!relayChannel.hasSubscribers || performance.now() < this.#lagDueAt) return
    this.#lagDueAt = performance.now() + lagEveryMs
    try {
      const lag = await read()
      relayChannel.publish({ event: 'lag', stream: this.#stream, lag, connected })
    } catch {
      // A log that cannot be read is told by what the relay does next.
    }
  }

  closed(): void {
    if (relayChannel.hasSubscribers) relayChannel.publish({ event: 'closed', stream: this.#stream })
  }
}
