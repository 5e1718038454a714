/**
 * What the terminal view remembers besides the copy itself: what has just changed, and which rows changed last.
 *
 * Times are given in, so that a test can choose them.
 */
import { encodeSegment, isEqualJson, type JsonObject } from 'lockstep/contract'
import type { FollowedItem, Mark } from './follow-view.ts'

/** How long a change stays marked. */
export const markMs = 3_000
/** So many of the rows that changed last are remembered. */
const maxRecent = 200

/** How the copy changed, as far as the view needs it; {@link Change} of `lockstep/client` fits. */
export interface SeenChange {
  readonly event: 'created' | 'modified' | 'deleted' | 'refreshed'
  readonly id: string
  readonly version: number
  readonly state: JsonObject | undefined
  readonly previous: JsonObject | undefined
}

/** The copy: states by id, and their versions. */
export interface HeldCopy {
  readonly states: ReadonlyMap<string, JsonObject>
  readonly versionOf: (id: string) => number
}

export interface FollowMemory {
  take(change: SeenChange, nowMs: number): void
  /** When the next mark ends; `undefined` where there is none. */
  nextEndMs(): number | undefined
  /** At most so many items in the order to show them, those just deleted among them. Forgets marks that have ended. */
  list(copy: HeldCopy, room: number, nowMs: number): FollowedItem[]
}

interface Remembered {
  readonly mark: Mark
  readonly endMs: number
  /** The last state of what was deleted. */
  readonly last: { readonly version: number; readonly state: JsonObject } | undefined
}

export function createFollowMemory(): FollowMemory {
  const marks = new Map<string, Remembered>()
  /** Ids, the one that changed last at the end. */
  const recent = new Set<string>()

  return {
    take({ event, id, version, state, previous }, nowMs) {
      if (event === 'refreshed') return
      recent.delete(id)
      recent.add(id)
      if (recent.size > maxRecent) recent.delete(recent.values().next().value!)
      const mark = { event, names: listChanged(previous ?? {}, state ?? {}) }
      const last = event === 'deleted' && previous !== undefined ? { version, state: previous } : undefined
      marks.set(id, { mark, endMs: nowMs + markMs, last })
    },

    nextEndMs() {
      return marks.size === 0 ? undefined : Math.min(...[...marks.values()].map(({ endMs }) => endMs))
    },

    list({ states, versionOf }, room, nowMs) {
      for (const [id, { endMs }] of marks) if (endMs <= nowMs) marks.delete(id)
      const isGone = (id: string): boolean => !states.has(id) && marks.get(id)?.last !== undefined
      const gone = [...marks.keys()].filter(isGone)
      const ids =
        states.size + gone.length <= room ? inPathOrder([...states.keys(), ...gone]) : listRecent(room)
      return ids.flatMap(id => {
        const { mark, last } = marks.get(id) ?? { mark: undefined, last: undefined }
        const state = states.get(id) ?? last?.state
        return state === undefined
          ? []
          : [{ id, version: states.has(id) ? versionOf(id) : last!.version, state, mark }]
      })

      /** Where not all fit, what changed last comes first. */
      function listRecent(count: number): string[] {
        const chosen = new Set(
          [...recent]
            .reverse()
            .filter(id => states.has(id) || isGone(id))
            .slice(0, count),
        )
        for (const id of states.keys()) {
          if (chosen.size >= count) break
          chosen.add(id)
        }
        return [...chosen]
      }
    },
  }
}

/** As the API lists them (PROTOCOL.md §4.8). */
function inPathOrder(ids: readonly string[]): string[] {
  const byPath = new Map(ids.map(id => [encodeSegment(id), id]))
  return [...byPath.keys()].sort().map(segment => byPath.get(segment)!)
}

/** The names of members that differ. */
function listChanged(before: JsonObject, after: JsonObject): Set<string> {
  const names = new Set([...Object.keys(before), ...Object.keys(after)])
  return new Set(
    [...names].filter(name => {
      const inBoth = Object.hasOwn(before, name) && Object.hasOwn(after, name)
      return !inBoth || !isEqualJson(before[name], after[name])
    }),
  )
}
