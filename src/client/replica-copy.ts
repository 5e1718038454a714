/**
 * A copy that lies in a SQLite file: only what is new since the last commit, and what was used last, is in memory.
 *
 * Changes wait in memory until `save` writes them together with the place, in one transaction: so the file always
 * holds the copy of one moment and says which. PROTOCOL.md §6.9.
 */
import type { DatabaseSync } from 'node:sqlite'
import { type JsonObject, LockstepError, matchesWhere, quote, type Where } from '../contract/index.ts'
import type { Copy, IncomingContent } from './copy.ts'
import { StoredContent } from './replica-content.ts'
import type { OpenedDatabase, StoredPlace } from './replica-database.ts'
import { asReplicaFailure } from './replica-failure.ts'
import { type Entry, StoredMap, stateOf, TrackedTombstones } from './replica-map.ts'
import { pageSize, type ReadPage, StoredRows } from './replica-rows.ts'
import { UnsavedEntries } from './replica-unsaved.ts'

/** What is kept in memory of what was used last. */
const maxCachedStates = 10_000
const maxCachedChars = 4_000_000

export class StoredCopy implements Copy {
  readonly states: StoredMap<JsonObject>
  readonly versions: StoredMap<number>
  readonly tombstones: TrackedTombstones = new TrackedTombstones()
  readonly file: string
  generation = 0
  size = 0
  /** Rows of other generations may be left. */
  hasRest = true
  /** Is called with each error of the database before it is thrown. */
  onFailure: (error: LockstepError, verb: 'read' | 'written') => void = () => {}
  /** Counts changes: a page that was read before the last one is not relied on. */
  #revision = 0
  #cachedChars = 0
  #incoming: StoredContent | undefined
  /** The generation that the file says is shown. */
  #savedGeneration = 0
  #lastGeneration = 0
  #rows!: StoredRows
  readonly #unsaved = new UnsavedEntries()
  readonly #cache = new Map<string, Entry>()

  constructor(opened: OpenedDatabase, file: string) {
    this.file = file
    this.states = new StoredMap(this, entry => this.read(() => stateOf(entry)))
    this.versions = new StoredMap(this, entry => entry.version)
    this.open(opened)
  }

  /** Becomes what another database holds. Maps that were given out show it from then on. */
  open({ database, generation, lastGeneration, size, tombstones }: OpenedDatabase): void {
    this.#rows = new StoredRows(database)
    this.generation = this.#savedGeneration = generation
    this.#lastGeneration = lastGeneration
    this.size = size
    this.#empty()
    this.tombstones.clear()
    for (const [id, tombstone] of tombstones) this.tombstones.set(id, tombstone)
    this.tombstones.changed.clear()
    this.hasRest = true
  }

  get database(): DatabaseSync {
    return this.#rows.database
  }

  /** Is there so much to save that it should not wait? */
  get isFull(): boolean {
    return this.#unsaved.size >= 1_000 || this.#unsaved.chars > maxCachedChars
  }

  get unsaved(): number {
    return this.#unsaved.size
  }

  /** Does the file hold something else than the copy? */
  get isChanged(): boolean {
    const isOther = this.generation !== this.#savedGeneration
    return isOther || this.#unsaved.size > 0 || this.tombstones.changed.size > 0
  }

  put(id: string, version: number, state: JsonObject): void {
    if (!this.has(id)) this.size++
    const entry = { version, text: JSON.stringify(state), state }
    this.#unsaved.set(id, entry)
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

  /** The file keeps what it holds until there is something better. */
  clear(): void {
    this.generation = ++this.#lastGeneration
    this.size = 0
    this.tombstones.clear()
    this.#empty()
  }

  beginContent(): IncomingContent {
    // A process that was killed may have left rows of a higher number than the one that is shown.
    this.#incoming = new StoredContent(this, ++this.#lastGeneration)
    this.hasRest = true
    return this.#incoming
  }

  /** Shows another generation, whose rows are all in the file. */
  show(generation: number): void {
    this.size = this.read(() => this.#rows.count(generation))
    this.generation = generation
    this.#empty()
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
    const entry = this.read(() => this.#rows.find(this.generation, id))
    if (entry !== undefined) this.#keep(id, entry)
    return entry
  }

  /** All entries by id, a page at a time; changes meanwhile are seen where they lie ahead. */
  scan(): Generator<[string, Entry]> {
    return this.#scan(this.#rows.page, this.#rows)
  }

  where(where: Where): Generator<[string, JsonObject]> {
    const readPage = this.read(() => this.#rows.select(where))
    return this.#filter(this.#scan(readPage, this.#rows), where)
  }

  *#filter(entries: Iterable<[string, Entry]>, where: Where): Generator<[string, JsonObject]> {
    for (const [id, entry] of entries) {
      const state = this.read(() => stateOf(entry))
      if (matchesWhere(state, where)) yield [id, state]
    }
  }

  *#scan(readPage: ReadPage, rows: StoredRows): Generator<[string, Entry]> {
    for (let after = ''; ; ) {
      if (this.#rows !== rows) throw replaced(this.file)
      const page = this.read(() => readPage(this.generation, after))
      const isLast = page.length < pageSize
      const revision = this.#revision
      for (const [id, entry] of this.#unsaved.merge(page, { after, isLast })) {
        after = id
        yield [id, this.#cache.get(id) ?? entry]
        if (this.#revision !== revision) break
      }
      if (this.#revision !== revision) continue
      if (isLast) return
      after = page.at(-1)![0]
    }
  }

  /** Writes what is new together with the place; all of it or nothing. Errors: `replica-failed`. */
  save(place: StoredPlace): void {
    this.transact(() => {
      this.#rows.write(this.generation, this.#unsaved, this.tombstones)
      this.#rows.move(place, this.generation, this.size)
    })
    this.#savedGeneration = this.generation
    this.#unsaved.clear()
    this.tombstones.changed.clear()
  }

  /** Deletes some rows of generations that are not shown any more. Errors: `replica-failed`. */
  sweep(): void {
    // What a start would show stays until the file says otherwise.
    if (this.generation !== this.#savedGeneration) return
    const last = this.#incoming?.generation ?? Number.MAX_SAFE_INTEGER
    this.transact(() => {
      this.hasRest = this.#rows.sweep(0, this.generation) || this.#rows.sweep(this.generation, last)
    })
  }

  /** Runs `action` in a transaction of its own. Errors: `replica-failed`. */
  transact(action: () => void): void {
    const { database } = this
    try {
      database.exec('BEGIN IMMEDIATE')
      action()
      database.exec('COMMIT')
    } catch (error) {
      const failure = asReplicaFailure(error, this.file, 'written')
      if (database.isOpen && database.isTransaction) database.exec('ROLLBACK')
      this.onFailure(failure, 'written')
      throw failure
    }
  }

  /** Errors: `replica-failed`; `closed` where its follower is. */
  read<T>(action: () => T): T {
    if (!this.database.isOpen) {
      throw new LockstepError(
        'closed',
        `The replica ${quote(this.file, 200)} was closed with its follower. Read before that, or follow again.`,
      )
    }
    try {
      return action()
    } catch (error) {
      const failure = asReplicaFailure(error, this.file, 'read')
      this.onFailure(failure, 'read')
      throw failure
    }
  }

  #empty(): void {
    this.#unsaved.clear()
    this.#cache.clear()
    this.#cachedChars = 0
    this.#incoming = undefined
    this.#revision++
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

/** Half of the old copy and half of the new one would be neither. */
function replaced(file: string): LockstepError {
  return new LockstepError(
    'replica-failed',
    `The replica ${quote(file, 200)} was damaged and replaced while it was being read. Read again when the follower is live.`,
  )
}
