/**
 * Records changes in a transaction that the application has begun in PostgreSQL, with whichever library: its rows and the
 * change are committed together, or neither is.
 *
 * It locks a row for each resource first and logs the changes last, so that the order of a resource's changes is that of
 * the transactions that made them. Their numbers they get after the commit. PROTOCOL.md §7.2.
 */
import { isLockstepError, LockstepError, quote, streamOf } from '../contract/index.ts'
import { type ResourceState, unknownStream } from './batch.ts'
import { formatChangeInsert } from './postgres-change.ts'
import type { Row } from './postgres-pool.ts'
import { formatLock } from './postgres-recorded.ts'
import type { RunStatement } from './postgres-transaction.ts'
import { randomId } from './random-id.ts'
import { decideRecorded, type Recorded, type RecordedChange, readRecordedPath } from './recorded-change.ts'

/** See {@link record}. */
export async function recordInPostgres(
  run: RunStatement,
  changes: readonly RecordedChange[],
  schema: string,
): Promise<Recorded[]> {
  if (changes.length === 0) return []
  const paths = [...new Set(changes.map(readRecordedPath))].sort()
  try {
    const { xid, states } = await lock(run, schema, paths)
    const { recorded, made } = decideRecorded(changes, Date.now(), path => states.get(path)!)
    if (made.length === 0) return recorded
    const tx = made.length > 1 ? { id: randomId(), n: made.length } : undefined
    const [row] = await run(formatChangeInsert(schema, made, { tx, xid }))
    if (Number(row!['written']) !== made.length) throw noTransaction()
    return recorded
  } catch (error) {
    throw isLockstepError(error) || !hasNoTables(error) ? error : noLog(schema, error)
  }
}

interface Locked {
  readonly xid: string
  readonly states: ReadonlyMap<string, ResourceState>
}

/** Locks the resources until the end of the transaction, and tells where they stand. Errors: `not-found`. */
async function lock(run: RunStatement, schema: string, paths: readonly string[]): Promise<Locked> {
  const rows = await run(formatLock(schema, paths))
  const known = new Map(rows.map(row => [row['path'], row]))
  const stranger = paths.find(path => !known.has(path))
  if (stranger !== undefined) throw unknownStream(streamOf(stranger))
  const states = new Map([...known].map(([path, row]) => [path!, readState(row)]))
  return { xid: rows[0]!['xid']!, states }
}

function readState(row: Row): ResourceState {
  return { version: Number(row['version']), stateText: row['state'] ?? undefined }
}

/** Each statement was a transaction of its own: nothing was logged, and what was locked is free again. */
function noTransaction(): LockstepError {
  return new LockstepError(
    'invalid-option',
    'record was called outside of a transaction, so the change could be there without what it tells of. Give the connection on which BEGIN was called (not the pool), or what the transaction function of your library gives.',
  )
}

/** Is there no such schema, table or function? Drizzle tells it in a cause. */
function hasNoTables(error: unknown): boolean {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    const { code } = cause as { readonly code?: unknown }
    if (code === '42P01' || code === '42883' || code === '3F000') return true
  }
  return false
}

function noLog(schema: string, cause: unknown): LockstepError {
  return new LockstepError(
    'invalid-option',
    `The database has no change log in the schema ${quote(schema)}. Open it first on the same database: await openPostgresLog({ url, schema: ${quote(schema)} }).`,
    { cause },
  )
}
