/** The maps of a copy that lies in a file: states and versions as they are asked for, deletions in memory. */
import type { JsonObject } from '../contract/index.ts'
import type { Tombstone } from './copy.ts'
import { damageOf } from './replica-failure.ts'

/** A resource as the file has it; the state is parsed when it is looked at. */
export interface Entry {
  readonly version: number
  readonly text: string
  state: JsonObject | undefined
}

export function stateOf(entry: Entry): JsonObject {
  entry.state ??= parseState(entry.text)
  return entry.state
}

/** Errors: those of JSON.parse and others, which are damage of the file. */
export function parseState(text: string): JsonObject {
  const state: unknown = JSON.parse(text)
  if (typeof state === 'object' && state !== null && !Array.isArray(state)) return state as JsonObject
  throw damageOf('a state in it is no JSON object')
}

interface EntrySource {
  readonly size: number
  find(id: string): Entry | undefined
  scan(): Iterable<[string, Entry]>
}

/** One side of the copy as a map, in order of ids. Errors of each member but `size`: `replica-failed`, `closed`. */
export class StoredMap<V> implements ReadonlyMap<string, V> {
  readonly #source: EntrySource
  readonly #toValue: (entry: Entry) => V

  constructor(source: EntrySource, toValue: (entry: Entry) => V) {
    this.#source = source
    this.#toValue = toValue
  }

  get size(): number {
    return this.#source.size
  }

  get(id: string): V | undefined {
    const entry = this.#source.find(id)
    return entry && this.#toValue(entry)
  }

  has(id: string): boolean {
    return this.#source.find(id) !== undefined
  }

  *entries(): MapIterator<[string, V]> {
    for (const [id, entry] of this.#source.scan()) yield [id, this.#toValue(entry)]
  }

  *keys(): MapIterator<string> {
    for (const [id] of this.#source.scan()) yield id
  }

  *values(): MapIterator<V> {
    for (const [, entry] of this.#source.scan()) yield this.#toValue(entry)
  }

  [Symbol.iterator](): MapIterator<[string, V]> {
    return this.entries()
  }

  forEach(callback: (value: V, id: string, map: ReadonlyMap<string, V>) => void): void {
    for (const [id, value] of this.entries()) callback(value, id, this)
  }
}

/** Deletions, and which of them are not written yet. */
export class TrackedTombstones extends Map<string, Tombstone> {
  readonly changed: Set<string> = new Set()

  override set(id: string, tombstone: Tombstone): this {
    this.changed.add(id)
    return super.set(id, tombstone)
  }

  override delete(id: string): boolean {
    const wasThere = super.delete(id)
    if (wasThere) this.changed.add(id)
    return wasThere
  }

  override clear(): void {
    for (const id of this.keys()) this.changed.add(id)
    super.clear()
  }
}
