/**
 * Records changes of data that an application keeps in tables of its own, in its own transaction: an outbox whose
 * messages, numbers and versions are those of the change log. PROTOCOL.md §7.
 */
import type { DatabaseSync } from 'node:sqlite'
import { checkMethods } from '../contract/index.ts'
import type { Recorded, RecordedChange } from './recorded-change.ts'
import { recordInSqlite } from './sqlite-record.ts'

/**
 * Records one change, or several that belong together and get the same `tx`, in the transaction that is open on a
 * connection of `node:sqlite` to the log's file. What is committed is published and in the feed within milliseconds; what is rolled
 * back never was. A state equal to the one before records nothing. What is nested below a resource that is deleted is
 * to be recorded too.
 * Errors: `invalid-option` where no transaction is open or the database holds no log; `not-found` for a stream that
 * was not made known; `invalid-path`, `invalid-state`, `json-too-deep`, `unsafe-number`. Then nothing was recorded.
 *
 *     database.exec('BEGIN IMMEDIATE')
 *     database.prepare('UPDATE person SET email = ? WHERE id = ?').run(email, id)
 *     record(database, { path: `/people/${id}`, state: readPerson(id) })
 *     database.exec('COMMIT')
 */
export function record(tx: DatabaseSync, change: RecordedChange | readonly RecordedChange[]): Recorded[] {
  const advice = 'Give the connection of node:sqlite on which the transaction was begun.'
  checkMethods('What record was given first', tx, ['prepare', 'exec'], advice)
  return recordInSqlite(tx, Array.isArray(change) ? change : [change as RecordedChange])
}
