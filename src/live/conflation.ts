/**
 * Makes many changes of a resource into one: for pages that come back after much has happened, or that are slow.
 *
 * The result leads from any state in between to the same end, so it may be applied to whatever older version a page holds. Where one
 * patch cannot say what two do, both stay. PROTOCOL.md §9.6, §9.9.
 */
import { applyMergePatch, isJsonObject, type Json, type JsonObject, setMember } from '../contract/index.ts'
import type { Entry } from './backlog.ts'

/** Changes of an interval, in order, with as few per resource as can say the same. Pure. */
export function conflate(entries: readonly Entry[]): readonly Entry[] {
  const last = new Map<string, Entry>()
  const kept = new Set<Entry>()
  for (const entry of entries) {
    const before = last.get(entry.resource)
    const joined = before === undefined ? undefined : join(before, entry)
    if (joined !== undefined) kept.delete(before!)
    last.set(entry.resource, joined ?? entry)
    kept.add(joined ?? entry)
  }
  return [...kept]
}

/** The second change with what the first did; `undefined` where no single change says that. */
function join(first: Entry, second: Entry): Entry | undefined {
  const after = JSON.parse(second.text) as JsonObject
  // A whole state, or a deletion, says all by itself.
  if (after['changes'] === undefined) return second
  const before = JSON.parse(first.text) as JsonObject
  const patch = after['changes'] as JsonObject
  if (before['state'] !== undefined) {
    const state = applyMergePatch(before['state'], patch)
    const { changes: _changes, ...envelope } = after
    return withMessage(second, { ...envelope, event: before['event']!, state })
  }
  if (before['changes'] === undefined) return undefined
  const changes = composePatches(before['changes'] as JsonObject, patch)
  return changes === undefined ? undefined : withMessage(second, { ...after, changes })
}

function withMessage({ seq, resource }: Entry, message: JsonObject): Entry {
  const { id, ...rest } = message
  return { seq, resource, text: JSON.stringify({ ...rest, id }) }
}

/**
 * One merge patch (RFC 7396) that does what two do one after the other. `undefined` where there is none: after a member was set to something that is
 * no object, a patch into that member would be merged with what was there before instead of replacing it.
 */
function composePatches(first: JsonObject, second: JsonObject): JsonObject | undefined {
  const composed: JsonObject = { ...first }
  for (const [name, value] of Object.entries(second)) {
    const before = Object.hasOwn(first, name) ? first[name] : undefined
    let joined: Json | undefined = value
    if (isJsonObject(value) && before !== undefined) {
      joined = isJsonObject(before) ? composePatches(before, value) : undefined
      if (joined === undefined) return undefined
    }
    setMember(composed, name, joined)
  }
  return composed
}
