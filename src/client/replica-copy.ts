/**
 * A copy that lies in a SQLite file: only what is new since the last commit, and what was used last, is in memory.
 *
 * Changes wait in memory until `save` writes them together with the place, in one transaction: so the file always
 * holds the copy of one moment and says which. PROTOCOL.md §6.9.
 */
import type { DatabaseSync, StatementSync } from 'node:sqlite'
import { type JsonObject, LockstepError, quote } from '../contract/index.ts'
import type { Copy, IncomingContent } from './copy.ts'
import { StoredContent } from './replica-content.ts'
import { asReplicaFailure, type OpenedFile, type StoredPlace } from './replica-file.ts'
import { type Conditions, compileConditions, memberSql } from './replica-index.ts'
import { type Entry, StoredMap, stateOf, TrackedTombstones } from './replica-map.ts'

/** What is kept in memory of what was used last. */
const maxCachedStates = 10_000
const maxCachedChars = 4_000_000
/** Rows that an iteration reads at once. */
const pageSize = 200
/** Rows of old generations that are deleted at once. */
const sweepSize = 2_000

interface Row {
  readonly id: string
  readonly version: number
  readonly state: string
}

export class StoredCopy implements Copy {
  readonly states: StoredMap<JsonObject>
  readonly versions: StoredMap<number>
  readonly tombstones: TrackedTombstones = new TrackedTombstones()
  readonly file: string
  readonly database: DatabaseSync
  generation: number
  size: number
  /** Rows of other generations may be left. */
  hasRest = true
  /** Is called before the file is read as a whole; saves what waits. */
  beforeScan: () => void = () => {}
  /** Counts changes: a page that was read before the last one is not relied on. */
  #revision = 0
  #unsavedChars = 0
  #cachedChars = 0
  #incoming: StoredContent | undefined
  #lastGeneration: number
  /** `undefined` is a deletion. */
  readonly #unsaved = new Map<string, Entry | undefined>()
  readonly #cache = new Map<string, Entry>()
  readonly #find: StatementSync
  readonly #page: StatementSync
  readonly #put: StatementSync
  readonly #delete: StatementSync
  readonly #bury: StatementSync
  readonly #unbury: StatementSync
  readonly #move: StatementSync
  readonly #sweep: StatementSync

  constructor({ database, generation, size }: OpenedFile, file: string) {
    this.database = database
    this.file = file
    this.generation = generation
    this.size = size
    const last = database.prepare('SELECT max(generation) AS last FROM lockstep_row').get()!['last']
    this.#lastGeneration = Math.max(generation, Number(last))
    this.#find = database.prepare('SELECT version, state FROM lockstep_row WHERE generation = ? AND id = ?')
    this.#page = database.prepare(`SELECT id, version, state FROM lockstep_row
      WHERE generation = ? AND id > ? ORDER BY id LIMIT ${pageSize}`)
    this.#put =
      database.prepare(`INSERT INTO lockstep_row (generation, id, version, state) VALUES (?, ?, ?, ?)
      ON CONFLICT (generation, id) DO UPDATE SET version = excluded.version, state = excluded.state`)
    this.#delete = database.prepare('DELETE FROM lockstep_row WHERE generation = ? AND id = ?')
    this.#bury = database.prepare('INSERT OR REPLACE INTO lockstep_deletion VALUES (?, ?, ?, ?)')
    this.#unbury = database.prepare('DELETE FROM lockstep_deletion WHERE id = ?')
    this.#move = database.prepare(`UPDATE lockstep_about SET epoch = ?, position = ?, cursor = ?, ahead = ?,
      confirmed_ms = ?, generation = ?, size = ?`)
    this.#sweep = database.prepare(`DELETE FROM lockstep_row WHERE number IN
      (SELECT number FROM lockstep_row WHERE generation > ? AND generation < ? LIMIT ${sweepSize})`)
    for (const row of database.prepare('SELECT * FROM lockstep_deletion ORDER BY seq').all()) {
      const { version, seq, exact } = row as unknown as { version: number; seq: number; exact: number }
      this.tombstones.set(row['id'] as string, { version, seq, exact: exact === 1 })
    }
    this.tombstones.changed.clear()
    this.states = new StoredMap(this, stateOf)
    this.versions = new StoredMap(this, entry => entry.version)
  }

  /** Is there so much to save that it should not wait? */
  get isFull(): boolean {
    return this.#unsaved.size >= 1_000 || this.#unsavedChars > maxCachedChars
  }

  get unsaved(): number {
    return this.#unsaved.size
  }

  put(id: string, version: number, state: JsonObject): void {
    if (!this.has(id)) this.size++
    const entry = { version, text: JSON.stringify(state), state }
    this.#unsaved.set(id, entry)
    this.#unsavedChars += entry.text.length
    this.#keep(id, entry)
    this.#revision++
  }

  remove(id: string): void {
    if (!this.has(id)) return
    this.size--
    this.#unsaved.set(id, undefined)
    this.#forget(id)
    this.#revision++
  }

  beginContent(): IncomingContent {
    // A process that was killed may have left rows of a higher number than the one that is shown.
    this.#incoming = new StoredContent(this, ++this.#lastGeneration)
    this.hasRest = true
    return this.#incoming
  }

  /** Shows another generation, whose rows are all in the file. */
  show(generation: number): void {
    const row = this.#read(() =>
      this.database
        .prepare('SELECT count(*) AS count FROM lockstep_row WHERE generation = ?')
        .get(generation),
    )
    this.size = row!['count'] as number
    this.generation = generation
    this.#unsaved.clear()
    this.#cache.clear()
    this.#unsavedChars = this.#cachedChars = 0
    this.#incoming = undefined
    this.#revision++
  }

  has(id: string): boolean {
    return this.find(id) !== undefined
  }

  find(id: string): Entry | undefined {
    if (this.#unsaved.has(id)) return this.#unsaved.get(id)
    const cached = this.#cache.get(id)
    if (cached !== undefined) {
      this.#cache.delete(id)
      this.#cache.set(id, cached)
      return cached
    }
    const row = this.#read(() => this.#find.get(this.generation, id))
    if (row === undefined) return undefined
    const entry = { version: row['version'] as number, text: row['state'] as string, state: undefined }
    this.#keep(id, entry)
    return entry
  }

  /** All entries by id, a page at a time; changes meanwhile are seen where they lie ahead. */
  scan(): Generator<[string, Entry]> {
    return this.#scan(after => this.#page.all(this.generation, after))
  }

  /** The states that fulfil the conditions, by way of an index where there is one. */
  where(conditions: Conditions): Generator<JsonObject> {
    const fulfils = compileConditions(conditions)
    const pointers = Object.keys(conditions)
    const tests = pointers.map(pointer => `AND ${memberSql(pointer)} IS ?`).join(' ')
    const statement = this.#read(() =>
      this.database.prepare(`SELECT id, version, state FROM lockstep_row
        WHERE generation = ? AND id > ? ${tests} ORDER BY id LIMIT ${pageSize}`),
    )
    const values = Object.values(conditions).map(value =>
      typeof value === 'boolean' ? Number(value) : value,
    )
    return this.#filter(after => statement.all(this.generation, after, ...values), fulfils)
  }

  *#filter(
    readPage: (after: string) => unknown[],
    fulfils: (state: JsonObject) => boolean,
  ): Generator<JsonObject> {
    for (const [, entry] of this.#scan(readPage)) {
      const state = stateOf(entry)
      if (fulfils(state)) yield state
    }
  }

  *#scan(readPage: (after: string) => unknown[]): Generator<[string, Entry]> {
    for (let after = ''; ; ) {
      this.beforeScan()
      const rows = this.#read(() => readPage(after)) as Row[]
      const revision = this.#revision
      for (const { id, version, state: text } of rows) {
        after = id
        yield [id, this.#cache.get(id) ?? { version, text, state: undefined }]
        if (this.#revision !== revision) break
      }
      if (rows.length < pageSize && this.#revision === revision) return
    }
  }

  /** Writes what is new together with the place; all of it or nothing. Errors: `replica-failed`. */
  save({ epoch, position, cursor, ahead, confirmedMs }: StoredPlace): void {
    this.transact(() => {
      for (const [id, entry] of this.#unsaved) {
        if (entry === undefined) this.#delete.run(this.generation, id)
        else this.#put.run(this.generation, id, entry.version, entry.text)
      }
      for (const id of this.tombstones.changed) {
        const tombstone = this.tombstones.get(id)
        if (tombstone === undefined) this.#unbury.run(id)
        else this.#bury.run(id, tombstone.version, tombstone.seq, tombstone.exact ? 1 : 0)
      }
      const confirmed = confirmedMs === undefined ? null : Math.floor(confirmedMs)
      this.#move.run(epoch, position, cursor, ahead, confirmed, this.generation, this.size)
    })
    this.#unsaved.clear()
    this.#unsavedChars = 0
    this.tombstones.changed.clear()
  }

  /** Deletes some rows of generations that are not shown any more. Errors: `replica-failed`. */
  sweep(): void {
    const last = this.#incoming?.generation ?? Number.MAX_SAFE_INTEGER
    this.transact(() => {
      const older = this.#sweep.run(0, this.generation).changes
      const newer = older === 0 ? this.#sweep.run(this.generation, last).changes : older
      this.hasRest = newer !== 0
    })
  }

  /** Runs `action` in a transaction of its own. Errors: `replica-failed`. */
  transact(action: () => void): void {
    try {
      this.database.exec('BEGIN IMMEDIATE')
      action()
      this.database.exec('COMMIT')
    } catch (error) {
      if (this.database.isOpen && this.database.isTransaction) this.database.exec('ROLLBACK')
      throw asReplicaFailure(error, this.file, 'written')
    }
  }

  #read<T>(action: () => T): T {
    if (!this.database.isOpen) {
      throw new LockstepError(
        'closed',
        `The replica ${quote(this.file, 200)} was closed with its follower. Read before that, or follow again.`,
      )
    }
    try {
      return action()
    } catch (error) {
      throw asReplicaFailure(error, this.file, 'read')
    }
  }

  #keep(id: string, entry: Entry): void {
    this.#forget(id)
    this.#cache.set(id, entry)
    this.#cachedChars += entry.text.length
    for (const oldest of this.#cache.keys()) {
      if (this.#cache.size <= maxCachedStates && this.#cachedChars <= maxCachedChars) return
      this.#forget(oldest)
    }
  }

  #forget(id: string): void {
    const entry = this.#cache.get(id)
    if (entry === undefined) return
    this.#cachedChars -= entry.text.length
    this.#cache.delete(id)
  }
}
