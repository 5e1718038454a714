/**
 * Member paths: where in a state something stands, as queries and headers write it: `address/city`.
 *
 * Names are joined by slashes; a character that would mean something there (slash, comma, colon, percent sign, space …) is
 * percent-encoded in a name. Indexes of arrays do not occur. PROTOCOL.md §10.
 */
import { LockstepError, quote } from './error.ts'
import { isJsonObject, type Json } from './json.ts'

/** The names of members, from the outside in; at least one. */
export type MemberPath = readonly string[]

/** The deepest path, in names. */
export const maxMemberDepth = 16

/** Reads `address/city`. Errors: `invalid-query`. */
export function parseMemberPath(text: string): MemberPath {
  const names = text.split('/', maxMemberDepth + 1)
  const decoded = names.map(decodeName)
  if (names.length > maxMemberDepth || decoded.some(name => name === undefined || name === '')) {
    throw new LockstepError(
      'invalid-query',
      `${quote(text)} names no member. Write at most ${maxMemberDepth} names with slashes between them, as in "address/city".`,
    )
  }
  return decoded as string[]
}

export function formatMemberPath(path: MemberPath): string {
  return path.map(name => encodeURIComponent(name.toWellFormed())).join('/')
}

/** What stands there; `undefined` where nothing does. Only own members count, and what is in an array has no path. */
export function readMember(state: Json, path: MemberPath): Json | undefined {
  let value: Json | undefined = state
  for (const name of path) {
    if (!isJsonObject(value) || !Object.hasOwn(value, name)) return undefined
    value = value[name]
  }
  return value
}

/** A percent sign that begins no encoding of UTF-8 makes the name unreadable: `undefined`. */
export function decodeName(text: string): string | undefined {
  try {
    return decodeURIComponent(text)
  } catch {
    return undefined
  }
}
