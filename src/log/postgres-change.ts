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

/**
 * Makes the statement that logs changes in the transaction in which it runs. It gives a row whose `written` says how
 * many there were.
 */
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
  return {
    text: `SELECT ${schema}.record_changes($1)::text AS written`,
    value: JSON.stringify({ xid, rows }),
  }
}

/**
 * The function behind that statement. In the database its plans are made once per session, whichever library calls it; row by
 * row, so that none of them depends on what is known of the tables' sizes.
 */
export function formatChangeFunction(schema: string): string {
  return `
  CREATE FUNCTION ${schema}.record_changes(given text) RETURNS bigint LANGUAGE plpgsql AS $$
  DECLARE
    new record;
    written bigint := 0;
  BEGIN
    IF given::json ->> 'xid' <> pg_current_xact_id()::text THEN
      RETURN 0;
    END IF;
    FOR new IN SELECT * FROM json_to_recordset(given::json -> 'rows') AS g (n int, stream text, event text,
      path text, topic text, version bigint, time bigint, message text, state text) ORDER BY n
    LOOP
      UPDATE ${schema}.recorded SET version = new.version, state = new.state WHERE path = new.path;
      INSERT INTO ${schema}.change (stream, event, path, topic_path, version, time_ms, open_text, state)
      VALUES (new.stream, new.event, new.path, new.topic, new.version, new.time, new.message, new.state);
      written := written + 1;
    END LOOP;
    RETURN written;
  END $$;
`
}
