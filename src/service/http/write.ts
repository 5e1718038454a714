/** POST, PUT, PATCH and DELETE: each one transaction, answered when it is durable. PROTOCOL.md §4. */
import {
  formatResourceTag,
  type Json,
  LockstepError,
  parseJson,
  quote,
  satisfiesIfMatch,
  satisfiesIfNoneMatch,
} from '../../contract/index.ts'
import type { LogTransaction } from '../../log/change-log.ts'
import { createRequestId } from '../id.ts'
import {
  createResource,
  type Outcome,
  patchResource,
  putResource,
  removeResource,
  type WriteContext,
} from '../mirror.ts'
import { negotiate, type Route, setMarker } from './context.ts'
import { jsonType, type Reply, readQuery } from './exchange.ts'

export const patchTypes: readonly string[] = ['application/merge-patch+json', 'application/json']

export async function create(route: Route): Promise<Reply> {
  const { target, resource } = route
  const body = await readJsonBody(route, ['application/json'])
  const outcome = await write(route, (tx, context) =>
    createResource(tx, resource, target.path, body, context),
  )
  return replyWithState(route, outcome)
}

export async function put(route: Route): Promise<Reply> {
  const { target, resource } = route
  const body = await readJsonBody(route, ['application/json'])
  const outcome = await write(route, (tx, context) => putResource(tx, resource, target.path, body, context))
  return replyWithState(route, outcome)
}

export async function patch(route: Route): Promise<Reply> {
  const { target, resource } = route
  route.headers['accept-patch'] = patchTypes.join(', ')
  const body = await readJsonBody(route, patchTypes)
  const outcome = await write(route, (tx, context) => patchResource(tx, resource, target.path, body, context))
  return replyWithState(route, outcome)
}

export async function remove(route: Route): Promise<Reply> {
  readQuery(route.exchange.query, [])
  await write(route, (tx, context) => removeResource(tx, route.target.path, context))
  return { status: 204, headers: route.headers }
}

async function readJsonBody({ exchange, resource }: Route, mediaTypes: readonly string[]): Promise<Json> {
  negotiate(exchange, ['application/json'])
  readQuery(exchange.query, [])
  const field = exchange.header('content-type')
  const mediaType = field?.replace(/;.*$/, '').trim().toLowerCase()
  if (mediaType !== undefined && !mediaTypes.includes(mediaType)) {
    throw new LockstepError(
      'unsupported-media-type',
      `The body is ${quote(field)}; ${exchange.method} takes ${mediaTypes.join(' or ')}. Send it with the header Content-Type: ${mediaTypes[0]}.`,
    )
  }
  if (exchange.header('content-encoding') !== undefined) {
    throw new LockstepError(
      'unsupported-media-type',
      'The body is compressed, which is not supported. Send it as it is.',
    )
  }
  return parseJson(await exchange.readBody(resource.maxBodyBytes))
}

/** Runs the write in a transaction and sets the marker and tag of what it gave. */
async function write<T extends Outcome | undefined>(
  route: Route,
  work: (tx: LogTransaction, context: WriteContext) => Promise<T>,
): Promise<T> {
  const { context, exchange, target, headers } = route
  const cause = readRequestId(exchange.header('x-request-id'))
  headers['x-request-id'] = cause
  const checkBefore = await readConditions(route)
  const { value, marker } = await context.log.write(tx =>
    work(tx, { timeMs: context.now(), cause, checkBefore }),
  )
  setMarker(route, marker)
  const position = marker.find(({ stream }) => stream === target.stream)
  if (value !== undefined && position !== undefined)
    headers['etag'] = formatResourceTag(position.epoch, value.version)
  return value
}

function replyWithState({ context, target, headers }: Route, { path, created, stateText }: Outcome): Reply {
  headers['content-type'] = jsonType
  if (created) headers['location'] = context.root + path
  // After a POST the client follows what it made, not the collection that it called.
  if (path !== target.path)
    headers['lockstep-topic'] = headers['lockstep-topic'] + path.slice(target.path.length)
  return { status: created ? 201 : 200, headers, body: `${stateText}\n` }
}

/** The check of If-Match and If-None-Match, to be made inside the transaction; `undefined` where neither is sent. */
async function readConditions({ context, exchange, target }: Route): Promise<WriteContext['checkBefore']> {
  const ifMatch = exchange.header('if-match')
  const ifNoneMatch = exchange.header('if-none-match')
  if (ifMatch === undefined && ifNoneMatch === undefined) return undefined
  // An epoch changes only while nobody writes, so it may be read before the transaction.
  const { epoch } = await context.log.head(target.stream)
  return (path, before) => {
    const tag = before.stateText === undefined ? undefined : formatResourceTag(epoch, before.version)
    const failed =
      (ifMatch !== undefined && !satisfiesIfMatch(ifMatch, tag) && `If-Match: ${ifMatch}`) ||
      (ifNoneMatch !== undefined &&
        !satisfiesIfNoneMatch(ifNoneMatch, tag) &&
        `If-None-Match: ${ifNoneMatch}`)
    if (failed) {
      const now = tag === undefined ? 'does not exist' : `has the ETag ${tag}`
      throw new LockstepError(
        'precondition-failed',
        `${failed.slice(0, 120)} does not hold: ${path} ${now}. GET it and decide again.`,
      )
    }
  }
}

/** A client's own request id comes back as the message's `cause`; one that could not stand in a header is replaced. */
function readRequestId(field: string | undefined): string {
  return field !== undefined && /^[\x21-\x7e]{1,128}$/.test(field) ? field : createRequestId()
}
