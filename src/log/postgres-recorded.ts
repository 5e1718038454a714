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
 * Makes the statement that locks resources, in order of their paths, and tells where they stand: rows of `path`, `version`,
 * `state` and `xid`, the transaction that holds the lock. A path whose stream is not known has no row. What was not
 * recorded before stands as the log holds it, or at the greatest version that was forgotten.
 */
export function formatLock(schema: string, paths: readonly string[]): Statement {
  return {
    text: `SELECT * FROM ${schema}.lock_recorded($1)`,
    value: JSON.stringify(paths.map(path => ({ path, stream: streamOf(path) }))),
  }
}

/**
 * The function behind that statement. In the database its plans are made once per session, whichever library calls it; row by
 * row, so that none of them depends on what is known of the tables' sizes. Each statement has a snapshot of its own, so
 * what is read behind the lock is what was committed under it. Where the whole transaction has one, the floor of
 * the stream may be an old one; that of all streams is not.
 */
export function formatLockFunction(schema: string): string {
  return `
  CREATE FUNCTION ${schema}.lock_recorded(given text)
  RETURNS TABLE (path text, version text, state text, xid text) LANGUAGE plpgsql AS $$
  #variable_conflict use_column
  DECLARE
    wanted record;
    reached bigint;
  BEGIN
    xid := pg_current_xact_id()::text;
    FOR wanted IN SELECT g.path, g.stream FROM json_to_recordset(given::json) AS g (path text, stream text)
      ORDER BY g.path COLLATE "C"
    LOOP
      CONTINUE WHEN NOT EXISTS (SELECT FROM ${schema}.stream s WHERE s.stream = wanted.stream);
      LOOP
        SELECT r.version, r.state INTO reached, state FROM ${schema}.recorded r
        WHERE r.path = wanted.path FOR UPDATE;
        EXIT WHEN FOUND;
        INSERT INTO ${schema}.recorded (path, stream) VALUES (wanted.path, wanted.stream) ON CONFLICT DO NOTHING;
      END LOOP;
      IF reached IS NULL THEN
        SELECT l.version, l.state INTO reached, state FROM ${schema}.resource l WHERE l.path = wanted.path;
      END IF;
      IF reached IS NULL THEN
        SELECT s.version_floor INTO reached FROM ${schema}.stream s WHERE s.stream = wanted.stream;
        IF current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
          SELECT greatest(reached, f.last_value) INTO reached FROM ${schema}.recorded_floor f;
        END IF;
      END IF;
      path := wanted.path;
      version := reached::text;
      RETURN NEXT;
    END LOOP;
  END $$;
`
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
