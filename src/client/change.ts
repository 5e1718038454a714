/**
 * A change as a follower gives it to the application.
 *
 * It says how the copy changed, which need not be how the resource changed: after a gap several changes are one.
 * PROTOCOL.md §6.
 */
import type { JsonObject } from '../contract/index.ts'

/** Where and by what something happened. */
export interface Occurrence {
  /** The canonical path of the resource; of what is followed where the event is `refreshed`. */
  readonly path: string
  /** The id of the resource; `''` where a collection was refreshed. */
  readonly id: string
  /**
   * The version after the change; of a deletion that was not seen itself, the lowest that it can have. 0 where
   * there is none to tell: after `refreshed`, and where a new epoch does not have the resource.
   */
  readonly version: number
  /** The id of the request that made it, where one message told of exactly this change. */
  readonly cause: string | undefined
  /** The position of the message, or the marker of the response, that brought it. */
  readonly position: string
}

/** It came into the copy. */
export interface Created<T> extends Occurrence {
  readonly event: 'created'
  readonly state: T
  readonly previous: undefined
  readonly changes: undefined
}

/** `changes` is the merge patch from `previous` to `state`, where a message brought it; else compare the two. */
export interface Modified<T> extends Occurrence {
  readonly event: 'modified'
  readonly state: T
  readonly previous: T
  readonly changes: JsonObject | undefined
}

/** It is in the copy no more; `previous` is what was there. */
export interface Deleted<T> extends Occurrence {
  readonly event: 'deleted'
  readonly state: undefined
  readonly previous: T
  readonly changes: undefined
}

/** Too much to tell one by one: look at the follower's `state`. It stands for the first baseline and for changes that an iterator was too slow for. */
export interface Refreshed extends Occurrence {
  readonly event: 'refreshed'
  readonly state: undefined
  readonly previous: undefined
  readonly changes: undefined
}

export type Change<T> = Created<T> | Modified<T> | Deleted<T> | Refreshed

/** Says to look at all that is followed. */
export function refreshedAt(place: Pick<Refreshed, 'path' | 'id' | 'position'>): Refreshed {
  const nothing = { state: undefined, previous: undefined, changes: undefined, cause: undefined }
  return { event: 'refreshed', version: 0, ...place, ...nothing }
}
