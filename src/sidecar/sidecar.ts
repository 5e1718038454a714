/**
 * A sidecar: mirrors an API that knows nothing of it. A reverse proxy stands before the API, looks at what writes may have changed, keeps
 * what it sees in a change log, and serves and publishes that as any service does. PROTOCOL.md §15.
 */
import { once } from 'node:events'
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
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
import { createNodeListener, defineResource, openService, type Service } from '../service/index.ts'
import { parseInstanceUrl, Upstream } from '../upstream/index.ts'
import { ApiReader } from './api-reader.ts'
import { Doubts } from './doubts.ts'
import { createFrontServer, Front } from './front.ts'
import { createMemoryJournal, type IntentJournal, openIntentJournal } from './intent-journal.ts'
import { type Mirrored, type MirroredOptions, readMirrored } from './mirrored.ts'
import { Observer } from './observer.ts'
import { Scans } from './scans.ts'
import { Shadow } from './shadow.ts'
import { TargetTable, type Touches } from './target-table.ts'

export interface SidecarOptions {
  /** Where the API is: `http://127.0.0.1:3001`. Its paths are those of the sidecar. */
  readonly upstream: string
  /** What of it is mirrored: `{ people: {}, 'people/{person}/friends': {} }`. */
  readonly resources: Readonly<Record<string, MirroredOptions>>
  /** What requests change elsewhere: `{ 'POST /orders': ['/people/{body.person}'] }`. @default {} */
  readonly touches?: Touches
  /** Where what was seen is kept. Written by the sidecar alone, which does not close it. */
  readonly log: ChangeLog
  /** The file in which writes are noted before they are sent. @default none: what was under way at a crash is found by the scan at the start */
  readonly journalFile?: string
  /** Where changes are published. The sidecar does not close it. */
  readonly broker?: Broker
  /** @default 0: any free one */
  readonly port?: number
  /** @default '127.0.0.1' */
  readonly host?: string
  /** Where the mirror is, beside the paths of the API. @default '/_mirror' */
  readonly root?: string
  /** What stands before the topics, such as `acme/prod/`. @default '' */
  readonly topicPrefix?: string
  /** Sent when the sidecar itself looks: `{ authorization: 'Bearer …' }`. What is mirrored is what this account sees. @default {} */
  readonly headers?: Readonly<Record<string, string>>
  /** Which `Host` the API is told. @default 'client' where the API is reached by http, 'upstream' by https */
  readonly hostHeader?: 'client' | 'upstream'
  /** From the end of one scan of everything to the next; 0 for none but that at the start. @default 60_000 */
  readonly scanEveryMs?: number
  /** Requests with which the sidecar looks, at a time. @default 16 */
  readonly maxLooks?: number
  /** How long the API may take for one. @default 30_000 */
  readonly lookTimeoutMs?: number
  /** The largest answer that it takes, also of a list. @default 67_108_864 */
  readonly maxAnswerBytes?: number
  /** The longest list. @default 200_000 */
  readonly maxItems?: number
  /** Connections to the API. @default 256 */
  readonly maxConnections?: number
  /** How long the API may take to begin its answer to a client. @default 300_000 */
  readonly answerTimeoutMs?: number
  readonly retention?: Retention
  /** Hears what fails in the background. @default writes to stderr */
  readonly onError?: ReportError
  /** Milliseconds since 1970. @default Date.now */
  readonly now?: () => number
}

export interface Sidecar extends AsyncDisposable {
  /** Of the proxy: what clients of the API use from now on. */
  readonly url: string
  /** Of the mirror: what followers connect to. */
  readonly mirrorUrl: string
  readonly port: number
  /** The mirror as a service, that only reads. */
  readonly service: Service
  /** Resolves when everything has been scanned once. */
  readonly ready: Promise<void>
  /** Scans everything now. Resolves at its end; `false` where part of it could not be read. */
  scan(): Promise<boolean>
  /** Resolves when nothing is in doubt. */
  settled(): Promise<void>
  /** Requests that run get `graceMs`. Log and broker stay open. Idempotent. */
  close(graceMs?: number): Promise<void>
}

const sweepEveryMs = 20

/**
 * Opens it: listens, looks again at what was under way when it last ended, and begins to scan. The API need not be there yet.
 * Errors: `invalid-option`, `port-taken`, those of the log.
 */
export async function openSidecar(options: SidecarOptions): Promise<Sidecar> {
  const settings = readSettings(options)
  const { mirrored, table, root, topicPrefix, report, now } = settings
  const { log, broker, retention } = options
  const service = await openMirror(mirrored, {
    root,
    topicPrefix,
    log,
    broker,
    retention,
    onError: report,
    now,
  })
  const streams = [...new Set(mirrored.map(({ template }) => template.split('/', 1)[0]!))]
  const nested = new Set(
    mirrored.flatMap(({ template, parents }) => (parents.length > 0 ? [template.split('/', 1)[0]!] : [])),
  )
  const shadow = await Shadow.open(log, { streams, nested, now })
  const upstream = openUpstream(options, report)
  const doubts = new Doubts()
  const reader = new ApiReader(upstream, {
    headers: options.headers ?? {},
    timeoutMs: checkCount('lookTimeoutMs', options.lookTimeoutMs ?? 30_000, { max: maxTimerMs }),
    maxBytes: checkCount('maxAnswerBytes', options.maxAnswerBytes ?? 67_108_864),
  })
  const observer = new Observer({
    mirrored,
    reader,
    doubts,
    shadow,
    report,
    maxLooks: settings.maxLooks,
    maxItems: settings.maxItems,
  })
  const scans = new Scans({ mirrored, observer, shadow, everyMs: settings.scanEveryMs, report })
  let journal: IntentJournal | undefined
  let server: Server | undefined
  const front = (): Front =>
    new Front({
      upstream,
      table,
      journal: journal!,
      doubts,
      observer,
      shadow,
      mirror: scans.guard(createNodeListener(service, { onError: report }), root),
      root,
      topicPrefix,
      passesHost:
        (options.hostHeader ?? (upstream.instances[0]!.address.isTls ? 'upstream' : 'client')) === 'client',
      maxInFlight: 10_000,
      onError: report,
    })
  const stop = async (): Promise<void> => {
    await scans.close()
    await observer.close()
    await service.close()
    shadow.close()
    await journal?.close()
    await upstream.close(0)
  }
  let opened: Front
  try {
    journal =
      options.journalFile === undefined
        ? createMemoryJournal()
        : await openIntentJournal({ file: options.journalFile })
    opened = front()
    server = createFrontServer(opened)
    await listen(server, options.host ?? '127.0.0.1', options.port ?? 0)
  } catch (error) {
    await stop()
    throw error
  }
  upstream.start()
  raiseLeftOver(journal, doubts, table)
  observer.start()
  scans.start()
  observer.pump()
  const { port } = server.address() as AddressInfo
  const host = options.host ?? '127.0.0.1'
  const url = `http://${host.includes(':') ? `[${host}]` : host}:${port}`
  let closing: Promise<void> | undefined
  const close = (graceMs = 2_000): Promise<void> => {
    closing ??= (async () => {
      const ended = closeServer(server, graceMs)
      opened.close()
      // Open event streams of the mirror end with it.
      await service.close()
      await ended
      await stop()
    })()
    return closing
  }
  return {
    url,
    mirrorUrl: url + root,
    port,
    service,
    ready: scans.ready,
    scan: () => scans.run(),
    settled: () => observer.settled(),
    close,
    [Symbol.asyncDispose]: () => close(),
  }
}

/** What was under way, at a crash: it may even arrive at the API later than the sidecar is back. */
function raiseLeftOver(journal: IntentJournal, doubts: Doubts, table: TargetTable): void {
  const routes = new Set(table.mirrored.map(({ template }) => routeOf(template)))
  for (const path of journal.leftOver) {
    const names = path.slice(1).split('/')
    if (!routes.has(names.filter((_, index) => index % 2 === 0).join('/'))) continue
    void journal.hold([path])?.catch(() => {})
    doubts.raise(path, 'uncertain', { onSeen: () => journal.release([path]) }, performance.now())
  }
}

function routeOf(template: string): string {
  return template
    .split('/')
    .filter((_, index) => index % 2 === 0)
    .join('/')
}

function openUpstream(options: SidecarOptions, report: ReportError): Upstream {
  return new Upstream(
    {
      name: 'API',
      instances: [options.upstream],
      health: undefined,
      retries: 0,
      maxConnections: checkCount('maxConnections', options.maxConnections ?? 256),
      maxWaiting: 10_000,
      connectTimeoutMs: 5_000,
      headTimeoutMs: checkCount('answerTimeoutMs', options.answerTimeoutMs ?? 300_000, { max: maxTimerMs }),
      idleTimeoutMs: 300_000,
      // There is no other instance to turn to: each request finds out for itself whether it is back.
      breaker: { failures: Number.MAX_SAFE_INTEGER },
    },
    report,
  )
}

type MirrorOptions = Required<Pick<SidecarOptions, 'root' | 'topicPrefix' | 'log' | 'onError' | 'now'>> &
  Pick<SidecarOptions, 'broker' | 'retention'>

async function openMirror(mirrored: readonly Mirrored[], options: MirrorOptions): Promise<Service> {
  const { broker, retention, ...rest } = options
  return await openService({
    ...rest,
    ...(broker === undefined ? {} : { broker }),
    ...(retention === undefined ? {} : { retention }),
    readOnly: true,
    resources: mirrored.map(({ template }) => defineResource(template, { schema: { type: 'object' } })),
    about: { title: 'Mirror', description: 'What the sidecar last saw of the API, and what changed since.' },
  })
}

async function listen(server: Server, host: string, port: number): Promise<void> {
  server.listen(port, host)
  try {
    await once(server, 'listening')
  } catch (cause) {
    const { code = String(cause) } = cause as NodeJS.ErrnoException
    throw code === 'EADDRINUSE'
      ? new LockstepError('port-taken', `Port ${port} on ${host} is taken. Choose another one.`, { cause })
      : new LockstepError(
          'invalid-option',
          `The sidecar cannot listen at ${quote(host)} port ${port} (${code}).`,
          { cause },
        )
  }
}

function closeServer(server: Server, graceMs: number): Promise<void> {
  return new Promise(resolve => {
    const timer = setTimeout(() => server.closeAllConnections(), graceMs)
    const sweep = setInterval(() => server.closeIdleConnections(), sweepEveryMs)
    server.close(() => {
      clearTimeout(timer)
      clearInterval(sweep)
      resolve()
    })
  })
}

const optionNames: OptionNames<SidecarOptions> = {
  upstream: true,
  resources: true,
  touches: true,
  log: true,
  journalFile: true,
  broker: true,
  port: true,
  host: true,
  root: true,
  topicPrefix: true,
  headers: true,
  hostHeader: true,
  scanEveryMs: true,
  maxLooks: true,
  lookTimeoutMs: true,
  maxAnswerBytes: true,
  maxItems: true,
  maxConnections: true,
  answerTimeoutMs: true,
  retention: true,
  onError: true,
  now: true,
}

interface Settings {
  readonly mirrored: readonly Mirrored[]
  readonly table: TargetTable
  readonly root: string
  readonly topicPrefix: string
  readonly report: ReportError
  readonly now: () => number
  readonly maxLooks: number
  readonly maxItems: number
  readonly scanEveryMs: number
}

/** Errors: `invalid-option`. */
function readSettings(options: SidecarOptions): Settings {
  checkOptions('openSidecar', options, optionNames)
  const { resources, root = '/_mirror', now = Date.now } = options
  parseInstanceUrl(options.upstream)
  checkMethods(
    'The log of openSidecar',
    options.log,
    ['ensureStreams', 'write', 'head'],
    'Give one: await openSqliteLog({ file: "mirror.db" }).',
  )
  const names = Object.keys(resources ?? {})
  if (names.length === 0) {
    throw new LockstepError(
      'invalid-option',
      'openSidecar was given no resources. Name at least one: resources: { people: {} }.',
    )
  }
  if (!/^(\/[A-Za-z0-9._~-]+)+$/.test(root)) {
    throw new LockstepError(
      'invalid-option',
      `The root ${quote(root)} cannot be used. Give a path that the API does not have, such as "/_mirror".`,
    )
  }
  const mirrored = names
    .map(name => readMirrored(name, resources[name]!))
    .sort((a, b) => a.parents.length - b.parents.length)
  for (const { template } of mirrored) checkParent(template, names)
  return {
    mirrored,
    table: new TargetTable(mirrored, options.touches ?? {}),
    root,
    topicPrefix: checkTopicPrefix(options.topicPrefix ?? ''),
    report: createErrorReport(options.onError),
    now,
    maxLooks: checkCount('maxLooks', options.maxLooks ?? 16),
    maxItems: checkCount('maxItems', options.maxItems ?? 200_000),
    scanEveryMs: checkCount('scanEveryMs', options.scanEveryMs ?? 60_000, { min: 0, max: maxTimerMs }),
  }
}

/** A list below each of another resource is scanned by going through those. */
function checkParent(template: string, names: readonly string[]): void {
  const parent = parentOf(parentOf(template))
  if (parent === '' || names.includes(parent)) return
  throw new LockstepError(
    'invalid-option',
    `${quote(template)} is nested below ${quote(parent)}, which is not among the resources. Add it.`,
  )
}
