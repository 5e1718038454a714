/**
 * The change log in a SQLite file, for one service on one machine.
 *
 * State, version, change and number are written in one durable transaction (WAL, `synchronous = FULL`), which
 * the writes that arrive together share. A guard file beside the database renews the epochs after a restored
 * backup. Several processes may write one file; it must not be on a network file system. PROTOCOL.md §7.
 */
import { resolve } from 'node:path'
import { setImmediate as nextTurn } from 'node:timers/promises'
import {
  checkOptions,
  createErrorReport,
  describeValue,
  type Head,
  isLockstepError,
  LockstepError,
  quote,
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
  type CommitCounts,
  GroupCommit,
  type GroupCommitHooks,
  type GroupCommitOptions,
  logClosed,
} from './group-commit.ts'
import { randomId } from './random-id.ts'
import { PruningClock, readRetention } from './retention.ts'
import { SqliteGuard } from './sqlite-guard.ts'
import { type Relayed, SqliteReads } from './sqlite-reads.ts'
import { type PruneStep, SqliteRetention } from './sqlite-retention.ts'
import { openStore, type SqliteStore } from './sqlite-store.ts'
import { SqliteStreams } from './sqlite-streams.ts'
import { SqliteWatch } from './sqlite-watch.ts'

export interface SqliteLogOptions extends GroupCommitOptions {
  /** The database file; it and its folder are made where they are missing. `<file>.guard` is kept beside it. */
  readonly file: string
  /** Hears what fails or is noticed in the background. @default writes to stderr */
  readonly onError?: ReportError
  /** The wall clock, in milliseconds since 1970. @default Date.now */
  readonly now?: () => number
}

/** A change log in a SQLite file. */
export interface SqliteLog extends ChangeLog {
  /** The absolute path of the database file. */
  readonly file: string
  /** Why the epochs were renewed at opening; empty where they were not. */
  readonly renewed: readonly string[]
  /** What was written since the opening. */
  readonly counts: CommitCounts
}

/** The guard notes the heads, and the relayed numbers are stored, at most so long after they moved. */
const noteDelayMs = 1_000

/**
 * Opens the change log in a SQLite file. Errors: `invalid-option` where the file is not a database, or is of a newer
 * release; `log-failed` where it or its guard file cannot be used.
 */
export async function openSqliteLog(options: SqliteLogOptions): Promise<SqliteLog> {
  checkOptions('openSqliteLog', options, {
    file: true,
    onError: true,
    now: true,
    maxWaitingWrites: true,
    maxTransactionChanges: true,
    transactionTimeoutMs: true,
  })
  const { file } = options
  if (typeof file !== 'string') {
    throw new LockstepError(
      'invalid-option',
      `The file of openSqliteLog is ${describeValue(file)}. Give a path, such as { file: "data.db" }.`,
    )
  }
  if (file === '' || file === ':memory:') {
    throw new LockstepError(
      'invalid-option',
      `The file is ${quote(file)}. Give a path, or use createMemoryLog().`,
    )
  }
  return await openLogIn(await openStore(resolve(file)), options)
}

/** Opens the change log in a store that is open; closing the log closes it. */
export async function openLogIn(store: SqliteStore, options: SqliteLogOptions): Promise<SqliteLog> {
  const streams = new SqliteStreams(store, randomId)
  const guard = new SqliteGuard(store, randomId)
  try {
    const heads = (): Head[] => streams.names().map(stream => store.head(stream))
    // Judged and read in one transaction: another process may be opening the file too, and begin its new epochs.
    await dropChanges(store, await store.transact(() => (guard.judge().length > 0 ? heads() : [])))
    const renewed = await store.transact(() =>
      guard.open(() => {
        for (const stream of streams.names()) streams.renewEpoch(stream)
      }),
    )
    await store.transact(() => guard.settle())
    if (renewed.length > 0) {
      const notice = `All streams of ${quote(store.file, 200)} begin a new epoch: ${renewed.join('; ')}. Followers start afresh by themselves.`
      createErrorReport(options.onError)(new Error(notice), { stage: 'epoch-guard' })
    }
    return new OpenSqliteLog(store, streams, guard, renewed, options)
  } catch (error) {
    store.close()
    throw error
  }
}

/** In steps, before all epochs are renewed at once: a program that opens a long log goes on answering. */
async function dropChanges(store: SqliteStore, heads: readonly Head[]): Promise<void> {
  const retention = new SqliteRetention(store)
  for (const head of heads) {
    while ((await store.transact(() => retention.dropUpTo(head))).more) await nextTurn()
  }
}

class OpenSqliteLog implements SqliteLog {
  readonly file: string
  readonly renewed: readonly string[]
  readonly #store: SqliteStore
  readonly #streams: SqliteStreams
  readonly #guard: SqliteGuard
  readonly #reads: SqliteReads
  readonly #retention: SqliteRetention
  readonly #group: GroupCommit
  readonly #listeners: CommitListeners
  readonly #watch: SqliteWatch
  readonly #onError: ReportError
  readonly #clock: PruningClock
  /** Relayed numbers that are not stored yet. */
  readonly #relayed = new Map<string, Relayed>()
  #noteTimer: NodeJS.Timeout | undefined
  #replacedReported = false
  #closing: Promise<void> | undefined

  constructor(
    store: SqliteStore,
    streams: SqliteStreams,
    guard: SqliteGuard,
    renewed: readonly string[],
    options: SqliteLogOptions,
  ) {
    this.file = store.file
    this.renewed = renewed
    this.#store = store
    this.#streams = streams
    this.#guard = guard
    this.#reads = new SqliteReads(store)
    this.#retention = new SqliteRetention(store)
    this.#onError = createErrorReport(options.onError)
    this.#clock = new PruningClock(options.now ?? Date.now)
    this.#listeners = new CommitListeners(this.#onError)
    // Should the commit fail, the numbers are still there for the next one: writing them twice changes nothing.
    store.beforeCommit = () => this.#writeRelayed(this.#relayed)
    const hooks: GroupCommitHooks = {
      onCommitted: batch => {
        this.#told(batch.movedHeads())
      },
      onFailed: error => this.#report(error, 'commit'),
      newId: randomId,
    }
    this.#group = new GroupCommit(store, hooks, options)
    this.#watch = new SqliteWatch(store, {
      readHeads: () => streams.names().map(stream => store.head(stream)),
      onMoved: heads => this.#told(heads),
      onFailed: error => this.#report(error, 'watch'),
    })
  }

  get counts(): CommitCounts {
    return this.#group.counts
  }

  ensureStreams(streams: readonly string[]): Promise<readonly Head[]> {
    return this.#alone(() => {
      const heads = this.#streams.ensure(streams)
      this.#watch.note(heads)
      return heads
    })
  }

  write<T>(work: (transaction: LogTransaction) => Promise<T>): Promise<Written<T>> {
    return this.#group.write(work)
  }

  head(stream: string): Promise<Head> {
    return this.#single(() => this.#reads.head(stream))
  }

  readResource(path: string): Promise<{ readonly head: Head; readonly resource: StoredResource }> {
    return this.#single(() => this.#reads.resource(path))
  }

  readCollection(
    path: string,
    options: ReadCollectionOptions,
  ): Promise<{ readonly head: Head; readonly items: readonly StoredItem[]; readonly more: boolean }> {
    return this.#snapshot(() => this.#reads.collection(path, options))
  }

  readChanges(stream: string, options: ReadChangesOptions): Promise<ChangesPage> {
    return this.#snapshot(() => this.#reads.changes(stream, options))
  }

  readLatest(stream: string, options: ReadChangesOptions): Promise<LatestPage> {
    return this.#snapshot(() => this.#reads.latest(stream, options))
  }

  async relayed(stream: string): Promise<number> {
    return this.#relayedIn(stream, await this.#single(() => this.#reads.relayed(stream)))
  }

  async setRelayed(stream: string, epoch: string, seq: number): Promise<void> {
    const stored = await this.#single(() => this.#reads.relayed(stream))
    if (stored.epoch !== epoch || seq <= this.#relayedIn(stream, stored)) return
    this.#relayed.set(stream, { epoch, seq })
    this.#noteSoon()
  }

  async prune(retention?: Retention): Promise<number> {
    const limits = readRetention(retention)
    const nowMs = this.#clock.nowMs(notice => this.#onError(notice, { stage: 'prune' }))
    let deleted = 0
    for (const stream of await this.#single(() => this.#streams.names())) {
      deleted += await this.#steps(() =>
        this.#retention.pruneChanges(stream, nowMs - limits.maxAgeMs, limits),
      )
      await this.#steps(() => this.#retention.purgeTombstones(stream))
    }
    await this.#steps(() => this.#retention.forgetReceipts(nowMs - limits.maxReceiptAgeMs))
    await this.#steps(() => this.#retention.limitReceipts(limits.maxReceipts))
    return deleted
  }

  async renewEpoch(stream: string): Promise<Head> {
    const before = await this.head(stream)
    await this.#steps(() => this.#retention.dropUpTo(before))
    const head = await this.#alone(() => this.#streams.renewEpoch(stream))
    this.#told([head])
    return head
  }

  async settle(): Promise<void> {
    if (this.#closing !== undefined) throw logClosed()
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

  /** Heads have moved. */
  #told(heads: readonly Head[]): void {
    this.#watch.note(heads)
    this.#noteSoon()
    this.#listeners.call(heads)
  }

  async #close(): Promise<void> {
    this.#watch.close()
    await this.#group.close()
    clearTimeout(this.#noteTimer)
    try {
      if (!this.#store.replaced) {
        await this.#note()
        this.#store.database.exec('PRAGMA wal_checkpoint(TRUNCATE)')
      }
    } catch (error) {
      this.#report(error, 'close')
    }
    this.#store.close()
  }

  async #steps(step: () => PruneStep): Promise<number> {
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

  /** Notes what need not be durable at once: the guard, and how far the relay has come. */
  #noteSoon(): void {
    if (this.#noteTimer !== undefined || this.#closing !== undefined) return
    this.#noteTimer = setTimeout(() => {
      this.#noteTimer = undefined
      this.#group.alone(() => this.#note()).catch(error => this.#report(error, 'epoch-guard'))
    }, noteDelayMs)
    this.#noteTimer.unref()
  }

  #writeRelayed(relayed: Iterable<readonly [string, Relayed]>): void {
    for (const [stream, { epoch, seq }] of relayed) this.#streams.setRelayed(stream, epoch, seq)
  }

  async #note(): Promise<void> {
    const relayed = [...this.#relayed]
    await this.#store.transact(() => {
      this.#writeRelayed(relayed)
      this.#guard.renew()
    })
    await this.#store.transact(() => this.#guard.settle())
    for (const [stream, noted] of relayed) {
      if (this.#relayed.get(stream) === noted) this.#relayed.delete(stream)
    }
  }

  #report(error: unknown, stage: string): void {
    if (isLockstepError(error, 'log-closed')) return
    if (isLockstepError(error, 'log-replaced')) {
      if (this.#replacedReported) return
      this.#replacedReported = true
    }
    this.#onError(error, { stage })
  }

  #alone<T>(action: () => T): Promise<T> {
    return this.#group.alone(() => this.#store.transact(action))
  }

  #single<T>(read: () => T): Promise<T> {
    return this.#closing === undefined ? this.#store.single(read) : Promise.reject(logClosed())
  }

  #snapshot<T>(read: () => T): Promise<T> {
    return this.#closing === undefined ? this.#store.snapshot(read) : Promise.reject(logClosed())
  }
}
