/**
 * Compares a list of the API with the shadow: what went round the sidecar, and what happened while it was not there. Decisions only;
 * the observer reads, and writes what comes of them. Pure. PROTOCOL.md §15.
 */
import { isEqualJson, type Json, type JsonObject } from '../contract/index.ts'
import type { StoredItem } from '../log/change-log.ts'

/** What the list says, by canonical path; without a state where it only says that there is one. */
export type Listed = Map<string, JsonObject | undefined>

/** What comes of a comparison. */
export interface Differences {
  /** To be recorded as the list has it. */
  readonly changed: { readonly path: string; readonly state: JsonObject }[]
  /** To be looked at one by one. */
  readonly doubtful: string[]
}

/**
 * Compares a part of the shadow, and takes from `listed` what it has compared: what is left in the end is not in the shadow. An item
 * that is missing is doubted, not taken for deleted: pages of a list that changes meanwhile may leave one out.
 */
export function compareItems(items: readonly StoredItem[], listed: Listed): Differences {
  const changed: { path: string; state: JsonObject }[] = []
  const doubtful: string[] = []
  for (const { path, stateText } of items) {
    if (!listed.has(path)) {
      doubtful.push(path)
      continue
    }
    const state = listed.get(path)
    listed.delete(path)
    if (state === undefined) doubtful.push(path)
    else if (!isEqualJson(JSON.parse(stateText) as Json, state)) changed.push({ path, state })
  }
  return { changed, doubtful }
}

/** What is in the list and not in the shadow. */
export function compareRest(listed: Listed): Differences {
  const changed: { path: string; state: JsonObject }[] = []
  const doubtful: string[] = []
  for (const [path, state] of listed) {
    if (state === undefined) doubtful.push(path)
    else changed.push({ path, state })
  }
  return { changed, doubtful }
}
