/** GET and HEAD: one resource, or a page of a collection, each with its marker from the same snapshot. PROTOCOL.md §4. */
import {
  formatCollectionTag,
  formatPath,
  formatResourceTag,
  LockstepError,
  lastSegmentOf,
  type ParsedPath,
  parentOf,
  satisfiesIfMatch,
  satisfiesIfNoneMatch,
  showField,
} from '../../contract/index.ts'
import { missing } from '../mirror.ts'
import { maxPageSize } from '../resource.ts'
import { markerOf, negotiate, type Route, setMarker } from './context.ts'
import { jsonType, type Reply, readCount, readFlag, readQuery } from './exchange.ts'
import { formatVariant, readView, showTexts, type ViewQuery, viewParameters } from './view.ts'

export async function readItem(route: Route): Promise<Reply> {
  const { context, exchange, target, headers } = route
  negotiate(exchange, ['application/json'])
  const view = readView(route, readQuery(exchange.query, viewParameters(route.resource)))
  const { head, resource } = await context.log.readResource(target.path)
  setMarker(route, markerOf(head))
  const { stateText } = resource
  if (stateText === undefined) throw missing(target.path, resource)
  const tag = formatResourceTag(head.epoch, resource.version, formatVariant(view))
  headers['etag'] = tag
  headers['cache-control'] = 'no-cache'
  if (isUnchanged(route, tag)) return { status: 304, headers }
  headers['content-type'] = jsonType
  return { status: 200, headers, body: `${showTexts(route, view, [stateText])[0]}\n` }
}

export async function readList(route: Route): Promise<Reply> {
  const { context, exchange, target, resource, headers } = route
  negotiate(exchange, ['application/json'])
  const query = readQuery(exchange.query, ['limit', 'after', 'versions', ...viewParameters(resource)])
  const view = readView(route, query)
  const limit = readCount('limit', query.limit, { fallback: resource.pageSize, max: maxPageSize })
  const withVersions = readFlag('versions', query.versions)
  const afterPath = query.after === undefined ? undefined : pathAfter(target, query.after)
  const { head, items, more } = await context.log.readCollection(target.path, { afterPath, limit })
  setMarker(route, markerOf(head))
  await checkParent(route)
  const tag = formatCollectionTag(head.epoch, head.seq, formatVariant(view))
  headers['etag'] = tag
  headers['cache-control'] = 'no-cache'
  if (more) headers['link'] += `, <${nextPageUrl(route, items.at(-1)!.path, limit, query)}>; rel="next"`
  if (isUnchanged(route, tag)) return { status: 304, headers }
  if (withVersions) headers['lockstep-versions'] = items.map(item => item.version).join(',')
  headers['content-type'] = jsonType
  // One item per line: readable in a terminal, and the stored texts are served as they are.
  const texts = showTexts(
    route,
    view,
    items.map(item => item.stateText),
  )
  const body = texts.length === 0 ? '[]\n' : `[\n${texts.join(',\n')}\n]\n`
  return { status: 200, headers, body }
}

/** Errors: `invalid-query` where the id is empty, `invalid-path` where it cannot be one. */
function pathAfter({ segments }: ParsedPath, id: string): string {
  if (id !== '') return formatPath([...segments, id]).path
  throw new LockstepError('invalid-query', 'after= is empty. Give the id to go on after, or leave it out.')
}

/** Evaluates the request's conditions against what is there (RFC 9110 §13.2.2). Errors: `precondition-failed`. */
function isUnchanged({ exchange }: Route, tag: string): boolean {
  const ifMatch = exchange.header('if-match')
  if (ifMatch !== undefined && !satisfiesIfMatch(ifMatch, tag)) {
    throw new LockstepError(
      'precondition-failed',
      `If-Match: ${showField(ifMatch)} does not hold; the ETag is ${tag}.`,
    )
  }
  const ifNoneMatch = exchange.header('if-none-match')
  return ifNoneMatch !== undefined && !satisfiesIfNoneMatch(ifNoneMatch, tag)
}

/** The list of a nested collection is there as long as its parent is; looked at last, or an empty list could tell of a parent that is gone. */
async function checkParent(route: Route): Promise<void> {
  const { context, target } = route
  const parentPath = parentOf(target.path)
  if (parentPath === '') return
  const { head, resource } = await context.log.readResource(parentPath)
  if (resource.stateText !== undefined) return
  setMarker(route, markerOf(head))
  throw missing(parentPath, resource)
}

function nextPageUrl(
  { context, target }: Route,
  lastPath: string,
  limit: number,
  { versions, fields, lang }: ViewQuery & { readonly versions?: string },
): string {
  const parameters = new URLSearchParams({ limit: String(limit) })
  for (const [name, value] of Object.entries({ versions, fields, lang }))
    if (value !== undefined) parameters.set(name, value)
  return `${context.root}${target.path}?${parameters}&after=${lastSegmentOf(lastPath)}`
}
