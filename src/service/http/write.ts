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
import { createRequestId, isRequestId } from '../id.ts'
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

const patchTypes = ['application/merge-patch+json', 'application/json']
/** The header `Accept-Patch`. */
export const acceptPatch: string = patchTypes.join(', ')

export async function create(route: Route): Promise<Reply> {
  const { target, resource } = route
  const cause = takeRequestId(route)
  refuseConditions(route)
  const body = await readJsonBody(route, ['application/json'])
  const outcome = await write(route, { cause }, (tx, context) =>
    createResource(tx, resource, target.path, body, context),
  )
  return replyWithState(route, outcome)
}

export async function put(route: Route): Promise<Reply> {
  const { target, resource } = route
  const cause = takeRequestId(route)
  const body = await readJsonBody(route, ['application/json'])
  const checkBefore = await readConditions(route)
  const outcome = await write(route, { cause, checkBefore }, (tx, context) =>
    putResource(tx, resource, target.path, body, context),
  )
  return replyWithState(route, outcome)
}

export async function patch(route: Route): Promise<Reply> {
  const { target, resource, headers } = route
  const cause = takeRequestId(route)
  headers['accept-patch'] = acceptPatch
  const body = await readJsonBody(route, patchTypes)
  const checkBefore = await readConditions(route)
  const outcome = await write(route, { cause, checkBefore }, (tx, context) =>
    patchResource(tx, resource, target.path, body, context),
  )
  return replyWithState(route, outcome)
}

export async function remove(route: Route): Promise<Reply> {
  const { exchange, target, headers } = route
  const cause = takeRequestId(route)
  readQuery(exchange.query, [])
  const checkBefore = await readConditions(route)
  await write(route, { cause, checkBefore }, (tx, context) => removeResource(tx, target.path, context))
  return { status: 204, headers }
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
  if ((exchange.header('content-encoding') ?? 'identity') !== 'identity') {
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
  given: Omit<WriteContext, 'timeMs'>,
  work: (tx: LogTransaction, context: WriteContext) => Promise<T>,
): Promise<T> {
  const { context, target, headers } = route
  const { value, marker } = await context.log.write(tx => work(tx, { ...given, timeMs: context.now() }))
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

/** A collection's tag changes with each write in its stream, so nothing can be made to depend on it. Errors: `precondition-failed`. */
function refuseConditions({ exchange }: Route): void {
  const ifMatch = exchange.header('if-match') ?? '*'
  if (ifMatch.trim() === '*' && exchange.header('if-none-match') === undefined) return
  throw new LockstepError(
    'precondition-failed',
    'POST takes no conditions. To create only what is not there yet, PUT it with If-None-Match: *.',
  )
}

/** The check of If-Match and If-None-Match, to be made inside the transaction; `undefined` where neither is sent. */
async function readConditions({ context, exchange, target }: Route): Promise<WriteContext['checkBefore']> {
  const ifMatch = exchange.header('if-match')
  const ifNoneMatch = exchange.header('if-none-match')
  if (ifMatch === undefined && ifNoneMatch === undefined) return undefined
  // Where the epoch is renewed meanwhile, resources and versions stay as they are.
  const { epoch } = await context.log.head(target.stream)
  return (path, before) => {
    const tag = before.stateText === undefined ? undefined : formatResourceTag(epoch, before.version)
    const now = tag === undefined ? 'does not exist' : `has the ETag ${tag}`
    const refuse = (field: string, condition: string): LockstepError =>
      new LockstepError(
        'precondition-failed',
        `${field}: ${quote(condition)} does not hold: ${path} ${now}. GET it and decide again.`,
      )
    if (ifMatch !== undefined && !satisfiesIfMatch(ifMatch, tag)) throw refuse('If-Match', ifMatch)
    if (ifNoneMatch !== undefined && !satisfiesIfNoneMatch(ifNoneMatch, tag))
      throw refuse('If-None-Match', ifNoneMatch)
  }
}

/** A client's own request id comes back, and is the message's `cause`; one that could not stand in a header is replaced. */
function takeRequestId({ exchange, headers }: Route): string {
  const given = exchange.header('x-request-id')
  const cause = given !== undefined && isRequestId(given) ? given : createRequestId()
  headers['x-request-id'] = cause
  return cause
}
