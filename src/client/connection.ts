/**
 * A connection to an API and its broker, from which anything may be followed.
 *
 * Neither needs to be up when it is made, nor to stay up: each follower says how it stands. Where no broker is
 * given, each follower keeps an event stream of its own open. PROTOCOL.md §6.
 */
import type { Broker } from '../broker/broker.ts'
import {
  checkCount,
  checkMethods,
  checkOptions,
  checkTopicPrefix,
  createErrorReport,
  describeValue,
  LockstepError,
  maxTimerMs,
  type OptionNames,
  parsePath,
  quote,
  type ReportError,
} from '../contract/index.ts'
import { createApi } from './api.ts'
import { type Clock, systemClock } from './clock.ts'
import { EmbeddingFollower } from './embedding-follower.ts'
import { checkFollowOptions, type FollowOptions, readEmbed } from './follow-options.ts'
import { type CollectionFollower, type ResourceFollower, startFollower } from './follower.ts'
import type { FollowerPorts } from './follower-driver.ts'
import { openMqttSource } from './mqtt-source.ts'
import type { KindAt, PathIn, StateAt, UnknownApi } from './path-map.ts'
import { openReplica } from './replica.ts'
import type { OpenSource } from './source.ts'
import { openSseSource } from './sse-source.ts'
import { readView, View } from './view.ts'
import type { Known, Shown } from './view-type.ts'

export interface ConnectOptions {
  /** What stands before the paths, such as `https://example.com/api/v1`. */
  readonly api: string | URL
  /**
   * The broker's URL; or the URLs of its nodes, tried in turn (see `connectMqtt`); or a connection of the application's own,
   * which it closes itself.
   */
  readonly broker?: string | URL | readonly (string | URL)[] | Broker
  /** Where changes are heard: `auto` is `mqtt` where there is a broker, else `sse`. @default 'auto' */
  readonly source?: 'mqtt' | 'sse' | 'auto'
  /** Sent with each request to the API; a function is asked anew each time, so that tokens may change. */
  readonly headers?: Readonly<Record<string, string>> | (() => Readonly<Record<string, string>>)
  /** Other origins that get the headers too: those of services whose resources are embedded. @default none */
  readonly trustedOrigins?: readonly string[]
  /** What stands before the topics. @default what the API's first response says */
  readonly topicPrefix?: string
  /** How long an answer of the API may take. @default 10_000 */
  readonly timeoutMs?: number
  /** Hears what fails in the background; followers go on by themselves. @default console.error */
  readonly onError?: ReportError
  /** @default globalThis.fetch */
  readonly fetch?: typeof fetch
  readonly clock?: Clock
  /** Numbers in [0, 1). @default Math.random */
  readonly random?: () => number
}

/** A follower of what lies at a path, as its options show it. */
export type FollowerAt<Api, Path extends string, Options = object> = FollowerOf<
  KindAt<Path>,
  Shown<StateAt<Api, Path>, Options>,
  StateAt<Api, Path>
>
type FollowerOf<Kind, State, Whole> = Kind extends 'resource'
  ? ResourceFollower<State>
  : CollectionFollower<State, Whole>

export interface Connection<Api = UnknownApi> extends AsyncDisposable {
  /**
   * Follows a collection (`/people`) or a resource (`/people/johndoe`), below the API root. Each call makes a
   * follower of its own. Errors: `invalid-path`, `invalid-option`, `closed`; with a replica also `missing-dependency`
   * where the runtime has no SQLite, `invalid-option` where the file holds something else, `replica-failed`.
   */
  follow<
    const Path extends string,
    const Options extends FollowOptions<StateAt<Api, Path>> = FollowOptions<StateAt<Api, Path>>,
  >(path: PathIn<Api, Path>, options?: Known<Options, StateAt<Api, Path>>): FollowerAt<Api, Path, Options>
  /** Closes all followers, and the broker's connection where it was made here. Idempotent. */
  close(): Promise<void>
}

/**
 * Makes a connection; the API and the broker may come up later. Errors: `invalid-option`, `missing-dependency`.
 *
 *     const lockstep = await connect<{ people: Person }>({ api: 'http://localhost:3001', broker: 'mqtt://localhost' })
 *     const people = lockstep.follow('/people')
 *     await people.ready
 */
export async function connect<Api = UnknownApi>(options: ConnectOptions): Promise<Connection<Api>> {
  checkOptions('connect', options, optionNames)
  checkParts(options)
  const onError = createErrorReport(options.onError)
  const source = chooseSource(options)
  const root = parseRoot(options.api)
  const isOwnBroker = source === 'mqtt' && !isBroker(options.broker)
  const broker = source === 'mqtt' ? await openBroker(options.broker!, options.onError) : undefined
  const askFetch: typeof fetch = options.fetch ?? ((input, init) => fetch(input, init))
  const headers = readHeaders(options.headers ?? {})
  const timeoutMs = checkCount('timeoutMs', options.timeoutMs ?? 10_000, { max: maxTimerMs })
  const ownPrefix = options.topicPrefix === undefined ? undefined : checkTopicPrefix(options.topicPrefix)
  const origins = readOrigins(options.trustedOrigins ?? [])
  /** By API root: that of the connection, and those of what is embedded. */
  const services = new Map<string, FollowerPorts>()

  function portsAt(at: URL): FollowerPorts {
    const place = at.href.replace(/\/+$/, '')
    const isOwn = place === root.href.replace(/\/+$/, '')
    let ports = services.get(place)
    if (ports === undefined) {
      const api = createApi({
        root: at,
        fetch: askFetch,
        // Credentials go nowhere but where the application sends them.
        headers: at.origin === root.origin || origins.has(at.origin) ? headers : () => ({}),
        timeoutMs,
        topicPrefix: isOwn ? ownPrefix : undefined,
      })
      const openSource: OpenSource = (request, listener) =>
        broker === undefined
          ? openSseSource({ ...request, api }, listener)
          : openMqttSource({ ...request, broker, topicPrefix: api.topicPrefix }, listener)
      const clock = options.clock ?? systemClock
      const random = options.random ?? Math.random
      ports = { api, openSource, isOrdered: broker === undefined, clock, random, onError }
      services.set(place, ports)
    }
    return ports
  }

  const ports = portsAt(root)
  const followers = new Set<{ close(): void }>()
  let closing: Promise<void> | undefined

  function follow(path: string, followOptions: FollowOptions = {}): unknown {
    if (closing !== undefined) {
      throw new LockstepError(
        'closed',
        `${quote(path)} cannot be followed: the connection is closed. Connect again.`,
      )
    }
    const target = parsePath(path)
    checkFollowOptions(followOptions)
    const names = readEmbed(followOptions)
    const { replica: replicaOptions, maxWaitingChanges, lang } = followOptions
    const view = readView(followOptions)
    const onClose = (): void => void followers.delete(follower)
    const follower: { close(): void } =
      names.length > 0
        ? new EmbeddingFollower(target, ports, {
            view: view ?? new View({}),
            names,
            lang,
            portsAt,
            maxWaitingChanges,
            onClose,
          }).toFollower()
        : startFollower(target, ports, {
            maxWaitingChanges,
            view,
            replica:
              replicaOptions === undefined
                ? undefined
                : openReplica({
                    ...ports,
                    options: replicaOptions,
                    target,
                    api: root.origin + root.pathname,
                  }),
            onClose,
          })
    followers.add(follower)
    return follower
  }

  const close = (): Promise<void> => {
    closing ??= (async () => {
      for (const follower of [...followers]) follower.close()
      if (isOwnBroker) await broker?.close()
    })()
    return closing
  }
  return { follow: follow as Connection<Api>['follow'], close, [Symbol.asyncDispose]: close }
}

const optionNames: OptionNames<ConnectOptions> = {
  api: true,
  broker: true,
  source: true,
  headers: true,
  trustedOrigins: true,
  topicPrefix: true,
  timeoutMs: true,
  onError: true,
  fetch: true,
  clock: true,
  random: true,
}

/** Refuses parts that would only fail when they are first used. */
function checkParts({ fetch, random, onError, clock }: ConnectOptions): void {
  for (const [name, part] of Object.entries({ fetch, random, onError })) {
    if (part === undefined || typeof part === 'function') continue
    throw new LockstepError(
      'invalid-option',
      `The ${name} of connect is ${describeValue(part)}. Give a function, or leave it out.`,
    )
  }
  const advice = 'Give an object with now() and setTimer(callback, delayMs), or leave it out.'
  if (clock !== undefined) checkMethods('The clock of connect', clock, ['now', 'setTimer'], advice)
}

/** Values are not shown: they may be secrets. */
function readHeaders(
  headers: NonNullable<ConnectOptions['headers']>,
): () => Readonly<Record<string, string>> {
  if (typeof headers === 'function') return headers
  const given: unknown = headers
  if (typeof given !== 'object' || given === null || Array.isArray(given) || given instanceof Headers) {
    throw new LockstepError(
      'invalid-option',
      'The headers of connect are no object of names and texts. Give { authorization: "…" }, or a function that returns such an object.',
    )
  }
  for (const [name, value] of Object.entries(headers)) {
    if (typeof value === 'string' && isSendable(name, value)) continue
    throw new LockstepError(
      'invalid-option',
      `The header ${quote(name)} of connect cannot be sent: its name or its value is none of HTTP's. Give a text of one line.`,
    )
  }
  return () => headers
}

function readOrigins(origins: readonly string[]): ReadonlySet<string> {
  const isList = Array.isArray(origins)
  for (const origin of isList ? origins : []) {
    if (typeof origin === 'string' && URL.canParse(origin) && new URL(origin).origin === origin) continue
    throw new LockstepError(
      'invalid-option',
      `The trusted origin ${quote(origin)} is none. Give scheme, host and port, as in "https://users.example.com".`,
    )
  }
  if (isList) return new Set(origins)
  throw new LockstepError(
    'invalid-option',
    `trustedOrigins is ${describeValue(origins)}. Give an array, as in ["https://users.example.com"].`,
  )
}

function isSendable(name: string, value: string): boolean {
  try {
    new Headers([[name, value]])
    return true
  } catch {
    return false
  }
}

function chooseSource({ source = 'auto', broker }: ConnectOptions): 'mqtt' | 'sse' {
  if (source === 'mqtt' && broker === undefined) {
    throw new LockstepError('invalid-option', 'The source "mqtt" needs a broker. Give its URL, or use "sse".')
  }
  if (!['mqtt', 'sse', 'auto'].includes(source)) {
    throw new LockstepError(
      'invalid-option',
      `The source ${quote(source)} is not known. Give mqtt, sse or auto.`,
    )
  }
  if (source !== 'auto') return source
  return broker === undefined ? 'sse' : 'mqtt'
}

function parseRoot(text: string | URL): URL {
  const root = URL.canParse(String(text)) ? new URL(text) : undefined
  if (root === undefined || !/^https?:$/.test(root.protocol)) {
    throw new LockstepError(
      'invalid-option',
      `The API root ${quote(text)} is no URL. Give one such as "https://example.com/api/v1".`,
    )
  }
  if (root.search !== '' || root.hash !== '') {
    throw new LockstepError(
      'invalid-option',
      `The API root ${quote(text)} has a query or fragment, which would be lost. Leave it out; tokens go into headers.`,
    )
  }
  return root
}

function isBroker(broker: ConnectOptions['broker']): broker is Broker {
  return typeof broker === 'object' && broker !== null && 'subscribe' in broker
}

/** The MQTT adapter is loaded by those who give a URL only: browsers bring a connection of their own, or use SSE. */
async function openBroker(
  broker: NonNullable<ConnectOptions['broker']>,
  onError: ReportError | undefined,
): Promise<Broker> {
  if (isBroker(broker)) return broker
  const urls: readonly unknown[] = Array.isArray(broker) ? broker : [broker]
  for (const url of urls) {
    if (typeof url === 'string' || url instanceof URL) continue
    const advice = 'Give its URL, or a connection: await connectMqtt(…).'
    checkMethods('The broker of connect', url, ['subscribe', 'onConnection'], advice)
  }
  const { connectMqtt } = await import('../broker/mqtt.ts')
  return await connectMqtt(urls.map(String), { onError })
}
