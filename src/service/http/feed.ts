/**
 * The feed: the change log over HTTP, as JSON pages; as an event stream in event-stream.ts. PROTOCOL.md §5.
 */
import {
  type Head,
  isLockstepError,
  LockstepError,
  type Position,
  parseMarker,
  parsePath,
  parsePositionIn,
  quote,
} from '../../contract/index.ts'
import { type HandlerContext, negotiate, type Route, resourceAt, setMarker } from './context.ts'
import { openEventStream } from './event-stream.ts'
import { jsonType, type Reply, readCount, readFlag, readQuery } from './exchange.ts'
import { type FeedPage, type FeedRequest, readPage } from './feed-page.ts'

const maxFeedLimit = 10_000
/** What an event stream sends at once, in characters: what a slow reader keeps in memory. */
const maxEventChars = 262_144

export async function readFeed(route: Route): Promise<Reply> {
  const { context, exchange, target, headers } = route
  const { stream } = target
  headers['vary'] = 'Accept'
  const isStream = negotiate(exchange, ['application/json', 'text/event-stream']) === 'text/event-stream'
  const query = readQuery(exchange.query, ['after', 'limit', 'under', 'compact'])
  const compact = readFlag('compact', query.compact)
  const limit = readCount('limit', query.limit, { fallback: 500, max: maxFeedLimit })
  const under = readUnder(context, stream, query.under)
  const maxChars = isStream ? maxEventChars : undefined
  const from =
    (isStream && exchange.header('last-event-id')) || query.after || (isStream ? 'now' : 'earliest')
  const isPinned = from !== 'now' && from !== 'earliest'
  for (;;) {
    const after = isPinned ? parsePositionIn(stream, from) : resolve(from, await context.log.head(stream))
    const request: FeedRequest = { after, limit, maxChars, under, compact }
    try {
      const page = await readPage(context, request, exchange.signal)
      setMarker(route, [{ stream, epoch: page.head.epoch, seq: page.to }])
      return isStream
        ? openEventStream(route, request, page)
        : replyWithPage(route, request, page, isPinned && !compact)
    } catch (error) {
      if (!isLockstepError(error, 'position-gone')) throw error
      // Changes were pruned between the two reads: what is the earliest now?
      if (!isPinned) continue
      setMarker(route, parseMarker(error.extra['marker'] as string))
      throw error
    }
  }
}

function resolve(from: 'now' | 'earliest', { stream, epoch, seq, first }: Head): Position {
  return { stream, epoch, seq: from === 'now' ? seq : first - 1 }
}

/** Errors: `invalid-path`, `invalid-query`, `not-found` for a place that this API does not have. */
function readUnder(context: HandlerContext, stream: string, text: string | undefined): string | undefined {
  if (text === undefined) return undefined
  const under = parsePath(text)
  if (under.stream !== stream) {
    throw new LockstepError('invalid-query', `under=${under.path} is not below /${stream}.`)
  }
  if (resourceAt(context, under.path) === undefined) {
    const known = [...context.routes.values()].map(({ template }) => `/${template}`)
    throw new LockstepError(
      'not-found',
      `There is nothing at under=${quote(under.path, 200)}. This API has: ${known.join(', ')}.`,
    )
  }
  return under.path === `/${stream}` ? undefined : under.path
}

function replyWithPage({ headers }: Route, request: FeedRequest, page: FeedPage, isFixed: boolean): Reply {
  const { head, to, messages } = page
  headers['content-type'] = jsonType
  // What lies between two fixed positions never changes; the newest page grows, and a compact one shrinks.
  headers['cache-control'] = isFixed && to < head.seq ? 'private, max-age=86400, immutable' : 'no-store'
  const fields = `"stream":"${head.stream}","epoch":"${head.epoch}","after":${request.after.seq},"to":${to},"head":${head.seq},"first":${head.first}`
  const changes = messages.length === 0 ? '[]' : `[\n${messages.map(({ text }) => text).join(',\n')}\n]`
  return { status: 200, headers, body: `{${fields},"changes":${changes}}\n` }
}
