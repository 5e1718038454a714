/**
 * Deleting changes, tombstones and receipts in SQLite, in steps that are short enough to stand between writes.
 *
 * PROTOCOL.md §7.
 */
import type { StatementSync } from 'node:sqlite'
import type { Head } from '../contract/index.ts'
import type { Retention } from './change-log.ts'
import { lastToPrune } from './retention.ts'
import type { SqliteStore } from './sqlite-store.ts'

/** How many rows one transaction deletes. */
const stepRows = 1_000

export interface PruneStep {
  readonly deleted: number
  /** Is there more to do? */
  readonly more: boolean
}

export class SqliteRetention {
  readonly #store: SqliteStore
  readonly #firstYoung: StatementSync
  readonly #deleteChanges: StatementSync
  readonly #setFirst: StatementSync
  readonly #purge: StatementSync
  readonly #raiseFloor: StatementSync
  readonly #deleteReceipts: StatementSync
  readonly #limitReceipts: StatementSync
  readonly #forgetNumbers: StatementSync

  constructor(store: SqliteStore) {
    this.#store = store
    const { database } = store
    this.#firstYoung = database.prepare(`SELECT seq FROM lockstep_change
      WHERE stream = ? AND seq <= ? AND time_ms >= ? ORDER BY seq LIMIT 1`)
    this.#deleteChanges = database.prepare('DELETE FROM lockstep_change WHERE stream = ? AND seq <= ?')
    this.#setFirst = database.prepare('UPDATE lockstep_stream SET first = ? WHERE stream = ?')
    this.#purge = database.prepare(`DELETE FROM lockstep_resource WHERE rowid IN (
      SELECT rowid FROM lockstep_resource INDEXED BY lockstep_resource_tombstone
      WHERE collection IS NULL AND stream = ? AND seq < ? ORDER BY seq LIMIT ${stepRows}) RETURNING version`)
    this.#raiseFloor = database.prepare(`UPDATE lockstep_stream SET version_floor = max(version_floor, ?)
      WHERE stream = ?`)
    this.#deleteReceipts = database.prepare(`DELETE FROM lockstep_receipt WHERE rowid IN (
      SELECT rowid FROM lockstep_receipt WHERE time_ms < ? LIMIT ${stepRows})`)
    this.#limitReceipts = database.prepare(`DELETE FROM lockstep_receipt WHERE rowid IN (
      SELECT rowid FROM lockstep_receipt ORDER BY time_ms DESC LIMIT ${stepRows} OFFSET ?)`)
    this.#forgetNumbers = database.prepare(`UPDATE lockstep_resource SET seq = 0 WHERE rowid IN (
      SELECT rowid FROM lockstep_resource INDEXED BY lockstep_resource_latest
      WHERE stream = ? AND seq > 0 AND seq < ? LIMIT ${stepRows})`)
  }

  /** Forgets some of the receipts from before a time. In a transaction. */
  forgetReceipts(oldMs: number): PruneStep {
    const deleted = Number(this.#deleteReceipts.run(oldMs).changes)
    return { deleted, more: deleted === stepRows }
  }

  /** Forgets some of the oldest receipts where there are more than so many. In a transaction. */
  limitReceipts(maxReceipts: number): PruneStep {
    const kept = Math.min(Math.floor(maxReceipts), Number.MAX_SAFE_INTEGER)
    const deleted = Number(this.#limitReceipts.run(kept).changes)
    return { deleted, more: deleted === stepRows }
  }

  /** Deletes some of a stream's changes. `oldMs` is the time before which they are too old. In a transaction. */
  pruneChanges(stream: string, oldMs: number, retention: Required<Retention>): PruneStep {
    const { seq: head, first } = this.#store.head(stream)
    const end = Math.min(first + stepRows - 1, head)
    const young = this.#firstYoung.get(stream, end, oldMs)
    const lastOld = ((young?.['seq'] as number | undefined) ?? end + 1) - 1
    const last = Math.min(lastToPrune(head, lastOld, retention), end)
    if (last < first) return { deleted: 0, more: false }
    this.#deleteChanges.run(stream, last)
    this.#setFirst.run(last + 1, stream)
    return { deleted: last - first + 1, more: last === end && end < head }
  }

  /**
   * Deletes some of what is at or below a head, so that little is left for the moment in which the epoch is renewed;
   * nothing where it is renewed already. In a transaction.
   */
  dropUpTo({ stream, epoch, seq }: Head): PruneStep {
    const { epoch: present, first } = this.#store.head(stream)
    if (present !== epoch) return { deleted: 0, more: false }
    const last = Math.min(first + stepRows - 1, seq)
    const deleted = Math.max(0, last - first + 1)
    if (deleted > 0) {
      this.#deleteChanges.run(stream, last)
      this.#setFirst.run(last + 1, stream)
    }
    const forgotten = Number(this.#forgetNumbers.run(stream, Math.max(first, last + 1)).changes)
    return { deleted, more: last < seq || forgotten === stepRows }
  }

  /** Purges some of a stream's tombstones whose deletion is no longer in the log. In a transaction. */
  purgeTombstones(stream: string): PruneStep {
    const versions = this.#purge.all(stream, this.#store.head(stream).first)
    if (versions.length === 0) return { deleted: 0, more: false }
    this.#raiseFloor.run(Math.max(...versions.map(row => row['version'] as number)), stream)
    return { deleted: versions.length, more: versions.length === stepRows }
  }
}
