/**
 * Fields: the members that a client wants of a representation, `id,name,address/city`. Pure. PROTOCOL.md §10.
 */
import { LockstepError, quote } from './error.ts'
import { isJsonObject, type Json, type JsonObject, setMember } from './json.ts'
import { formatMemberPath, type MemberPath, parseMemberPath } from './member-path.ts'

/** By the name of a member: which of its own members, or `undefined` for the whole of it. */
export type Fields = ReadonlyMap<string, Fields | undefined>
type FieldMap = Map<string, FieldMap | undefined>

/** The most fields that one request may name. */
export const maxFields = 100

/** Reads `id,name,address/city`. The `id` is always among them. Errors: `invalid-query`. */
export function parseFields(text: string): Fields {
  const items = text.split(',', maxFields + 1)
  if (items.length > maxFields) {
    throw new LockstepError(
      'invalid-query',
      `fields=${quote(text)} names more than ${maxFields} members. Name fewer, or leave it out for all.`,
    )
  }
  const fields: FieldMap = new Map([['id', undefined]])
  for (const item of items) addPath(fields, parseMemberPath(item))
  return fields
}

/** The paths of the fields, in code unit order: the same text for the same fields. */
export function formatFields(fields: Fields): string {
  return listFields(fields).map(formatMemberPath).sort().join(',')
}

/** The path of each field. */
export function listFields(fields: Fields): readonly MemberPath[] {
  return [...fields].flatMap(([name, inner]) =>
    inner === undefined ? [[name]] : listFields(inner).map(path => [name, ...path]),
  )
}

/**
 * What is left of a state, its members in their order. A path into an array takes from each of its items; what is no
 * object has no members. The given state stays as it is.
 */
export function selectFields(state: JsonObject, fields: Fields): JsonObject {
  const result: JsonObject = {}
  for (const name of Object.keys(state)) {
    if (!fields.has(name)) continue
    const inner = fields.get(name)
    const value = inner === undefined ? state[name] : selectValue(state[name]!, inner)
    if (value !== undefined) setMember(result, name, value)
  }
  return result
}

function selectValue(value: Json, fields: Fields): Json | undefined {
  if (isJsonObject(value)) return selectFields(value, fields)
  if (!Array.isArray(value)) return undefined
  return value.map(item => selectValue(item, fields)).filter(item => item !== undefined)
}

/** A member that is wanted as a whole needs no parts of it. */
function addPath(fields: FieldMap, [name, ...rest]: MemberPath): void {
  if (rest.length === 0) {
    fields.set(name!, undefined)
    return
  }
  const inner = fields.has(name!) ? fields.get(name!) : new Map()
  if (inner === undefined) return
  fields.set(name!, inner)
  addPath(inner, rest)
}
