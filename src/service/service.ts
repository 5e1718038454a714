/**
 * A service: the side that owns resources. Puts together log, HTTP handlers, relay and retention.
 *
 * It opens neither database nor port: the application hands in a change log and, where there is one, a broker,
 * mounts `fetch` or a Node listener, and closes what it opened. PROTOCOL.md §4 to §7.
 */
import type { Broker } from '../broker/broker.ts'
import {
  checkCount,
  checkMethods,
  checkOptions,
  checkTopicPrefix,
  createErrorReport,
  type Head,
  LockstepError,
  type Marker,
  type OptionNames,
  parentOf,
  quote,
  type ReportError,
} from '../contract/index.ts'
import type { ChangeLog, Retention } from '../log/change-log.ts'
import {
  type AudienceOptions,
  checkAudience,
  checkPublicTopics,
  createAudiences,
  createCallers,
  createFaces,
} from './audience.ts'
import { createCauses } from './cause.ts'
import { type About, checkAbout } from './describe/about.ts'
import { createDocuments } from './describe/documents.ts'
import { createHeadWatch } from './head-watch.ts'
import { createErrorMemory, type Health, readHealth } from './health.ts'
import { type BulkOptions, readBulkOptions } from './http/bulk-request.ts'
import type { HandlerContext } from './http/context.ts'
import { type EventStreamLimits, EventStreams } from './http/event-streams.ts'
import { type Exchange, type HttpHandler, type Reply, replyToError } from './http/exchange.ts'
import { createFetchHandler, type FetchHandler } from './http/fetch.ts'
import { handle, owns } from './http/handler.ts'
import { isRequestId } from './id.ts'
import { checkRetention, startPruning } from './pruning.ts'
import { createPublicBroker } from './public-broker.ts'
import { type Claim, hashParts, invalidIdempotencyKey, isIdempotencyKey, writeOnce } from './receipt.ts'
import { type Relay, startRelay } from './relay.ts'
import { type RelayOptions, readRelayOptions } from './relay-options.ts'
import { createRemoteResources } from './remote-resources.ts'
import type { Resource } from './resource.ts'
import { createShare } from './share.ts'
import { createLocate, type Place, pathOf, runWork, type Transaction } from './transaction.ts'

export interface ServiceOptions {
  readonly resources: readonly Resource<object>[]
  /** Where state and changes are kept. The service does not close it. */
  readonly log: ChangeLog
  /** Where changes are published; without one, followers use the feed. The service does not close it. */
  readonly broker?: Broker
  /** What stands before the resources' paths, such as `/api/v1`. @default '' */
  readonly root?: string
  /** What stands before the topics, such as `acme/prod/`. @default '' */
  readonly topicPrefix?: string
  /**
   * How a gateway says who asks, and the keys that its word is verified with. Needed where resources are `public` and a gateway shows
   * them. @default every request is answered as internal; one that brings a gateway's word is refused where a resource is public
   */
  readonly audience?: AudienceOptions
  /** What stands before the topics on which the public hears of public resources, such as `public/`. @default it hears by the feed only */
  readonly publicTopicPrefix?: string
  readonly relay?: RelayOptions
  readonly retention?: Retention
  /**
   * Only reads: for collections whose changes the application records in transactions of its own (`record`). Writes are 405
   * `method-not-allowed`, and there is no `transaction`. @default false
   */
  readonly readOnly?: boolean
  /** Event streams that may be open at once. @default 10_000 */
  readonly maxEventStreams?: number
  /**
   * Characters of events that readers have not taken yet, of all event streams together. Past it the stream that has waited
   * longest is cut; its reader comes back with its position. @default 67_108_864
   */
  readonly maxUnreadChars?: number
  /**
   * Limits of `POST /{collection}/_bulk`; `false`: there are no bulks. Who may POST there may write every resource of
   * the collection, whatever rules stand before the single paths.
   */
  readonly bulk?: BulkOptions | false
  /**
   * Says who a request comes from, so that idempotency keys of different callers never meet: the name of the user
   * that the application has authenticated. @default all callers are one
   */
  readonly principal?: (exchange: Exchange) => string | undefined
  /**
   * Gives the cause of writes that bring none, in the context of the request or call: with OpenTelemetry
   * `() => formatTraceparent(trace.getActiveSpan()?.spanContext())`. @default the request's `traceparent`, else a random id
   */
  readonly cause?: () => string | undefined
  /** Answer `GET {root}/health`, unless a resource has that name? @default true */
  readonly health?: boolean
  /**
   * What the documents at `{root}/_openapi` and `{root}/_asyncapi` say of the service as a whole: title, version, where the
   * broker is. `false`: there are none. @default {}
   */
  readonly about?: About | false
  /** Hears what went wrong in the background and in requests answered with 5xx. @default writes to stderr */
  readonly onError?: ReportError
  /** Milliseconds since 1970. @default Date.now */
  readonly now?: () => number
}

export interface TransactionOptions {
  /** Comes back as the `cause` of each message: 1 to 128 visible ASCII characters. @default that of the service's `cause` */
  readonly cause?: string
  /**
   * Makes the transaction one that may be tried again: where one with this key has been committed (within a day,
   * unless `retention` says otherwise), `work` is not run and that one's value and marker are given. 1 to 255
   * visible ASCII characters. The value is kept as JSON.
   */
  readonly idempotencyKey?: string
}

export interface Service extends AsyncDisposable {
  /** Answers a request: `(request: Request) => Promise<Response>`. */
  readonly fetch: FetchHandler
  /** Answers as the public is answered, whatever the request says: for pages of the same process. */
  readonly public: HttpHandler & { readonly fetch: FetchHandler }
  /** Answers a request of any server; see createNodeListener. Never rejects. */
  handle(exchange: Exchange): Promise<Reply>
  /** Is the raw path below the service's root? */
  owns(path: string): boolean
  /**
   * Runs writes to several resources in one durable transaction: all or none, also in the messages, which carry
   * the same `tx`. Where `work` throws, nothing was written. `replayed` says that an earlier one with the same key did
   * it. `work` awaits each of its operations, and begins no other write on the same log: both are `invalid-option`,
   * and nothing is written. Errors: those of the writes; `transaction-timeout`, `invalid-idempotency-key`.
   *
   *     await service.transaction(async tx => {
   *       const ann = await tx.create(people, { name: 'Ann' })
   *       await tx.patch(projects, 'atlas', { owner: ann.id })
   *     })
   */
  transaction<T>(
    work: (tx: Transaction) => Promise<T>,
    options?: TransactionOptions,
  ): Promise<{ value: T; marker: Marker; replayed: boolean }>
  /** Reads a resource outside of a transaction; `undefined` where it is not. */
  read<State extends object>(place: Place<State>, id: string): Promise<State | undefined>
  /** The heads of all streams. */
  heads(): Promise<readonly Head[]>
  /** Changes in the log that the broker has not acknowledged yet, per stream; `{}` without a broker. */
  relayLag(): Promise<Readonly<Record<string, number>>>
  /** How the service stands, as `/health` shows it. Does not reject, and takes at most 2 s. */
  health(): Promise<Health>
  /** Ends event streams, relay and retention. Log and broker stay open. Idempotent. */
  close(): Promise<void>
}

/** Opens a service on its log: makes the streams known, starts relay and retention. Errors: `invalid-option`, those of the log. */
export async function openService(options: ServiceOptions): Promise<Service> {
  const settings = readServiceOptions(options)
  const relayOptions = readRelayOptions(options.relay)
  const { broker, publicTopicPrefix } = options
  const { routes, topicPrefix, now } = settings
  const faces = createFaces(options.log, routes, settings.readOnly)
  const { log } = faces
  if (publicTopicPrefix !== undefined)
    checkPublicTopics(checkTopicPrefix(publicTopicPrefix), topicPrefix, routes)
  const errors = createErrorMemory(settings.onError)
  const onError = errors.report
  const createCause = createCauses(options.cause, onError)
  const locate = createLocate(routes)
  const streams = [...new Set([...routes.keys()].map(route => route.split('/', 1)[0]!))]
  await log.ensureStreams(streams)
  const closing = new AbortController()
  const watch = createHeadWatch(log)
  const share = createShare()
  const health = (): Promise<Health> =>
    share('health', () =>
      readHealth({ ...context, eventStreams: context.eventStreams.count, streams, broker, relay, errors }),
    )
  const callers = createCallers(options.audience, faces, options.principal, now)
  const context: HandlerContext = {
    ...settings,
    principal: callers.principalFor('internal'),
    onError,
    createCause,
    readHealth: options.health === false || routes.has('health') ? undefined : health,
    documents: checkAbout(options.about) && createDocuments({ ...options, audience: undefined }),
    log,
    watch,
    share,
    remoteResources: createRemoteResources(closing.signal, onError),
    closing: closing.signal,
    headEveryMs: relayOptions.headEveryMs,
    runningScopes: new Set(),
    eventStreams: new EventStreams(settings, onError),
  }
  const audiences = createAudiences({ faces, callers, context, publicTopicPrefix })
  const teller =
    broker && publicTopicPrefix !== undefined && faces.publicRoutes.size > 0
      ? createPublicBroker(broker, faces, { topicPrefix, publicTopicPrefix })
      : broker
  const relay: Relay | undefined =
    teller && startRelay(streams, { log, broker: teller, watch, topicPrefix, now, onError }, relayOptions)
  const pruning = startPruning(log, options.retention, onError)
  let closed: Promise<void> | undefined
  const close = (): Promise<void> => {
    closed ??= (async () => {
      closing.abort()
      await Promise.all([relay?.close(), pruning.stop()])
      watch.close()
    })()
    return closed
  }
  const isOwn = (path: string): boolean => owns(context, path)
  const handler: HttpHandler = {
    async handle(exchange) {
      try {
        return await handle(audiences.choose(exchange), exchange)
      } catch (error) {
        return replyToError(error, {}, reason => onError(reason, { stage: 'request' }))
      }
    },
    owns: isOwn,
  }
  const publicHandler: HttpHandler = {
    handle: exchange => handle(audiences.publicContext, exchange),
    owns: isOwn,
  }
  return {
    ...handler,
    fetch: createFetchHandler(handler),
    public: { ...publicHandler, fetch: createFetchHandler(publicHandler) },
    async transaction(work, { cause = createCause(), idempotencyKey } = {}) {
      if (settings.readOnly) throw readOnlyService()
      checkTransaction(work, cause)
      return await writeOnce(log, claimsOf(idempotencyKey), now, tx =>
        runWork(work, tx, locate, { timeMs: now(), cause }),
      )
    },
    async read(place, id) {
      const { resource } = await log.readResource(pathOf(locate(place).path, id))
      return resource.stateText === undefined ? undefined : JSON.parse(resource.stateText)
    },
    heads: () => Promise.all(streams.map(stream => log.head(stream))),
    relayLag: async () => (await relay?.lag()) ?? {},
    health,
    close,
    [Symbol.asyncDispose]: close,
  }
}

function readOnlyService(): LockstepError {
  return new LockstepError(
    'invalid-option',
    'The service is read-only: its resources change where the application records them. Open it without readOnly to write through it.',
  )
}

function checkTransaction(work: unknown, cause: string): void {
  if (!isRequestId(cause)) {
    throw new LockstepError(
      'invalid-option',
      `The cause ${quote(cause)} cannot be used: give 1 to 128 visible ASCII characters.`,
    )
  }
  if (typeof work === 'function') return
  throw new LockstepError(
    'invalid-option',
    'A transaction needs its work: service.transaction(async tx => { await tx.create(…) }).',
  )
}

/** A work in-process has no fingerprint: its key alone says what it is. */
function claimsOf(idempotencyKey: string | undefined): readonly Claim[] {
  if (idempotencyKey === undefined) return []
  if (!isIdempotencyKey(idempotencyKey)) throw invalidIdempotencyKey(idempotencyKey)
  return [{ key: hashParts(['transaction', idempotencyKey]), fingerprint: '', sentKey: idempotencyKey }]
}

const optionNames: OptionNames<ServiceOptions> = {
  resources: true,
  log: true,
  broker: true,
  root: true,
  topicPrefix: true,
  audience: true,
  publicTopicPrefix: true,
  relay: true,
  retention: true,
  readOnly: true,
  maxEventStreams: true,
  maxUnreadChars: true,
  bulk: true,
  principal: true,
  cause: true,
  health: true,
  about: true,
  onError: true,
  now: true,
}

type Settings = EventStreamLimits &
  Pick<HandlerContext, 'root' | 'routes' | 'now' | 'onError' | 'readOnly' | 'bulk'> & {
    readonly topicPrefix: string
  }

/** Checks all that is handed in and fills in the defaults. Errors: `invalid-option`. */
function readServiceOptions(options: ServiceOptions): Settings {
  checkServiceOptions(options)
  checkAudience(options.audience)
  checkRetention(options.retention)
  const { readOnly = false } = options
  return {
    readOnly,
    root: checkRoot(options.root ?? ''),
    topicPrefix: checkTopicPrefix(options.topicPrefix ?? ''),
    routes: indexByRoute(options.resources),
    now: options.now ?? Date.now,
    onError: createErrorReport(options.onError),
    maxEventStreams: checkCount('maxEventStreams', options.maxEventStreams ?? 10_000, { min: 0 }),
    maxUnreadChars: checkCount('maxUnreadChars', options.maxUnreadChars ?? 67_108_864),
    bulk: readOnly ? undefined : readBulkOptions(options.bulk),
  }
}

/** Errors: `invalid-option`. */
function checkServiceOptions(options: ServiceOptions): void {
  checkOptions('openService', options, optionNames)
  const { resources, log, broker } = options
  if (!Array.isArray(resources) || resources.length === 0) {
    throw new LockstepError(
      'invalid-option',
      'openService was given no resources. Give at least one: resources: [defineResource(…)].',
    )
  }
  for (const resource of resources) {
    const advice = 'Give what defineResource returns.'
    checkMethods('One of the resources of openService', resource, ['validate', 'in'], advice)
  }
  checkMethods(
    'The log of openService',
    log,
    ['ensureStreams', 'write', 'head'],
    'Give one: log: await openSqliteLog({ file: "data.db" }), or createMemoryLog().',
  )
  if (broker === undefined) return
  checkMethods(
    'The broker of openService',
    broker,
    ['publish', 'onConnection'],
    'Give a connection: broker: await connectMqtt("mqtt://localhost"), or await openEmbeddedBroker().',
  )
}

function indexByRoute(resources: readonly Resource<object>[]): Map<string, Resource<object>> {
  const routes = new Map<string, Resource<object>>()
  for (const resource of resources) {
    if (routes.has(resource.route)) {
      throw new LockstepError(
        'invalid-option',
        `Two resources are declared at ${quote(resource.template)}. Remove one.`,
      )
    }
    routes.set(resource.route, resource)
  }
  for (const { route, template, references } of resources) {
    for (const { name, target } of references.values()) {
      if (typeof target !== 'string' || routes.has(target)) continue
      throw new LockstepError(
        'invalid-option',
        `${quote(name)} of ${quote(template)} refers to ${quote(target)}, which is not among the service's resources. Add it, or give the URL of the collection.`,
      )
    }
    const parent = parentOf(route)
    if (parent !== '' && !routes.has(parent)) {
      throw new LockstepError(
        'invalid-option',
        `${quote(template)} is nested below ${quote(parent)}, which is not among the service's resources. Add it.`,
      )
    }
  }
  return routes
}

function checkRoot(root: string): string {
  if (!/^(\/[A-Za-z0-9._~-]+)*$/.test(root)) {
    throw new LockstepError(
      'invalid-option',
      `The root ${quote(root)} cannot be used. Give a path without a trailing slash, such as "/api/v1".`,
    )
  }
  return root
}
