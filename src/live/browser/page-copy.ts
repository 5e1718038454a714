/**
 * What a page holds of the resources that it shows: their states and versions by path.
 *
 * A version at or below the one held is dropped, so that nothing older follows something newer. `changes` go onto whatever
 * is held, since an interval proves that nothing lies between; what the page does not hold it does not guess: such a change has no
 * `state`. PROTOCOL.md §9.9.
 */
import type { ChangeMessage, Json, JsonObject } from '../../contract/index.ts'
import { canonicalPath } from './path-around.ts'

/** A change as the page sees it. */
export interface LiveChange {
  readonly event: 'created' | 'modified' | 'deleted'
  readonly path: string
  readonly version: number
  /** After the change; `undefined` of a deletion, and where the page does not hold the resource. */
  readonly state: JsonObject | undefined
  /** Before the change, where the page held it. */
  readonly previous: JsonObject | undefined
  /** The merge patch (RFC 7396), where the message brought one. */
  readonly changes: JsonObject | undefined
  /** The id of the request that made the change, where one message told of exactly this change. */
  readonly cause: string | undefined
  /** The position of the message that brought it. */
  readonly position: string
}

/** What the page shows of resources when it begins, by path; a state only where the page asked for it. */
export type Held = Readonly<Record<string, { readonly version: number; readonly state?: JsonObject }>>

/**
 * What views read: the same on the server and in the browser. The type of a state is what the reader says it is. In a path an id stands as
 * `encodeURIComponent` makes it, or as messages write it.
 */
export interface States {
  /** The state of a resource; `undefined` where there is none, or none is held. */
  get<State extends object = JsonObject>(path: string): State | undefined
  /** The states of the resources directly in a collection, in order of their paths. */
  list<State extends object = JsonObject>(path: string): readonly State[]
}

/** How many resources, deleted ones among them, a page holds at most. */
export const maxHeldResources = 20_000

/** Without a state, either the resource is gone or its state is not held. */
interface Entry {
  readonly version: number
  readonly state: JsonObject | undefined
  readonly isGone?: boolean
}

export class PageCopy implements States {
  readonly entries: Map<string, Entry>

  constructor(held: Held) {
    this.entries = new Map(
      Object.entries(held).map(([path, { version, state }]) => [path, { version, state }]),
    )
  }

  get<State extends object = JsonObject>(path: string): State | undefined {
    return this.entries.get(canonicalPath(path))?.state as State | undefined
  }

  list<State extends object = JsonObject>(path: string): readonly State[] {
    const parent = canonicalPath(path)
    const found = [...this.entries].filter(([other, { state }]) => state && parentPath(other) === parent)
    return found.sort(([a], [b]) => (a < b ? -1 : 1)).map(([, { state }]) => state as State)
  }

  /** Takes a message in; `undefined` where it is not news. */
  apply(message: ChangeMessage): LiveChange | undefined {
    const { event, resource: path, version, cause, id: position } = message
    const entry = this.entries.get(path)
    if (entry && version <= entry.version) return
    const isGone = event === 'deleted'
    const previous = entry?.state
    const changes = event === 'modified' ? message.changes : undefined
    let state = isGone ? undefined : message.state
    if (changes && previous) state = applyMergePatch(previous, changes) as JsonObject
    // Patches of what is not held say nothing about what to hold.
    if (entry || !changes) this.entries.set(path, { version, state, isGone })
    return { event, path, version, state, previous, changes, cause, position }
  }
}

/** The path of the collection that a resource is in. */
export function parentPath(path: string): string {
  return path.slice(0, path.lastIndexOf('/'))
}

/** Applies a JSON Merge Patch (RFC 7396 §2); a member named `__proto__` is data like any other. */
export function applyMergePatch(target: Json | undefined, patch: Json): Json {
  if (!isObject(patch)) return patch
  const members = new Map(Object.entries(isObject(target) ? target : {}))
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) members.delete(name)
    else members.set(name, applyMergePatch(members.get(name), value))
  }
  return Object.fromEntries(members)
}

export function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
