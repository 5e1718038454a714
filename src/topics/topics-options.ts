/** The options of openTopics, read and checked. */
import type { Broker } from '../broker/broker.ts'
import {
  checkCount,
  checkMethods,
  checkOptions,
  isTopicFilter,
  LockstepError,
  maxTimerMs,
  quote,
  type ReportError,
} from '../contract/index.ts'
import { everything, type TopicAccess } from './rights.ts'

export interface TopicsOptions {
  /** The connection that is read from and published to. It is not closed. */
  readonly broker: Broker
  /**
   * Who may do what: `'anyone'` everything, else a function that looks at the request. There is no default: who reaches it through HTTP has
   * the rights that this connection has at the broker.
   */
  readonly access: 'anyone' | TopicAccess
  /** What stands before topics in URLs. @default '/topics' */
  readonly root?: string
  /** Which topics are shown. @default ['#'], which is all but those that begin with `$` */
  readonly filters?: readonly string[]
  /** A SQLite file that keeps the last values. @default they are in memory, and what is not retained is gone with the process */
  readonly file?: string
  /** Pages of which other origins may read and publish, such as `https://example.com`; `*` is any. @default none but its own */
  readonly origins?: readonly string[]
  /** The challenge of a 401. @default 'Bearer' */
  readonly challenge?: string
  readonly limits?: TopicsLimits
  /** How often an open stream says that it is there. @default 15_000 */
  readonly pingEveryMs?: number
  /** Is told of what fails in the background and of 5xx. @default standard error */
  readonly onError?: ReportError
  /** Milliseconds since 1970. @default Date.now */
  readonly now?: () => number
}

export interface TopicsLimits {
  /** Topics with a last value; of more none is kept. @default 100_000 */
  readonly maxTopics?: number
  /** Bytes of topics and values that are kept in memory, where there is no file; of more none is kept. @default 268_435_456 */
  readonly maxBytes?: number
  /** The largest body. The broker has its own limit. @default 262_144 */
  readonly maxBodyBytes?: number
  /** Event streams and WebSockets open at once. @default 1_000 */
  readonly maxStreams?: number
  /** Bytes that wait for one reader of a stream; past it the reader is cut. @default 1_048_576 */
  readonly maxUnsentBytes?: number
}

export interface TopicsSettings {
  readonly root: string
  readonly filters: readonly string[]
  readonly access: TopicAccess
  readonly origins: ReadonlySet<string>
  readonly challenge: string
  readonly limits: Required<TopicsLimits>
  readonly pingEveryMs: number
  readonly recheckEveryMs: number
  readonly now: () => number
}

/** Errors: `invalid-option`. */
export function readTopicsOptions(options: TopicsOptions): TopicsSettings {
  checkOptions('openTopics', options, {
    broker: true,
    access: true,
    root: true,
    filters: true,
    file: true,
    origins: true,
    challenge: true,
    limits: true,
    pingEveryMs: true,
    onError: true,
    now: true,
  })
  const advice = 'Give what connectMqtt or openEmbeddedBroker resolves with.'
  checkMethods('The broker of openTopics', options.broker, ['publish', 'subscribe', 'onConnection'], advice)
  const { filters = ['#'], access, root = '/topics', limits = {} } = options
  checkOptions('limits of openTopics', limits, {
    maxTopics: true,
    maxBytes: true,
    maxBodyBytes: true,
    maxStreams: true,
    maxUnsentBytes: true,
  })
  return {
    root: checkRoot(root),
    filters: checkFilters(filters),
    access: readAccess(access),
    origins: new Set(options.origins ?? []),
    challenge: options.challenge ?? 'Bearer',
    limits: {
      maxTopics: checkCount('limits.maxTopics', limits.maxTopics ?? 100_000),
      maxBytes: checkCount('limits.maxBytes', limits.maxBytes ?? 268_435_456),
      maxBodyBytes: checkCount('limits.maxBodyBytes', limits.maxBodyBytes ?? 262_144),
      maxStreams: checkCount('limits.maxStreams', limits.maxStreams ?? 1_000),
      maxUnsentBytes: checkCount('limits.maxUnsentBytes', limits.maxUnsentBytes ?? 1_048_576),
    },
    pingEveryMs: checkCount('pingEveryMs', options.pingEveryMs ?? 15_000, { max: maxTimerMs }),
    recheckEveryMs: 30_000,
    now: options.now ?? Date.now,
  }
}

function readAccess(access: TopicsOptions['access']): TopicAccess {
  if (access === 'anyone') return () => everything
  if (typeof access === 'function') return access
  throw new LockstepError(
    'invalid-option',
    `access is ${quote(access)}. Give 'anyone', or a function of the request that returns { read, publish }.`,
  )
}

function checkRoot(root: string): string {
  if (/^(\/[A-Za-z0-9._~-]+)+$/.test(root)) return root
  throw new LockstepError(
    'invalid-option',
    `The root ${quote(root)} cannot be used. Give a path such as /topics.`,
  )
}

function checkFilters(filters: readonly string[]): readonly string[] {
  const wrong = Array.isArray(filters) ? filters.find(filter => !isTopicFilter(filter)) : filters
  if (wrong === undefined && filters.length > 0) return filters
  throw new LockstepError(
    'invalid-option',
    `filters names ${quote(wrong)}. Give a list of topic filters, such as ["sensors/#"].`,
  )
}
