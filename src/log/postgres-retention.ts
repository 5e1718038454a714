/**
 * Deleting changes, tombstones and receipts in PostgreSQL, in steps that are short enough to stand between writes.
 *
 * Each runs in a transaction that holds the log's lock. PROTOCOL.md §7.
 */
import type { Head } from '../contract/index.ts'
import type { Retention } from './change-log.ts'
import type { RunQuery } from './postgres-pool.ts'
import { readStreamHead } from './postgres-streams.ts'
import { lastToPrune } from './retention.ts'

/** How many rows one transaction deletes. */
const stepRows = 5_000

export interface PruneStep {
  readonly deleted: number
  /** Is there more to do? */
  readonly more: boolean
}

/** Deletes some of a stream's changes. `oldMs` is the time before which they are too old. */
export async function pruneChanges(
  query: RunQuery,
  schema: string,
  stream: string,
  oldMs: number,
  retention: Required<Retention>,
): Promise<PruneStep> {
  const { seq: head, first } = await readStreamHead(query, schema, stream)
  const end = Math.min(first + stepRows - 1, head)
  const [young] = await query(
    `SELECT seq FROM ${schema}.change WHERE stream = $1 AND seq >= $2 AND seq <= $3 AND time_ms >= $4
      ORDER BY seq LIMIT 1`,
    [stream, first, end, Math.ceil(Math.max(oldMs, -1e16))],
  )
  const lastOld = (young === undefined ? end + 1 : Number(young['seq'])) - 1
  const last = Math.min(lastToPrune(head, lastOld, retention), end)
  if (last < first) return { deleted: 0, more: false }
  await deleteBetween(query, schema, stream, first, last)
  return { deleted: last - first + 1, more: last === end && end < head }
}

/** Purges some of a stream's tombstones whose deletion is no longer in the log. */
export async function purgeTombstones(query: RunQuery, schema: string, stream: string): Promise<PruneStep> {
  const [row] = await query(
    `WITH gone AS (
      DELETE FROM ${schema}.resource WHERE path IN (
        SELECT path FROM ${schema}.resource WHERE collection IS NULL AND stream = $1
          AND seq < (SELECT first FROM ${schema}.stream WHERE stream = $1) ORDER BY seq LIMIT ${stepRows})
      RETURNING version
    ), raised AS (
      UPDATE ${schema}.stream SET version_floor = greatest(version_floor, (SELECT max(version) FROM gone))
      WHERE stream = $1 AND EXISTS (SELECT FROM gone)
    ) SELECT count(*) AS count FROM gone`,
    [stream],
  )
  return stepOf(Number(row?.['count']))
}

/** Forgets some of the receipts from before a time. */
export async function forgetReceipts(query: RunQuery, schema: string, oldMs: number): Promise<PruneStep> {
  const gone = await query(
    `DELETE FROM ${schema}.receipt WHERE key IN (
      SELECT key FROM ${schema}.receipt WHERE time_ms < $1 LIMIT ${stepRows}) RETURNING 1`,
    [Math.ceil(Math.max(oldMs, -1e16))],
  )
  return stepOf(gone.length)
}

/** Forgets some of the oldest receipts where there are more than so many. */
export async function limitReceipts(
  query: RunQuery,
  schema: string,
  maxReceipts: number,
): Promise<PruneStep> {
  const gone = await query(
    `DELETE FROM ${schema}.receipt WHERE key IN (
      SELECT key FROM ${schema}.receipt ORDER BY time_ms DESC LIMIT ${stepRows} OFFSET $1) RETURNING 1`,
    [Math.min(Math.floor(maxReceipts), Number.MAX_SAFE_INTEGER)],
  )
  return stepOf(gone.length)
}

/**
 * Deletes some of what is at or below a head, so that little is left for the moment in which the epoch is renewed;
 * nothing where it is renewed already.
 */
export async function dropUpTo(query: RunQuery, schema: string, head: Head): Promise<PruneStep> {
  const { stream, epoch, seq } = head
  const { epoch: present, first } = await readStreamHead(query, schema, stream)
  if (present !== epoch) return { deleted: 0, more: false }
  const last = Math.min(first + stepRows - 1, seq)
  const deleted = Math.max(0, last - first + 1)
  if (deleted > 0) await deleteBetween(query, schema, stream, first, last)
  const forgotten = await query(
    `UPDATE ${schema}.resource SET seq = 0 WHERE path IN (
      SELECT path FROM ${schema}.resource WHERE stream = $1 AND seq > 0 AND seq < $2 LIMIT ${stepRows}) RETURNING 1`,
    [stream, Math.max(first, last + 1)],
  )
  return { deleted, more: last < seq || forgotten.length === stepRows }
}

async function deleteBetween(
  query: RunQuery,
  schema: string,
  stream: string,
  first: number,
  last: number,
): Promise<void> {
  // With both ends the planner knows that these are few.
  await query(`DELETE FROM ${schema}.change WHERE stream = $1 AND seq BETWEEN $2 AND $3`, [
    stream,
    first,
    last,
  ])
  await query(`UPDATE ${schema}.stream SET first = $1 WHERE stream = $2`, [last + 1, stream])
}

function stepOf(deleted: number): PruneStep {
  return { deleted, more: deleted === stepRows }
}
