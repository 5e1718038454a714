/**
 * The sequencer: gives the changes of other transactions their numbers, after they were committed.
 *
 * It holds the log's lock, and takes a new snapshot behind it, so that nothing is numbered twice. Whole transactions are numbered by their
 * greatest id: where a second one waited for a row of the first, its change of that row has a greater id than all
 * of the first, and whoever sees it sees the first too. With its number the change becomes what reads see: a state is
 * never ahead of its stream's head. Any number of instances may run it. PROTOCOL.md §7.2.
 */
import type { Head } from '../contract/index.ts'
import type { PostgresConnections } from './postgres-pool.ts'
import type { PostgresNames } from './postgres-schema.ts'
import { PostgresSession, type SessionOptions } from './postgres-session.ts'
import { readHead } from './postgres-streams.ts'

/** About how many changes one step numbers; a transaction is never divided. */
export const stepRows = 10_000

/** Numbers some of what waits. Gives the heads that moved, and whether more waits. */
export async function numberPending(
  connections: PostgresConnections,
  names: PostgresNames,
  options: SessionOptions,
): Promise<{ readonly heads: readonly Head[]; readonly more: boolean }> {
  const { session, results } = await PostgresSession.begin(
    connections,
    names,
    options,
    numberSql(names.schema, stepRows),
    `SELECT EXISTS (SELECT FROM ${pendingSql(names.schema)}) AS more`,
  )
  await session.commit()
  return { heads: (results[0] ?? []).map(readHead), more: results[1]?.[0]?.['more'] === 't' }
}

/** The changes that wait for a number. Those of a stream that was never made known go on waiting. */
export function pendingSql(schema: string): string {
  return `${schema}.change JOIN ${schema}.stream USING (stream) WHERE change.seq IS NULL`
}

function numberSql(schema: string, limit: number): string {
  return `
    WITH pending AS (
      SELECT change.id, change.stream, change.state, stream.head, max(change.id) OVER (PARTITION BY change.xid) AS last
      FROM ${pendingSql(schema)}
    ), step AS (
      SELECT * FROM pending
      WHERE last <= (SELECT max(last) FROM (SELECT last FROM pending ORDER BY last, id LIMIT ${limit}) AS nearest)
    ), numbered AS (
      SELECT id, stream, state, head + row_number() OVER (PARTITION BY stream ORDER BY last, id) AS seq FROM step
    ), moved AS (
      UPDATE ${schema}.change SET seq = numbered.seq, state = NULL FROM numbered
      WHERE change.id = numbered.id AND change.seq IS NULL
      RETURNING change.stream, change.seq, change.path, change.version, numbered.state
    ), resource AS (
      INSERT INTO ${schema}.resource (path, stream, collection, version, seq, state)
      SELECT DISTINCT ON (path) path, stream,
        CASE WHEN state IS NOT NULL THEN substring(path FROM '^(.*)/') END, version, seq, state
      FROM moved ORDER BY path, seq DESC
      ON CONFLICT (path) DO UPDATE SET collection = excluded.collection, version = excluded.version,
        seq = excluded.seq, state = excluded.state
    )
    UPDATE ${schema}.stream SET head = moved_to.seq
    FROM (SELECT stream, max(seq) AS seq FROM moved GROUP BY stream) AS moved_to
    WHERE stream.stream = moved_to.stream RETURNING stream.stream, epoch, head, first`
}
