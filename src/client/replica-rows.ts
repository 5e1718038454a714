/** The rows of a replica's database: the statements that read and write them. Errors: those of SQLite. */
import type { DatabaseSync, StatementSync } from 'node:sqlite'
import { quote, type Where } from '../contract/index.ts'
import type { StoredPlace } from './replica-database.ts'
import { damageOf } from './replica-failure.ts'
import { narrowRows } from './replica-index.ts'
import type { Entry, TrackedTombstones } from './replica-map.ts'
import type { UnsavedEntries } from './replica-unsaved.ts'

/** Rows that an iteration reads at once. */
export const pageSize = 200
/** Rows of old generations that are deleted at once. */
const sweepSize = 2_000

interface Row {
  readonly id: string
  readonly version: number
  readonly state: string
}

/** Reads the rows of a generation after an id, at most `pageSize`. */
export type ReadPage = (generation: number, after: string) => [string, Entry][]

export class StoredRows {
  readonly database: DatabaseSync
  readonly #find: StatementSync
  readonly #put: StatementSync
  readonly #delete: StatementSync
  readonly #bury: StatementSync
  readonly #unbury: StatementSync
  readonly #move: StatementSync
  readonly #sweep: StatementSync
  readonly page: ReadPage

  constructor(database: DatabaseSync) {
    this.database = database
    this.#find = database.prepare('SELECT version, state FROM lockstep_row WHERE generation = ? AND id = ?')
    this.#put =
      database.prepare(`INSERT INTO lockstep_row (generation, id, version, state) VALUES (?, ?, ?, ?)
      ON CONFLICT (generation, id) DO UPDATE SET version = excluded.version, state = excluded.state`)
    this.#delete = database.prepare('DELETE FROM lockstep_row WHERE generation = ? AND id = ?')
    this.#bury = database.prepare('INSERT OR REPLACE INTO lockstep_deletion VALUES (?, ?, ?, ?)')
    this.#unbury = database.prepare('DELETE FROM lockstep_deletion WHERE id = ?')
    this.#move = database.prepare(`UPDATE lockstep_about SET epoch = ?, position = ?, cursor = ?, ahead = ?,
      confirmed_ms = ?, texts = ?, generation = ?, size = ?`)
    this.#sweep = database.prepare(`DELETE FROM lockstep_row WHERE number IN
      (SELECT number FROM lockstep_row WHERE generation > ? AND generation < ? LIMIT ${sweepSize})`)
    this.page = this.select([])
  }

  find(generation: number, id: string): Entry | undefined {
    const row = this.#find.get(generation, id) as unknown as Row | undefined
    return row && toEntry(id, row)
  }

  /** Reads what may fulfil the conditions, by way of an index where there is one. */
  select(where: Where): ReadPage {
    const { ways, values } = narrowRows(where)
    const selects = ways.map(
      tests => `SELECT id, version, state FROM lockstep_row WHERE generation = ?1 AND id > ?2${tests}`,
    )
    const statement = this.database.prepare(`${selects.join(' UNION ALL ')} ORDER BY id LIMIT ${pageSize}`)
    return (generation, after) => {
      const rows = statement.all(generation, after, ...values) as unknown as Row[]
      return rows.map(row => [row.id, toEntry(row.id, row)])
    }
  }

  count(generation: number): number {
    const statement = this.database.prepare('SELECT count(*) AS count FROM lockstep_row WHERE generation = ?')
    return statement.get(generation)!['count'] as number
  }

  write(generation: number, entries: UnsavedEntries, tombstones: TrackedTombstones): void {
    for (const [id, entry] of entries) {
      if (entry === undefined) this.#delete.run(generation, id)
      else this.#put.run(generation, id, entry.version, entry.text)
    }
    for (const id of tombstones.changed) {
      const tombstone = tombstones.get(id)
      if (tombstone === undefined) this.#unbury.run(id)
      else this.#bury.run(id, tombstone.version, tombstone.seq, tombstone.exact ? 1 : 0)
    }
  }

  move(
    { epoch, position, cursor, ahead, confirmedMs, texts }: StoredPlace,
    generation: number,
    size: number,
  ): void {
    const confirmed = confirmedMs === undefined ? null : Math.floor(confirmedMs)
    const textsJson = texts === undefined ? null : JSON.stringify(texts)
    this.#move.run(epoch, position, cursor, ahead, confirmed, textsJson, generation, size)
  }

  /** Deletes some rows of generations between the two; `false` where there are none. */
  sweep(above: number, below: number): boolean {
    return this.#sweep.run(above, below).changes !== 0
  }
}

/** A damaged row may hold anything. */
function toEntry(id: string, { version, state }: Row): Entry {
  if (typeof id === 'string' && Number.isSafeInteger(version) && typeof state === 'string')
    return { version, text: state, state: undefined }
  throw damageOf(`the row of ${quote(id)} is none that was written`)
}
