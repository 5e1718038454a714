/**
 * Keeps one stream's backlog up to date: hears the source, fills holes from the feed, notices a new epoch, and knows when it cannot know.
 *
 * The feed alone is believed about where the stream is and which history it has; whoever may publish to a broker can at most make the bridge ask.
 * PROTOCOL.md §6, §7.5.
 */
import { isLockstepError, LockstepError, quote } from '../contract/index.ts'
import { type BacklogLimits, backlogLimits, type FeedPage } from './backlog.ts'
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
  readonly limits: SeatLimits
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
/** The least time between two reads that only ask whether there is more. */
const askEveryMs = 250
const retryMs = { least: 250, most: 10_000 }
const pageSize = 1_000

export interface StreamKeeper {
  readonly stream: LiveStream
  /** The feed has been read for the first time. */
  readonly ready: Promise<void>
  /** To be called about once a second. */
  tick(): void
  close(): void
}

export function startStreamKeeper(options: StreamKeeperOptions): StreamKeeper {
  const { name, feed, clock, counters, onError } = options
  const closing = new AbortController()
  const { signal } = closing
  const fills = createFills(
    feed,
    () => clock.now(),
    signal,
    () => {
      counters.feedReads += 1
    },
  )
  const stream = new LiveStream({
    ...options,
    now: () => Math.round(clock.now()),
    fills,
    ask: () => readSoon(askEveryMs),
    onError,
  })
  const { backlog } = stream
  const ready = Promise.withResolvers<void>()
  let isReading = false
  /** It was asked for while a read was running, which may have begun before what was asked about. */
  let isWanted = false
  let failures = 0
  let lastReadMs = Number.NEGATIVE_INFINITY
  let provenMs = Number.NEGATIVE_INFINITY
  let due: { readonly atMs: number; readonly stop: () => void } | undefined

  /** Reads the feed, at the earliest `leastMs` after the last time, and not at once after a failure. */
  function readSoon(leastMs: number, fromMs = lastReadMs): void {
    if (signal.aborted) return
    if (isReading) {
      isWanted = true
      return
    }
    const pauseMs = failures === 0 ? leastMs : backoff()
    const atMs = Math.max(clock.now(), (failures === 0 ? fromMs : lastReadMs) + pauseMs)
    if (due !== undefined && due.atMs <= atMs) return
    due?.stop()
    due = { atMs, stop: clock.setTimer(begin, Math.max(0, atMs - clock.now())) }
  }

  function backoff(): number {
    const mostMs = Math.min(retryMs.most, retryMs.least * 2 ** failures)
    return mostMs * (0.5 + options.random() / 2)
  }

  function begin(): void {
    due = undefined
    isReading = true
    isWanted = false
    readAll()
      .then(
        () => {
          failures = 0
          // Only now is it known where to begin, and where the topics are.
          if (!signal.aborted) source ??= options.openSource(listener, position)
          ready.resolve()
          stream.proofs += 1
          prove()
          stream.wake()
        },
        error => {
          failures += 1
          // Once for each outage; its end shows in the health.
          if (failures === 1 && !signal.aborted) onError(error)
        },
      )
      .finally(() => {
        isReading = false
        lastReadMs = clock.now()
        if (failures > 0) readSoon(0)
        else if (isWanted || backlog.isBehind) readSoon(askEveryMs)
      })
  }

  /** Reads from the end of the backlog to the head. */
  async function readAll(): Promise<void> {
    for (;;) {
      if (backlog.epoch === undefined) await restart()
      const after = { epoch: backlog.epoch!, seq: backlog.last }
      let page: FeedPage
      try {
        page = await read(after)
      } catch (error) {
        if (!isLockstepError(error, 'position-gone')) throw error
        await restart()
        continue
      }
      stream.append(backlog.takePage(page))
      if (backlog.last < page.to) {
        throw new LockstepError('api-refused', `A page of the feed of ${quote(name)} leads to nothing new.`)
      }
      if (page.to >= page.head) return
    }
  }

  /** Begins where the stream is now, as far back as pages are expected to ask for. */
  async function restart(): Promise<void> {
    const { epoch, head, first } = await read('now')
    const warm = Math.min(options.warmMessages, options.backlog.maxMessages ?? backlogLimits.maxMessages)
    stream.first = first
    stream.restart(epoch, Math.max(first - 1, head - warm, 0))
  }

  async function read(after: Position | 'now'): Promise<FeedPage> {
    counters.feedReads += 1
    const page = await feed.read(after, after === 'now' ? 1 : pageSize, signal)
    stream.first = page.first
    return page
  }

  function prove(): void {
    provenMs = clock.now()
    stream.setSound(true)
  }

  const position = (): Position | undefined =>
    backlog.epoch === undefined ? undefined : { epoch: backlog.epoch, seq: backlog.last }

  const listener: SourceListener = {
    onEntry(epoch, entry) {
      if (epoch !== backlog.epoch) {
        readSoon(askEveryMs)
        return
      }
      stream.append(backlog.hear(epoch, entry))
      if (backlog.isBehind) readSoon(backlog.ahead < 100 ? holeWaitMs : 0, clock.now())
    },
    onHead(epoch, seq, proves) {
      backlog.hint(epoch, seq)
      if (epoch !== backlog.epoch) readSoon(askEveryMs)
      else if (backlog.isBehind) readSoon(holeWaitMs, clock.now())
      else if (proves && seq === backlog.last) prove()
    },
    // Something may have been published in between.
    onUp: () => readSoon(0),
    onDown: () => readSoon(askEveryMs),
    onError,
  }
  let source: HeardSource | undefined
  readSoon(0)

  return {
    stream,
    ready: ready.promise,
    tick() {
      const silentMs = clock.now() - provenMs
      // Two heads were missed: the feed says whether that means anything.
      if (silentMs > options.staleAfterMs * 0.7) readSoon(1_000 + 1_000 * options.random())
      if (silentMs > options.staleAfterMs) stream.setSound(false)
      stream.tick()
    },
    close() {
      due?.stop()
      source?.close()
      closing.abort()
    },
  }
}
