/** What a mirror is given, checked, with its defaults. */
import type { Broker } from '../broker/broker.ts'
import {
  checkCount,
  checkMethods,
  checkOptions,
  checkTopicPrefix,
  createErrorReport,
  LockstepError,
  maxTimerMs,
  type OptionNames,
  parentOf,
  quote,
  type ReportError,
} from '../contract/index.ts'
import type { ChangeLog, Retention } from '../log/change-log.ts'
import type { FetchHandler } from '../service/index.ts'
import {
  type Mirrored,
  type MirroredOptions,
  readMirrored,
  TargetTable,
  type Touches,
} from '../sidecar/observing.ts'
import type { ReadAll, Reading, ReadOne } from './application.ts'
import { createLocalFetch, type Listener } from './local-fetch.ts'

/** One resource: where its routes are, and how it is read. Most need none of it: `/people` and `/people/{id}`. */
export interface MirroredRoutes extends MirroredOptions {
  /** Reads one. @default the application is asked at the path of the item */
  readonly read?: ReadOne
  /** Reads all. @default the application is asked at the path of the list */
  readonly readAll?: ReadAll
  /**
   * `'whole'`: a successful POST, PUT and PATCH answers with the whole representation, as a GET has it, and a DELETE deletes. Then it is
   * taken as it is where no other write of the resource overlaps it. Only where this process is the only one that writes. @default 'read': it is read anew
   */
  readonly answers?: 'whole' | 'read'
}

export interface MirrorOptions {
  /** Which routes are resources: `{ people: {}, 'people/{person}/friends': {} }`. */
  readonly resources: Readonly<Record<string, MirroredRoutes>>
  /** Where what was seen is kept. Written by the mirror alone, which does not close it. */
  readonly log: ChangeLog
  /** Where changes are published. The mirror does not close it. */
  readonly broker?: Broker
  /** The application, to be asked by GET: `(request, response) => app(request, response)`. */
  readonly listener?: Listener
  /** The application where it is one of the Fetch API: `request => app.fetch(request)`. */
  readonly fetch?: (request: Request) => Response | Promise<Response>
  /** Sent when the application is asked: `{ authorization: 'Bearer …' }`. What is mirrored is what this account sees. @default {} */
  readonly headers?: Readonly<Record<string, string>>
  /** What stands before the application's paths, such as `/api/v1`. @default '' */
  readonly base?: string
  /** What requests change elsewhere, by whole paths of the application: `{ 'POST /orders': ['/people/{body.person}'] }`. @default {} */
  readonly touches?: Touches
  /** The file in which writes are noted before they run. @default none: what was under way at a crash is found by the scan at the start */
  readonly journalFile?: string
  /** Where the mirror is, beside the routes of the application. @default '/_mirror' */
  readonly root?: string
  /** What stands before the topics, such as `acme/prod/`. @default '' */
  readonly topicPrefix?: string
  /** Do answers to GET carry marker, topic and, where they can, a tag? Each costs some microseconds. @default true */
  readonly reads?: boolean
  /** Do several processes write the same resources? Then each look is followed by another one. @default false */
  readonly shared?: boolean
  /** How long an answer waits for its change to be recorded. Past it, it goes out without it. @default 2_000 */
  readonly maxWaitMs?: number
  /** From the end of one scan of everything to the next; 0 for none but that at the start. @default 60_000 */
  readonly scanEveryMs?: number
  /** Looks at a time. @default 16 */
  readonly maxLooks?: number
  /** How long one may take. @default 30_000 */
  readonly lookTimeoutMs?: number
  /** The largest answer that a look takes, also of a list. @default 67_108_864 */
  readonly maxAnswerBytes?: number
  /** The longest list. @default 200_000 */
  readonly maxItems?: number
  readonly retention?: Retention
  /** Hears what fails in the background. @default writes to stderr */
  readonly onError?: ReportError
  /** Milliseconds since 1970. @default Date.now */
  readonly now?: () => number
}

const optionNames: OptionNames<MirrorOptions> = {
  resources: true,
  log: true,
  broker: true,
  listener: true,
  fetch: true,
  headers: true,
  base: true,
  touches: true,
  journalFile: true,
  root: true,
  topicPrefix: true,
  reads: true,
  shared: true,
  maxWaitMs: true,
  scanEveryMs: true,
  maxLooks: true,
  lookTimeoutMs: true,
  maxAnswerBytes: true,
  maxItems: true,
  retention: true,
  onError: true,
  now: true,
}

export interface MirrorSettings {
  readonly mirrored: readonly Mirrored[]
  readonly table: TargetTable
  /** By template. */
  readonly readings: ReadonlyMap<string, Reading>
  /** The templates whose answers are whole. */
  readonly whole: ReadonlySet<string>
  readonly fetch: FetchHandler | undefined
  readonly root: string
  readonly topicPrefix: string
  readonly report: ReportError
  readonly now: () => number
  readonly maxWaitMs: number
  readonly scanEveryMs: number
  readonly maxLooks: number
  readonly lookTimeoutMs: number
  readonly maxAnswerBytes: number
  readonly maxItems: number
}

/** Errors: `invalid-option`. */
export function readMirrorOptions(options: MirrorOptions): MirrorSettings {
  checkOptions('openMirror', options, optionNames)
  const { resources, root = '/_mirror', base = '', now = Date.now } = options
  checkMethods(
    'The log of openMirror',
    options.log,
    ['ensureStreams', 'write', 'head'],
    'Give one: await openSqliteLog({ file: "mirror.db" }).',
  )
  const names = Object.keys(resources ?? {})
  if (names.length === 0) {
    throw new LockstepError(
      'invalid-option',
      'openMirror was given no resources. Name at least one: resources: { people: {} }.',
    )
  }
  if (!/^(\/[A-Za-z0-9._~-]+)+$/.test(root)) throw unusablePath('root', root, '/_mirror')
  if (!/^(\/[A-Za-z0-9._~-]+)*$/.test(base)) throw unusablePath('base', base, '/api/v1')
  const fetch = readFetch(options)
  const readings = new Map<string, Reading>()
  const whole = new Set<string>()
  const mirrored = names.map(name => {
    const { read, readAll, answers = 'read', ...rest } = resources[name]!
    checkParent(name, names)
    if (answers === 'whole' && options.shared === true) {
      throw new LockstepError(
        'invalid-option',
        `answers of ${quote(name)} is "whole", and shared is true: an answer says nothing of what other processes write. Leave one of them out.`,
      )
    }
    if (answers === 'whole') whole.add(name)
    else if (answers !== 'read') {
      throw new LockstepError(
        'invalid-option',
        `answers of ${quote(name)} is ${quote(answers)}. Give "whole" or "read".`,
      )
    }
    if (read === undefined && fetch === undefined) {
      throw new LockstepError(
        'invalid-option',
        `Nothing says how ${quote(name)} is read. Give openMirror the application, as listener or fetch, or the resource a function: read: id => people.find(id).`,
      )
    }
    readings.set(name, { read, readAll })
    return readMirrored(name, { ...rest, list: rest.list ?? `${base}/${name}` })
  })
  return {
    mirrored: mirrored.sort((a, b) => a.parents.length - b.parents.length),
    table: new TargetTable(mirrored, options.touches ?? {}),
    readings,
    whole,
    fetch,
    root,
    topicPrefix: checkTopicPrefix(options.topicPrefix ?? ''),
    report: createErrorReport(options.onError),
    now,
    maxWaitMs: checkCount('maxWaitMs', options.maxWaitMs ?? 2_000, { min: 0, max: maxTimerMs }),
    scanEveryMs: checkCount('scanEveryMs', options.scanEveryMs ?? 60_000, { min: 0, max: maxTimerMs }),
    maxLooks: checkCount('maxLooks', options.maxLooks ?? 16),
    lookTimeoutMs: checkCount('lookTimeoutMs', options.lookTimeoutMs ?? 30_000, { max: maxTimerMs }),
    maxAnswerBytes: checkCount('maxAnswerBytes', options.maxAnswerBytes ?? 67_108_864),
    maxItems: checkCount('maxItems', options.maxItems ?? 200_000),
  }
}

function readFetch({ fetch, listener }: MirrorOptions): FetchHandler | undefined {
  if (fetch !== undefined && listener !== undefined) {
    throw new LockstepError(
      'invalid-option',
      'openMirror was given both listener and fetch. Give one of them.',
    )
  }
  if (listener !== undefined) return createLocalFetch(listener)
  return fetch && (async request => await fetch(request))
}

function unusablePath(name: string, given: string, example: string): LockstepError {
  return new LockstepError(
    'invalid-option',
    `The ${name} ${quote(given)} cannot be used. Give a path without a slash at its end, such as "${example}".`,
  )
}

/** What is nested is scanned by going through what it is nested in. */
function checkParent(template: string, names: readonly string[]): void {
  const parent = parentOf(parentOf(template))
  if (parent === '' || names.includes(parent)) return
  throw new LockstepError(
    'invalid-option',
    `${quote(template)} is nested below ${quote(parent)}, which is not among the resources. Add it.`,
  )
}
