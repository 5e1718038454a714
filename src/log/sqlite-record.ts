/**
 * Records changes in a transaction that the application has begun on a connection of its own to the log's file: its rows
 * and the change are committed together, or neither is. PROTOCOL.md §7.
 */
import type { DatabaseSync } from 'node:sqlite'
import { LockstepError, streamOf } from '../contract/index.ts'
import { formatOpenChange, type ResourceState, unknownStream } from './batch.ts'
import type { NewChange } from './change-log.ts'
import { randomId } from './random-id.ts'
import { decideRecorded, type Recorded, type RecordedChange } from './recorded-change.ts'
import { SqliteRows } from './sqlite-rows.ts'

const rowsOf = new WeakMap<DatabaseSync, SqliteRows>()

/** See {@link record}. */
export function recordInSqlite(database: DatabaseSync, changes: readonly RecordedChange[]): Recorded[] {
  checkTransaction(database)
  const rows = openRows(database)
  const { recorded, made } = decideRecorded(changes, Date.now(), path => look(rows, path))
  // Nothing is written before all is known to be right: who catches an error may go on with the transaction.
  const tx = made.length > 1 ? { id: randomId(), n: made.length } : undefined
  for (const change of made) write(rows, change, tx)
  return recorded
}

function look(rows: SqliteRows, path: string): ResourceState {
  const stream = rows.stream(streamOf(path))
  if (stream === undefined) throw unknownStream(streamOf(path))
  return rows.resource(path) ?? { version: stream.versionFloor, stateText: undefined }
}

function write(rows: SqliteRows, change: NewChange, tx: { id: string; n: number } | undefined): void {
  const { path, event, topicPath, version, timeMs, stateText } = change
  const stream = streamOf(path)
  const seq = rows.stream(stream)!.head + 1
  rows.writeResource({ path, stream, version, seq, stateText, exists: event === 'modified' })
  rows.writeChange({
    stream,
    seq,
    event,
    path,
    topicPath,
    version,
    timeMs,
    openText: formatOpenChange(change, tx),
  })
  rows.moveHead(stream, seq)
}

function checkTransaction(database: DatabaseSync): void {
  if (database.isTransaction) return
  throw new LockstepError(
    'invalid-option',
    'record was called outside of a transaction, so the change could be there without what it tells of. Call BEGIN IMMEDIATE first, and COMMIT after your own rows and the record.',
  )
}

function openRows(database: DatabaseSync): SqliteRows {
  const known = rowsOf.get(database)
  if (known !== undefined) return known
  if (!hasTables(database)) {
    throw new LockstepError(
      'invalid-option',
      'The database has no change log, or only that of another file. Open it first on the same file: await openSqliteLog({ file }).',
    )
  }
  const rows = new SqliteRows(database)
  rowsOf.set(database, rows)
  return rows
}

function hasTables(database: DatabaseSync): boolean {
  const sql = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'lockstep_change'"
  return database.prepare(sql).get() !== undefined
}
