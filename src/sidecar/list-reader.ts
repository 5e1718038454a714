/** Reads a whole list of the API, page by page, in whichever way it pages. */
import { createHash } from 'node:crypto'
import { isLockstepError, type Json, LockstepError, parseJson, quote } from '../contract/index.ts'
import type { ApiAnswer, ApiReader } from './api-reader.ts'
import { parsePointer, readPointer } from './json-pointer.ts'
import { type ListedItem, type Mirrored, readItems } from './mirrored.ts'

/** What a list was when it was read: the same again says that nothing in it has changed. */
export interface ListTag {
  /** Of the only page, where it has one that can be asked for. */
  readonly etag: string | undefined
  /** Of all bodies. */
  readonly hash: string
}

export interface ReadList {
  readonly tag: ListTag
  /** `undefined` where the list is as the tag says that was given. */
  readonly items: readonly ListedItem[] | undefined
}

const maxPages = 10_000

/**
 * Reads the list at a target such as `/people?limit=100`. Errors: `api-refused`, `list-too-large`, those of reading; `undefined` where
 * the API says that there is none (404, 410).
 */
export async function readList(
  reader: Pick<ApiReader, 'get'>,
  mirrored: Mirrored,
  target: string,
  { before, maxItems }: { readonly before: ListTag | undefined; readonly maxItems: number },
): Promise<ReadList | undefined> {
  const hash = createHash('sha1')
  const items: ListedItem[] = []
  const seen = new Set<string>()
  let etag: string | undefined
  for (let page = 0, next: string | undefined = firstTarget(mirrored, target); next !== undefined; page++) {
    const conditions: Record<string, string> =
      page === 0 && before?.etag !== undefined ? { 'if-none-match': before.etag } : {}
    const answer = await reader.get(next, conditions)
    if (answer.status === 304 && before !== undefined) return { tag: before, items: undefined }
    if (page === 0 && (answer.status === 404 || answer.status === 410)) return undefined
    if (answer.status !== 200) throw refused(next, `with ${answer.status}`)
    hash.update(answer.body)
    const isOnly = page === 0 && mirrored.pages === undefined && nextLink(answer) === undefined
    if (isOnly) {
      etag = answer.header('etag')
      const sum = hash.copy().digest('base64')
      if (sum === before?.hash) return { tag: { etag, hash: sum }, items: undefined }
    }
    const json = readJson(next, answer.body)
    const found = readItems(mirrored, json)
    if (found === undefined) throw refused(next, 'without a list where one was expected')
    let isNew = false
    for (const item of found) {
      if (seen.has(item.id)) continue
      isNew = true
      seen.add(item.id)
      items.push(item)
    }
    if (items.length > maxItems || page >= maxPages) {
      throw new LockstepError(
        'list-too-large',
        `The list at ${quote(target)} has over ${maxItems} items, or over ${maxPages} pages. Narrow it by its query, or raise maxItems.`,
      )
    }
    // A page that holds nothing new is the end, whatever it says: some APIs give the last one for ever.
    next = isNew ? nextTarget(mirrored, target, { answer, json, page, count: items.length }) : undefined
  }
  return { tag: { etag, hash: hash.digest('base64') }, items }
}

function firstTarget({ pages }: Mirrored, target: string): string {
  return pages !== undefined && 'page' in pages
    ? withParameter(target, pages.page, String(pages.first ?? 1))
    : target
}

interface PageRead {
  readonly answer: ApiAnswer
  readonly json: Json
  readonly page: number
  /** Items so far. */
  readonly count: number
}

function nextTarget(
  { pages }: Mirrored,
  target: string,
  { answer, json, page, count }: PageRead,
): string | undefined {
  if (pages === undefined) return nextLink(answer)
  if ('page' in pages) return withParameter(target, pages.page, String((pages.first ?? 1) + page + 1))
  if ('offset' in pages) return withParameter(target, pages.offset, String(count))
  const next = readPointer(json, parsePointer(pages.next))
  return typeof next === 'string' && next !== '' ? toTarget(next) : undefined
}

/** `Link: </people?page=2>; rel="next"`. RFC 8288. */
function nextLink(answer: ApiAnswer): string | undefined {
  const link = answer.header('link')
  if (link === undefined) return undefined
  const next =
    /<([^>]*)>(?:\s*;\s*[a-z*]+=(?:"[^"]*"|[^\s,;"]+))*?\s*;\s*rel=(?:"(?:[^"]*\s)?next(?:\s[^"]*)?"|next\b)/i
  const url = next.exec(link)?.[1]
  return url === undefined ? undefined : toTarget(url)
}

/** The API may name itself by another host than it is asked at: the path counts. */
function toTarget(url: string): string | undefined {
  const base = 'http://api.invalid'
  if (!URL.canParse(url, base)) return undefined
  const { pathname, search } = new URL(url, base)
  return pathname + search
}

function withParameter(target: string, name: string, value: string): string {
  const url = new URL(target, 'http://api.invalid')
  url.searchParams.set(name, value)
  return url.pathname + url.search
}

/** Errors: `api-refused`, `unsafe-number`. */
export function readJson(target: string, body: Buffer): Json {
  try {
    return parseJson(body.toString('utf8'))
  } catch (cause) {
    if (isLockstepError(cause) && cause.code !== 'invalid-json') throw cause
    throw new LockstepError(
      'api-refused',
      `What the API has at ${quote(target)} is no JSON that can be kept. ${(cause as Error).message}`,
      { cause },
    )
  }
}

export function refused(target: string, how: string): LockstepError {
  return new LockstepError('api-refused', `The API answered ${quote(target)} ${how}.`)
}
