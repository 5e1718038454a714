/**
 * The copy that a follower holds: states, their versions, and what it knows of deleted resources.
 *
 * Here is the rule that keeps versions from going back and values from being invented: a version at or below the
 * one held is dropped, `changes` go onto exactly the version before, and what cannot be told for certain is
 * fetched. The maps are changed in place, since a copy may hold hundreds of thousands. PROTOCOL.md §6.3.
 */
import { applyMergePatch, type ChangeMessage, isEqualJson, type JsonObject } from '../contract/index.ts'

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

/** Keys are ids, decoded. Two maps side by side take less memory than a map of pairs, and `states` can be shown as it is. */
export interface Copy {
  readonly states: Map<string, JsonObject>
  readonly versions: Map<string, number>
  readonly tombstones: Map<string, Tombstone>
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

const maxTombstones = 10_000

export function createCopy(): Copy {
  return { states: new Map(), versions: new Map(), tombstones: new Map() }
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
  copy.states.set(id, state)
  copy.versions.set(id, version)
  return { id, event: 'modified', version, state, previous, changes }
}

/** Sets a state that is newer than what is held; the caller has compared the versions. */
export function putState(copy: Copy, id: string, version: number, state: JsonObject): Difference {
  const previous = copy.states.get(id)
  copy.states.set(id, state)
  copy.versions.set(id, version)
  if (previous === undefined) copy.tombstones.delete(id)
  const event = previous === undefined ? 'created' : 'modified'
  return { id, event, version, state, previous, changes: undefined }
}

/** Takes a resource out and remembers from which version on it may come again. */
export function buryResource(copy: Copy, id: string, tombstone: Tombstone): Difference | 'hidden' {
  const previous = copy.states.get(id)
  copy.states.delete(id)
  copy.versions.delete(id)
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
    if (previous !== undefined && isEqualJson(previous, state)) copy.versions.set(id, version)
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
