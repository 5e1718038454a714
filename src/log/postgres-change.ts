/**
 * The rows of changes, as a plain SQL statement for whoever's transaction: the sequencer numbers them later.
 *
 * It MUST be the last thing that the transaction does to the resources, behind the locks of the rows that they are
 * about: the order of two changes of a resource is the order of their ids. PROTOCOL.md §7.2.
 */
import { streamOf } from '../contract/index.ts'
import { formatOpenChange } from './batch.ts'
import type { NewChange } from './change-log.ts'

/** A statement with one text for `$1`, as every PostgreSQL library takes it. */
export interface Statement {
  readonly text: string
  readonly value: string
}

export interface ChangeInsertOptions {
  /** For transactions with several changes: the same id for each, and how many they are. */
  readonly tx?: { readonly id: string; readonly n: number }
  /** Nothing is written where the statement runs in another transaction than this one. */
  readonly xid?: string
}

/** Makes the statement that logs changes in the transaction in which it runs. It gives a row for each. */
export function formatChangeInsert(
  schema: string,
  changes: readonly NewChange[],
  { tx, xid }: ChangeInsertOptions = {},
): Statement {
  const rows = changes.map((change, n) => {
    const { event, path, topicPath, version, timeMs, stateText } = change
    return {
      n,
      stream: streamOf(path),
      event,
      path,
      topic: topicPath === path ? undefined : topicPath,
      version,
      time: Math.trunc(timeMs),
      message: formatOpenChange(change, tx),
      state: stateText,
    }
  })
  return { text: insertSql(schema), value: JSON.stringify({ xid, rows }) }
}

function insertSql(schema: string): string {
  return `
    WITH given AS (SELECT $1::text::json AS value), new AS MATERIALIZED (
      SELECT new.* FROM given, json_to_recordset(value -> 'rows') AS new (n int, stream text, event text, path text,
        topic text, version bigint, time bigint, message text, state text)
      WHERE coalesce(value ->> 'xid', pg_current_xact_id()::text) = pg_current_xact_id()::text
    ), kept AS (
      UPDATE ${schema}.recorded SET version = last.version, state = last.state
      FROM (SELECT DISTINCT ON (path) path, version, state FROM new ORDER BY path, n DESC) AS last
      WHERE recorded.path = last.path
    )
    INSERT INTO ${schema}.change (stream, event, path, topic_path, version, time_ms, open_text, state)
    SELECT stream, event, path, topic, version, time, message, state FROM new ORDER BY n
    RETURNING path`
}
