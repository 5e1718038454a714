/** What a bridge is opened with, checked and with its defaults. */
import type { IncomingMessage } from 'node:http'
import {
  checkCount,
  checkOptions,
  describeValue,
  LockstepError,
  maxTimerMs,
  type OptionNames,
  quote,
  type ReportError,
} from '../contract/index.ts'
import type { AccessOptions } from './access.ts'
import type { AdmissionOptions } from './admission.ts'
import { type Clock, systemClock } from './clock.ts'
import { indexSources, type LiveSource } from './source.ts'

export interface BridgeOptions {
  /** Where the streams come from. */
  readonly sources: readonly LiveSource[]
  /** Who may follow what; `public` where everyone may see everything that the sources have. */
  readonly access: AccessOptions | 'public'
  /** The path of the bridge on its server. @default '/live' */
  readonly path?: string
  /** Origins whose pages may connect, such as `https://example.com`. @default the host that was asked */
  readonly origins?: readonly string[]
  /** Who a request comes from, such as a session's user; a ticket for somebody else is refused. @default whoever the ticket says */
  readonly audience?: (request: IncomingMessage) => string | undefined | Promise<string | undefined>
  /** The address that is counted; behind a proxy the one it tells. @default that of the socket */
  readonly addressOf?: (request: IncomingMessage) => string
  readonly limits?: BridgeLimits
  /** Answer `{path}/health`. @default true */
  readonly health?: boolean
  /** How often pages are pinged. @default 20_000 */
  readonly pingEveryMs?: number
  /** A page is given up after so long a silence. @default 45_000 */
  readonly deadAfterMs?: number
  /** Without a sign of life of a source for so long, pages are told that they may be behind. @default 15_000 */
  readonly staleAfterMs?: number
  /** How long {@link openBridge} waits for the feeds at most. @default 5_000 */
  readonly warmWithinMs?: number
  /** Hears what fails in the background. @default writes to stderr */
  readonly onError?: ReportError
  readonly clock?: Clock
  /** Numbers in [0, 1). @default Math.random */
  readonly random?: () => number
}

export interface BridgeLimits extends AdmissionOptions {
  /** Changes of each stream in memory. @default 4_096 */
  readonly backlogMessages?: number
  /** Characters of JSON of each stream in memory. @default 8_388_608 */
  readonly backlogChars?: number
  /** Changes of each stream that are read at the start. @default 1_000 */
  readonly warmMessages?: number
  /** The most changes that are read from the feed for one page; past it the page begins anew. @default 5_000 */
  readonly maxReplay?: number
  /** From so many changes on, those of a resource are told as one where that says the same. @default 100 */
  readonly conflateFrom?: number
  /** How long a page may be ahead of the API before it begins anew. @default 2_000 */
  readonly holdMs?: number
  /** Bytes that a page has not taken yet; past it, nothing more is made for it until it has. @default 262_144 */
  readonly maxQueuedBytes?: number
  /** How long a page may take nothing before it is sent away with its marker. @default 10_000 */
  readonly slowMs?: number
  /** The largest frame of a page. @default 32_768 */
  readonly maxFrameBytes?: number
  /** @default 20 */
  readonly maxFramesPerSecond?: number
  /** How long a page may take for its first hello. @default 10_000 */
  readonly helloWithinMs?: number
}

const optionNames: OptionNames<BridgeOptions> = {
  sources: true,
  access: true,
  path: true,
  origins: true,
  audience: true,
  addressOf: true,
  limits: true,
  health: true,
  pingEveryMs: true,
  deadAfterMs: true,
  staleAfterMs: true,
  warmWithinMs: true,
  onError: true,
  clock: true,
  random: true,
}

const defaultLimits: Required<BridgeLimits> = {
  maxConnections: 20_000,
  maxConnectionsPerAddress: 1_000,
  maxArrivalsPerSecond: 2_000,
  backlogMessages: 4_096,
  backlogChars: 8_388_608,
  warmMessages: 1_000,
  maxReplay: 5_000,
  conflateFrom: 100,
  holdMs: 2_000,
  maxQueuedBytes: 262_144,
  slowMs: 10_000,
  maxFrameBytes: 32_768,
  maxFramesPerSecond: 20,
  helloWithinMs: 10_000,
}

export interface BridgeSettings {
  readonly sources: ReadonlyMap<string, LiveSource>
  readonly path: string
  /** `undefined`: the host that was asked. */
  readonly origins: ReadonlySet<string> | undefined
  readonly limits: Required<BridgeLimits>
  readonly hasHealth: boolean
  readonly pingEveryMs: number
  readonly deadAfterMs: number
  readonly staleAfterMs: number
  readonly warmWithinMs: number
  readonly clock: Clock
  readonly random: () => number
}

/** Errors: `invalid-option`, `invalid-path`. */
export function readBridgeOptions(options: BridgeOptions): BridgeSettings {
  checkOptions('openBridge', options, optionNames)
  const { path = '/live', origins, access } = options
  if (access !== 'public' && (typeof access !== 'object' || access === null)) {
    throw new LockstepError(
      'invalid-option',
      'openBridge needs to know who may follow what: access: { tickets, authorize }, or access: "public".',
    )
  }
  if (!/^(\/[A-Za-z0-9._~-]+)+$/.test(path)) {
    throw new LockstepError(
      'invalid-option',
      `The path ${quote(path)} cannot be used. Give one such as "/live".`,
    )
  }
  for (const name of ['audience', 'addressOf'] as const) {
    if (options[name] === undefined || typeof options[name] === 'function') continue
    throw new LockstepError(
      'invalid-option',
      `${name} is ${describeValue(options[name])}. Give a function of a request.`,
    )
  }
  const time = (name: string, value: number | undefined, fallback: number): number =>
    checkCount(name, value ?? fallback, { max: maxTimerMs })
  return {
    sources: indexSources('openBridge', options.sources),
    path,
    origins: origins === undefined ? undefined : new Set(origins.map(readOrigin)),
    limits: readLimits(options.limits ?? {}),
    hasHealth: options.health ?? true,
    pingEveryMs: time('pingEveryMs', options.pingEveryMs, 20_000),
    deadAfterMs: time('deadAfterMs', options.deadAfterMs, 45_000),
    staleAfterMs: time('staleAfterMs', options.staleAfterMs, 15_000),
    warmWithinMs: time('warmWithinMs', options.warmWithinMs, 5_000),
    clock: options.clock ?? systemClock,
    random: options.random ?? Math.random,
  }
}

function readLimits(limits: BridgeLimits): Required<BridgeLimits> {
  const names = Object.keys(defaultLimits) as (keyof BridgeLimits)[]
  checkOptions('The limits of openBridge', limits, defaultLimits as never)
  const values = names.map(name => {
    const least = name === 'warmMessages' || name === 'maxReplay' || name === 'holdMs' ? 0 : 1
    return [name, checkCount(name, limits[name] ?? defaultLimits[name], { min: least })]
  })
  return Object.fromEntries(values)
}

function readOrigin(origin: string): string {
  if (URL.canParse(origin) && new URL(origin).origin === origin) return origin
  throw new LockstepError(
    'invalid-option',
    `${quote(origin)} is no origin. Give one such as "https://example.com".`,
  )
}
