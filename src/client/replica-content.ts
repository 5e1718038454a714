/**
 * A baseline on its way into a replica: rows of a generation that is not shown yet.
 *
 * What is the same, kept, gone or new is found by comparing the two generations in the file, not in memory.
 * PROTOCOL.md §6.3, §6.9.
 */
import type { DatabaseSync } from 'node:sqlite'
import { isEqualJson, isLockstepError, type JsonObject, type LockstepError } from '../contract/index.ts'
import { type Difference, type IncomingContent, maxTombstones } from './copy.ts'
import { parseState } from './replica-map.ts'

/** More differences are not told one by one. */
const maxDifferences = 1_000

/** What the content needs of its copy. */
interface ContentTarget {
  readonly database: DatabaseSync
  readonly generation: number
  readonly tombstones: Map<
    string,
    { readonly version: number; readonly seq: number; readonly exact: boolean }
  >
  put(id: string, version: number, state: JsonObject): void
  remove(id: string): void
  show(generation: number): void
  transact(action: () => void): void
  read<T>(action: () => T): T
}

interface Pair {
  readonly id: string
  readonly version: number
  readonly state: string
  readonly heldVersion: number | null
  readonly heldState: string | null
}

export class StoredContent implements IncomingContent {
  readonly generation: number
  readonly #copy: ContentTarget

  constructor(copy: ContentTarget, generation: number) {
    this.#copy = copy
    this.generation = generation
  }

  add(
    items: Iterable<{ readonly id: string; readonly version: number; readonly state: JsonObject }>,
  ): LockstepError | undefined {
    const { database } = this.#copy
    try {
      this.#copy.transact(() => {
        const put = database.prepare(
          'INSERT OR REPLACE INTO lockstep_row (generation, id, version, state) VALUES (?, ?, ?, ?)',
        )
        for (const { id, version, state } of items)
          put.run(this.generation, id, version, JSON.stringify(state))
      })
      return undefined
    } catch (error) {
      if (isLockstepError(error, 'replica-failed')) return error
      throw error
    }
  }

  /** The caller has saved what the copy holds. */
  install(seq: number, isSameEpoch: boolean): readonly Difference[] | 'many' {
    return this.#copy.read(() => this.#replace(seq, isSameEpoch))
  }

  #replace(seq: number, isSameEpoch: boolean): readonly Difference[] | 'many' {
    const copy = this.#copy
    const kept = isSameEpoch ? this.#findKept() : []
    const dropped = isSameEpoch ? this.#findDropped() : new Set<string>()
    if (!isSameEpoch) copy.tombstones.clear()
    const gone = this.#findGone(isSameEpoch, seq)
    const changed = this.#findChanged(isSameEpoch, dropped)
    copy.show(this.generation)
    for (const { id, version, state } of kept) copy.put(id, version, parseState(state))
    for (const id of dropped) copy.remove(id)
    const isMany = gone === 'many' || changed === 'many' || gone.length + changed.length > maxDifferences
    return isMany ? 'many' : [...gone, ...changed]
  }

  /** Items that are held in a newer version: they stay. */
  #findKept(): Pair[] {
    return this.#rows(
      `SELECT o.id, o.version, o.state FROM lockstep_row o JOIN lockstep_row n ON n.generation = ? AND n.id = o.id
       WHERE o.generation = ? AND n.version < o.version`,
    )
  }

  /** Items that the copy knows to be deleted since; of the others the deletion is forgotten. */
  #findDropped(): Set<string> {
    const { tombstones, database } = this.#copy
    const find = database.prepare('SELECT version FROM lockstep_row WHERE generation = ? AND id = ?')
    const dropped = new Set<string>()
    for (const [id, { version }] of tombstones) {
      const row = find.get(this.generation, id)
      if (row === undefined) continue
      if ((row['version'] as number) <= version) dropped.add(id)
      else tombstones.delete(id)
    }
    return dropped
  }

  /** What the baseline does not have: it may not come again with an old message. */
  #findGone(isSameEpoch: boolean, seq: number): Difference[] | 'many' {
    const { database, generation, tombstones } = this.#copy
    const statement = database.prepare(
      `SELECT id, version, state FROM lockstep_row o WHERE generation = ? AND NOT EXISTS
       (SELECT 1 FROM lockstep_row n WHERE n.generation = ? AND n.id = o.id) LIMIT ${maxTombstones}`,
    )
    const gone: Difference[] = []
    let count = 0
    for (const row of statement.iterate(generation, this.generation)) {
      const { id, version: held, state } = row as unknown as Pair
      const version = isSameEpoch ? held + 1 : 0
      tombstones.delete(id)
      tombstones.set(id, { version, seq, exact: false })
      if (++count > maxDifferences) continue
      const previous = parseState(state)
      gone.push({ id, event: 'deleted', version, state: undefined, previous, changes: undefined })
    }
    return count > maxDifferences ? 'many' : gone
  }

  #findChanged(isSameEpoch: boolean, dropped: ReadonlySet<string>): Difference[] | 'many' {
    const statement = this.#copy.database.prepare(
      `SELECT n.id, n.version, n.state, o.version AS heldVersion, o.state AS heldState
       FROM lockstep_row n LEFT JOIN lockstep_row o ON o.generation = ? AND o.id = n.id
       WHERE n.generation = ? AND (o.id IS NULL OR o.state <> n.state) ORDER BY n.id`,
    )
    const changed: Difference[] = []
    for (const row of statement.iterate(this.#copy.generation, this.generation)) {
      const { id, version, state: text, heldVersion, heldState } = row as unknown as Pair
      if (dropped.has(id) || (isSameEpoch && version < (heldVersion ?? 0))) continue
      const state = parseState(text)
      const previous = heldState === null ? undefined : parseState(heldState)
      if (previous !== undefined && isEqualJson(previous, state)) continue
      if (changed.length === maxDifferences) return 'many'
      const event = previous === undefined ? 'created' : 'modified'
      changed.push({ id, event, version, state, previous, changes: undefined })
    }
    return changed
  }

  #rows(sql: string): Pair[] {
    return this.#copy.database.prepare(sql).all(this.generation, this.#copy.generation) as unknown as Pair[]
  }
}
