/**
 * Records changes of data that an application keeps in tables of its own, in its own transaction: an outbox whose
 * messages, numbers and versions are those of the change log. PROTOCOL.md §7.
 */
import type { DatabaseSync } from 'node:sqlite'
import { checkMethods, checkOptions, LockstepError } from '../contract/index.ts'
import { recordInPostgres } from './postgres-record.ts'
import { readNames } from './postgres-schema.ts'
import { createRun, type PostgresTransaction } from './postgres-transaction.ts'
import type { Recorded, RecordedChange } from './recorded-change.ts'
import { recordInSqlite } from './sqlite-record.ts'

export interface RecordOptions {
  /** The schema of the log, as it was given to `openPostgresLog`. @default 'lockstep' */
  readonly schema?: string
}

/** How many changes one call takes: their states are all held in memory. */
const maxChanges = 10_000

/**
 * Records one change, or several that belong together and get the same `tx`, in the transaction that is open on a
 * connection of `node:sqlite` to the log's file. What is committed is published and in the feed within milliseconds; what is rolled
 * back never was. A state equal to the one before records nothing. What is nested below a resource that is deleted is
 * to be recorded too.
 * Errors: `invalid-option` where no transaction is open or the database holds no log; `not-found` for a stream that
 * was not made known; `invalid-path`, `invalid-id`, `invalid-state`, `json-too-deep`, `unsafe-number`; `too-many-changes` over
 * 10,000. Then nothing was recorded.
 *
 *     database.exec('BEGIN IMMEDIATE')
 *     database.prepare('UPDATE person SET email = ? WHERE id = ?').run(email, id)
 *     record(database, { path: `/people/${id}`, state: readPerson(id) })
 *     database.exec('COMMIT')
 */
export function record(tx: DatabaseSync, change: RecordedChange | readonly RecordedChange[]): Recorded[]
/**
 * Records changes in a transaction in the PostgreSQL database of the log, of `pg`, `postgres`, Drizzle or Kysely. Until that
 * ends, other transactions that record the same resources wait. As above otherwise; errors of the database come as they
 * are, so that what may be tried again can be told.
 *
 *     await sql.begin(async tx => {
 *       const [person] = await tx`UPDATE person SET email = ${email} WHERE id = ${id} RETURNING *`
 *       await record(tx, { path: `/people/${id}`, state: person })
 *     })
 */
export function record(
  tx: PostgresTransaction,
  change: RecordedChange | readonly RecordedChange[],
  options?: RecordOptions,
): Promise<Recorded[]>
export function record(
  tx: DatabaseSync | PostgresTransaction,
  change: RecordedChange | readonly RecordedChange[],
  options: RecordOptions = {},
): Recorded[] | Promise<Recorded[]> {
  const run = createRun(tx)
  if (run !== undefined) return recordAsync(() => recordInPostgres(run, listOf(change), readSchema(options)))
  const advice =
    'Give the connection of node:sqlite on which the transaction was begun, or a transaction of pg, postgres, Drizzle or Kysely.'
  checkMethods('What record was given first', tx, ['prepare', 'exec'], advice)
  return recordInSqlite(tx as DatabaseSync, listOf(change))
}

/** What is wrong with a call that gives a promise is told by the promise. */
async function recordAsync(recording: () => Promise<Recorded[]>): Promise<Recorded[]> {
  return await recording()
}

function listOf(change: RecordedChange | readonly RecordedChange[]): readonly RecordedChange[] {
  const changes = Array.isArray(change) ? change : [change as RecordedChange]
  if (changes.length <= maxChanges) return changes
  throw new LockstepError(
    'too-many-changes',
    `record was given ${changes.length} changes at once; ${maxChanges} are allowed. Record them in several calls, which may be in one transaction.`,
  )
}

function readSchema(options: RecordOptions): string {
  checkOptions('record', options, { schema: true })
  return readNames(options.schema ?? 'lockstep').schema
}
