/**
 * Keeps one stream's backlog up to date: hears the source, fills holes from the feed, notices a new epoch, and knows when it cannot know.
 *
 * The feed alone is believed about where the stream is and which history it has; whoever may publish to a broker can at most make the bridge ask.
 * PROTOCOL.md §6, §7.5.
 */
import { isLockstepError, LockstepError, quote } from '../contract/index.ts'
import { type BacklogLimits, backlogLimits, type Entry, type FeedPage } from './backlog.ts'
import type { Clock } from './clock.ts'
import type { Counters } from './counters.ts'
import type { Feed } from './feed.ts'
import { createFills } from './fills.ts'
import { LiveStream } from './live-stream.ts'
import type { SeatLimits } from './seat.ts'
import type { HeardSource, SourceListener } from './source.ts'

export interface StreamKeeperOptions {
  readonly name: string
  readonly feed: Feed
  readonly openSource: (listener: SourceListener, position: () => Position | undefined) => HeardSource
  readonly limits: SeatLimits & { readonly conflateFrom: number }
  readonly backlog: Partial<BacklogLimits>
  /** Changes read from the feed at the start, so that pages that were there before need no read of their own. */
  readonly warmMessages: number
  readonly bookmarkEveryMs: number
  /** Without a sign of life for so long the bridge no longer says that pages are live. */
  readonly staleAfterMs: number
  readonly counters: Counters
  readonly clock: Clock
  readonly random: () => number
  readonly onError: (error: unknown) => void
}

interface Position {
  readonly epoch: string
  readonly seq: number
}

/** How long a hole may close by itself: messages of several publishers overtake each other. */
const holeWaitMs = 250
/** So many messages beyond a hole that it will hardly close by itself. */
const manyAhead = 100
/** The least time between two reads that only ask whether there is more. */
const askEveryMs = 250
const retryMs = { least: 250, most: 10_000 }
const pageSize = 1_000

/** Keeps one stream; begins at once. */
export class StreamKeeper implements SourceListener {
  readonly stream: LiveStream
  /** The feed has been read for the first time. */
  readonly ready: Promise<void>
  readonly #options: StreamKeeperOptions
  readonly #closing = new AbortController()
  readonly #started = Promise.withResolvers<void>()
  #source: HeardSource | undefined
  #isReading = false
  /** It was asked for while a read was running, which may have begun before what was asked about. */
  #isWanted = false
  #failures = 0
  #lastReadMs = Number.NEGATIVE_INFINITY
  #provenMs = Number.NEGATIVE_INFINITY
  #due: { readonly atMs: number; readonly stop: () => void } | undefined

  constructor(options: StreamKeeperOptions) {
    const { feed, clock, counters } = options
    this.#options = options
    this.ready = this.#started.promise
    const onRead = (): void => {
      counters.feedReads += 1
    }
    this.stream = new LiveStream({
      ...options,
      now: () => Math.round(clock.now()),
      fills: createFills(feed, () => clock.now(), this.#closing.signal, onRead),
      ask: () => this.#readSoon(askEveryMs),
    })
    this.#readSoon(0)
  }

  /** To be called about once a second. */
  tick(): void {
    const { clock, staleAfterMs, random } = this.#options
    const silentMs = clock.now() - this.#provenMs
    // Two heads were missed: the feed says whether that means anything.
    if (silentMs > staleAfterMs * 0.7) this.#readSoon(1_000 + 1_000 * random())
    if (silentMs > staleAfterMs) this.stream.setSound(false)
    this.stream.tick()
  }

  close(): void {
    this.#due?.stop()
    this.#source?.close()
    this.#closing.abort()
  }

  onEntry(epoch: string, entry: Entry): void {
    const { backlog } = this.stream
    if (epoch !== backlog.epoch) {
      this.#readSoon(askEveryMs)
      return
    }
    this.stream.append(backlog.hear(epoch, entry))
    if (backlog.isBehind)
      this.#readSoon(backlog.ahead < manyAhead ? holeWaitMs : 0, this.#options.clock.now())
  }

  onHead(epoch: string, seq: number, proves: boolean): void {
    const { backlog } = this.stream
    backlog.hint(epoch, seq)
    if (epoch !== backlog.epoch) this.#readSoon(askEveryMs)
    else if (backlog.isBehind) this.#readSoon(holeWaitMs, this.#options.clock.now())
    else if (proves && seq === backlog.last) this.#prove()
  }

  /** Something may have been published in between. */
  onUp(): void {
    this.#readSoon(0)
  }

  onDown(): void {
    this.#readSoon(askEveryMs)
  }

  onError(error: unknown): void {
    this.#options.onError(error)
  }

  /** Reads the feed, at the earliest `leastMs` after the last time or the given one, and not at once after a failure. */
  #readSoon(leastMs: number, fromMs: number = this.#lastReadMs): void {
    if (this.#closing.signal.aborted) return
    if (this.#isReading) {
      this.#isWanted = true
      return
    }
    const { clock } = this.#options
    const isFailing = this.#failures > 0
    const wantedMs = isFailing ? this.#lastReadMs + this.#backoffMs() : fromMs + leastMs
    const atMs = Math.max(clock.now(), wantedMs)
    if (this.#due !== undefined && this.#due.atMs <= atMs) return
    this.#due?.stop()
    this.#due = { atMs, stop: clock.setTimer(() => this.#begin(), Math.max(0, atMs - clock.now())) }
  }

  #backoffMs(): number {
    const mostMs = Math.min(retryMs.most, retryMs.least * 2 ** this.#failures)
    return mostMs * (0.5 + this.#options.random() / 2)
  }

  #begin(): void {
    this.#due = undefined
    this.#isReading = true
    this.#isWanted = false
    this.stream.reads += 1
    const read = this.stream.reads
    this.#readAll()
      .then(
        () => this.#succeeded(read),
        error => {
          this.#failures += 1
          // Once for each outage; its end shows in the health.
          if (this.#failures === 1 && !this.#closing.signal.aborted) this.#options.onError(error)
        },
      )
      .finally(() => {
        this.#isReading = false
        this.#lastReadMs = this.#options.clock.now()
        if (this.#failures > 0) this.#readSoon(0)
        else if (this.#isWanted || this.stream.backlog.isBehind) this.#readSoon(askEveryMs)
      })
  }

  #succeeded(read: number): void {
    this.#failures = 0
    // Only now is it known where to begin, and where the topics are.
    if (!this.#closing.signal.aborted) this.#source ??= this.#options.openSource(this, () => this.#position())
    this.#started.resolve()
    this.stream.proofs = read
    this.#prove()
    this.stream.wake()
  }

  #prove(): void {
    this.#provenMs = this.#options.clock.now()
    this.stream.setSound(true)
  }

  #position(): Position | undefined {
    const { epoch, last } = this.stream.backlog
    return epoch === undefined ? undefined : { epoch, seq: last }
  }

  /** Reads from the end of the backlog to the head. */
  async #readAll(): Promise<void> {
    const { stream } = this
    const { backlog } = stream
    for (;;) {
      if (backlog.epoch === undefined) await this.#restart()
      let page: FeedPage
      try {
        page = await this.#read({ epoch: backlog.epoch!, seq: backlog.last })
      } catch (error) {
        if (!isLockstepError(error, 'position-gone')) throw error
        await this.#restart()
        continue
      }
      stream.append(backlog.takePage(page))
      if (backlog.last < page.to) {
        const { name } = this.#options
        throw new LockstepError('api-refused', `A page of the feed of ${quote(name)} leads to nothing new.`)
      }
      if (page.to >= page.head) return
    }
  }

  /** Begins where the stream is now, as far back as pages are expected to ask for. */
  async #restart(): Promise<void> {
    const { warmMessages, backlog } = this.#options
    const { epoch, head, first } = await this.#read('now')
    const warm = Math.min(warmMessages, backlog.maxMessages ?? backlogLimits.maxMessages)
    this.stream.restart(epoch, Math.max(first - 1, head - warm, 0))
  }

  async #read(after: Position | 'now'): Promise<FeedPage> {
    const { feed, counters } = this.#options
    counters.feedReads += 1
    const page = await feed.read(after, after === 'now' ? 1 : pageSize, this.#closing.signal)
    this.stream.first = page.first
    return page
  }
}
