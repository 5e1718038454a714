/**
 * Writing in-process: the operations of REST on declared resources, inside one transaction of the log, through
 * the same checks and with the same messages.
 */
import { encodeSegment, type Json } from '../contract/index.ts'
import type { LogTransaction } from '../log/change-log.ts'
import {
  createResource,
  type Outcome,
  patchResource,
  putResource,
  removeResource,
  type WriteContext,
} from './mirror.ts'
import type { Collection, Resource } from './resource.ts'

/** A resource at the top, or a nested one at its place: `people`, `friends.in('johndoe')`. */
export type Place<State extends object> = Resource<State> | Collection<State>

/** What creates a resource: its state, with or without an `id`. */
export type NewState<State> = Omit<State, 'id'> & { readonly id?: string }

/** A merge patch of a state: members to set, `null` to remove. */
export type Patch<State> = {
  readonly [Name in keyof State]?:
    | (State[Name] extends object ? Patch<State[Name]> | State[Name] : State[Name])
    | null
}

export interface Transaction {
  /** POST. Errors: `already-exists`, `invalid-id`, `invalid-state`, `not-found` (the parent). */
  create<State extends object>(place: Place<State>, state: NewState<State>): Promise<State>
  /** PUT: the whole new state; creates where nothing is. Errors: as create. */
  put<State extends object>(place: Place<State>, id: string, state: NewState<State>): Promise<State>
  /** PATCH. Errors: `not-found`, `gone`, `invalid-state`. */
  patch<State extends object>(place: Place<State>, id: string, patch: Patch<State>): Promise<State>
  /** DELETE, with all that is nested below. Errors: `not-found`, `gone`. */
  remove<State extends object>(place: Place<State>, id: string): Promise<void>
  /** Reads a resource as this transaction sees it; `undefined` where it is not. */
  read<State extends object>(place: Place<State>, id: string): Promise<State | undefined>
}

/** Makes the operations on top of a log's transaction. */
export function createTransaction(tx: LogTransaction, context: WriteContext): Transaction {
  return {
    async create(place, state) {
      const { resource, path } = locate(place)
      return stateOf(await createResource(tx, resource, path, toJson(state), context))
    },
    async put(place, id, state) {
      const { resource, path } = locate(place)
      return stateOf(await putResource(tx, resource, pathOf(path, id), toJson(state), context))
    },
    async patch(place, id, patch) {
      const { resource, path } = locate(place)
      return stateOf(await patchResource(tx, resource, pathOf(path, id), toJson(patch), context))
    },
    async remove(place, id) {
      await removeResource(tx, pathOf(locate(place).path, id), context)
    },
    async read(place, id) {
      const { stateText } = await tx.read(pathOf(locate(place).path, id))
      return stateText === undefined ? undefined : JSON.parse(stateText)
    },
  }
}

/** The collection that a place names. Errors: `invalid-option` for a nested resource without its parents' ids. */
export function locate<State extends object>(place: Place<State>): Collection<State> {
  return 'path' in place ? place : place.in()
}

/** The canonical path of an id in a collection. */
export function pathOf(collectionPath: string, id: string): string {
  return `${collectionPath}/${encodeSegment(id)}`
}

/** What is written must be what a reader gets: through JSON once, so that dates and undefined members are as on the wire. */
function toJson(value: unknown): Json {
  return JSON.parse(JSON.stringify(value)) as Json
}

function stateOf<State>({ stateText }: Outcome): State {
  return JSON.parse(stateText) as State
}
