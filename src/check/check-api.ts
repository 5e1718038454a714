/**
 * Judges an API by PROTOCOL.md: writes to it, hears what its broker delivers, and says of each rule whether it was kept.
 *
 * It makes resources of its own, whose ids begin with `check-` or end with the id of the run, and deletes them in the end.
 * Others may write meanwhile. What an API may leave out is looked for, and skipped where it is not there.
 */
import { randomBytes } from 'node:crypto'
import type { Broker } from '../broker/broker.ts'
import { isLockstepError, LockstepError, streamOf } from '../contract/index.ts'
import { createApi } from './api.ts'
import { allChecks } from './catalogue.ts'
import { type Context, createContext, streamsOf } from './context.ts'
import { openCopy } from './copy.ts'
import { readFeedPage } from './feed.ts'
import { hear } from './hearing.ts'
import { type Check, createJudge, Skipped } from './judge.ts'
import { createLedger } from './ledger.ts'
import type { MessageSchemas, Outline } from './outline.ts'
import type { CheckReport, CheckResult } from './report.ts'

export interface CheckOptions {
  /** The API root, such as `https://example.com/api/v1`. */
  readonly api: string
  /** Which resources there are: from `readOpenApiOutline` or `readResourcesFile`. */
  readonly outline: Outline
  /** The broker to which the API publishes. Without it messages are not judged, only the feed. It is not closed. */
  readonly broker?: Broker
  /** From `readMessageSchemas`. */
  readonly schemas?: MessageSchemas
  /** Sent with each request. */
  readonly headers?: Readonly<Record<string, string>>
  /** Ends the service without warning and starts it again; resolves when it was started. */
  readonly restart?: () => Promise<void>
  /** The checks whose ids this accepts. @default all */
  readonly only?: (id: string) => boolean
  /** How long what must come is waited for. @default 10_000 */
  readonly patienceMs?: number
  /** Are the resources of the run left where they are? @default false */
  readonly keep?: boolean
  /** Is told of each check as it begins and ends. */
  readonly onProgress?: (check: Pick<CheckResult, 'id' | 'title'>, result?: CheckResult) => void
}

/** Errors: `api-unreachable`, `api-refused` where the API cannot be judged at all, `invalid-option`; those of the broker. */
export async function checkApi(options: CheckOptions): Promise<CheckReport> {
  const { outline, patienceMs = 10_000, broker, schemas, restart, only = () => true } = options
  const begin = performance.now()
  const root = options.api.replace(/[?#].*$/, '').replace(/\/+$/, '')
  using api = createApi(root, options.headers)
  const streams = streamsOf(outline)
  const topicPrefix = await readTopicPrefix(api, outline)
  await using hearing = broker === undefined ? undefined : await hear(broker, streams, topicPrefix)
  const copies = new Map<string, Awaited<ReturnType<typeof openCopy>>>()
  const beginnings = []
  for (const stream of streams) {
    const { epoch, head } = await readFeedPage(api, stream, 'after=now')
    beginnings.push({ stream, epoch, head })
    copies.set(stream, await openCopy(api, stream))
  }
  const ledger = createLedger(root)
  const runId = randomBytes(4).toString('hex')
  const context = createContext({
    api,
    outline,
    ledger,
    topicPrefix,
    beginnings,
    hearing,
    copies,
    schemas,
    restart,
    patienceMs,
    runId,
  })
  const results: CheckResult[] = []
  for (const check of allChecks.filter(({ id }) => only(id))) {
    options.onProgress?.(check)
    const result = await runCheck(check, context)
    results.push(result)
    options.onProgress?.(check, result)
  }
  if (options.keep !== true) await clear(context)
  const count = (status: CheckResult['status']): number =>
    results.filter(each => each.status === status).length
  return {
    ok: count('failed') === 0,
    api: root,
    source: outline.source,
    collections: outline.collections.map(({ template }) => template),
    passed: count('passed'),
    failed: count('failed'),
    skipped: count('skipped'),
    tookMs: Math.round(performance.now() - begin),
    results,
  }
}

async function runCheck(check: Check, context: Context): Promise<CheckResult> {
  const begin = performance.now()
  const judge = createJudge()
  let skipped: string | undefined
  try {
    await check.run(context, judge)
  } catch (error) {
    if (error instanceof Skipped) skipped = error.message
    else if (isLockstepError(error) || error instanceof TypeError || error instanceof SyntaxError)
      judge.fail(error.message)
    else throw error
  }
  const { id, rule, title } = check
  const hidden = judge.count - judge.faults.length
  const faults = hidden > 0 ? [...judge.faults, `… and ${hidden} more`] : [...judge.faults]
  const status = judge.count > 0 ? 'failed' : skipped === undefined ? 'passed' : 'skipped'
  const note =
    status === 'failed' ? `${judge.count} ${judge.count === 1 ? 'fault' : 'faults'}` : (skipped ?? judge.note)
  return { id, rule, title, status, note, faults, tookMs: Math.round(performance.now() - begin) }
}

/** What stands before the topics is what `Lockstep-Topic` has before the path. */
async function readTopicPrefix(api: ReturnType<typeof createApi>, outline: Outline): Promise<string> {
  const { template } = outline.collections[0]!
  const stream = streamOf(template)
  const { status, headers } = await api.ask('GET', `/${stream}?limit=1`)
  const topic = headers['lockstep-topic']
  if (status !== 200) {
    throw new LockstepError(
      'api-refused',
      `GET ${api.root}/${stream} was answered with ${status}: the API cannot be judged.`,
    )
  }
  if (outline.topicPrefix !== undefined) return outline.topicPrefix
  return topic?.endsWith(stream) ? topic.slice(0, -stream.length) : ''
}

/** Deletes what was made; what cannot be deleted stays. */
async function clear({ api, ledger }: Context): Promise<void> {
  for (const path of [...ledger.roots].reverse()) await api.ask('DELETE', path).catch(() => {})
}
