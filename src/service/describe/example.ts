/** Examples of a resource's states: what its author gives, else values made from the schema. What does not fit is not shown. */
import { isJsonObject, type Json, type JsonObject, setMember } from '../../contract/index.ts'
import type { Resource } from '../resource.ts'

const formats: Readonly<Record<string, string>> = {
  email: 'ann@example.com',
  'idn-email': 'ann@example.com',
  'date-time': '2026-01-31T12:00:00Z',
  date: '2026-01-31',
  time: '12:00:00Z',
  duration: 'P1D',
  uri: 'https://example.com/',
  'uri-reference': '/a',
  iri: 'https://example.com/',
  uuid: '3f2504e0-4f89-41d3-9a0c-0305e82c3301',
  hostname: 'example.com',
  ipv4: '192.0.2.1',
  ipv6: '2001:db8::1',
}
const maxDepth = 12
/** How deep members are shown that may be missing. */
const maxOptionalDepth = 2

/** A state that fits the schema; `undefined` where none is found. */
export function makeState({ schema, template, validate }: Resource<object>): JsonObject | undefined {
  const id = `${template.split('/').at(-1)}-1`
  const given = Array.isArray(schema['examples']) ? schema['examples'] : []
  for (const candidate of [...given, makeValue(schema, schema, '', 0)]) {
    if (!isJsonObject(candidate)) continue
    const { id: own = id, ...rest } = candidate
    for (const state of [
      { id: own, ...rest },
      { id, ...rest },
    ])
      if (typeof state.id === 'string' && !state.id.startsWith('_') && validate(state).length === 0)
        return state
  }
  return undefined
}

function makeValue(
  root: Readonly<JsonObject>,
  given: Json | Readonly<JsonObject>,
  name: string,
  depth: number,
): Json {
  if (!isJsonObject(given as Json) || depth > maxDepth) return name === '' ? {} : `a ${name}`
  const schema = resolve(root, given as JsonObject)
  const { examples, enum: values, anyOf, oneOf, allOf } = schema
  for (const list of [examples, values]) if (Array.isArray(list) && list.length > 0) return list[0]!
  for (const key of ['example', 'default', 'const']) if (Object.hasOwn(schema, key)) return schema[key]!
  for (const list of [anyOf, oneOf])
    if (Array.isArray(list) && list.length > 0 && schema['type'] === undefined)
      return makeValue(root, list[0]!, name, depth + 1)
  const type = [schema['type'] ?? (schema['properties'] ? 'object' : 'string')].flat()[0]
  if (type === 'object' || allOf !== undefined) return makeObject(root, schema, depth)
  if (type === 'array') return makeArray(root, schema, name, depth)
  if (type === 'integer' || type === 'number') return makeNumber(schema)
  if (type === 'boolean') return true
  if (type === 'null') return null
  return makeText(schema, name)
}

function makeObject(root: Readonly<JsonObject>, schema: JsonObject, depth: number): JsonObject {
  const parts = [schema, ...(Array.isArray(schema['allOf']) ? schema['allOf'] : [])]
  const result: JsonObject = {}
  for (const part of parts) {
    if (!isJsonObject(part)) continue
    const { properties, required = [] } = resolve(root, part)
    if (!isJsonObject(properties ?? null)) continue
    // What may be left out is, further down: a type that holds itself would never end.
    for (const [key, each] of Object.entries(properties as JsonObject))
      if (each !== false && (depth < maxOptionalDepth || (required as Json[]).includes(key)))
        setMember(result, key, makeValue(root, each, key, depth + 1))
  }
  return result
}

function makeArray(root: Readonly<JsonObject>, schema: JsonObject, name: string, depth: number): Json[] {
  if (schema['items'] === undefined) return []
  const count = Math.min(5, typeof schema['minItems'] === 'number' ? Math.max(1, schema['minItems']) : 1)
  return Array.from({ length: count }, () =>
    makeValue(root, schema['items']!, name.replace(/s$/, ''), depth + 1),
  )
}

function makeNumber({ minimum, exclusiveMinimum, maximum, multipleOf }: JsonObject): number {
  const step = typeof multipleOf === 'number' ? multipleOf : 1
  if (typeof exclusiveMinimum === 'number') return exclusiveMinimum + step
  if (typeof minimum === 'number') return Math.ceil(minimum / step) * step
  return typeof maximum === 'number' && maximum < step ? maximum : step
}

function makeText({ format, minLength, maxLength }: JsonObject, name: string): string {
  const known = typeof format === 'string' ? formats[format] : undefined
  if (known !== undefined) return known
  const text = (name === '' ? 'text' : `a ${name}`).padEnd(typeof minLength === 'number' ? minLength : 0, '.')
  return typeof maxLength === 'number' ? text.slice(0, maxLength) : text
}

function resolve(root: Readonly<JsonObject>, schema: JsonObject): JsonObject {
  const { $ref } = schema
  if (typeof $ref !== 'string' || !$ref.startsWith('#/')) return schema
  let value: Json | undefined = root as JsonObject
  for (const part of $ref.slice(2).split('/')) {
    const key = part.replaceAll('~1', '/').replaceAll('~0', '~')
    value =
      isJsonObject(value ?? null) && Object.hasOwn(value as JsonObject, key)
        ? (value as JsonObject)[key]
        : undefined
  }
  return isJsonObject(value ?? null) ? (value as JsonObject) : schema
}

/** A change of one member, for a state that is an example; `undefined` where no member can be told to be free. */
export function makePatch(resource: Resource<object>, state: JsonObject | undefined): JsonObject | undefined {
  if (state === undefined) return undefined
  for (const [name, value] of Object.entries(state)) {
    if (name === 'id' || typeof value !== 'string') continue
    for (const other of [value.replace(/^a /, 'another '), `${value.slice(0, -1)}x`]) {
      if (other !== value && resource.validate({ ...state, [name]: other }).length === 0)
        return { [name]: other }
    }
  }
  const [name] = Object.keys(state).filter(each => each !== 'id')
  return name === undefined ? undefined : { [name]: state[name]! }
}
