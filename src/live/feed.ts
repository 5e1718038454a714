/**
 * The feed of one stream as the bridge reads it: pages that prove what they cover, and the event stream. PROTOCOL.md §5.4, §5.9.
 */
import {
  isJsonObject,
  isLockstepError,
  type Json,
  type JsonObject,
  LockstepError,
  parsePosition,
} from '../contract/index.ts'
import { type ApiRequest, toApiError } from './api-request.ts'
import type { Entry, FeedPage } from './backlog.ts'

export interface Feed {
  /**
   * Reads up to `limit` changes after a position; `now` reads none and says where the stream is. Errors: `position-gone`, `position-ahead`, and those
   * of the API.
   */
  read(after: Place | 'now', limit: number, signal: AbortSignal): Promise<FeedPage>
  /** Opens the event stream. Errors: as {@link read}; the iteration fails when the connection does. */
  openEvents(after: Place, signal: AbortSignal): Promise<AsyncIterable<string>>
  /** What stands before the topics, once the first answer has said it. */
  readonly topicPrefix: Promise<string>
}

interface Place {
  readonly epoch: string
  readonly seq: number
}

export function createFeed(stream: string, request: ApiRequest): Feed {
  const prefix = Promise.withResolvers<string>()

  async function read(after: Place | 'now', limit: number, signal: AbortSignal): Promise<FeedPage> {
    const path = feedPath(stream, after, limit)
    try {
      const response = await request(path, { signal })
      if (response.status !== 200) throw await toApiError(response, path)
      const topic = response.headers.get('lockstep-topic')
      if (topic?.endsWith(stream)) prefix.resolve(topic.slice(0, -stream.length))
      return readPage(stream, path, await response.text())
    } catch (error) {
      // A few very large states: fewer of them fit.
      if (!isLockstepError(error, 'message-too-large') || limit === 1) throw error
      return await read(after, Math.ceil(limit / 16), signal)
    }
  }

  return {
    topicPrefix: prefix.promise,
    read,
    async openEvents(after, signal) {
      const path = feedPath(stream, after)
      const response = await request(path, {
        signal,
        isStream: true,
        headers: { accept: 'text/event-stream' },
      })
      const isStream = response.headers.get('content-type')?.startsWith('text/event-stream')
      if (response.status !== 200 || !isStream || response.body === null)
        throw await toApiError(response, path)
      return response.body.pipeThrough(new TextDecoderStream())
    },
  }
}

/** What one page of the feed covers at most. */
const maxPageChanges = 10_000

function feedPath(stream: string, after: Place | 'now', limit?: number): string {
  const from = after === 'now' ? 'now' : `${after.epoch}:${after.seq}`
  return `/${stream}/_changes?after=${from}${limit === undefined ? '' : `&limit=${limit}`}`
}

function readPage(stream: string, path: string, text: string): FeedPage {
  const page = readJson(text)
  const { epoch, after, to, head, first, changes } = page
  const isPage =
    page['stream'] === stream &&
    typeof epoch === 'string' &&
    [after, to, head, first].every(Number.isSafeInteger) &&
    Array.isArray(changes)
  if (!isPage) throw unreadable(path, 'it is no page of this feed')
  if ((to as number) - (after as number) > maxPageChanges) throw unreadable(path, 'it covers too much')
  // Positions in the backlog are places in an array: what the page does not tell has a place too.
  const entries: Entry[] = []
  const fillUpTo = (seq: number): void => {
    for (let next = (after as number) + entries.length + 1; next < seq; next++)
      entries.push(createBookmark(next))
  }
  for (const change of changes) {
    const entry = readEntry(change)
    const least = (after as number) + entries.length + 1
    if (entry === undefined || entry.seq < least || entry.seq > (to as number))
      throw unreadable(path, 'its changes are not in order')
    fillUpTo(entry.seq)
    entries.push(entry)
  }
  fillUpTo((to as number) + 1)
  return { epoch, after, to, head, first, entries } as FeedPage
}

/** A number of which an audience hears nothing (PROTOCOL.md 13.4). It is of no resource, so that no page is told of it. */
function createBookmark(seq: number): Entry {
  return { seq, resource: '', text: '{"event":"bookmark"}' }
}

/** Events of a later protocol are passed on: pages ignore what they do not know. */
function readEntry(change: Json): Entry | undefined {
  if (!isJsonObject(change) || typeof change['id'] !== 'string' || typeof change['resource'] !== 'string') {
    return undefined
  }
  return { seq: parsePosition(change['id']).seq, resource: change['resource'], text: JSON.stringify(change) }
}

function readJson(text: string): JsonObject {
  try {
    const value = JSON.parse(text) as Json
    if (isJsonObject(value)) return value
  } catch {
    // Told below.
  }
  return {}
}

function unreadable(path: string, what: string): LockstepError {
  return new LockstepError('api-refused', `The answer to GET ${path} cannot be used: ${what}.`)
}
