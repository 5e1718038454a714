/**
 * What every handler of a request works with, and the headers that every answer of a mirrored resource carries.
 * PROTOCOL.md §4.
 */
import Negotiator from 'negotiator'
import {
  formatMarker,
  type Head,
  LockstepError,
  type Marker,
  type ParsedPath,
  pathToTopic,
  quote,
  type ReportError,
} from '../../contract/index.ts'
import type { ChangeLog } from '../../log/change-log.ts'
import type { CreateCause } from '../cause.ts'
import type { Documents } from '../describe/documents.ts'
import type { HeadWatch } from '../head-watch.ts'
import type { Health } from '../health.ts'
import type { RemoteResources } from '../remote-resources.ts'
import type { Resource } from '../resource.ts'
import type { Share } from '../share.ts'
import type { BulkOptions } from './bulk-request.ts'
import type { EventStreams } from './event-streams.ts'
import type { Exchange, Reply } from './exchange.ts'

export interface HandlerContext {
  readonly log: ChangeLog
  readonly watch: HeadWatch
  readonly share: Share
  /** Reads what is embedded from other services. */
  readonly remoteResources: RemoteResources
  /** The API root without a trailing slash, such as `/api/v1`; `''` for the top. */
  readonly root: string
  /** What stands before the topics; `undefined` where there are none. */
  readonly topicPrefix: string | undefined
  /** The resources by their routes (`people`, `people/friends`). */
  readonly routes: ReadonlyMap<string, Resource<object>>
  readonly now: () => number
  readonly createCause: CreateCause
  readonly onError: ReportError
  /** Aborted when the service closes: event streams end. */
  readonly closing: AbortSignal
  /** How often an event stream tells the head. */
  readonly headEveryMs: number
  readonly eventStreams: EventStreams
  /** Are writes refused? Then there are no bulks either. */
  readonly readOnly: boolean
  /** `undefined` where there are no bulks. */
  readonly bulk: Required<BulkOptions> | undefined
  /** Who a request comes from, where the application can tell. */
  readonly principal?: (exchange: Exchange) => string | undefined
  /** What requests with an idempotency key are running now; see idempotency.ts. */
  readonly runningScopes: Set<string>
  /** Answers `/health`; `undefined` where nothing does. */
  readonly readHealth: (() => Promise<Health>) | undefined
  /** What answers `/_openapi` and `/_asyncapi`; `undefined` where nothing does. */
  readonly documents: Documents | undefined
}

/** What answers each method that is allowed at a place. */
export type Methods = Readonly<Record<string, (route: Route) => Promise<Reply>>>

/** One request on its way: where it leads, and the answer's headers as far as they are known. */
export interface Route {
  readonly context: HandlerContext
  readonly exchange: Exchange
  readonly target: ParsedPath
  readonly resource: Resource<object>
  readonly methods: Methods
  /** Filled on the way, so that an error's answer carries them too. */
  readonly headers: Record<string, string>
}

/** Sets what a client needs to follow: the stream's changes and the topic of the path. */
export function setMirrorHeaders({ context, target, headers }: Route): void {
  headers['link'] = `<${context.root}/${target.stream}/_changes>; rel="changes"`
  if (context.topicPrefix !== undefined)
    headers['lockstep-topic'] = pathToTopic(target.path, context.topicPrefix)
}

export function setMarker({ headers }: Route, marker: Marker): void {
  headers['lockstep-marker'] = formatMarker(marker)
}

/** The declared resource of a canonical path; `undefined` where the API has none there. */
export function resourceAt({ routes }: HandlerContext, path: string): Resource<object> | undefined {
  const names = path.slice(1).split('/')
  return routes.get(names.filter((_, index) => index % 2 === 0).join('/'))
}

export function markerOf(head: Head): Marker {
  return [{ stream: head.stream, epoch: head.epoch, seq: head.seq }]
}

/** Chooses the media type to answer with; the first is the default. Errors: `not-acceptable`. */
export function negotiate(exchange: Exchange, available: readonly string[]): string {
  const accept = exchange.header('accept')
  if (accept === undefined || accept === '' || accept === '*/*') return available[0]!
  const chosen = new Negotiator({ headers: { accept } }).mediaType([...available])
  if (chosen === undefined) {
    throw new LockstepError(
      'not-acceptable',
      `Accept: ${quote(accept)} asks for none of ${available.join(', ')}.`,
    )
  }
  return chosen
}
