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
import { markerOf, negotiate, type Route, setMarker } from './context.ts'
import { type Embedding, readEmbeds, setEmbedLinks } from './embed.ts'
import { jsonType, type Reply, readQuery } from './exchange.ts'
import { formatListVariant, formatNextQuery, isPlain, type ListQuery, readListQuery } from './list-query.ts'
import { type ScannedPage, scanList } from './list-scan.ts'
import { formatVariant, readView, showTexts, viewParameters } from './view.ts'

export async function readItem(route: Route): Promise<Reply> {
  const { context, exchange, target, headers } = route
  negotiate(exchange, ['application/json'])
  const { query } = exchange
  const view = readView(route, query === '' ? {} : readQuery(query, viewParameters(route.resource)))
  const { head, resource } = await context.log.readResource(target.path)
  setMarker(route, markerOf(head))
  const { stateText } = resource
  if (stateText === undefined) throw missing(target.path, resource)
  const beside = view?.embeds.length ? await readEmbeds(route, view, markerOf(head), [stateText]) : nothing
  if (beside === undefined) return await readItem(route)
  if (beside.marker !== undefined) setMarker(route, beside.marker)
  const variant = view === undefined ? '' : joinVariants([formatVariant(view), beside.variant])
  const tag = formatResourceTag(head.epoch, resource.version, variant)
  headers['etag'] = tag
  headers['cache-control'] = 'no-cache'
  if (view !== undefined) setEmbedLinks(route, view)
  if (isUnchanged(route, tag)) return { status: 304, headers }
  headers['content-type'] = jsonType
  return { status: 200, headers, body: `${showTexts(route, view, [stateText], beside.members)[0]}\n` }
}

export async function readList(route: Route): Promise<Reply> {
  const { exchange, resource, headers } = route
  negotiate(exchange, ['application/json'])
  const query = readListQuery(resource, exchange.query)
  const view = readView(route, query.view)
  const { head, isSteady, items, next, count } = await readPage(route, query)
  setMarker(route, markerOf(head))
  await checkParent(route)
  const stateTexts = items.map(item => item.stateText)
  const beside = view?.embeds.length ? await readEmbeds(route, view, markerOf(head), stateTexts) : nothing
  if (beside === undefined) return await readList(route)
  if (beside.marker !== undefined) setMarker(route, beside.marker)
  const variant = joinVariants([formatVariant(view), formatListVariant(query), beside.variant])
  // What was put together while others wrote is no representation that a tag could name.
  const tag = isSteady ? formatCollectionTag(head.epoch, head.seq, variant) : undefined
  if (tag !== undefined) headers['etag'] = tag
  headers['cache-control'] = 'no-cache'
  if (next !== undefined) headers['link'] += `, <${nextPageUrl(route, query, next)}>; rel="next"`
  if (view !== undefined) setEmbedLinks(route, view)
  if (isUnchanged(route, tag)) return { status: 304, headers }
  if (query.versions) headers['lockstep-versions'] = items.map(item => item.version).join(',')
  if (count !== undefined) headers['lockstep-count'] = String(count)
  headers['content-type'] = jsonType
  // One item per line: readable in a terminal, and the stored texts are served as they are.
  const texts = showTexts(route, view, stateTexts, beside.members)
  const body = texts.length === 0 ? '[]\n' : `[\n${texts.join(',\n')}\n]\n`
  return { status: 200, headers, body }
}

/** What stands beside states that embed nothing. */
const nothing: Partial<Embedding> = {}

function joinVariants(variants: readonly (string | undefined)[]): string {
  return variants.filter(variant => variant).join(';')
}

async function readPage({ context, target, resource }: Route, query: ListQuery): Promise<ScannedPage> {
  const afterPath = query.after === undefined ? undefined : pathAfter(target, query.after)
  if (!isPlain(query) || resource.limits?.hasConditions) {
    const { maxScannedItems } = resource
    return await scanList(context.log, { collectionPath: target.path, afterPath, query, maxScannedItems })
  }
  const { limit } = query
  const { head, items, more } = await context.log.readCollection(target.path, { afterPath, limit })
  const next = more ? { afterPath: items.at(-1)!.path } : undefined
  return { head, isSteady: true, items, next, count: undefined }
}

/** Errors: `invalid-query` where the id is empty, `invalid-path` where it cannot be one. */
function pathAfter({ segments }: ParsedPath, id: string): string {
  if (id !== '') return formatPath([...segments, id]).path
  throw new LockstepError('invalid-query', 'after= is empty. Give the id to go on after, or leave it out.')
}

/** Evaluates the request's conditions against what is there (RFC 9110 §13.2.2). Errors: `precondition-failed`. */
function isUnchanged({ exchange }: Route, tag: string | undefined): boolean {
  const ifMatch = exchange.header('if-match')
  if (ifMatch !== undefined && !satisfiesIfMatch(ifMatch, tag)) {
    throw new LockstepError(
      'precondition-failed',
      `If-Match: ${showField(ifMatch)} does not hold; the ETag is ${tag ?? 'none'}.`,
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
  query: ListQuery,
  next: NonNullable<ScannedPage['next']>,
): string {
  const place = 'afterPath' in next ? { after: lastSegmentOf(next.afterPath) } : next
  return `${context.root}${target.path}?${formatNextQuery(query, place)}`
}
