/**
 * The feed as an event stream: every change as an event, in order, and heads that prove that nothing is missing.
 *
 * It keeps no queue: a reader that is slow is not read for, and goes on from the log where it was. PROTOCOL.md §5.9.
 */
import { formatHead, formatPosition, isLockstepError } from '../../contract/index.ts'
import type { HandlerContext, Route } from './context.ts'
import type { EventStreams } from './event-streams.ts'
import type { Reply } from './exchange.ts'
import { type FeedPage, type FeedRequest, readPage } from './feed-page.ts'

/** Begins the stream behind its first page. Errors: `too-many-followers`. */
export function openEventStream(route: Route, request: FeedRequest, first: FeedPage): Reply {
  const { context, exchange, headers } = route
  headers['content-type'] = 'text/event-stream; charset=utf-8'
  headers['cache-control'] = 'no-store'
  // Otherwise nginx and its like would hold events back until a buffer is full.
  headers['x-accel-buffering'] = 'no'
  if (exchange.method === 'HEAD') return { status: 200, headers }
  const leave = context.eventStreams.open()
  const cutting = new AbortController()
  const signal = AbortSignal.any([exchange.signal, context.closing, cutting.signal])
  const release = (): void => {
    leave()
    // A combined signal with a listener is kept as long as the service's own, long after its stream.
    signal.removeEventListener('abort', release)
  }
  // A stream whose reader is gone before it asked for anything ends by the signal only.
  if (signal.aborted) release()
  else signal.addEventListener('abort', release)
  const parts = streamEvents(context, request, first, signal, release)
  const cut = (reason: Error): void => cutting.abort(reason)
  return { status: 200, headers, body: countUnread(context.eventStreams, parts, cut), cut: cutting.signal }
}

/** Counts each part from when it is given out until the next one is asked for. */
async function* countUnread(
  streams: EventStreams,
  parts: AsyncGenerator<string>,
  cut: (reason: Error) => void,
): AsyncGenerator<string> {
  for await (const part of parts) {
    const release = streams.hold(part.length, cut)
    try {
      yield part
    } finally {
      release()
    }
  }
}

async function* streamEvents(
  context: HandlerContext,
  request: FeedRequest,
  first: FeedPage,
  signal: AbortSignal,
  release: () => void,
): AsyncGenerator<string> {
  const { stream, epoch } = request.after
  let page = first
  let headDueAt = 0
  let events = 'retry: 2000\n\n'
  try {
    while (!signal.aborted) {
      const { head, to, messages, commits } = page
      for (const { seq, text } of messages)
        events += `id: ${formatPosition({ stream, epoch, seq })}\ndata: ${text}\n\n`
      const isCurrent = to >= head.seq
      if (isCurrent && performance.now() >= headDueAt) {
        headDueAt = performance.now() + context.headEveryMs
        const time = new Date(context.now()).toISOString()
        events += `event: head\nid: ${formatPosition({ stream, epoch, seq: to })}\ndata: ${formatHead({ ...head, time })}\n\n`
      }
      if (events !== '') yield events
      events = ''
      if (isCurrent) {
        const untilHeadMs = Math.max(1, headDueAt - performance.now())
        await context.watch.moved(stream, commits, untilHeadMs, signal)
      }
      if (signal.aborted) return
      page = await readPage(context, { ...request, after: { stream, epoch, seq: to }, shared: true }, signal)
    }
  } catch (error) {
    if (isLockstepError(error, 'position-gone')) {
      yield `event: gone\ndata: ${JSON.stringify(error.extra)}\n\n`
      return
    }
    if (signal.aborted) return
    context.onError(error, { stage: 'feed' })
    throw error
  } finally {
    release()
  }
}
