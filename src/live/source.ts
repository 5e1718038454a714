/**
 * Where streams come from: an API, and for each of its streams a broker or the API's own event stream that says at once what is new.
 *
 * What is heard is a hint; the feed is what proves. PROTOCOL.md §5, §6.
 */
import type { Broker } from '../broker/broker.ts'
import { checkMethods, LockstepError, type Message, parsePath, quote } from '../contract/index.ts'
import type { Entry } from './backlog.ts'

/** An API: its root, or a service in the same process. */
export type ApiPlace = string | URL | { fetch(request: Request): Promise<Response> }

/** One API and what the bridge takes from it. */
export interface LiveSource {
  /** What stands before the paths, such as `https://example.com/api/v1`; or a service of this process. */
  readonly api: ApiPlace
  /** The top-level collections that pages may follow, such as `people`. */
  readonly streams: readonly string[]
  /** Where changes are heard. The bridge does not close it. @default the API's event streams */
  readonly broker?: Broker
  /** What stands before the topics. @default what the API's first answer says */
  readonly topicPrefix?: string
  /** The root of a service of this process, such as `/api/v1`. @default '' */
  readonly root?: string
  /** Sent with each request to the API; asked for anew each time, so that tokens may change. */
  readonly headers?: () => Readonly<Record<string, string>>
  /** How long an answer of the API may take. @default 10_000 */
  readonly timeoutMs?: number
}

/** Hears a source. No call follows its `close`. */
export interface SourceListener {
  onEntry(epoch: string, entry: Entry): void
  /** A head, or anything else that says that there is more; `proves` where nothing up to it is missing. */
  onHead(epoch: string, seq: number, proves: boolean): void
  /** What is new is heard from now on, or no more. */
  onUp(): void
  onDown(): void
  onError(error: unknown): void
}

export interface HeardSource {
  close(): void
}

/** A message as the backlog keeps it: on one line, since an event stream cannot carry line breaks inside a frame. */
export function toEntry(seq: number, message: Message, text: string): Entry {
  const isLine = !/[\r\n]/.test(text)
  return { seq, resource: message.resource, text: isLine ? text : JSON.stringify(message) }
}

/** The streams of all sources, each with its own. Errors: `invalid-option`, `invalid-path`. */
export function indexSources(where: string, sources: readonly LiveSource[]): ReadonlyMap<string, LiveSource> {
  if (!Array.isArray(sources) || sources.length === 0) {
    throw new LockstepError(
      'invalid-option',
      `${where} was given no sources. Give at least one: sources: [{ api: "http://localhost:3001", streams: ["people"] }].`,
    )
  }
  const byStream = new Map<string, LiveSource>()
  for (const source of sources) {
    checkSource(where, source)
    for (const name of source.streams) {
      const { stream, segments } = parsePath(`/${name}`)
      if (segments.length > 1 || byStream.has(stream)) {
        const reason = segments.length > 1 ? 'is no top-level collection' : 'is named twice'
        throw new LockstepError('invalid-option', `The stream ${quote(name)} of ${where} ${reason}.`)
      }
      byStream.set(stream, source)
    }
  }
  return byStream
}

function checkSource(where: string, { api, streams, broker }: LiveSource): void {
  if (typeof api === 'string' || api instanceof URL) {
    if (!URL.canParse(api) || !/^https?:$/.test(new URL(api).protocol)) {
      throw new LockstepError(
        'invalid-option',
        `The API root ${quote(api)} of ${where} is no URL. Give one such as "https://example.com/api/v1".`,
      )
    }
  } else
    checkMethods(`The api of ${where}`, api, ['fetch'], 'Give its URL, or what openService resolves with.')
  if (!Array.isArray(streams) || streams.length === 0) {
    throw new LockstepError('invalid-option', `A source of ${where} has no streams: ["people", …].`)
  }
  if (broker === undefined) return
  const advice = 'Give a connection: await connectMqtt("mqtt://localhost").'
  checkMethods(`The broker of ${where}`, broker, ['subscribe', 'onConnection'], advice)
}
