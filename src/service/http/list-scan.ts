/**
 * Lists that the change log cannot give by itself: filtered, ordered, counted.
 *
 * Items that are named by their ids are read by them. Everything else is looked for by going through the collection,
 * in portions, so that others get their turn. A filtered page goes on where its portion ended; an order or a count
 * needs the whole, and is refused where that is too much. The head is of the first portion: a lower bound.
 */
import { setImmediate } from 'node:timers/promises'
import {
  type Head,
  type JsonObject,
  LockstepError,
  matchesWhere,
  sortValuesOf,
  tryEncodeSegment,
  type Where,
} from '../../contract/index.ts'
import type { ChangeLog, CollectionPage, StoredItem } from '../../log/change-log.ts'
import { comparePlaces, formatCursor, type Place, parseCursor } from './list-cursor.ts'
import type { ListQuery } from './list-query.ts'

export interface ScanRequest {
  readonly collectionPath: string
  readonly afterPath: string | undefined
  readonly query: ListQuery
  /** The most items to be looked at. */
  readonly maxScannedItems: number
}

export interface ScannedPage {
  /** As it was before the first item was read. */
  readonly head: Head
  /** Was it the same behind the last one? Then all that is here is of one moment. */
  readonly isSteady: boolean
  readonly items: readonly StoredItem[]
  /** Where to go on; `undefined` where nothing follows. */
  readonly next: { readonly afterPath: string } | { readonly cursor: string } | undefined
  /** How many items match in all, where that was asked for. */
  readonly count: number | undefined
}

/** The most characters of states to be looked at. */
const maxScannedChars = 67_108_864
/** The most characters of states on one page. */
const maxPageChars = 8_388_608
const portionItems = 500
const portionChars = 1_048_576
/** How long a scan may keep the event loop from turning. */
const breathEveryMs = 20

/** Errors: `list-too-large`, `invalid-query` for a cursor, those of the log. */
export async function scanList(log: ChangeLog, request: ScanRequest): Promise<ScannedPage> {
  const ids = findIds(request.query.where)
  const source = ids === undefined ? readPortions(log, request) : readByIds(log, request.collectionPath, ids)
  const { sort, count } = request.query
  return sort.length === 0 && !count ? await fillPage(source, request) : await searchAll(source, request)
}

/** Some items in order of their paths, and whether there may be more. */
interface Portion {
  readonly head: Head
  readonly items: readonly StoredItem[]
  readonly more: boolean
  readonly lookedAt?: CollectionPage['lookedAt']
}

interface Found {
  readonly item: StoredItem
  readonly state: JsonObject
}

/** The first items that match. */
async function fillPage(
  source: AsyncIterable<Portion>,
  { afterPath = '', query, maxScannedItems }: ScanRequest,
): Promise<ScannedPage> {
  const { limit, where } = query
  const heads = new Heads()
  const items: StoredItem[] = []
  let chars = 0
  let lastPath = afterPath
  let isWhole = true
  portions: for await (const portion of source) {
    heads.add(portion.head)
    isWhole = !portion.more
    for (const { item } of listMatches(portion, where, afterPath)) {
      chars += item.stateText.length
      if (items.length === limit || (chars > maxPageChars && items.length > 0)) {
        isWhole = false
        lastPath = items.at(-1)!.path
        break portions
      }
      items.push(item)
    }
    lastPath = portion.items.at(-1)?.path ?? lastPath
  }
  // A page that found nothing to name as its end would lead to itself.
  if (!isWhole && lastPath === afterPath) throw tooLarge(maxScannedItems)
  return { ...heads.read(), items, next: isWhole ? undefined : { afterPath: lastPath }, count: undefined }
}

/** All items, of which the first in the order are kept. */
async function searchAll(
  source: AsyncIterable<Portion>,
  { afterPath = '', query, maxScannedItems }: ScanRequest,
): Promise<ScannedPage> {
  const { limit, sort, where, cursor } = query
  const behind = cursor === undefined ? undefined : parseCursor(cursor, sort)
  const heads = new Heads()
  let best: (Place & { readonly item: StoredItem })[] = []
  const keepBest = (): void => {
    best = best.sort((a, b) => comparePlaces(a, b, sort)).slice(0, limit + 1)
  }
  let count = 0
  let isWhole = true
  for await (const portion of source) {
    heads.add(portion.head)
    isWhole = !portion.more
    for (const { item, state } of listMatches(portion, where)) {
      count++
      const place = { values: sortValuesOf(state, sort), path: item.path, item }
      const isBehind = behind === undefined ? item.path > afterPath : comparePlaces(place, behind, sort) > 0
      if (isBehind) best.push(place)
    }
    if (best.length > Math.max(2 * limit, 1_000)) keepBest()
  }
  if (!isWhole) throw tooLarge(maxScannedItems)
  keepBest()
  const page = cutPage(best.slice(0, limit))
  const last = page.at(-1)
  const next =
    last === undefined || page.length === best.length
      ? undefined
      : sort.length === 0
        ? { afterPath: last.path }
        : { cursor: formatCursor(last, sort) }
  return {
    ...heads.read(),
    items: page.map(({ item }) => item),
    next,
    count: query.count ? count : undefined,
  }
}

/** As many as fit on a page, but at least one. */
function cutPage<Each extends { readonly item: StoredItem }>(found: readonly Each[]): readonly Each[] {
  let chars = 0
  const end = found.findIndex(({ item }, index) => {
    chars += item.stateText.length
    return chars > maxPageChars && index > 0
  })
  return end === -1 ? found : found.slice(0, end)
}

function* listMatches({ items }: Portion, where: Where, afterPath = ''): Generator<Found> {
  for (const item of items) {
    if (item.path <= afterPath) continue
    const state = JSON.parse(item.stateText) as JsonObject
    if (matchesWhere(state, where)) yield { item, state }
  }
}

/** The collection from the first path on, or from `afterPath` where nothing before it counts. */
async function* readPortions(
  log: ChangeLog,
  { collectionPath, afterPath, query, maxScannedItems }: ScanRequest,
): AsyncGenerator<Portion> {
  let place = query.count ? undefined : afterPath
  let itemsLeft = maxScannedItems
  let charsLeft = maxScannedChars
  let breathAt = performance.now() + breathEveryMs
  for (;;) {
    const limit = Math.min(portionItems, itemsLeft)
    const portion = await log.readCollection(collectionPath, {
      afterPath: place,
      limit,
      maxChars: portionChars,
    })
    yield portion
    const { items, more } = portion
    const { count, lastPath } = portion.lookedAt ?? { count: items.length, lastPath: items.at(-1)?.path }
    itemsLeft -= count
    for (const { stateText } of items) charsLeft -= stateText.length
    if (!more || itemsLeft <= 0 || charsLeft <= 0) return
    place = lastPath
    if (performance.now() < breathAt) continue
    await setImmediate()
    breathAt = performance.now() + breathEveryMs
  }
}

/** The ids that an item must have one of; `undefined` where it may have any. */
function findIds(where: Where): readonly string[] | undefined {
  const condition = where.find(
    ({ path, operator }) => path.length === 1 && path[0] === 'id' && (operator === 'eq' || operator === 'in'),
  )
  return condition?.operands
}

/** One item after another, in order of their paths. */
async function* readByIds(
  log: ChangeLog,
  collectionPath: string,
  ids: readonly string[],
): AsyncGenerator<Portion> {
  const paths = ids.flatMap(id => {
    const segment = tryEncodeSegment(id)
    return segment === undefined ? [] : [`${collectionPath}/${segment}`]
  })
  let head = await log.head(collectionPath.slice(1).split('/', 1)[0]!)
  yield { head, items: [], more: false }
  for (const path of [...new Set(paths)].sort()) {
    const { resource, head: ownHead } = await log.readResource(path)
    head = ownHead
    const { version, stateText } = resource
    if (stateText !== undefined) yield { head, items: [{ path, version, stateText }], more: false }
  }
}

/** The first head, and whether the others were the same. */
class Heads {
  #first: Head | undefined
  #isSteady = true

  add(head: Head): void {
    this.#first ??= head
    this.#isSteady &&= head.seq === this.#first.seq && head.epoch === this.#first.epoch
  }

  read(): { readonly head: Head; readonly isSteady: boolean } {
    return { head: this.#first!, isSteady: this.#isSteady }
  }
}

function tooLarge(maxScannedItems: number): LockstepError {
  return new LockstepError(
    'list-too-large',
    `The collection has more than the ${maxScannedItems} items, or ${maxScannedChars} characters, that an order or a count may look at. Read it in order of ids, with a filter or without, and order or count what comes.`,
  )
}
