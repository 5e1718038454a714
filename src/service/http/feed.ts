/**
 * The feed: the change log over HTTP, as JSON pages and as an event stream. PROTOCOL.md §5.
 *
 * Each page is read in one snapshot and says which interval it covers. A position that cannot be proven is
 * refused, never rounded.
 */
import {
  comparePositions,
  completeMessage,
  formatHead,
  formatMarker,
  formatOpenMessage,
  formatPosition,
  type Head,
  LockstepError,
  type Position,
  parsePath,
  parsePositionIn,
} from '../../contract/index.ts'
import { markerOf, negotiate, type Route, setMarker } from './context.ts'
import { jsonType, type Reply, readCount, readFlag, readQuery } from './exchange.ts'

const maxFeedLimit = 10_000
/** How long a reader that is ahead of this instance waits for it. */
const aheadWaitMs = 1_000

interface FeedRequest {
  readonly after: Position
  readonly limit: number
  readonly compact: boolean
  /** Only changes of this path and below. */
  readonly under: string | undefined
}

/** What one page gives, from one snapshot. `messages` are JSON texts with the number of each. */
interface FeedPage {
  readonly head: Head
  readonly to: number
  readonly messages: readonly { seq: number; text: string }[]
}

export async function readFeed(route: Route): Promise<Reply> {
  const { context, exchange, target } = route
  const mediaType = negotiate(exchange, ['application/json', 'text/event-stream'])
  const isStream = mediaType === 'text/event-stream'
  const query = readQuery(exchange.query, ['after', 'limit', 'under', 'compact'])
  const compact = readFlag('compact', query.compact)
  const limit = readCount('limit', query.limit, { fallback: 500, max: maxFeedLimit })
  const under = readUnder(target.stream, query.under)
  const head = await context.log.head(target.stream)
  const from = (isStream ? exchange.header('last-event-id') : undefined) ?? query.after
  const after = readAfter(head, from ?? (isStream ? 'now' : 'earliest'))
  const request: FeedRequest = { after, limit, compact, under }
  const page = await readPage(route, request)
  return isStream
    ? streamFeed(route, request, page)
    : replyWithPage(route, request, page, from?.includes(':') ?? false)
}

function readAfter(head: Head, text: string): Position {
  const { stream, epoch } = head
  if (text === 'now') return { stream, epoch, seq: head.seq }
  if (text === 'earliest') return { stream, epoch, seq: head.first - 1 }
  return parsePositionIn(stream, text)
}

function readUnder(stream: string, text: string | undefined): string | undefined {
  if (text === undefined) return undefined
  const under = parsePath(text)
  if (under.stream !== stream) {
    throw new LockstepError('invalid-query', `under=${under.path} is not below /${stream}.`)
  }
  return under.path === `/${stream}` ? undefined : under.path
}

/** Reads a page; waits a moment for a position that is ahead. Errors: `position-gone`, `position-ahead`. */
async function readPage(route: Route, request: FeedRequest): Promise<FeedPage> {
  const { context, exchange } = route
  const { after } = request
  const deadline = performance.now() + aheadWaitMs
  for (;;) {
    const page = request.compact ? await readCompactPage(route, request) : await readFullPage(route, request)
    setMarker(route, markerOf(page.head))
    if (after.epoch !== page.head.epoch || after.seq < page.head.first - 1)
      throw positionGone(after, page.head)
    if (comparePositions(after, markerOf(page.head)[0]!) !== 'after') return page
    const leftMs = deadline - performance.now()
    if (leftMs <= 0 || exchange.signal.aborted) {
      throw new LockstepError(
        'position-ahead',
        `${formatPosition(after)} is ahead of this service, which is at ${page.head.seq}. Try again shortly.`,
      )
    }
    await context.watch.moved(page.head, leftMs, exchange.signal)
  }
}

function positionGone(after: Position, head: Head): LockstepError {
  const marker = formatMarker(markerOf(head))
  return new LockstepError(
    'position-gone',
    `The changes after ${formatPosition(after)} are no longer held. GET the resources anew; the stream is at ${marker}.`,
    { extra: { marker } },
  )
}

async function readFullPage(
  { context, target }: Route,
  { after, limit, under }: FeedRequest,
): Promise<FeedPage> {
  const { head, to, changes } = await context.log.readChanges(target.stream, {
    after: after.seq,
    limit,
    under,
  })
  return { head, to, messages: changes.map(({ seq, messageText }) => ({ seq, text: messageText })) }
}

async function readCompactPage(
  { context, target }: Route,
  { after, limit, under }: FeedRequest,
): Promise<FeedPage> {
  const { head, to, latest } = await context.log.readLatest(target.stream, { after: after.seq, limit, under })
  const time = new Date(context.now()).toISOString()
  const messages = latest.map(({ path, seq, version, stateText }) => {
    const event = stateText === undefined ? 'deleted' : version === 1 ? 'created' : 'modified'
    const openText = formatOpenMessage({ event, resource: path, version, time, stateText })
    return { seq, text: completeMessage(openText, { stream: head.stream, epoch: head.epoch, seq }) }
  })
  return { head, to, messages }
}

function replyWithPage({ headers }: Route, request: FeedRequest, page: FeedPage, isPinned: boolean): Reply {
  const { head, to, messages } = page
  headers['content-type'] = jsonType
  // What lies between two fixed positions never changes; the newest page grows, and a compact one shrinks.
  const isImmutable = isPinned && !request.compact && to < head.seq
  headers['cache-control'] = isImmutable ? 'max-age=86400, immutable' : 'no-store'
  const fields = `"stream":"${head.stream}","epoch":"${head.epoch}","after":${request.after.seq},"to":${to},"head":${head.seq},"first":${head.first}`
  const changes = messages.length === 0 ? '[]' : `[\n${messages.map(({ text }) => text).join(',\n')}\n]`
  return { status: 200, headers, body: `{${fields},"changes":${changes}}\n` }
}

function streamFeed(route: Route, request: FeedRequest, first: FeedPage): Reply {
  const { context, headers } = route
  if (context.eventStreams >= context.maxEventStreams) {
    throw new LockstepError(
      'too-many-followers',
      `${context.maxEventStreams} event streams are open, which is the limit. Try again later.`,
    )
  }
  headers['content-type'] = 'text/event-stream; charset=utf-8'
  headers['cache-control'] = 'no-store'
  // Otherwise nginx and its like would hold events back until a buffer is full.
  headers['x-accel-buffering'] = 'no'
  return { status: 200, headers, body: streamEvents(route, request, first) }
}

/** Events in order; a `head` event at the start and every few seconds, always after the changes that it covers. */
async function* streamEvents(route: Route, request: FeedRequest, first: FeedPage): AsyncGenerator<string> {
  const { context, exchange } = route
  const signal = AbortSignal.any([exchange.signal, context.closing])
  context.eventStreams++
  try {
    let page = first
    let after = request.after
    let headDueAt = 0
    yield 'retry: 2000\n\n'
    while (!signal.aborted) {
      const { head, to, messages } = page
      after = { ...after, seq: to }
      let events = ''
      for (const { seq, text } of messages)
        events += `id: ${formatPosition({ ...after, seq })}\ndata: ${text}\n\n`
      const isCurrent = to >= head.seq
      if (isCurrent && performance.now() >= headDueAt) {
        headDueAt = performance.now() + context.headEveryMs
        const time = new Date(context.now()).toISOString()
        events += `event: head\nid: ${formatPosition(after)}\ndata: ${formatHead({ ...head, time })}\n\n`
      }
      if (events !== '') yield events
      if (isCurrent) await context.watch.moved(head, Math.max(1, headDueAt - performance.now()), signal)
      if (signal.aborted) return
      page = await readPage(route, { ...request, after })
    }
  } catch (error) {
    if (error instanceof LockstepError && error.code === 'position-gone') {
      yield `event: gone\ndata: ${JSON.stringify(error.extra)}\n\n`
      return
    }
    context.onError(error, { stage: 'feed' })
    throw error
  } finally {
    context.eventStreams--
  }
}
