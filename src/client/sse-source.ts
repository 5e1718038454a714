/**
 * The feed as an event stream: a source that tells everything in order, and so proves intervals.
 *
 * It is one connection: it ends with it, and the follower decides when to open the next one and from where.
 * PROTOCOL.md §5.9.
 */
import { createParser, type EventSourceMessage } from 'eventsource-parser'
import { isLockstepError, LockstepError, parseHead, parseMessage, parsePosition } from '../contract/index.ts'
import type { Api } from './api.ts'
import type { NumberedMessage } from './follower-data.ts'
import type { Source, SourceListener, SourceRequest } from './source.ts'

/** The longest event; a message in the feed is never cut. */
const maxEventChars = 64 * 1024 * 1024

export interface SseSourceOptions extends SourceRequest {
  readonly api: Api
}

export function openSseSource(options: SseSourceOptions, listener: SourceListener): Source {
  const { api, target } = options
  const closing = new AbortController()
  const after = options.after
  if (after === undefined) throw new LockstepError('internal', 'An event stream is opened after a position.')

  async function run(epoch: string, startSeq: number): Promise<void> {
    const chunks = await api.openEvents(target, { epoch, seq: startSeq }, closing.signal)
    listener.onUp()
    const reader = createEventReader(epoch, startSeq, listener)
    for await (const chunk of chunks) if (!closing.signal.aborted) reader.read(chunk)
  }

  run(after.epoch, after.seq).then(
    () => {
      if (!closing.signal.aborted) listener.onDown()
    },
    error => {
      if (closing.signal.aborted) return
      if (isLockstepError(error, 'position-gone')) {
        listener.onGone()
        return
      }
      if (!isLockstepError(error, 'position-ahead')) listener.onError(error)
      listener.onDown()
    },
  )

  return { hearCreations() {}, close: () => closing.abort() }
}

/** Joins the changes of each chunk into one interval. */
function createEventReader(
  epoch: string,
  startSeq: number,
  listener: SourceListener,
): { read(chunk: string): void } {
  let told = startSeq
  let reached = startSeq
  let changes: NumberedMessage[] = []
  let isGone = false

  function flush(head?: number): void {
    if (changes.length === 0 && head === undefined) return
    const interval = { epoch, after: told, to: reached, head, compact: false, changes }
    told = reached
    changes = []
    listener.onInterval(interval)
  }

  function hear({ event, data }: EventSourceMessage): void {
    if (isGone) return
    if (event === undefined || event === 'message') {
      const message = parseMessage(data)
      if (message === undefined) return
      const position = parsePosition(message.id)
      reached = position.seq
      changes.push({ epoch: position.epoch, seq: position.seq, message })
    } else if (event === 'head') {
      reached = parseHead(data).seq
      flush(reached)
    } else if (event === 'gone') {
      isGone = true
      flush()
      listener.onGone()
    }
  }

  const parser = createParser({
    maxBufferSize: maxEventChars,
    onEvent: hear,
    onError(error) {
      throw error
    },
  })
  return {
    read(chunk) {
      parser.feed(chunk)
      flush()
    },
  }
}
