/**
 * The change log in PostgreSQL, for any number of instances of a service.
 *
 * State, version, change and number are written in one durable transaction, which the writes that arrive together
 * share. Changes that other transactions log are numbered after their commit. A guard renews the epochs behind a
 * failover or a restored backup. PROTOCOL.md §7.
 */
import {
  checkCount,
  checkMethods,
  checkOptions,
  createErrorReport,
  type Head,
  isLockstepError,
  LockstepError,
  maxTimerMs,
  type OptionNames,
  type ReportError,
} from '../contract/index.ts'
import type {
  ChangeLog,
  ChangesPage,
  LatestPage,
  LogTransaction,
  ReadChangesOptions,
  ReadCollectionOptions,
  Retention,
  StoredItem,
  StoredResource,
  Written,
} from './change-log.ts'
import { CommitListeners } from './commit-listeners.ts'
import {
  asLogFailure,
  type CommitCounts,
  GroupCommit,
  type GroupCommitOptions,
  logClosed,
} from './group-commit.ts'
import { PostgresEpochs } from './postgres-epochs.ts'
import { LookAhead } from './postgres-look-ahead.ts'
import { PostgresNumbering } from './postgres-numbering.ts'
import { openPool, PostgresConnections, type PostgresPool, type RunQuery } from './postgres-pool.ts'
import { PostgresReads, type Relayed } from './postgres-reads.ts'
import { purgeRecorded } from './postgres-recorded.ts'
import {
  dropUpTo,
  forgetReceipts,
  limitReceipts,
  type PruneStep,
  pruneChanges,
  purgeTombstones,
} from './postgres-retention.ts'
import { ensureSchema, type PostgresNames, readNames } from './postgres-schema.ts'
import type { SessionOptions } from './postgres-session.ts'
import { PostgresStore } from './postgres-store.ts'
import { ensureStreams, readHeads, renewEpoch, writeRelayed } from './postgres-streams.ts'
import { PostgresWatch } from './postgres-watch.ts'
import { randomId } from './random-id.ts'
import { PruningClock, readRetention } from './retention.ts'

export type { PostgresClient, PostgresPool, PostgresQuery, PostgresResult } from './postgres-pool.ts'

export interface PostgresLogOptions extends GroupCommitOptions {
  /** Where the database is: `postgres://user:password@host:5432/database`. Either this or `pool`. */
  readonly url?: string
  /** A `Pool` of the package pg, which stays open when the log is closed. It needs 3 connections or more. */
  readonly pool?: PostgresPool
  /** The schema of the tables, made where it is missing. Each log has its own. @default 'lockstep' */
  readonly schema?: string
  /** How many connections a pool at `url` may open. @default 10 */
  readonly maxConnections?: number
  /** How often to look for what others have written. @default 20 */
  readonly pollMs?: number
  /** Hears what fails or is noticed in the background. @default writes to stderr */
  readonly onError?: ReportError
  /** The wall clock, in milliseconds since 1970. @default Date.now */
  readonly now?: () => number
}

/** A change log in PostgreSQL. */
export interface PostgresLog extends ChangeLog {
  /** Why the epochs were renewed at opening; empty where they were not. */
  readonly renewed: readonly string[]
  /** What was written since the opening, by this instance. */
  readonly counts: CommitCounts
}

const optionNames: OptionNames<PostgresLogOptions> = {
  url: true,
  pool: true,
  schema: true,
  maxConnections: true,
  pollMs: true,
  onError: true,
  now: true,
  maxWaitingWrites: true,
  maxTransactionChanges: true,
  transactionTimeoutMs: true,
}

/** Relayed numbers are stored, at most, so long after they moved. */
const noteDelayMs = 1_000
/** Beyond what a work may take, so long may a transaction stand still before PostgreSQL ends it. */
const idleGraceMs = 2_000

/**
 * Opens the change log in a PostgreSQL database (13 or later), and makes its tables where they are missing. The user
 * needs the right to make a schema, or to make tables in it. Errors: `invalid-option`; `missing-dependency` without
 * the package pg; `log-failed` where the database cannot be used.
 */
export async function openPostgresLog(options: PostgresLogOptions): Promise<PostgresLog> {
  checkOptions('openPostgresLog', options, optionNames)
  const names = readNames(options.schema ?? 'lockstep')
  const pollMs = checkCount('pollMs', options.pollMs ?? 20, { max: maxTimerMs })
  const { transactionTimeoutMs = 5_000 } = options
  const session: SessionOptions = {
    idleTimeoutMs:
      checkCount('transactionTimeoutMs', transactionTimeoutMs, { max: maxTimerMs }) + idleGraceMs,
  }
  const connections = await openConnections(options)
  const log = new OpenPostgresLog(connections, names, session, pollMs, options)
  try {
    await log.open()
    return log
  } catch (error) {
    await log.close()
    if (isLockstepError(error) && error.code !== 'log-failed') throw error
    const cause = isLockstepError(error) ? error.cause : error
    const reason = cause instanceof Error ? cause.message || cause.constructor.name : String(cause)
    throw new LockstepError(
      'log-failed',
      `The change log in PostgreSQL cannot be opened: ${reason}. Check the address, the user's rights and that it is a primary server.`,
      { cause },
    )
  }
}

async function openConnections(options: PostgresLogOptions): Promise<PostgresConnections> {
  const { url, pool, maxConnections } = options
  if ((url === undefined) === (pool === undefined)) {
    throw new LockstepError(
      'invalid-option',
      'openPostgresLog needs either a url or a pool. Give one of them.',
    )
  }
  if (pool !== undefined) {
    if (maxConnections !== undefined) {
      throw new LockstepError(
        'invalid-option',
        'maxConnections is for a url. Set "max" where the pool is made.',
      )
    }
    checkMethods('The pool of openPostgresLog', pool, ['connect'], 'Give a Pool of the package pg.')
    return new PostgresConnections(pool, async () => {})
  }
  if (typeof url !== 'string') {
    throw new LockstepError('invalid-option', `The url of openPostgresLog is a ${typeof url}. Give a text.`)
  }
  return await openPool(url, checkCount('maxConnections', maxConnections ?? 10, { min: 3, max: 1_000 }))
}

class OpenPostgresLog implements PostgresLog {
  renewed: readonly string[] = []
  readonly #connections: PostgresConnections
  readonly #names: PostgresNames
  readonly #numbering: PostgresNumbering
  readonly #store: PostgresStore
  readonly #epochs: PostgresEpochs
  readonly #group: GroupCommit
  readonly #reads: PostgresReads
  readonly #watch: PostgresWatch
  readonly #listeners: CommitListeners
  readonly #report: ReportError
  readonly #clock: PruningClock
  readonly #maxChanges: number
  /** Relayed numbers that are not stored yet. */
  readonly #relayed = new Map<string, Relayed>()
  #noteTimer: NodeJS.Timeout | undefined
  #closing: Promise<void> | undefined

  constructor(
    connections: PostgresConnections,
    names: PostgresNames,
    session: SessionOptions,
    pollMs: number,
    options: PostgresLogOptions,
  ) {
    this.#connections = connections
    this.#names = names
    this.#maxChanges = options.maxTransactionChanges ?? 10_000
    const onError = createErrorReport(options.onError)
    this.#report = onError
    this.#clock = new PruningClock(options.now ?? Date.now)
    this.#listeners = new CommitListeners(onError)
    this.#store = new PostgresStore(connections, names, session, {
      onBegun: (present, heads) => this.#epochs.onBegun(present, heads),
      settle: () => this.#epochs.settle(),
    })
    this.#epochs = new PostgresEpochs(this.#store, names.schema, {
      onMoved: heads => this.#listeners.call(heads),
      onRenewed: notice => onError(notice, { stage: 'epoch-guard' }),
      onNews: () => this.#watch.outdate(),
    })
    this.#group = new GroupCommit(
      this.#store,
      {
        onCommitted: batch => this.#epochs.tell(batch.movedHeads()),
        onFailed: error => this.#onFailed(error, 'commit'),
        newId: randomId,
      },
      options,
    )
    this.#numbering = new PostgresNumbering(connections, names, session, heads => this.#epochs.tell(heads))
    const query: RunQuery = (text, values) => connections.query(text, values)
    this.#reads = new PostgresReads(query, names.schema)
    this.#watch = new PostgresWatch(query, names.schema, pollMs, {
      onSeen: (present, heads) => this.#epochs.onSeen(present, heads),
      onPending: () => this.#numbering.run(),
      onFailed: error => this.#onFailed(error, 'log-watch'),
    })
  }

  get counts(): CommitCounts {
    return this.#group.counts
  }

  async open(): Promise<void> {
    await this.#store.transact(query => ensureSchema(query, this.#names))
    this.renewed = await this.#epochs.settle()
    this.#watch.start()
  }

  ensureStreams(streams: readonly string[]): Promise<readonly Head[]> {
    return this.#alone(async query => {
      const heads = await ensureStreams(query, this.#names.schema, streams)
      this.#epochs.note(heads)
      return heads
    })
  }

  write<T>(work: (transaction: LogTransaction) => Promise<T>): Promise<Written<T>> {
    const ahead = new LookAhead(work, this.#maxChanges)
    this.#store.waiting.add(ahead)
    const written = this.#group.write(transaction => {
      this.#store.waiting.delete(ahead)
      return ahead.run(transaction, this.#store.committed)
    })
    written.catch(error => {
      this.#store.waiting.delete(ahead)
      ahead.cancel(error)
    })
    return written
  }

  head(stream: string): Promise<Head> {
    return this.#read(() => this.#reads.head(stream))
  }

  readResource(path: string): Promise<{ readonly head: Head; readonly resource: StoredResource }> {
    return this.#read(() => this.#reads.resource(path))
  }

  readCollection(
    path: string,
    options: ReadCollectionOptions,
  ): Promise<{ readonly head: Head; readonly items: readonly StoredItem[]; readonly more: boolean }> {
    return this.#read(() => this.#reads.collection(path, options))
  }

  readChanges(stream: string, options: ReadChangesOptions): Promise<ChangesPage> {
    return this.#read(() => this.#reads.changes(stream, options))
  }

  readLatest(stream: string, options: ReadChangesOptions): Promise<LatestPage> {
    return this.#read(() => this.#reads.latest(stream, options))
  }

  async relayed(stream: string): Promise<number> {
    return this.#relayedIn(stream, await this.#read(() => this.#reads.relayed(stream)))
  }

  async setRelayed(stream: string, epoch: string, seq: number): Promise<void> {
    const stored = await this.#read(() => this.#reads.relayed(stream))
    if (stored.epoch !== epoch || seq <= this.#relayedIn(stream, stored)) return
    this.#relayed.set(stream, { epoch, seq })
    this.#noteSoon()
  }

  async prune(retention?: Retention): Promise<number> {
    const limits = readRetention(retention)
    const nowMs = this.#clock.nowMs(notice => this.#report(notice, { stage: 'prune' }))
    const { schema } = this.#names
    let deleted = 0
    for (const { stream } of await this.#read(query => readHeads(query, schema))) {
      deleted += await this.#steps(query =>
        pruneChanges(query, schema, stream, nowMs - limits.maxAgeMs, limits),
      )
      await this.#steps(query => purgeTombstones(query, schema, stream))
      await this.#steps(query => purgeRecorded(query, schema, stream))
    }
    await this.#steps(query => forgetReceipts(query, schema, nowMs - limits.maxReceiptAgeMs))
    await this.#steps(query => limitReceipts(query, schema, limits.maxReceipts))
    return deleted
  }

  async renewEpoch(stream: string): Promise<Head> {
    const { schema } = this.#names
    const before = await this.head(stream)
    await this.#steps(query => dropUpTo(query, schema, before))
    const head = await this.#alone(query => renewEpoch(query, schema, stream))
    this.#epochs.tell([head])
    return head
  }

  settle(): Promise<void> {
    return this.#read(() => this.#numbering.run())
  }

  onCommit(listener: (heads: readonly Head[]) => void): () => void {
    return this.#listeners.add(listener)
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async #close(): Promise<void> {
    await this.#group.close()
    clearTimeout(this.#noteTimer)
    await this.#watch.close()
    await this.#numbering.close()
    await this.#noteRelayed().catch(error => this.#onFailed(error, 'close'))
    await this.#connections.close().catch(error => this.#onFailed(error, 'close'))
  }

  async #steps(step: (query: RunQuery) => Promise<PruneStep>): Promise<number> {
    for (let deleted = 0; ; ) {
      const { deleted: count, more } = await this.#alone(step)
      deleted += count
      if (!more) return deleted
    }
  }

  #relayedIn(stream: string, stored: Relayed): number {
    const pending = this.#relayed.get(stream)
    return pending?.epoch === stored.epoch ? Math.max(pending.seq, stored.seq) : stored.seq
  }

  #noteSoon(): void {
    if (this.#noteTimer !== undefined || this.#closing !== undefined) return
    this.#noteTimer = setTimeout(() => {
      this.#noteTimer = undefined
      this.#noteRelayed().catch(error => this.#onFailed(error, 'relayed'))
    }, noteDelayMs)
    this.#noteTimer.unref()
  }

  async #noteRelayed(): Promise<void> {
    const relayed = new Map(this.#relayed)
    if (relayed.size === 0) return
    await this.#store.transact(query => writeRelayed(query, this.#names.schema, relayed))
    for (const [stream, noted] of relayed) {
      if (this.#relayed.get(stream) === noted) this.#relayed.delete(stream)
    }
  }

  #onFailed(error: unknown, stage: string): void {
    if (!isLockstepError(error, 'log-closed')) this.#report(asLogFailure(error), { stage })
  }

  #alone<T>(action: (query: RunQuery) => Promise<T>): Promise<T> {
    return this.#group.alone(() => this.#store.transact(action))
  }

  async #read<T>(read: (query: RunQuery) => Promise<T>): Promise<T> {
    if (this.#closing !== undefined) throw logClosed()
    try {
      return await read((text, values) => this.#connections.query(text, values))
    } catch (error) {
      throw asLogFailure(error)
    }
  }
}
