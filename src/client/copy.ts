/**
 * The copy that a follower holds: states, their versions, and what it knows of deleted resources.
 *
 * Here is the rule that keeps versions from going back and values from being invented: a version at or below the
 * one held is dropped, `changes` go onto exactly the version before, and what cannot be told for certain is
 * fetched. A copy is changed in place, since it may hold hundreds of thousands; where it is kept, in memory or in a
 * file, is no matter of this rule. PROTOCOL.md §6.3.
 */
import {
  applyMergePatch,
  type ChangeMessage,
  isEqualJson,
  type JsonObject,
  type LockstepError,
  matchesWhere,
  type Where,
} from '../contract/index.ts'

/** What is known of a resource that is not there. */
export interface Tombstone {
  /** The version of the deletion; where it was not seen itself, the lowest that it can have. */
  readonly version: number
  /** Where it was learned: the number of the message, or of the marker of the response that did not have it. */
  readonly seq: number
  /**
   * `false` where a response told what is there now: then the resource may be gone for good while messages still
   * tell of its earlier lives, so none of those brings it back without a look at the resource itself.
   */
  readonly exact: boolean
}

/** Keys are ids, decoded. `states` is shown to the application as it is, and both have the same keys. */
export interface Copy {
  readonly states: ReadonlyMap<string, JsonObject>
  readonly versions: ReadonlyMap<string, number>
  readonly tombstones: Map<string, Tombstone>
  put(id: string, version: number, state: JsonObject): void
  remove(id: string): void
  /** Forgets everything. */
  clear(): void
  /** What fulfils the conditions, by way of an index where there is one. */
  where(where: Where): Iterable<[string, JsonObject]>
  /** Begins to collect what a baseline brings, beside what is shown; one at a time. */
  beginContent(): IncomingContent
}

/** A baseline on its way into a copy. */
export interface IncomingContent {
  /** Gives what kept them from being held; then the content is not used any more. */
  add(
    items: Iterable<{ readonly id: string; readonly version: number; readonly state: JsonObject }>,
  ): LockstepError | undefined
  /** Makes the copy what was added, as {@link replaceContent}; `many` where the differences are too many to tell. */
  install(seq: number, isSameEpoch: boolean): readonly Difference[] | 'many'
}

/** How one resource of the copy changed. */
export interface Difference {
  readonly id: string
  readonly event: 'created' | 'modified' | 'deleted'
  readonly version: number
  readonly state: JsonObject | undefined
  readonly previous: JsonObject | undefined
  readonly changes: JsonObject | undefined
}

/**
 * What became of a change: a difference; `hidden` where nothing that is shown changed; `old` where it was held
 * already; `fetch` where only the resource itself can tell.
 */
export type Outcome = Difference | 'hidden' | 'old' | 'fetch'

/** A whole collection as a baseline brought it. */
export interface Content {
  readonly states: ReadonlyMap<string, JsonObject>
  readonly versions: ReadonlyMap<string, number>
  readonly seq: number
}

export const maxTombstones = 10_000

/** A copy in memory. Two maps side by side take less than a map of pairs. */
export function createCopy(): Copy {
  const states = new Map<string, JsonObject>()
  const versions = new Map<string, number>()
  const copy: Copy = {
    states,
    versions,
    tombstones: new Map(),
    put(id, version, state) {
      states.set(id, state)
      versions.set(id, version)
    },
    remove(id) {
      states.delete(id)
      versions.delete(id)
    },
    clear() {
      states.clear()
      versions.clear()
      copy.tombstones.clear()
    },
    *where(where) {
      for (const entry of states) if (matchesWhere(entry[1], where)) yield entry
    },
    beginContent() {
      const content = { states: new Map<string, JsonObject>(), versions: new Map<string, number>() }
      return {
        add(items) {
          for (const { id, version, state } of items) {
            content.states.set(id, state)
            content.versions.set(id, version)
          }
          return undefined
        },
        install: (seq, isSameEpoch) => replaceContent(copy, { ...content, seq }, isSameEpoch),
      }
    },
  }
  return copy
}

/** The version held, of a deletion too; 0 where nothing is known. */
export function heldVersion({ versions, tombstones }: Copy, id: string): number {
  return versions.get(id) ?? tombstones.get(id)?.version ?? 0
}

/** Applies a message. `isLatest` says that its state is what the resource is now, not what it once was. */
export function applyMessage(
  copy: Copy,
  id: string,
  message: ChangeMessage,
  { seq, isLatest }: { seq: number; isLatest: boolean },
): Outcome {
  const held = heldVersion(copy, id)
  const { version } = message
  if (version <= held) return 'old'
  const tombstone = copy.tombstones.get(id)
  // The response that did not have it held every change up to there, this one too.
  if (tombstone?.exact === false && seq <= tombstone.seq) return 'old'
  if (message.event === 'deleted') {
    return buryResource(copy, id, { version, seq, exact: !isLatest && tombstone?.exact !== false })
  }
  if (message.ref === true) return 'fetch'
  const previous = copy.states.get(id)
  if (message.state !== undefined) {
    // An unseen deletion may already be newer than this message: then it must not rise again.
    const isDoubtful =
      previous === undefined && (message.event === 'modified' || tombstone?.exact === false) && !isLatest
    return isDoubtful ? 'fetch' : putState(copy, id, version, message.state)
  }
  const changes = message.event === 'modified' ? message.changes : undefined
  if (changes === undefined || previous === undefined || version !== held + 1) return 'fetch'
  const state = applyMergePatch(previous, changes) as JsonObject
  copy.put(id, version, state)
  return { id, event: 'modified', version, state, previous, changes }
}

/** Sets a state that is newer than what is held; the caller has compared the versions. */
export function putState(copy: Copy, id: string, version: number, state: JsonObject): Difference {
  const previous = copy.states.get(id)
  copy.put(id, version, state)
  if (previous === undefined) copy.tombstones.delete(id)
  const event = previous === undefined ? 'created' : 'modified'
  return { id, event, version, state, previous, changes: undefined }
}

/** Takes a resource out and remembers from which version on it may come again. */
export function buryResource(copy: Copy, id: string, tombstone: Tombstone): Difference | 'hidden' {
  const previous = copy.states.get(id)
  copy.remove(id)
  copy.tombstones.delete(id)
  copy.tombstones.set(id, tombstone)
  if (previous === undefined) return 'hidden'
  const { version } = tombstone
  return { id, event: 'deleted', version, state: undefined, previous, changes: undefined }
}

/**
 * Makes the copy what a baseline says, and gives the differences. Within an epoch nothing goes back: an item that
 * is held in a newer version stays. In a new epoch versions mean something else, so only values are compared.
 */
export function replaceContent(copy: Copy, content: Content, isSameEpoch: boolean): Difference[] {
  const differences: Difference[] = []
  if (!isSameEpoch) copy.tombstones.clear()
  for (const id of copy.states.keys()) {
    if (content.states.has(id)) continue
    const version = isSameEpoch ? heldVersion(copy, id) + 1 : 0
    differences.push(buryResource(copy, id, { version, seq: content.seq, exact: false }) as Difference)
  }
  for (const [id, state] of content.states) {
    const version = content.versions.get(id)!
    const held = heldVersion(copy, id)
    const previous = copy.states.get(id)
    if (isSameEpoch && (version < held || (version === held && previous === undefined))) continue
    if (previous !== undefined && isEqualJson(previous, state)) copy.put(id, version, previous)
    else differences.push(putState(copy, id, version, state))
  }
  return differences
}

/** Forgets deletions that no message at or below `position` can undo any more, and the oldest of too many. */
export function pruneTombstones({ tombstones }: Copy, position: number): void {
  for (const [id, { seq, exact }] of tombstones) if (exact && seq <= position) tombstones.delete(id)
  for (const id of tombstones.keys()) {
    if (tombstones.size <= maxTombstones) return
    tombstones.delete(id)
  }
}
