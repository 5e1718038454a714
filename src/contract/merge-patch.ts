/**
 * JSON Merge Patch (RFC 7396): apply, and the exact difference of two states.
 *
 * A merge patch cannot say everything: it cannot set a member to null and cannot change one element of an
 * array. `diffMergePatch` therefore gives a patch only where applying it yields exactly the state after.
 * PROTOCOL.md §3.
 */
import { isEqualJson, isJsonObject, type Json, type JsonObject, setMember } from './json.ts'

/** Applies a patch (RFC 7396 §2). Neither argument is changed. A member named `__proto__` is data like any other. */
export function applyMergePatch(target: Json | undefined, patch: Json): Json {
  if (!isJsonObject(patch)) return patch
  const result: JsonObject = {}
  if (isJsonObject(target)) {
    for (const name of Object.keys(target)) setMember(result, name, target[name]!)
  }
  for (const name of Object.keys(patch)) {
    const value = patch[name]!
    if (value === null) {
      delete result[name]
    } else {
      setMember(result, name, applyMergePatch(Object.hasOwn(result, name) ? result[name] : undefined, value))
    }
  }
  return result
}

/**
 * The patch that turns `before` into `after` exactly, `{}` where they are equal;
 * `undefined` where no merge patch can say it (a null became part of the state).
 */
export function diffMergePatch(before: JsonObject, after: JsonObject): JsonObject | undefined {
  const patch: JsonObject = {}
  for (const name of Object.keys(before)) {
    if (!Object.hasOwn(after, name)) setMember(patch, name, null)
  }
  for (const name of Object.keys(after)) {
    const value = after[name]!
    const old = Object.hasOwn(before, name) ? before[name] : undefined
    if (old !== undefined && isEqualJson(old, value)) continue
    if (isJsonObject(old) && isJsonObject(value)) {
      const inner = diffMergePatch(old, value)
      if (inner === undefined) return undefined
      setMember(patch, name, inner)
    } else {
      if (!isPatchable(value)) return undefined
      setMember(patch, name, value)
    }
  }
  return patch
}

/** May the value stand in a patch as what it is? Nulls inside objects would be taken as removals; in arrays they are kept. */
function isPatchable(value: Json): boolean {
  if (value === null) return false
  return !isJsonObject(value) || Object.values(value).every(isPatchable)
}
