/** Reads a page of an API's feed: an interval of the change log, whole. PROTOCOL.md §5.4. */
import {
  type ChangeMessage,
  isJsonObject,
  LockstepError,
  parsePosition,
  readMessage,
} from 'lockstep/contract'
import { askForJson } from './api-request.ts'

export interface FeedRequest {
  /** The API root, without a trailing slash. */
  readonly root: string
  readonly stream: string
  /** `epoch:seq`, `earliest` or `now`. */
  readonly after: string
  readonly headers: Readonly<Record<string, string>>
  readonly signal?: AbortSignal
}

export interface FeedPage {
  readonly epoch: string
  readonly after: number
  readonly to: number
  readonly head: number
  readonly changes: readonly { readonly seq: number; readonly message: ChangeMessage }[]
  /** What stands before the topics. */
  readonly topicPrefix: string
}

const pageSize = 1_000

/** Errors: `api-unreachable`, `timeout`, `api-refused`, `position-gone`, `position-ahead`. */
export async function readFeedPage(request: FeedRequest): Promise<FeedPage> {
  const { root, stream, after, headers, signal } = request
  const url = `${root}/${stream}/_changes?after=${encodeURIComponent(after)}&limit=${pageSize}`
  const { response, value } = await askForJson({ url, headers, signal })
  if (!isJsonObject(value) || !Array.isArray(value['changes']) || typeof value['epoch'] !== 'string') {
    throw new LockstepError(
      'api-refused',
      `GET ${url} was answered with something else than a page of a feed.`,
    )
  }
  const changes = value['changes'].flatMap(item => {
    const message = readMessage(item)
    if (message === undefined || message.event === 'reset') return []
    return [{ seq: parsePosition(message.id).seq, message }]
  })
  const topic = response.headers.get('lockstep-topic') ?? stream
  return {
    epoch: value['epoch'],
    after: Number(value['after']),
    to: Number(value['to']),
    head: Number(value['head']),
    changes,
    topicPrefix: topic.endsWith(stream) ? topic.slice(0, topic.length - stream.length) : '',
  }
}
