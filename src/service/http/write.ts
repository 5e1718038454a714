/** POST, PUT, PATCH and DELETE: each one transaction, answered when it is durable. PROTOCOL.md §4. */
import { LockstepError, parseJson } from '../../contract/index.ts'
import { isRequestId } from '../id.ts'
import { type Done, hashParts, writeOnce } from '../receipt.ts'
import { negotiate, type Route, setMarker } from './context.ts'
import { jsonType, type Reply, readQuery } from './exchange.ts'
import { readScope, runAlone } from './idempotency.ts'
import {
  type Answer,
  acceptPatch,
  checkMediaType,
  prepareOperation,
  tagOf,
  type WriteMethod,
  type WriteRequest,
} from './operation.ts'
import { findWriteLanguage, formatVariant, readView, showTexts, type View } from './view.ts'

/** Answers any of the four methods. */
export async function write(route: Route): Promise<Reply> {
  const { context, exchange, target, resource, headers } = route
  const cause = takeRequestId(route)
  if (exchange.method === 'PATCH') headers['accept-patch'] = acceptPatch
  const scope = readScope(route, target.path)
  const { request, bodyText, view } = await readRequest(route)
  const { mediaType, ifMatch, ifNoneMatch, language } = request
  const hasConditions = ifMatch !== undefined || ifNoneMatch !== undefined
  const { epoch } = hasConditions ? await context.log.head(target.stream) : { epoch: '' }
  const operation = prepareOperation(resource, request, epoch)
  const asked = [mediaType, ifMatch, ifNoneMatch, bodyText, ...(language === undefined ? [] : [language])]
  const claims = scope === undefined ? [] : [{ ...scope, fingerprint: hashParts(asked) }]
  const done = await runAlone(context, scope, () =>
    writeOnce(context.log, claims, context.now, tx => operation(tx, { timeMs: context.now(), cause })),
  )
  return replyWith(route, view, done)
}

/** Reads a body as JSON text that is at most so long. Errors: `unsupported-media-type` where it is compressed, those of reading. */
export async function readBodyText({ exchange }: Route, maxBytes: number): Promise<string> {
  if ((exchange.header('content-encoding') ?? 'identity') !== 'identity') {
    throw new LockstepError(
      'unsupported-media-type',
      'The body is compressed, which is not supported. Send it as it is.',
    )
  }
  return await exchange.readBody(maxBytes)
}

/** A client's own request id comes back, and is the message's `cause`; one that could not stand in a header is replaced. §4.11. */
export function takeRequestId({ context, exchange, headers }: Route): string {
  const given = exchange.header('x-request-id')
  const isUsable = given !== undefined && isRequestId(given)
  const cause = isUsable ? given : context.createCause(exchange.header('traceparent'))
  headers['x-request-id'] = cause
  return cause
}

interface ReadRequest {
  readonly request: WriteRequest
  /** Neither of the two for a DELETE. */
  readonly bodyText?: string
  readonly view?: View | undefined
}

async function readRequest(route: Route): Promise<ReadRequest> {
  const { exchange, target, resource } = route
  const request = {
    method: exchange.method as WriteMethod,
    path: target.path,
    ifMatch: exchange.header('if-match'),
    ifNoneMatch: exchange.header('if-none-match'),
  }
  if (request.method === 'DELETE') {
    readQuery(exchange.query, [])
    return { request }
  }
  negotiate(exchange, ['application/json'])
  const { lang } = readQuery(exchange.query, resource.texts.places.length === 0 ? [] : ['lang'])
  const language = lang === undefined ? undefined : findWriteLanguage(resource.texts.languages, lang)
  const view = readView(route, { lang })
  const mediaType = checkMediaType(request.method, exchange.header('content-type'))
  const bodyText = await readBodyText(route, resource.maxBodyBytes)
  return { request: { ...request, mediaType, body: parseJson(bodyText), language }, bodyText, view }
}

function replyWith(
  route: Route,
  view: View | undefined,
  { value: answer, marker, replayed }: Done<Answer>,
): Reply {
  const { context, target, headers } = route
  const { status, path, stateText } = answer
  setMarker(route, marker)
  if (replayed) headers['idempotency-replayed'] = 'true'
  if (stateText === undefined) return { status, headers }
  headers['etag'] = tagOf(answer, marker, formatVariant(view))!
  headers['content-type'] = jsonType
  if (status === 201) headers['location'] = context.root + path
  // After a POST the client follows what it made, not the collection that it called.
  if (path !== target.path && headers['lockstep-topic'] !== undefined)
    headers['lockstep-topic'] += path.slice(target.path.length)
  return { status, headers, body: `${showTexts(route, view, [stateText])[0]}\n` }
}
