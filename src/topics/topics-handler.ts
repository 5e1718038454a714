/**
 * Routes a request below the root to what answers it. The only place where a URL becomes a topic and an error an answer.
 *
 * GET shows a last value, or a list of them for a filter; PUT sets it, POST sends a message, DELETE takes it away. PROTOCOL.md §16.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import Negotiator from 'negotiator'
import { LockstepError, quote, type ReportError } from '../contract/index.ts'
import { type Answer, problemAnswer, sendAnswer } from './answer.ts'
import { openEventStream } from './event-stream.ts'
import { renderList, renderTopic } from './page.ts'
import { pageHeaders, readAsset } from './page-assets.ts'
import { readPayload } from './payload.ts'
import { checkOrigin, checkPublish, checkRead, corsHeaders, mayRead, type TopicRights } from './rights.ts'
import type { StreamTable } from './stream-table.ts'
import type { TopicHub } from './topic-hub.ts'
import { formatTopicUrl, parseTopicTarget, type TopicTarget } from './topic-target.ts'
import type { TopicsSettings } from './topics-options.ts'
import { formatEntry, kindOf, represent, tagOf, type ValueKind } from './value.ts'

export interface TopicsContext {
  readonly settings: TopicsSettings
  readonly hub: TopicHub
  readonly streams: StreamTable
  readonly report: ReportError
}

/** A request that was let in. */
interface Visit {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly target: TopicTarget
  readonly query: URLSearchParams
  readonly rights: TopicRights
  readonly headers: Readonly<Record<string, string>>
}

const allowed = 'GET, HEAD, PUT, POST, DELETE, OPTIONS'
const pageSize = 100
const mostListed = 1_000

/** Answers one request below the root. Never rejects. */
export async function answerTopics(
  context: TopicsContext,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const headers = corsHeaders(request, context.settings.origins)
  try {
    const answer = await findAnswer(context, request, response, headers)
    if (answer !== undefined)
      sendAnswer(request, response, { ...answer, headers: { ...headers, ...answer.headers } })
  } catch (error) {
    // Its sender has gone, and so has what could be answered.
    if (request.destroyed && !request.complete) return
    const challenge = { 'www-authenticate': context.settings.challenge }
    const isUnknown = error instanceof LockstepError && error.code === 'invalid-credentials'
    const problem = problemAnswer(error, isUnknown ? { ...headers, ...challenge } : headers, reason =>
      context.report(reason, { stage: 'topics request' }),
    )
    if (!response.headersSent) sendAnswer(request, response, problem)
    else response.destroy()
  }
}

async function findAnswer(
  context: TopicsContext,
  request: IncomingMessage,
  response: ServerResponse,
  headers: Readonly<Record<string, string>>,
): Promise<Answer | undefined> {
  const { root } = context.settings
  if (context.hub.isClosed) throw new LockstepError('closed', 'The view of topics is closed.')
  const { encoded, query } = splitUrl(request.url ?? '/', root)
  if (request.method === 'OPTIONS')
    return { status: 204, headers: { allow: allowed, ...preflight(context, request) } }
  const rights = await askAccess(context.settings, request)
  if (encoded === '' && query.has('asset')) return readAsset(request, query.get('asset') ?? '')
  const wanted = query.get('filter')
  // What the form of the pages asks for.
  if (encoded === '' && wanted !== null && wanted !== '')
    return { status: 303, headers: { location: formatTopicUrl(root, wanted) } }
  // The root is the list of all.
  const target = encoded === '' ? { topic: '#', isFilter: true } : parseTopicTarget(encoded)
  const visit: Visit = { request, response, target, query, rights, headers }
  if (request.method === 'GET' || request.method === 'HEAD') return read(context, visit)
  checkOrigin(request, context.settings.origins)
  if (request.method === 'PUT' || request.method === 'POST') return await publish(context, visit)
  if (request.method === 'DELETE') return await remove(context, visit)
  throw new LockstepError(
    'method-not-allowed',
    `${quote(request.method)} is not allowed here. Allowed: ${allowed}.`,
  )
}

/** What stands behind the root, without its slash. */
export function splitUrl(
  url: string,
  root: string,
): { readonly encoded: string; readonly query: URLSearchParams } {
  const mark = url.indexOf('?')
  const path = mark === -1 ? url : url.slice(0, mark)
  return {
    encoded: path.slice(root.length + 1),
    query: new URLSearchParams(mark === -1 ? '' : url.slice(mark + 1)),
  }
}

/** Errors: `invalid-credentials`, `access-denied` where nothing at all is allowed. */
export async function askAccess({ access }: TopicsSettings, request: IncomingMessage): Promise<TopicRights> {
  const rights = await access(request)
  if (rights !== undefined) return rights
  throw new LockstepError('invalid-credentials', 'It is not known who you are. Send your credentials.')
}

function preflight({ settings }: TopicsContext, request: IncomingMessage): Record<string, string> {
  if (corsHeaders(request, settings.origins)['access-control-allow-origin'] === undefined) return {}
  return {
    'access-control-allow-methods': allowed,
    'access-control-allow-headers': 'Accept, Authorization, Content-Type, If-None-Match',
    'access-control-max-age': '600',
  }
}

function read(context: TopicsContext, visit: Visit): Answer | undefined {
  const { request, target } = visit
  if (wantsEvents(request)) return stream(context, visit)
  if (target.isFilter) return list(context, visit)
  return readTopic(context, visit, target.topic)
}

function wantsEvents({ headers }: IncomingMessage): boolean {
  const wish = new Negotiator({ headers }).mediaType(['application/json', 'text/html', 'text/event-stream'])
  return wish === 'text/event-stream'
}

/** Best first for each kind; what a client takes any of is shown as what it is. */
const offers: Readonly<Record<ValueKind, readonly (readonly [type: string, kind: ValueKind | 'html'])[]>> = {
  json: [
    ['application/json', 'json'],
    ['text/plain', 'text'],
    ['application/octet-stream', 'binary'],
    ['text/html', 'html'],
  ],
  text: [
    ['text/plain', 'text'],
    ['application/json', 'json'],
    ['application/octet-stream', 'binary'],
    ['text/html', 'html'],
  ],
  binary: [
    ['application/octet-stream', 'binary'],
    ['text/html', 'html'],
  ],
}

function readTopic(
  { settings, hub }: TopicsContext,
  { request, target, rights }: Visit,
  topic: string,
): Answer {
  checkRead(rights, topic)
  const value = hub.shows(topic) ? hub.values.read(topic) : undefined
  const known = offers[value === undefined ? 'json' : kindOf(value.bytes)]
  const wish = new Negotiator({ headers: request.headers }).mediaType(known.map(([type]) => type))
  const as = known.find(([type]) => type === wish)?.[1]
  if (as === 'html') {
    const page = renderTopic({ root: settings.root, topic: target.topic, value })
    return { status: value === undefined ? 404 : 200, headers: pageHeaders, body: page }
  }
  if (value === undefined)
    throw new LockstepError(
      'not-found',
      `Nothing is known of the topic ${quote(topic)}: nothing has come on it yet.`,
    )
  const shown = as === undefined ? undefined : represent(value.bytes, as)
  if (shown === undefined) {
    const types = known.map(([type]) => type).join(', ')
    throw new LockstepError(
      'not-acceptable',
      `The value of ${quote(topic)} can be had as ${types}. Ask for one of them.`,
    )
  }
  const etag = tagOf(shown)
  const headers = {
    etag,
    vary: 'Accept, Origin',
    'cache-control': 'no-cache',
    'last-modified': new Date(value.timeMs).toUTCString(),
    // Whoever opens it in a browser must not run what anyone has published.
    'content-security-policy': "default-src 'none'; sandbox",
  }
  if (request.headers['if-none-match'] === etag) return { status: 304, headers }
  return { status: 200, headers: { ...headers, 'content-type': shown.type }, body: shown.body }
}

function list({ settings, hub }: TopicsContext, { request, target, query, rights }: Visit): Answer {
  const filter = target.topic
  const limit = readLimit(query.get('limit'))
  const found = hub.values.list({ filter, after: query.get('after') ?? '', limit: limit + 1 })
  const rows = found.slice(0, limit)
  const visible = rows.filter(({ topic }) => hub.shows(topic) && mayRead(rights, topic))
  const after = found.length > limit ? rows.at(-1)?.topic : undefined
  const next =
    after === undefined
      ? undefined
      : `${formatTopicUrl(settings.root, filter)}?limit=${limit}&after=${encodeURIComponent(after)}`
  const links: Record<string, string> = next === undefined ? {} : { link: `<${next}>; rel="next"` }
  const headers = { ...links, vary: 'Accept, Origin', 'cache-control': 'no-store' }
  const wish = new Negotiator({ headers: request.headers }).mediaType(['application/json', 'text/html'])
  if (wish === 'text/html') {
    const page = renderList({ root: settings.root, filter, rows: visible, next })
    return { status: 200, headers: { ...headers, ...pageHeaders }, body: page }
  }
  if (wish === undefined)
    throw new LockstepError('not-acceptable', 'A list of topics can be had as application/json or text/html.')
  const body = `[${visible.map(({ topic, ...value }) => formatEntry(topic, value)).join(',\n')}]\n`
  return { status: 200, headers: { ...headers, 'content-type': 'application/json; charset=utf-8' }, body }
}

function readLimit(text: string | null): number {
  const limit = text === null ? pageSize : Number(text)
  if (Number.isInteger(limit) && limit >= 1 && limit <= mostListed) return limit
  throw new LockstepError('invalid-query', `limit is a whole number from 1 to ${mostListed}.`)
}

/** The stream answers by itself. */
function stream(
  context: TopicsContext,
  { request, response, target, query, rights, headers }: Visit,
): undefined {
  const { topic: filter, isFilter } = target
  if (!isFilter) checkRead(rights, filter)
  context.streams.checkRoom()
  const withLast = query.get('last') !== 'false'
  const sink = openEventStream(request, response, headers)
  if (request.method === 'HEAD') {
    response.end()
    return
  }
  const opened = context.streams.open({ request, filter, rights, sink, withLast })
  response.once('close', () => opened.gone())
}

async function publish({ settings, hub }: TopicsContext, visit: Visit): Promise<Answer> {
  const { request, query } = visit
  const topic = checkWritable(visit)
  const { bytes, isForm, retain } = await readPayload(request, query, settings.limits.maxBodyBytes)
  await hub.publish(topic, bytes, retain ?? request.method === 'PUT')
  const location = formatTopicUrl(settings.root, topic)
  return { status: isForm ? 303 : 204, headers: { location } }
}

async function remove({ hub }: TopicsContext, visit: Visit): Promise<Answer> {
  await hub.publish(checkWritable(visit), new Uint8Array(), true)
  return { status: 204 }
}

/** Errors: `invalid-topic`, `access-denied`, `precondition-failed`. */
function checkWritable({ request, target, rights }: Visit): string {
  const { topic, isFilter } = target
  if (isFilter)
    throw new LockstepError(
      'invalid-topic',
      `${quote(topic)} is a filter. Publish to one topic, without "+" and "#".`,
    )
  checkPublish(rights, topic)
  const { 'if-match': ifMatch, 'if-none-match': ifNoneMatch } = request.headers
  if (ifMatch !== undefined || ifNoneMatch !== undefined) {
    throw new LockstepError(
      'precondition-failed',
      'Nothing can be published on a condition: a broker does not know any. Leave If-Match and If-None-Match out.',
    )
  }
  return topic
}
