/**
 * The API as a follower asks it: baselines, single resources, pages of the feed, event streams.
 *
 * It reads answers and refuses what it cannot read; what to make of them, and when to ask again, is the
 * follower's. PROTOCOL.md §4, §5.
 */
import {
  isLockstepError,
  LockstepError,
  type ParsedPath,
  parentOf,
  quote,
  type Texts,
} from '../contract/index.ts'
import {
  type Answer,
  readEmbedLinks,
  readItems,
  readLink,
  readPage,
  readResource,
  readTexts,
} from './api-answer.ts'
import { type RawAnswer, toFailure, unreadable } from './api-failure.ts'
import type { Ask } from './follower-data.ts'
import { followerLimits as limits } from './follower-limits.ts'

export interface ApiOptions {
  /** What stands before the paths: `https://example.com/api/v1`. */
  readonly root: URL
  readonly fetch: typeof fetch
  /** Sent with each request, asked for anew each time: a place for tokens. */
  readonly headers: () => Readonly<Record<string, string>>
  /** How long an answer may take. */
  readonly timeoutMs: number
  /** Where topics begin; `undefined` where the first response will say. */
  readonly topicPrefix: string | undefined
}

/** An answer; with it what it says of texts in several languages, where it does. */
export type Answered = Answer & { readonly texts?: Texts }

export type EmbedLinks = ReturnType<typeof readEmbedLinks>

export interface Api {
  /** What stands before the topics. */
  readonly topicPrefix: Promise<string>
  readonly isTopicPrefixKnown: boolean
  /**
   * Asks about what is followed. Errors: `position-gone`, `position-ahead`, `api-unreachable` and `timeout`, where
   * asking again may help (`extra.retryAfterMs` where the server said when), `api-refused` where it hardly will.
   */
  answer(target: ParsedPath, ask: Ask, signal: AbortSignal): Promise<Answered>
  /** Asks where members lead that may be embedded. Errors: as {@link answer}. */
  findEmbeds(target: ParsedPath, names: readonly string[], signal: AbortSignal): Promise<EmbedLinks>
  /** Opens the feed as an event stream. Errors: as {@link answer}; the iteration fails when the connection does. */
  openEvents(
    target: ParsedPath,
    after: { readonly epoch: string; readonly seq: number },
    signal: AbortSignal,
  ): Promise<AsyncIterable<string>>
}

/** The longest time to wait for an event stream's beginning. */
const openEventsMs = 5_000

export function createApi(options: ApiOptions): Api {
  const root = options.root.href.replace(/[?#].*$/, '').replace(/\/+$/, '')
  const feeds = new Map<string, string>()
  const prefix = Promise.withResolvers<string>()
  let isTopicPrefixKnown = false
  if (options.topicPrefix !== undefined) learnPrefix(options.topicPrefix)

  function learnPrefix(value: string): void {
    isTopicPrefixKnown = true
    prefix.resolve(value)
  }

  /** Learns from the headers of any answer about a mirrored path. */
  function learn(response: Response, url: string, { path: asked, stream }: ParsedPath, isFeed = false): void {
    const topic = response.headers.get('lockstep-topic')
    // The feed is that of the stream, whatever part of it was asked for.
    const path = isFeed ? `/${stream}` : asked
    if (!isTopicPrefixKnown && topic?.endsWith(path.slice(1))) learnPrefix(topic.slice(0, 1 - path.length))
    const feed = readLink(response, url, 'changes')
    if (feed !== undefined) feeds.set(stream, feed)
  }

  async function request(url: string, target: ParsedPath, init: RequestOptions): Promise<Response> {
    const headers = new Headers(options.headers())
    // All languages, whatever a browser would ask for: messages are about whole states (PROTOCOL.md 10.2).
    const own = { accept: 'application/json', 'accept-language': '*', ...init.headers }
    for (const [name, value] of Object.entries(own)) headers.set(name, value)
    try {
      const response = await options.fetch(url, { headers, signal: init.signal, cache: 'no-store' })
      learn(response, url, target, init.isFeed)
      return response
    } catch (error) {
      throw explain(error, url, init)
    }
  }

  async function ask(url: string, target: ParsedPath, init: RequestOptions): Promise<[Response, string]> {
    const limited = { ...init, signal: AbortSignal.any([init.signal, AbortSignal.timeout(init.timeoutMs)]) }
    const response = await request(url, target, limited)
    try {
      return [response, await response.text()]
    } catch (error) {
      throw explain(error, url, init)
    }
  }

  function feedUrl(target: ParsedPath, parameters: Readonly<Record<string, string>>): string {
    const url = new URL(feeds.get(target.stream) ?? `${root}/${target.stream}/_changes`)
    for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, value)
    if (target.segments.length > 1) url.searchParams.set('under', target.path)
    return url.href
  }

  function requestOf(
    target: ParsedPath,
    question: Ask,
  ): { url: string; headers?: Record<string, string>; isFeed?: boolean } {
    if (question.kind === 'items') {
      return { url: question.next ?? `${root}${target.path}?limit=${limits.feedPage}&versions=true` }
    }
    if (question.kind === 'resource') {
      const { path, held } = question
      const headers = held && { 'if-none-match': `"${held.epoch}.${held.version}"` }
      return { url: root + path, headers }
    }
    const { epoch, after, compact } = question
    const limit = String(limits.feedPage)
    return {
      url: feedUrl(target, { after: `${epoch}:${after}`, limit, ...(compact ? { compact: 'true' } : {}) }),
      isFeed: true,
    }
  }

  return {
    topicPrefix: prefix.promise,
    get isTopicPrefixKnown() {
      return isTopicPrefixKnown
    },

    async answer(target, question, signal) {
      const { url, ...rest } = requestOf(target, question)
      const init = { signal, timeoutMs: options.timeoutMs, ...rest }
      const [response, text] = await ask(url, target, init)
      return read({ response, text, url, target }, question)
    },

    async findEmbeds(target, names, signal) {
      const path = target.kind === 'collection' ? target.path : parentOf(target.path)
      // Of an item that there is not, so that nothing has to be embedded.
      const url = `${root}${path}?id=_&limit=1&embed=${encodeURIComponent(names.join(','))}`
      const [response, text] = await ask(url, target, { signal, timeoutMs: options.timeoutMs })
      if (response.status !== 200) throw toFailure({ response, text, url, target })
      return readEmbedLinks(response, url)
    },

    async openEvents(target, { epoch, seq }, signal) {
      const url = feedUrl(target, { after: `${epoch}:${seq}` })
      const opening = new AbortController()
      const timer = setTimeout(() => opening.abort(new DOMException('', 'TimeoutError')), openEventsMs)
      const init = {
        signal: AbortSignal.any([signal, opening.signal]),
        timeoutMs: openEventsMs,
        headers: { accept: 'text/event-stream' },
        isFeed: true,
      }
      try {
        const response = await request(url, target, init)
        if (response.status !== 200) {
          throw toFailure({ response, text: await response.text(), url, target })
        }
        if (
          !/^text\/event-stream\b/.test(response.headers.get('content-type') ?? '') ||
          response.body === null
        ) {
          await response.body?.cancel()
          throw new LockstepError(
            'api-refused',
            `GET ${url} was answered with ${quote(response.headers.get('content-type'))} instead of an event stream. Look for a proxy that changes the Accept header.`,
          )
        }
        return readChunks(response.body, url)
      } catch (error) {
        throw explain(error, url, init)
      } finally {
        clearTimeout(timer)
      }
    },
  }
}

function read(answer: RawAnswer, question: Ask): Answered {
  try {
    if (question.kind === 'feed') return readPage(answer, question.compact)
    const answered = question.kind === 'items' ? readItems(answer) : readResource(answer)
    const texts = readTexts(answer)
    return texts === undefined ? answered : { ...answered, texts }
  } catch (error) {
    // A marker or message that cannot be read has a code of its own; for a follower it is one more refusal.
    const isOurs = isLockstepError(error) && !/^invalid-|^unsafe-|^json-/.test(error.code)
    throw isOurs ? error : unreadable(answer, error instanceof Error ? error.message : String(error))
  }
}

interface RequestOptions {
  readonly signal: AbortSignal
  readonly timeoutMs: number
  readonly headers?: Readonly<Record<string, string>> | undefined
  readonly isFeed?: boolean
}

async function* readChunks(body: ReadableStream<Uint8Array>, url: string): AsyncGenerator<string> {
  const reader = body.getReader()
  const decoder = new TextDecoder()
  try {
    for (;;) {
      const { done, value } = await reader.read()
      if (done) return
      yield decoder.decode(value, { stream: true })
    }
  } catch (error) {
    throw explain(error, url, { timeoutMs: 0 })
  } finally {
    await reader.cancel().catch(() => {})
  }
}

/** Says in our words why there is no answer. */
function explain(error: unknown, url: string, { timeoutMs }: { readonly timeoutMs: number }): LockstepError {
  if (isLockstepError(error)) return error
  if (error instanceof Error && error.name === 'TimeoutError') {
    return new LockstepError('timeout', `GET ${url} was not answered within ${timeoutMs} ms.`, {
      cause: error,
    })
  }
  const reason = error instanceof Error ? causeOf(error) : String(error)
  return new LockstepError(
    'api-unreachable',
    `GET ${url} failed: ${reason}. Check that the API runs there; it is asked again.`,
    { cause: error },
  )
}

/** `fetch` says "fetch failed" and keeps the reason in `cause`. */
function causeOf(error: Error): string {
  return error.cause instanceof Error && error.cause.message !== '' ? error.cause.message : error.message
}
