/** GET and HEAD: one resource, or a page of a collection, each with its marker from the same snapshot. PROTOCOL.md §4. */
import {
  formatCollectionTag,
  formatPath,
  formatResourceTag,
  LockstepError,
  satisfiesIfMatch,
  satisfiesIfNoneMatch,
} from '../../contract/index.ts'
import { missing } from '../mirror.ts'
import { markerOf, negotiate, type Route, setMarker } from './context.ts'
import { jsonType, type Reply, readCount, readFlag, readQuery } from './exchange.ts'

/** The most items on one page of a list. */
const maxPageSize = 1_000

export async function readItem(route: Route): Promise<Reply> {
  const { context, exchange, target, headers } = route
  negotiate(exchange, ['application/json'])
  readQuery(exchange.query, [])
  const { head, resource } = await context.log.readResource(target.path)
  setMarker(route, markerOf(head))
  const { stateText } = resource
  const tag = stateText === undefined ? undefined : formatResourceTag(head.epoch, resource.version)
  if (tag !== undefined) headers['etag'] = tag
  headers['cache-control'] = 'no-cache'
  const done = checkConditions(route, tag)
  if (done !== undefined) return done
  if (stateText === undefined) throw missing(target.path, resource)
  headers['content-type'] = jsonType
  return { status: 200, headers, body: `${stateText}\n` }
}

export async function readList(route: Route): Promise<Reply> {
  const { context, exchange, target, resource, headers } = route
  negotiate(exchange, ['application/json'])
  const query = readQuery(exchange.query, ['limit', 'after', 'versions'])
  const limit = readCount('limit', query.limit, { fallback: resource.pageSize, max: maxPageSize })
  const withVersions = readFlag('versions', query.versions)
  const afterPath = query.after === undefined ? undefined : formatPath([...target.segments, query.after]).path
  await checkParent(route)
  const { head, items, more } = await context.log.readCollection(target.path, { afterPath, limit })
  setMarker(route, markerOf(head))
  const tag = formatCollectionTag(head.epoch, head.seq)
  headers['etag'] = tag
  headers['cache-control'] = 'no-cache'
  if (more)
    headers['link'] += `, <${nextPageUrl(route, items.at(-1)!.path, limit, withVersions)}>; rel="next"`
  const done = checkConditions(route, tag)
  if (done !== undefined) return done
  if (withVersions) headers['lockstep-versions'] = items.map(item => item.version).join(',')
  headers['content-type'] = jsonType
  // One item per line: readable in a terminal, and the stored texts are served as they are.
  const body = items.length === 0 ? '[]\n' : `[\n${items.map(item => item.stateText).join(',\n')}\n]\n`
  return { status: 200, headers, body }
}

/** 304 or 412 where the request's conditions ask for it (RFC 9110 §13.2.2). */
function checkConditions({ exchange, headers }: Route, tag: string | undefined): Reply | undefined {
  const ifMatch = exchange.header('if-match')
  if (ifMatch !== undefined && !satisfiesIfMatch(ifMatch, tag)) {
    throw new LockstepError(
      'precondition-failed',
      `If-Match: ${ifMatch.slice(0, 80)} does not hold; the ETag is ${tag ?? 'none'}.`,
    )
  }
  const ifNoneMatch = exchange.header('if-none-match')
  if (ifNoneMatch !== undefined && !satisfiesIfNoneMatch(ifNoneMatch, tag)) return { status: 304, headers }
  return undefined
}

/** The list of a nested collection is there as long as its parent is. */
async function checkParent(route: Route): Promise<void> {
  const { context, target } = route
  if (target.segments.length === 1) return
  const parentPath = formatPath(target.segments.slice(0, -1)).path
  const { head, resource } = await context.log.readResource(parentPath)
  setMarker(route, markerOf(head))
  if (resource.stateText === undefined) throw missing(parentPath, resource)
}

function nextPageUrl(
  { context, target }: Route,
  lastPath: string,
  limit: number,
  withVersions: boolean,
): string {
  const lastId = lastPath.slice(lastPath.lastIndexOf('/') + 1)
  return `${context.root}${target.path}?limit=${limit}${withVersions ? '&versions=true' : ''}&after=${lastId}`
}
