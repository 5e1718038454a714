/**
 * Where a URL lies in its API: what of it is the API root, what the path below, which stream and topic belong to it.
 *
 * The answer's `Lockstep-Topic` and `Link` say so (PROTOCOL.md §4.2); the path below the root is what URL and topic end with.
 */
import {
  decodeSegment,
  encodeSegment,
  isJsonObject,
  type Json,
  LockstepError,
  type ParsedPath,
  parsePath,
} from 'lockstep/contract'
import { type ApiAnswer, askApi, explainStatus } from './api-request.ts'
import { trimUrl } from './argument.ts'

export interface ApiPlace {
  /** What stands before the paths, without a trailing slash. */
  readonly root: string
  readonly path: ParsedPath
  /** The feed of the stream, as the answer names it. */
  readonly feedUrl: string
  readonly topic: string
  /** What stands before the topics. */
  readonly topicPrefix: string
}

/**
 * Asks the API where the URL lies. Errors: `api-unreachable`, `timeout`, `api-refused` where the answer does not say it.
 */
export async function findApiPlace(url: URL, headers: Readonly<Record<string, string>>): Promise<ApiPlace> {
  const answer = await askApi({ url: trimUrl(url), headers })
  const place = readApiPlace(url, answer)
  if (place !== undefined) return place
  const { response, text } = answer
  const collections = listCollections(text)
  if (collections.length > 0) {
    const shown = collections.map(collection => new URL(collection, url).href).join(', ')
    throw new LockstepError(
      'api-refused',
      `${trimUrl(url)} is an API root. Name a collection or a resource: ${shown}.`,
    )
  }
  if (![200, 404, 410].includes(response.status)) throw explainStatus(trimUrl(url), response.status, text)
  throw new LockstepError(
    'api-refused',
    `${trimUrl(url)} was answered with ${response.status} and without the headers of a mirrored resource. Check the path; "lockstep doctor" looks closer.`,
  )
}

/** Reads it from an answer; `undefined` where its headers do not say it. */
export function readApiPlace(url: URL, { response }: Pick<ApiAnswer, 'response'>): ApiPlace | undefined {
  const topic = response.headers.get('lockstep-topic')
  const feed = readChangesLink(response.headers.get('link'))
  if (topic === null || feed === undefined || !URL.canParse(feed, url)) return undefined
  const feedUrl = new URL(feed, url)
  const stream = /\/([^/]+)\/_changes$/.exec(feedUrl.pathname)?.[1]
  const inUrl = trimUrl(url).slice(url.origin.length).split('/').slice(1).map(toCanonical)
  const inTopic = topic.split('/')
  for (let length = Math.min(inUrl.length, inTopic.length); length > 0; length--) {
    const below = inTopic.slice(-length)
    if (below[0] !== stream || below.join('/') !== inUrl.slice(-length).join('/')) continue
    const before = trimUrl(url).split('/').slice(0, -length).join('/')
    const path = parsePath(`/${below.join('/')}`)
    return {
      root: before,
      path,
      feedUrl: feedUrl.href,
      topic,
      topicPrefix: topic.slice(0, 1 - path.path.length),
    }
  }
  return undefined
}

/** The paths of the collections that an API root lists, without nested ones. */
export function listCollections(text: string): string[] {
  let value: Json
  try {
    value = JSON.parse(text) as Json
  } catch {
    return []
  }
  const resources = isJsonObject(value) && Array.isArray(value['resources']) ? value['resources'] : []
  return resources.flatMap(resource => {
    const path = isJsonObject(resource) ? resource['path'] : undefined
    return typeof path === 'string' && !path.includes('{') ? [path] : []
  })
}

function readChangesLink(link: string | null): string | undefined {
  return /<([^>]*)>\s*;\s*rel="?changes"?/.exec(link ?? '')?.[1]
}

/** The segment as paths and topics spell it; as it is, where it is none. */
function toCanonical(segment: string): string {
  try {
    return encodeSegment(decodeSegment(segment))
  } catch {
    return segment
  }
}
