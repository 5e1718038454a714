/** Reads the API's answers: items with versions, one resource, a page of the feed. PROTOCOL.md §4, §5. */
import {
  isJsonObject,
  type Json,
  parseMarker,
  parseMemberPath,
  parsePosition,
  quote,
  readMessage,
  type Texts,
} from '../contract/index.ts'
import { type RawAnswer, readJson, toFailure, unreadable } from './api-failure.ts'
import type { Interval, Item, NumberedMessage, ResourceAnswer } from './follower-data.ts'

export type Answer =
  | { readonly type: 'page'; readonly interval: Interval }
  | {
      readonly type: 'items'
      readonly epoch: string
      readonly seq: number
      readonly items: readonly Item[]
      readonly next: string | undefined
    }
  | { readonly type: 'resource'; readonly answer: ResourceAnswer }

/** A page of a collection. A collection below a resource that is not there is empty. */
export function readItems(answer: RawAnswer): Answer {
  const { response, url, target } = answer
  const isNowhere = response.status === 404 || response.status === 410
  if (isNowhere && target.segments.length > 1 && response.headers.has('lockstep-marker')) {
    return { type: 'items', ...readMarkerOf(answer), items: [], next: undefined }
  }
  if (response.status !== 200) throw toFailure(answer)
  const states = readJson(answer)
  if (!Array.isArray(states)) throw unreadable(answer, 'a collection is a JSON array.')
  const text = response.headers.get('lockstep-versions') ?? ''
  const versions = text === '' ? [] : text.split(',').map(Number)
  if (versions.length !== states.length) {
    throw unreadable(
      answer,
      `Lockstep-Versions names ${versions.length} versions for ${states.length} items. Is it a Lockstep service? Across origins, expose the header (Access-Control-Expose-Headers).`,
    )
  }
  const items = states.map((state, index) => readItem(answer, state, versions[index]!))
  return { type: 'items', ...readMarkerOf(answer), items, next: readLink(response, url, 'next') }
}

function readItem(answer: RawAnswer, state: Json, version: number): Item {
  if (!isJsonObject(state) || typeof state['id'] !== 'string' || !isVersion(version)) {
    throw unreadable(answer, `the item ${quote(JSON.stringify(state))} has no id or no version.`)
  }
  return { id: state['id'], version, state }
}

/** One resource, also where it does not exist or has not changed. */
export function readResource(answer: RawAnswer): Answer {
  const { response } = answer
  if (response.status === 304) return { type: 'resource', answer: { found: 'same', ...readMarkerOf(answer) } }
  const isNowhere = response.status === 404 || response.status === 410
  if (isNowhere && response.headers.has('lockstep-marker')) {
    return { type: 'resource', answer: { found: 'absent', ...readMarkerOf(answer) } }
  }
  if (response.status !== 200) throw toFailure(answer)
  const state = readJson(answer)
  if (!isJsonObject(state)) throw unreadable(answer, 'a resource is a JSON object.')
  const marker = readMarkerOf(answer)
  const tag = response.headers.get('etag') ?? ''
  const [, epoch, digits] = /^"([A-Za-z0-9]{1,32})\.(\d{1,16})"$/.exec(tag) ?? []
  const version = Number(digits)
  if (epoch !== marker.epoch || !isVersion(version)) {
    throw unreadable(
      answer,
      `the ETag ${quote(tag)} does not give a version in the epoch ${marker.epoch}. A follower needs the whole representation; across origins, expose the header.`,
    )
  }
  return { type: 'resource', answer: { found: 'whole', ...marker, version, state } }
}

/** A page of the feed. */
export function readPage(answer: RawAnswer, compact: boolean): Answer {
  if (answer.response.status !== 200) throw toFailure(answer)
  const page = readJson(answer)
  if (!isJsonObject(page) || !Array.isArray(page['changes']))
    throw unreadable(answer, 'it is no page of a feed.')
  const { stream, epoch, after, to, head } = page
  const isComplete = typeof epoch === 'string' && isCount(after) && isCount(to) && isCount(head)
  if (stream !== answer.target.stream || !isComplete) throw unreadable(answer, 'it is no page of this feed.')
  const changes: NumberedMessage[] = []
  for (const value of page['changes']) {
    const message = readMessage(value)
    // An event of a later protocol: the interval covers it.
    if (message === undefined) continue
    const position = parsePosition(message.id)
    if (position.stream !== stream || position.epoch !== epoch) {
      throw unreadable(answer, `the change ${quote(message.id)} is of another stream or epoch.`)
    }
    changes.push({ epoch, seq: position.seq, message })
  }
  return { type: 'page', interval: { epoch, after, to, head, compact, changes } }
}

/** The URL of a link (RFC 8288), where it leads to the same origin: credentials go nowhere else. */
export function readLink(response: Response, url: string, rel: string): string | undefined {
  for (const [, reference, parameters] of (response.headers.get('link') ?? '').matchAll(
    /<([^>]*)>([^<]*)/g,
  )) {
    if (!new RegExp(`;\\s*rel="?[^";,]*\\b${rel}\\b`).test(parameters!) || !URL.canParse(reference!, url))
      continue
    const target = new URL(reference!, url)
    if (target.origin === new URL(url).origin) return target.href
  }
  return undefined
}

/** Where the members lead that `embed` named: their collections, as written and as URLs. Any origin may be named. */
export function readEmbedLinks(
  response: Response,
  url: string,
): ReadonlyMap<string, { readonly href: string; readonly url: string }> {
  const links = new Map<string, { href: string; url: string }>()
  for (const [, href, parameters] of (response.headers.get('link') ?? '').matchAll(/<([^>]*)>([^<]*)/g)) {
    const [, member] = /;\s*member="([^"]*)"/.exec(parameters!) ?? []
    const isEmbedded = /;\s*rel="embedded"/.test(parameters!) && URL.canParse(href!, url)
    if (member !== undefined && isEmbedded) links.set(member, { href: href!, url: new URL(href!, url).href })
  }
  return links
}

/** Which members are texts in several languages; `undefined` where the answer does not say. Errors: `invalid-query`. */
export function readTexts(answer: RawAnswer): Texts | undefined {
  const read = (name: string): string[] | undefined =>
    answer.response.headers
      .get(name)
      ?.split(',')
      .map(item => item.trim())
  const [languages, places] = [read('lockstep-languages'), read('lockstep-texts')]
  if (languages === undefined || places === undefined) return undefined
  return { languages, places: places.map(place => parseMemberPath(place)) }
}

/** The place of the followed stream in the response's marker. */
function readMarkerOf(answer: RawAnswer): { readonly epoch: string; readonly seq: number } {
  const text = answer.response.headers.get('lockstep-marker')
  const position = parseMarker(text ?? '').find(({ stream }) => stream === answer.target.stream)
  if (position === undefined) {
    throw unreadable(
      answer,
      'it has no Lockstep-Marker for the stream. Is it a Lockstep service? Across origins, expose the header (Access-Control-Expose-Headers).',
    )
  }
  return { epoch: position.epoch, seq: position.seq }
}

function isVersion(value: number): boolean {
  return Number.isSafeInteger(value) && value > 0
}

function isCount(value: Json | undefined): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0
}
