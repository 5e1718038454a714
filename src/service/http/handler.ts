/**
 * Routes a request to what answers it. The only place where a path becomes a resource and an error an answer.
 */
import {
  decodeSegment,
  formatPath,
  isLockstepError,
  isReservedSegment,
  isUnder,
  LockstepError,
  type ParsedPath,
  pathToTopic,
  quote,
  requestChannel,
} from '../../contract/index.ts'
import type { Resource } from '../resource.ts'
import { writeBulk } from './bulk.ts'
import {
  type HandlerContext,
  type Methods,
  negotiate,
  type Route,
  resourceAt,
  setMirrorHeaders,
} from './context.ts'
import { findDocument, replyWithDocument } from './documents.ts'
import { type Exchange, jsonType, type Reply, readQuery, replyToError } from './exchange.ts'
import { readFeed } from './feed.ts'
import { replyWithHealth } from './health.ts'
import { acceptPatch } from './operation.ts'
import { readItem, readList } from './read.ts'
import { write } from './write.ts'

const collectionMethods: Methods = { GET: readList, HEAD: readList, POST: write, OPTIONS: replyWithMethods }
const resourceMethods: Methods = {
  GET: readItem,
  HEAD: readItem,
  PUT: write,
  PATCH: write,
  DELETE: write,
  OPTIONS: replyWithMethods,
}
const readListMethods: Methods = { GET: readList, HEAD: readList, OPTIONS: replyWithMethods }
const readItemMethods: Methods = { GET: readItem, HEAD: readItem, OPTIONS: replyWithMethods }
const feedMethods: Methods = { GET: readFeed, HEAD: readFeed, OPTIONS: replyWithMethods }

const bulkMethods: Methods = { POST: writeBulk, OPTIONS: replyWithMethods }

/** What stands behind the path of a collection. */
const suffixes = new Map([
  [feedMethods, '/_changes'],
  [bulkMethods, '/_bulk'],
])

/** Answers one request. Never rejects. */
export function handle(context: HandlerContext, exchange: Exchange): Promise<Reply> {
  return requestChannel.hasSubscribers ? answerAndTell(context, exchange) : answer(context, exchange)
}

/** What becomes known of a request that is told of. */
interface Notes {
  route: string
  error: unknown
}

async function answerAndTell(context: HandlerContext, exchange: Exchange): Promise<Reply> {
  const notes: Notes = { route: '', error: undefined }
  const beginMs = performance.now()
  const reply = await answer(context, exchange, notes)
  const { method, path } = exchange
  const { error, route } = notes
  requestChannel.publish({
    method,
    route,
    path,
    status: reply.status,
    code: error === undefined ? undefined : isLockstepError(error) ? error.code : 'internal',
    durationMs: performance.now() - beginMs,
    cause: reply.headers['x-request-id'],
  })
  return reply
}

async function answer(context: HandlerContext, exchange: Exchange, notes?: Notes): Promise<Reply> {
  const headers: Record<string, string> = {}
  try {
    if (!owns(context, exchange.path)) throw notFound(context, exchange)
    const below = exchange.path.slice(context.root.length)
    if (below === '' || below === '/') {
      if (notes !== undefined) notes.route = '/'
      return replyWithIndex(context, exchange, headers)
    }
    if (below === '/health' && context.readHealth !== undefined) {
      if (notes !== undefined) notes.route = below
      return await replyWithHealth(context.readHealth, exchange, headers)
    }
    const document = findDocument(below)
    if (document !== undefined && context.documents !== undefined) {
      if (notes !== undefined) notes.route = below
      return replyWithDocument(context.documents, document, exchange, headers)
    }
    const found = findTarget(context, exchange, below)
    if (notes !== undefined) notes.route = describeRoute(found)
    const { target, methods } = found
    const route: Route = { context, exchange, ...found, headers }
    setMirrorHeaders(route)
    const allowed = listMethods(found)
    const handler = allowed.includes(exchange.method) ? methods[exchange.method] : undefined
    if (handler === undefined) {
      headers['allow'] = allowed.join(', ')
      throw new LockstepError(
        'method-not-allowed',
        `${quote(exchange.method)} is not allowed on ${target.path}${suffixes.get(methods) ?? ''}. Allowed: ${headers['allow']}.`,
      )
    }
    return await handler(route)
  } catch (error) {
    if (notes !== undefined) notes.error = error
    return replyToError(error, headers, reason => context.onError(reason, { stage: 'request' }))
  }
}

/** The path with names for its ids. */
function describeRoute({ target, resource, methods }: Found): string {
  const ending = suffixes.get(methods) ?? (target.kind === 'resource' ? '/{id}' : '')
  return `/${resource.template}${ending}`
}

/** Is the raw path the API root, or below it? */
export function owns({ root }: { readonly root: string }, path: string): boolean {
  return isUnder(path, root)
}

interface Found {
  readonly target: ParsedPath
  readonly resource: Resource<object>
  readonly methods: Methods
}

function findTarget(context: HandlerContext, exchange: Exchange, below: string): Found {
  const segments = below.slice(1).split('/').map(decodeSegment)
  const isFeed = segments.length === 2 && segments[1] === '_changes'
  const isBulk = context.bulk !== undefined && segments.length % 2 === 0 && segments.at(-1) === '_bulk'
  const place = isFeed || isBulk ? segments.slice(0, -1) : segments
  if (place.some(isReservedSegment)) throw notFound(context, exchange)
  const target = formatPath(place)
  // Of the canonical path: a decoded segment may hold a slash and would then be taken for two.
  const resource = resourceAt(context, target.path)
  if (resource === undefined) throw notFound(context, exchange)
  if (isFeed) return { target, resource, methods: feedMethods }
  if (isBulk) return { target, resource, methods: bulkMethods }
  const [ofCollection, ofResource] = context.readOnly
    ? [readListMethods, readItemMethods]
    : [collectionMethods, resourceMethods]
  return { target, resource, methods: target.kind === 'collection' ? ofCollection : ofResource }
}

function notFound({ root, routes }: HandlerContext, exchange: Exchange): LockstepError {
  // Paths begin at the root in every message.
  const isBelow = owns({ root }, exchange.path)
  const shown = quote(isBelow ? exchange.path.slice(root.length) : exchange.path, 200)
  const where = root === '' ? '' : isBelow ? ` below ${root}` : `, outside of ${root}`
  const known = [...routes.values()].map(({ template }) => `/${template}`).join(', ')
  return new LockstepError('not-found', `There is nothing at ${shown}${where}. This API has: ${known}.`)
}

/** What is here, for whoever looks at the root first. */
function replyWithIndex(context: HandlerContext, exchange: Exchange, headers: Record<string, string>): Reply {
  const { method } = exchange
  if (method !== 'GET' && method !== 'HEAD') {
    headers['allow'] = 'GET, HEAD, OPTIONS'
    if (method === 'OPTIONS') return { status: 204, headers }
    throw new LockstepError(
      'method-not-allowed',
      `${quote(method)} is not allowed on the API's root. Allowed: ${headers['allow']}.`,
    )
  }
  negotiate(exchange, ['application/json'])
  readQuery(exchange.query, [])
  const resources = [...context.routes.values()].map(({ template }) => ({
    path: `${context.root}/${template}`,
    topics:
      context.topicPrefix === undefined
        ? undefined
        : pathToTopic(`/${template.replaceAll(/\{[^}]*\}/g, '+')}/#`, context.topicPrefix),
    changes: `${context.root}/${template.split('/', 1)[0]}/_changes`,
  }))
  headers['content-type'] = jsonType
  return { status: 200, headers, body: `${JSON.stringify({ resources }, null, 2)}\n` }
}

/** What is allowed there, to whom it is answered. */
function listMethods({
  methods,
  resource: { limits },
}: Pick<Found, 'methods' | 'resource'>): readonly string[] {
  const names = Object.keys(methods)
  if (limits === undefined) return names
  return names.filter(name => {
    if (name === 'OPTIONS') return true
    // Each of a bulk's operations is judged by itself.
    if (methods === bulkMethods)
      return ['POST', 'PUT', 'PATCH', 'DELETE'].some(each => limits.methods.has(each))
    return limits.methods.has(name === 'HEAD' ? 'GET' : name)
  })
}

async function replyWithMethods(route: Route): Promise<Reply> {
  const { methods, headers } = route
  const allowed = listMethods(route)
  headers['allow'] = allowed.join(', ')
  if (methods === resourceMethods && allowed.includes('PATCH')) headers['accept-patch'] = acceptPatch
  return { status: 204, headers }
}
