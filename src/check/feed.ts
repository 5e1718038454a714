/** Reads the feed of a stream as it is: an interval of the change log. PROTOCOL.md 5.4. */
import {
  isJsonObject,
  type JsonObject,
  LockstepError,
  type Marker,
  type Position,
  parseMarker,
} from '../contract/index.ts'
import { show } from './answer.ts'
import type { Api, Exchange } from './api.ts'

export interface FeedPage {
  readonly stream: string
  readonly epoch: string
  readonly after: number
  readonly to: number
  readonly head: number
  readonly first: number
  readonly changes: readonly JsonObject[]
}

/** Asks for one page. Errors: `api-refused` for any answer that is none. */
export async function readFeedPage(api: Api, stream: string, query: string): Promise<FeedPage> {
  const exchange = await api.ask('GET', `/${stream}/_changes${query === '' ? '' : `?${query}`}`)
  const page = parseFeedPage(exchange)
  if (page === undefined)
    throw new LockstepError('api-refused', `${show(exchange)}, which is no page of a feed.`)
  return page
}

/** `undefined` where the answer is no page, or its members are of the wrong kind. */
export function parseFeedPage({ status, json }: Exchange): FeedPage | undefined {
  if (status !== 200 || !isJsonObject(json)) return undefined
  const { stream, epoch, after, to, head, first, changes } = json
  const numbers = [after, to, head, first].every(value => Number.isSafeInteger(value))
  const fits = typeof stream === 'string' && typeof epoch === 'string' && Array.isArray(changes)
  return numbers && fits && changes.every(isJsonObject) ? (json as unknown as FeedPage) : undefined
}

const maxPages = 1_000

/** All changes behind a number, page after page, and where the stream was at the end. */
export async function readFeed(
  api: Api,
  stream: string,
  epoch: string,
  after: number,
): Promise<{ readonly changes: readonly JsonObject[]; readonly head: number }> {
  const changes: JsonObject[] = []
  let at = after
  for (let number = 0; number < maxPages; number++) {
    const page = await readFeedPage(api, stream, `after=${epoch}:${at}&limit=500`)
    changes.push(...page.changes)
    if (page.to >= page.head) return { changes, head: page.head }
    if (page.to <= at)
      throw new LockstepError(
        'api-refused',
        `The feed of ${stream} does not go on behind ${at}, and its head is ${page.head}.`,
      )
    at = page.to
  }
  throw new LockstepError('api-refused', `The feed of ${stream} does not end within ${maxPages} pages.`)
}

/** The marker of an answer; `undefined` where it has none or it cannot be read. */
export function readMarker({ headers }: Pick<Exchange, 'headers'>): Marker | undefined {
  try {
    const text = headers['lockstep-marker']
    return text === undefined ? undefined : parseMarker(text)
  } catch {
    return undefined
  }
}

/** What a marker says of one stream. */
export function positionIn(marker: Marker | undefined, stream: string): Position | undefined {
  return marker?.find(position => position.stream === stream)
}
