/**
 * One SQLite connection: how a batch is begun and written, and how reads get one snapshot.
 *
 * One connection is enough for both. A batch touches the database only in `commit`, which runs to its end
 * without a turn of the event loop, so no read can come between and see what is not committed; and a reader
 * that shares the writer's page cache need not fetch again what each commit changed. PROTOCOL.md §7.
 */
import { existsSync, mkdirSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import { DatabaseSync, type StatementSync } from 'node:sqlite'
import { setTimeout as delay } from 'node:timers/promises'
import { type Head, isLockstepError, LockstepError, quote } from '../contract/index.ts'
import { type Batch, type ResourceState, type StreamState, unknownStream } from './batch.ts'
import type { Receipt } from './change-log.ts'
import { asLogFailure, type CommitStore } from './group-commit.ts'
import { SqliteRows } from './sqlite-rows.ts'
import { ensureSchema } from './sqlite-schema.ts'

/** How long to wait for another process that writes the same file. */
const lockTimeoutMs = 5_000
/** SQLite's own waiting blocks the event loop, so it is kept short; the rest is waited for without blocking. */
const blockingTimeoutMs = 10
const sqliteBusy = 5
const sqliteNotADatabase = 26

export class SqliteStore implements CommitStore {
  readonly file: string
  readonly database: DatabaseSync
  /** The file that was opened; another file under the same name has another number. */
  readonly inode: number
  /** Writes what need not be durable at once but may go along with a batch. */
  beforeCommit: () => void = () => {}
  #replaced: LockstepError | undefined
  readonly #begin: StatementSync
  readonly #commit: StatementSync
  readonly #rows: SqliteRows

  /** The tables MUST be there. */
  constructor(database: DatabaseSync, file: string) {
    this.file = file
    this.database = database
    this.inode = statSync(file).ino
    this.#begin = database.prepare('BEGIN IMMEDIATE')
    this.#commit = database.prepare('COMMIT')
    this.#rows = new SqliteRows(database)
  }

  /** Has another file come under the name? Then nothing may be written any more. */
  get replaced(): boolean {
    return this.#replaced !== undefined
  }

  /** Refuses all writes from now on, since what is written would be lost. */
  markReplaced(): LockstepError {
    this.#replaced ??= new LockstepError(
      'log-replaced',
      'The database file was replaced while the service was running. Writes are refused until the service is restarted.',
    )
    return this.#replaced
  }

  /** Errors: `log-replaced`, and those of SQLite. */
  async begin(): Promise<void> {
    const found = statSync(this.file, { throwIfNoEntry: false })?.ino
    if (this.replaced || found !== this.inode) throw this.markReplaced()
    await whileBusy(() => this.#begin.run())
  }

  commit(batch: Batch): void {
    const rows = this.#rows
    for (const resource of batch.resources.values()) rows.writeResource(resource)
    for (const change of batch.changes) rows.writeChange(change)
    for (const { stream, seq } of batch.movedHeads()) rows.moveHead(stream, seq)
    for (const [key, receipt] of batch.receipts) rows.writeReceipt(key, receipt)
    this.beforeCommit()
    this.#commit.run()
  }

  rollback(): void {
    // Some failures, such as a full disk, have made SQLite roll back by itself already.
    if (this.database.isTransaction) this.database.exec('ROLLBACK')
  }

  /** Runs `action` in a write transaction of its own. Not to be called while a batch is open. */
  async transact<T>(action: () => T): Promise<T> {
    try {
      await this.begin()
      const value = action()
      this.#commit.run()
      return value
    } catch (error) {
      this.rollback()
      throw asLogFailure(error)
    }
  }

  /** Runs a read of one statement, which is a snapshot by itself. */
  async single<T>(read: () => T): Promise<T> {
    try {
      return read()
    } catch (error) {
      if (resultCode(error) !== sqliteBusy) throw asLogFailure(error)
      return await this.snapshot(read)
    }
  }

  /** Runs reads in one snapshot. While a batch is open its transaction is one already. */
  async snapshot<T>(read: () => T): Promise<T> {
    try {
      return await whileBusy(() => (this.database.isTransaction ? read() : this.#inReadTransaction(read)))
    } catch (error) {
      throw asLogFailure(error)
    }
  }

  stream(stream: string): StreamState | undefined {
    return asLogRead(() => this.#rows.stream(stream))
  }

  resource(path: string): ResourceState | undefined {
    return asLogRead(() => this.#rows.resource(path))
  }

  pathsBelow(path: string, limit: number): readonly string[] {
    return asLogRead(() => this.#rows.pathsBelow(path, limit))
  }

  receipt(key: string): Receipt | undefined {
    return asLogRead(() => this.#rows.receipt(key))
  }

  /** Errors: `not-found`. */
  head(stream: string): Head {
    const state = this.stream(stream)
    if (state === undefined) throw unknownStream(stream)
    return { stream, epoch: state.epoch, seq: state.head, first: state.first }
  }

  close(): void {
    this.database.close()
  }

  #inReadTransaction<T>(read: () => T): T {
    this.database.exec('BEGIN')
    try {
      return read()
    } finally {
      this.#commit.run()
    }
  }
}

/** What a read gives. Errors: `log-failed`. */
function asLogRead<T>(read: () => T): T {
  try {
    return read()
  } catch (error) {
    throw asLogFailure(error)
  }
}

/**
 * Opens the file, and makes it, its folder and the tables where they are missing.
 * Errors: `invalid-option` where it cannot be a database of ours, `log-failed`.
 */
export async function openStore(file: string): Promise<SqliteStore> {
  let database: DatabaseSync | undefined
  try {
    makeFolder(dirname(file))
    database = new DatabaseSync(file, { timeout: blockingTimeoutMs })
    await configure(database)
    await createTables(database, file)
    return new SqliteStore(database, file)
  } catch (error) {
    if (database?.isOpen) database.close()
    if (isLockstepError(error)) throw error
    const notOurs = resultCode(error) === sqliteNotADatabase
    const reason = error instanceof Error ? error.message : String(error)
    throw new LockstepError(
      notOurs ? 'invalid-option' : 'log-failed',
      notOurs
        ? `The file ${quote(file, 200)} is not a SQLite database, or is damaged. Restore a backup, or give another path.`
        : `The database ${quote(file, 200)} cannot be opened: ${reason}. Check its path and its permissions.`,
      { cause: error },
    )
  }
}

/** Folder after folder: Node's own way to make several never comes back where the file system refuses, as /proc does. */
function makeFolder(folder: string): void {
  if (existsSync(folder)) return
  makeFolder(dirname(folder))
  try {
    mkdirSync(folder)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  }
}

async function configure(database: DatabaseSync): Promise<void> {
  const mode = await whileBusy(() => database.prepare('PRAGMA journal_mode = WAL').get()?.['journal_mode'])
  if (mode !== 'wal')
    throw new Error(`this file system does not support WAL (the journal is ${String(mode)})`)
  // With less than FULL a power cut loses acknowledged commits that followers have heard of; no guard could tell.
  database.exec(
    `PRAGMA synchronous = FULL; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -32768;
     PRAGMA wal_autocheckpoint = 4000; PRAGMA journal_size_limit = 67108864`,
  )
}

async function createTables(database: DatabaseSync, file: string): Promise<void> {
  await whileBusy(() => database.exec('BEGIN IMMEDIATE'))
  ensureSchema(database, file)
  database.exec('COMMIT')
}

/** Tries again while another process holds the lock, without blocking the event loop. */
export async function whileBusy<T>(action: () => T): Promise<T> {
  for (
    let waitedMs = 0, waitMs = 1;
    ;
    waitedMs += waitMs + blockingTimeoutMs, waitMs = Math.min(waitMs * 2, 25)
  ) {
    try {
      return action()
    } catch (error) {
      if (resultCode(error) !== sqliteBusy || waitedMs >= lockTimeoutMs) throw error
    }
    await delay(waitMs)
  }
}

/** SQLite's primary result code of an error or of its cause. */
function resultCode(error: unknown): number | undefined {
  const { errcode, cause } = error as { errcode?: unknown; cause?: { errcode?: unknown } }
  const code = errcode ?? cause?.errcode
  return typeof code === 'number' ? code & 0xff : undefined
}
