/**
 * A mirror inside of an existing application: its routes stay as they are, and what they change is observed, kept in a change log, served
 * as a feed and published, as any service does it. PROTOCOL.md §14.
 *
 * It works as the sidecar does, in the process of the application: what it knows of writes it hears from the middleware of the framework.
 */
import { LockstepError, quote, streamOf, toProblem } from '../contract/index.ts'
import {
  createFetchHandler,
  defineResource,
  type FetchHandler,
  type HttpHandler,
  openService,
  type Reply,
  type Service,
} from '../service/index.ts'
import {
  createMemoryJournal,
  Doubts,
  type IntentJournal,
  Observer,
  openIntentJournal,
  Scans,
  Shadow,
  type TargetTable,
} from '../sidecar/observing.ts'
import { Application } from './application.ts'
import type { Meeting, MetRequest } from './meeting.ts'
import { MeetingContext } from './meeting-context.ts'
import { meet } from './meetings.ts'
import { type MirrorOptions, readMirrorOptions } from './mirror-options.ts'

export interface Mirror extends AsyncDisposable {
  /** What followers ask: reads, feed and documents below `root`. */
  readonly handler: HttpHandler
  /** The same, of the Fetch API. */
  readonly fetch: FetchHandler
  /** The mirror as a service, that only reads. */
  readonly service: Service
  /** Is told of each request by the middleware of a framework; for one that has none here. Errors: `log-failed`, `overloaded`, `log-closed`. */
  meet(request: MetRequest): Meeting | undefined
  /** Looks at what was under way at a crash, then at everything; resolves when that is done. To be called when the routes are there. */
  start(): Promise<void>
  /** Has a path looked at, whose resource was changed without a request: `/people/ann`, or all of `/people`. `false` where it could not be read. */
  look(path: string): Promise<boolean>
  /** Scans everything now. `false` where part of it could not be read. */
  scan(): Promise<boolean>
  /** Resolves when nothing is in doubt. */
  settled(): Promise<void>
  /** Log and broker stay open. Idempotent. */
  close(): Promise<void>
}

/** Opens a mirror on its log; `start` begins to look. Errors: `invalid-option`, those of the log. */
export async function openMirror(options: MirrorOptions): Promise<Mirror> {
  const settings = readMirrorOptions(options)
  const { mirrored, table, readings, root, topicPrefix, report, now } = settings
  const { log, broker, retention, journalFile } = options
  const service = await openService({
    root,
    topicPrefix,
    log,
    onError: report,
    now,
    readOnly: true,
    ...(broker === undefined ? {} : { broker }),
    ...(retention === undefined ? {} : { retention }),
    resources: mirrored.map(({ template }) => defineResource(template, { schema: { type: 'object' } })),
    about: { title: 'Mirror', description: 'What was last seen of the API, and what changed since.' },
  })
  const streams = [...new Set(mirrored.map(({ template }) => streamOf(`/${template}`)))]
  const nested = new Set(
    mirrored.flatMap(({ template, parents }) => (parents.length > 0 ? [streamOf(`/${template}`)] : [])),
  )
  const shadow = await Shadow.open(log, { streams, nested, now })
  const doubts = new Doubts()
  const { maxLooks, maxItems, maxAnswerBytes: maxBytes, lookTimeoutMs: timeoutMs } = settings
  const reader = new Application({
    table,
    readings,
    fetch: settings.fetch,
    headers: options.headers ?? {},
    timeoutMs,
    maxBytes,
    maxItems,
  })
  const observer = new Observer({ mirrored, reader, doubts, shadow, report, maxLooks, maxItems })
  const scans = new Scans({ mirrored, observer, shadow, everyMs: settings.scanEveryMs, report })
  const stop = async (): Promise<void> => {
    await scans.close()
    await observer.close()
    await service.close()
    shadow.close()
    await journal?.close()
  }
  let journal: IntentJournal | undefined
  try {
    journal =
      journalFile === undefined ? createMemoryJournal() : await openIntentJournal({ file: journalFile })
  } catch (error) {
    await stop()
    throw error
  }
  const context = new MeetingContext({
    table,
    journal,
    doubts,
    observer,
    shadow,
    whole: settings.whole,
    root,
    topicPrefix,
    maxWaitMs: settings.maxWaitMs,
    isShared: options.shared ?? false,
    meetsReads: options.reads ?? true,
    report,
  })
  const handler = guard(service, { scans, shadow, streams, root })
  let starting: Promise<void> | undefined
  let closing: Promise<void> | undefined
  const close = (): Promise<void> => {
    closing ??= stop()
    return closing
  }
  return {
    handler,
    fetch: createFetchHandler(handler),
    service,
    meet: request => meet(context, request),
    start() {
      if (starting === undefined) {
        raiseLeftOver(journal, doubts, table)
        observer.start()
        scans.start()
        observer.pump()
        starting = scans.ready
      }
      return starting
    },
    look: path => observer.look(checkPath(table, path)),
    scan: () => scans.run(),
    settled: () => observer.settled(),
    close,
    [Symbol.asyncDispose]: close,
  }
}

interface Guarded {
  readonly scans: Scans
  readonly shadow: Shadow
  readonly streams: readonly string[]
  readonly root: string
}

/** Answers for a stream of which nothing is known yet that one should come back: an empty list would be a lie. */
function guard(service: Service, { scans, shadow, streams, root }: Guarded): HttpHandler {
  const empty = new Set(streams.filter(stream => shadow.head(`/${stream}`).seq === 0))
  void scans.ready.then(() => empty.clear())
  return {
    owns: path => service.owns(path),
    async handle(exchange): Promise<Reply> {
      const stream = /^\/([^/]+)/.exec(exchange.path.slice(root.length))?.[1]
      if (stream === undefined || !empty.has(stream)) return await service.handle(exchange)
      const { status, ...problem } = unscanned(stream)
      return {
        status,
        headers: {
          'content-type': 'application/problem+json; charset=utf-8',
          'cache-control': 'no-store',
          'retry-after': '1',
        },
        body: `${JSON.stringify({ ...problem, status })}\n`,
      }
    },
  }
}

function unscanned(stream: string): ReturnType<typeof toProblem> {
  return toProblem(
    new LockstepError(
      'api-unreachable',
      `The first scan of /${stream} is not at its end. Try again shortly.`,
    ),
  )
}

/** What was under way when the process ended. */
function raiseLeftOver(journal: IntentJournal, doubts: Doubts, table: TargetTable): void {
  for (const path of journal.leftOver) {
    if (!table.mirrored.some(each => routeOf(`/${each.template}`) === routeOf(path))) continue
    void journal.hold([path])?.catch(() => {})
    doubts.raise(path, 'answered', { onSeen: () => journal.release([path]) }, performance.now())
  }
}

function routeOf(path: string): string {
  const names = path.slice(1).split('/')
  return names.filter((_, index) => index % 2 === 0).join('/')
}

/** Errors: `invalid-option`. */
function checkPath(table: TargetTable, path: string): string {
  if (table.mirrored.some(each => routeOf(`/${each.template}`) === routeOf(path))) return path
  throw new LockstepError(
    'invalid-option',
    `${quote(path)} is no path that is mirrored. Known: ${table.mirrored.map(({ template }) => `/${template}`).join(', ')}.`,
  )
}
