/** What `lockstep doctor` looks at over HTTP: the answer, its headers, the feed, the event stream, the versions. */
import {
  formatPosition,
  type Head,
  isJsonObject,
  isLockstepError,
  type Json,
  type Marker,
  type Position,
  parseHead,
  parseMarker,
  quote,
} from 'lockstep/contract'
import { adviseOn, adviseOnStatus } from './advice.ts'
import { type ApiPlace, listCollections, readApiPlace } from './api-place.ts'
import { type ApiAnswer, askApi, explainFailure, explainStatus } from './api-request.ts'
import { trimUrl } from './argument.ts'
import type { Check } from './doctor-check.ts'
import { explain } from './failure.ts'
import { type FeedPage, readFeedPage } from './feed-page.ts'

export type Headers = Readonly<Record<string, string>>

/** What the first look at the API gave; the other checks need it. */
export interface Visit {
  readonly url: URL
  readonly answer: ApiAnswer
}

/** Can the API be reached? An API root is left for its first collection. */
export async function checkReachable(
  url: URL,
  headers: Headers,
): Promise<{ check: Check; visit: Visit | undefined }> {
  const name = 'API'
  try {
    const answer = await askApi({ url: trimUrl(url), headers })
    const { status } = answer.response
    const [first] = listCollections(answer.text)
    if (first !== undefined && readApiPlace(url, answer) === undefined) {
      const inside = new URL(first, url)
      const { check, visit } = await checkReachable(inside, headers)
      return { check: { ...check, detail: `${check.detail}; ${trimUrl(url)} is the root` }, visit }
    }
    const detail = `GET ${trimUrl(url)} was answered with ${status} in ${formatMs(answer.tookMs)}`
    const isMirrored = answer.response.headers.has('lockstep-topic')
    const isUsable = status === 200 || (isMirrored && [404, 410].includes(status))
    const next = isUsable ? undefined : adviseOnStatus(status)
    return {
      check: { name, status: isUsable ? 'ok' : 'failed', detail, next },
      visit: isUsable ? { url, answer } : undefined,
    }
  } catch (error) {
    return {
      check: { name, status: 'failed', detail: explain(error), next: adviseOn(error) },
      visit: undefined,
    }
  }
}

/** Does it say what a mirrored resource says, and is the body what it should be? */
export function checkProtocol({ url, answer }: Visit): { check: Check; place: ApiPlace | undefined } {
  const { response, text } = answer
  const place = readApiPlace(url, answer)
  const needed = ['lockstep-topic', 'link', 'lockstep-marker', ...(response.status === 200 ? ['etag'] : [])]
  const missing = needed.filter(name => response.headers.get(name) === null)
  const fail = (detail: string, next: string): { check: Check; place: ApiPlace | undefined } => ({
    check: { name: 'protocol', status: 'failed', detail, next },
    place,
  })
  if (missing.length > 0) {
    return fail(
      `the answer has no ${missing.join(', no ')}`,
      'Check that it is a Lockstep service at that path, and that no proxy before it takes headers away.',
    )
  }
  if (place === undefined) {
    return fail(
      `Lockstep-Topic ${quote(response.headers.get('lockstep-topic'))} and Link do not fit the URL`,
      'Look for a proxy that changes paths.',
    )
  }
  const fault = response.status === 200 ? findBodyFault(text, place) : undefined
  if (fault !== undefined) return fail(fault, 'The service does not keep the protocol: see PROTOCOL.md §4.')
  const detail = `the topic is ${place.topic}, the root ${place.root}`
  return { check: { name: 'protocol', status: 'ok', detail }, place }
}

function findBodyFault(text: string, { path }: ApiPlace): string | undefined {
  const value = tryToParse(text)
  const items = path.kind === 'collection' ? value : [value]
  if (!Array.isArray(items)) return `a collection is an array, not ${quote(text, 40)}`
  const odd = items.find(item => !isJsonObject(item) || typeof item['id'] !== 'string')
  return odd === undefined
    ? undefined
    : `a representation is an object with a text as id, not ${quote(JSON.stringify(odd), 60)}`
}

/** Does the feed answer, as JSON? */
export async function checkFeed(
  place: ApiPlace,
  headers: Headers,
): Promise<{ check: Check; page: FeedPage | undefined }> {
  const name = 'feed'
  const root = place.feedUrl.replace(/\/[^/]+\/_changes$/, '')
  try {
    const page = await readFeedPage({ root, stream: place.path.stream, after: 'now', headers })
    return {
      check: { name, status: 'ok', detail: `${place.path.stream} is at ${page.epoch}:${page.head}` },
      page,
    }
  } catch (error) {
    const next = `The Link header names ${place.feedUrl}: it must be reachable from here. A service behind a path needs to know it (root).`
    return { check: { name, status: 'failed', detail: explain(error), next }, page: undefined }
  }
}

const eventStreamMs = 6_000

/** Does the feed answer as an event stream, and say its head at once? */
export async function checkEvents({ feedUrl }: ApiPlace, headers: Headers): Promise<Check> {
  const name = 'event stream'
  const begin = performance.now()
  const controller = new AbortController()
  try {
    const signal = AbortSignal.any([controller.signal, AbortSignal.timeout(eventStreamMs)])
    const accept = { accept: 'text/event-stream' }
    const response = await fetch(feedUrl, { headers: { ...headers, ...accept }, signal, cache: 'no-store' })
    if (response.status !== 200) throw explainStatus(feedUrl, response.status, await response.text())
    const type = response.headers.get('content-type') ?? 'nothing'
    if (!type.startsWith('text/event-stream')) {
      const next = 'Look for a proxy that changes the Accept header.'
      return { name, status: 'failed', detail: `it was answered with ${quote(type)}`, next }
    }
    const head = await readFirstHead(response)
    const took = formatMs(performance.now() - begin)
    if (head !== undefined)
      return { name, status: 'ok', detail: `it says the head ${head.epoch}:${head.seq} after ${took}` }
    return {
      name,
      status: 'failed',
      detail: `it ended after ${took} without a head`,
      next: "Read the service's log.",
    }
  } catch (error) {
    const detail = explain(explainFailure(error, feedUrl, eventStreamMs))
    const next = isLockstepError(error)
      ? 'Followers without a broker need it.'
      : 'A proxy may hold events back: turn its buffering off for text/event-stream.'
    return { name, status: 'failed', detail, next }
  } finally {
    controller.abort()
  }
}

async function readFirstHead(response: Response): Promise<Head | undefined> {
  let text = ''
  const decoder = new TextDecoder()
  for await (const chunk of response.body as AsyncIterable<Uint8Array>) {
    text += decoder.decode(chunk, { stream: true })
    const data = /^event: ?head\n(?:.+\n)*?data: ?(.+)\n/m.exec(text)?.[1]
    if (data !== undefined) return parseHead(data)
  }
  return undefined
}

/** Do markers, versions and entity tags agree with each other, and does a conditional GET save the body? */
export async function checkVersions(
  visit: Visit,
  place: ApiPlace,
  page: FeedPage | undefined,
  headers: Headers,
): Promise<Check> {
  const name = 'versions'
  try {
    const path = place.path.kind === 'resource' ? place.path.path : await findFirstItem(place, headers)
    if (path === undefined) return { name, status: 'skipped', detail: `${place.path.path} is empty` }
    const url = place.root + path
    const { response } = await askApi({ url, headers })
    if (response.status !== 200)
      return { name, status: 'skipped', detail: `GET ${url} was answered with ${response.status}` }
    const tag = response.headers.get('etag') ?? ''
    const [, epoch, version] = /^"([A-Za-z0-9]+)\.(\d+)(?:;[^"]*)?"$/.exec(tag) ?? []
    if (epoch === undefined) {
      const next = 'A proxy that compresses may weaken it: the tag must pass as it is.'
      return { name, status: 'failed', detail: `the ETag ${quote(tag)} is not that of a version`, next }
    }
    const marker = response.headers.get('lockstep-marker') ?? ''
    const fault = findMarkerFault(
      parseMarker(visit.answer.response.headers.get('lockstep-marker') ?? ''),
      parseMarker(marker),
      { epoch, page, stream: place.path.stream },
    )
    const next = 'Look for a cache, or for several instances on different databases, behind this address.'
    if (fault !== undefined) return { name, status: 'failed', detail: fault, next }
    const again = await askApi({ url, headers: { ...headers, 'if-none-match': tag } })
    const isSame = again.response.headers.get('etag') === tag
    if (again.response.status !== 304 && isSame) {
      const detail = `a conditional GET of ${path} was answered with ${again.response.status} instead of 304`
      return { name, status: 'failed', detail, next: 'Look for a proxy that drops If-None-Match.' }
    }
    return {
      name,
      status: 'ok',
      detail: `${path} is version ${version} at ${marker}; a conditional GET gives 304`,
    }
  } catch (error) {
    return { name, status: 'failed', detail: explain(error) }
  }
}

/** What was read later must not be older, and all of it is of one epoch. */
function findMarkerFault(
  earlier: Marker,
  later: Marker,
  known: { readonly epoch: string; readonly stream: string; readonly page: FeedPage | undefined },
): string | undefined {
  const find = (marker: Marker): Position | undefined => marker.find(({ stream }) => stream === known.stream)
  const [first, second] = [find(earlier), find(later)]
  if (first === undefined || second === undefined) return `a marker says nothing of ${known.stream}`
  const epochs = [
    ...new Set([first.epoch, second.epoch, known.epoch, ...(known.page ? [known.page.epoch] : [])]),
  ]
  if (epochs.length > 1) return `the answers are of several epochs: ${epochs.join(', ')}`
  const least = Math.max(first.seq, known.page?.head ?? 0)
  if (second.seq >= least) return undefined
  return `an answer at ${formatPosition(second)} came after one at ${least}`
}

async function findFirstItem({ root, path }: ApiPlace, headers: Headers): Promise<string | undefined> {
  const url = `${root}${path.path}?limit=1`
  const { response, text } = await askApi({ url, headers })
  if (response.status !== 200) throw explainStatus(url, response.status, text)
  const list = tryToParse(text)
  const first = Array.isArray(list) ? list[0] : undefined
  return isJsonObject(first) ? `${path.path}/${encodeURIComponent(String(first['id']))}` : undefined
}

export function formatMs(ms: number): string {
  return ms < 1_000 ? `${Math.round(ms)} ms` : `${(ms / 1_000).toFixed(1)} s`
}

export function tryToParse(text: string): Json | undefined {
  try {
    return JSON.parse(text) as Json
  } catch {
    return undefined
  }
}
