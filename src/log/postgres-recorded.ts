/**
 * What the transactions of an application have recorded in PostgreSQL: a row for each resource, which the one that
 * changes it locks until its end. The statements around that row. PROTOCOL.md §7.
 */
import { streamOf } from '../contract/index.ts'
import type { Statement } from './postgres-change.ts'
import type { RunQuery } from './postgres-pool.ts'
import type { PruneStep } from './postgres-retention.ts'

/** How many rows one transaction deletes. */
const stepRows = 5_000

/**
 * Makes the statement that locks resources, in order of their paths, and tells what was recorded of them: rows of `path`, `version`,
 * `state` and `xid`, the transaction that holds the lock. A path whose stream is not known has no row; `version` is
 * `null` where nothing was recorded of it.
 */
export function formatLock(schema: string, paths: readonly string[]): Statement {
  return {
    text: `
      INSERT INTO ${schema}.recorded (path, stream)
      SELECT path, stream FROM ${given} JOIN ${schema}.stream USING (stream) ORDER BY path COLLATE "C"
      ON CONFLICT (path) DO UPDATE SET stream = excluded.stream
      RETURNING path, version::text AS version, state, pg_current_xact_id()::text AS xid`,
    value: formatPaths(paths),
  }
}

/**
 * Makes the statement that tells where resources stand that were not recorded before, in rows as above: as the log
 * holds them, or at the greatest version that was forgotten. It runs behind the lock, in a snapshot of its own where the transaction has such.
 */
export function formatBeginnings(schema: string, paths: readonly string[]): Statement {
  // Where the whole transaction has one snapshot, the floor of the stream may be an old one; that of all streams is not.
  return {
    text: `
      SELECT g.path, r.state, coalesce(r.version, CASE
        WHEN current_setting('transaction_isolation') IN ('read committed', 'read uncommitted') THEN s.version_floor
        ELSE greatest(s.version_floor, f.last_value) END)::text AS version
      FROM ${given} JOIN ${schema}.stream s ON s.stream = g.stream CROSS JOIN ${schema}.recorded_floor f
        LEFT JOIN ${schema}.resource r ON r.path = g.path`,
    value: formatPaths(paths),
  }
}

const given = 'json_to_recordset($1::text::json) AS g (path text, stream text)'

function formatPaths(paths: readonly string[]): string {
  return JSON.stringify(paths.map(path => ({ path, stream: streamOf(path) })))
}

/**
 * Purges some of a stream's rows whose resource is deleted and forgotten by the log. Those that a transaction holds are
 * left for later. Runs under the log's lock.
 */
export async function purgeRecorded(query: RunQuery, schema: string, stream: string): Promise<PruneStep> {
  const [row] = await query(
    `WITH gone AS (
      DELETE FROM ${schema}.recorded WHERE path IN (
        SELECT path FROM ${schema}.recorded AS old WHERE stream = $1 AND state IS NULL
          AND NOT EXISTS (SELECT FROM ${schema}.resource WHERE resource.path = old.path)
        LIMIT ${stepRows} FOR UPDATE SKIP LOCKED)
      RETURNING version
    ), floors AS (SELECT count(*), max(version) AS version FROM gone), raised AS (
      UPDATE ${schema}.stream SET version_floor = greatest(version_floor, version) FROM floors
      WHERE stream = $1 AND count > 0
    )
    SELECT count, CASE WHEN count > 0 THEN setval('${schema}.recorded_floor', greatest(version, last_value)) END
    FROM floors, ${schema}.recorded_floor`,
    [stream],
  )
  const deleted = Number(row!['count'])
  return { deleted, more: deleted >= stepRows }
}
