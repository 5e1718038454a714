/**
 * The row of one change, as a plain SQL statement for whoever's transaction: the sequencer numbers it later.
 *
 * It MUST be the last thing that the transaction does to the resource, behind the lock of the row that it is
 * about: the order of two changes of a resource is the order of their ids. PROTOCOL.md §7.2.
 */
import { formatOpenMessage, streamOf } from '../contract/index.ts'
import type { NewChange } from './change-log.ts'

/** A statement with values for `$1`, `$2`, …, as every PostgreSQL library takes it. */
export interface Statement {
  readonly text: string
  readonly values: (string | number | null)[]
}

/**
 * Makes the statement that logs a change in the transaction in which it runs. `tx` is for transactions with several
 * changes: the same id for each, and how many they are.
 */
export function formatChangeInsert(
  schema: string,
  change: NewChange,
  tx?: { readonly id: string; readonly n: number },
): Statement {
  const { event, path, topicPath, version, timeMs } = change
  const openText = formatOpenMessage({
    event,
    resource: path,
    version,
    time: new Date(timeMs).toISOString(),
    cause: change.cause,
    tx,
    stateText: change.stateText,
    changesText: change.changesText,
  })
  return {
    text: `INSERT INTO ${schema}.change (stream, event, path, topic_path, version, time_ms, open_text)
      VALUES ($1, $2, $3, $4, $5, $6, $7)`,
    values: [
      streamOf(path),
      event,
      path,
      topicPath === path ? null : topicPath,
      version,
      Math.trunc(timeMs),
      openText,
    ],
  }
}
