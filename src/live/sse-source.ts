/**
 * The feed as an event stream: a source of one stream where there is no broker.
 *
 * It opens its connection again by itself, from wherever the backlog is by then. PROTOCOL.md §5.9.
 */
import { createParser, type EventSourceMessage } from 'eventsource-parser'
import { isLockstepError, LockstepError, parseHead, parseMessage, parsePosition } from '../contract/index.ts'
import type { Clock } from './clock.ts'
import type { Feed } from './feed.ts'
import { type HeardSource, type SourceListener, toEntry } from './source.ts'

/** The longest event; a message in the feed is never cut. */
const maxEventChars = 64 * 1024 * 1024
const retryMs = { least: 500, most: 10_000 }

export interface SseSourceOptions {
  readonly stream: string
  readonly feed: Feed
  /** Where to begin; `undefined` where the bridge does not know yet. */
  readonly position: () => { readonly epoch: string; readonly seq: number } | undefined
  /** A connection that has said nothing for so long is dead, and opened again: the API tells a head every few seconds. */
  readonly silenceMs: number
  readonly clock: Clock
  readonly random: () => number
}

export function openSseSource(options: SseSourceOptions, listener: SourceListener): HeardSource {
  const { stream, feed, position, silenceMs, clock, random } = options
  const closing = new AbortController()
  let failures = 0
  let stopTimer: (() => void) | undefined
  let stopDoubt: (() => void) | undefined

  function hear({ event, data }: EventSourceMessage): void {
    failures = 0
    if (event === 'head') {
      const head = parseHead(data)
      if (head.stream === stream) listener.onHead(head.epoch, head.seq, true)
      return
    }
    if (event !== undefined && event !== 'message') return
    const message = parseMessage(data)
    if (message === undefined) return
    const { epoch, seq } = parsePosition(message.id)
    listener.onEntry(epoch, toEntry(seq, message, data))
  }

  async function run(): Promise<void> {
    const after = position()
    if (after === undefined) return
    const parser = createParser({
      maxBufferSize: maxEventChars,
      onEvent: hear,
      onError(error) {
        throw error
      },
    })
    const silence = new AbortController()
    const doubt = (): void => {
      stopDoubt?.()
      stopDoubt = clock.setTimer(() => silence.abort(silent(stream, silenceMs)), silenceMs)
    }
    const chunks = await feed.openEvents(after, AbortSignal.any([closing.signal, silence.signal]))
    if (closing.signal.aborted) return
    listener.onUp()
    doubt()
    for await (const chunk of chunks) {
      if (closing.signal.aborted) return
      doubt()
      parser.feed(chunk)
    }
  }

  const cycle = (): void => {
    run()
      .catch(error => {
        // Both are found by the feed too, which decides what becomes of it.
        const isKnown = isLockstepError(error, 'position-gone') || isLockstepError(error, 'position-ahead')
        if (!closing.signal.aborted && !isKnown && failures === 0) listener.onError(error)
      })
      .finally(() => {
        stopDoubt?.()
        if (closing.signal.aborted) return
        listener.onDown()
        const mostMs = Math.min(retryMs.most, retryMs.least * 2 ** failures++)
        stopTimer = clock.setTimer(cycle, mostMs * (0.5 + random() / 2))
      })
  }
  cycle()
  return {
    close() {
      stopTimer?.()
      stopDoubt?.()
      closing.abort()
    },
  }
}

function silent(stream: string, ms: number): LockstepError {
  return new LockstepError('timeout', `The event stream of ${stream} said nothing for ${ms / 1_000} s.`)
}
