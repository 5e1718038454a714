/** The states of a collection as a view shows them: a map by id over the copy, computed as it is read. */
import type { JsonObject } from '../contract/index.ts'
import type { Copy } from './copy.ts'
import type { View } from './view.ts'

export class ViewedStates implements ReadonlyMap<string, JsonObject> {
  readonly #copy: Copy
  readonly #view: View
  /** How many are shown; `undefined` where they are to be counted. */
  #size: number | undefined

  constructor(copy: Copy, view: View) {
    this.#copy = copy
    this.#view = view
  }

  /** Is to be called when the copy has changed. */
  changed(): void {
    this.#size = undefined
  }

  /** With conditions they are counted, once after each change. */
  get size(): number {
    if (this.#view.where.length === 0) return this.#copy.states.size
    if (this.#size === undefined) {
      this.#size = 0
      for (const _ of this.entries()) this.#size++
    }
    return this.#size
  }

  get(id: string): JsonObject | undefined {
    return this.#view.show(this.#copy.states.get(id))
  }

  has(id: string): boolean {
    return this.get(id) !== undefined
  }

  *entries(): MapIterator<[string, JsonObject]> {
    for (const [id, whole] of this.#copy.where(this.#view.where)) {
      const state = this.#view.show(whole)
      if (state !== undefined) yield [id, state]
    }
  }

  *keys(): MapIterator<string> {
    for (const [id] of this.entries()) yield id
  }

  *values(): MapIterator<JsonObject> {
    for (const [, state] of this.entries()) yield state
  }

  [Symbol.iterator](): MapIterator<[string, JsonObject]> {
    return this.entries()
  }

  forEach(callback: (state: JsonObject, id: string, map: ReadonlyMap<string, JsonObject>) => void): void {
    for (const [id, state] of this.entries()) callback(state, id, this)
  }
}
