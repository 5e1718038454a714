/**
 * Bodies to write, made from a schema or an example: each number gives another one, and a state can be changed into a
 * state that differs.
 *
 * It is no general generator: it fills what is required, prefers what the author gives as an example, and leaves it to the
 * schema to judge the result.
 */
import {
  applyMergePatch,
  isEqualJson,
  isJsonObject,
  type Json,
  type JsonObject,
  setMember,
} from '../contract/index.ts'
import { resolveReference, type Validate } from './schema.ts'

export interface Sampler {
  /** A body without an id. The same number gives the same one. */
  make(number: number): JsonObject
  /** A merge patch after which the state differs and still fits; `undefined` where none was found. */
  vary(state: JsonObject, number: number): JsonObject | undefined
}

export interface SamplerOptions {
  readonly schema?: JsonObject
  /** Bodies that the API takes, as its author gives them. */
  readonly examples?: readonly JsonObject[]
  /** Merge patches that the API takes. */
  readonly patches?: readonly JsonObject[]
  /** Where the references of the schema lead. */
  readonly document?: JsonObject
  readonly validate: Validate
}

const maxDepth = 8

export function createSampler(options: SamplerOptions): Sampler {
  const { schema = {}, examples = [], patches = [], document = {}, validate } = options
  const base = (number: number): JsonObject => {
    const given = examples[number % Math.max(1, examples.length)]
    const made = given ?? makeValue(document, schema, '', 0)
    const { id: _id, ...rest } = isJsonObject(made) ? made : {}
    return rest
  }
  const vary = (state: JsonObject, number: number): JsonObject | undefined => {
    const tried = [
      ...patches.map((_, index) => patches[(index + number) % patches.length]!),
      ...variations(document, schema, state, number),
    ]
    return tried.find(patch => {
      const after = applyMergePatch(state, patch) as JsonObject
      return !isEqualJson(after, state) && validate(after).length === 0
    })
  }
  return {
    make(number) {
      const body = base(number)
      const patch = number === 0 ? undefined : vary({ id: 'a', ...body }, number)
      return patch === undefined ? body : (applyMergePatch(body, patch) as JsonObject)
    },
    vary,
  }
}

/** Patches of one member each, the likeliest first. */
function* variations(
  document: JsonObject,
  schema: JsonObject,
  state: JsonObject,
  number: number,
): Generator<JsonObject> {
  const declared = resolveReference(document, schema)?.['properties']
  const properties = isJsonObject(declared) ? declared : {}
  const names = [...new Set([...Object.keys(properties), ...Object.keys(state)])].filter(
    name => name !== 'id',
  )
  const known = names.map(name => ({ name, schema: resolveReference(document, properties[name]) ?? {} }))
  for (const { name, schema: member } of known) {
    if (member['readOnly'] === true) continue
    for (const value of otherValues(member, state[name], number)) yield { [name]: value }
  }
  for (const { name, schema: member } of known) {
    const inner = state[name]
    if (member['readOnly'] === true || !isJsonObject(inner)) continue
    for (const patch of variations(document, member, inner, number)) yield { [name]: patch }
  }
  // Where anything goes, a member of our own does.
  if (names.length === 0) yield { check: number }
}

function otherValues(schema: JsonObject, now: Json | undefined, number: number): Json[] {
  const { enum: listed, minimum, type } = schema
  if (Array.isArray(listed)) return listed.map((_, index) => listed[(index + number) % listed.length]!)
  if (schema['const'] !== undefined) return []
  const least = typeof minimum === 'number' ? Math.ceil(minimum) : 1
  if (typeof now === 'string' || (now === undefined && [type].flat().includes('string'))) {
    const text = typeof now === 'string' ? now.replace(/ ?\d+$/, '') : 'a text'
    const domain = /^([^@\s]+)@(\S+)$/.exec(text)
    return domain === null ? [`${text} ${number}`, `v${number}`] : [`ann${number}@example.com`]
  }
  if (
    typeof now === 'number' ||
    (now === undefined && [type].flat().some(each => each === 'integer' || each === 'number'))
  )
    return [least + number, now === least ? least + 1 : least]
  if (typeof now === 'boolean') return [number % 2 === 0 ? now : !now, !now]
  return []
}

const formats: Readonly<Record<string, string>> = {
  email: 'ann@example.com',
  'date-time': '2026-01-31T12:00:00Z',
  date: '2026-01-31',
  time: '12:00:00Z',
  duration: 'P1D',
  uri: 'https://example.com/',
  'uri-reference': '/a',
  uuid: '3f2504e0-4f89-41d3-9a0c-0305e82c3301',
  hostname: 'example.com',
  ipv4: '192.0.2.1',
  ipv6: '2001:db8::1',
}

function makeValue(document: JsonObject, given: Json | undefined, name: string, depth: number): Json {
  const schema = resolveReference(document, given)
  if (schema === undefined || depth > maxDepth) return name === '' ? {} : `a ${name}`
  for (const list of [schema['examples'], schema['enum']])
    if (Array.isArray(list) && list.length > 0) return list[0]!
  for (const key of ['example', 'default', 'const']) if (schema[key] !== undefined) return schema[key]!
  for (const list of [schema['anyOf'], schema['oneOf']])
    if (Array.isArray(list) && schema['type'] === undefined)
      return makeValue(document, list[0], name, depth + 1)
  const [type] = [
    schema['type'] ?? (schema['properties'] ? 'object' : name === '' ? 'object' : 'string'),
  ].flat()
  if (type === 'object') return makeObject(document, schema, depth)
  if (type === 'array') {
    const least = Number(schema['minItems'] ?? 0)
    return Array.from({ length: Math.min(least, 20) }, () =>
      makeValue(document, schema['items'], name, depth + 1),
    )
  }
  if (type === 'integer' || type === 'number')
    return Number(schema['minimum'] ?? schema['exclusiveMinimum'] ?? 0) + 1
  if (type === 'boolean') return true
  if (type === 'null') return null
  const text = formats[String(schema['format'])] ?? `a ${name || 'text'}`
  return text.padEnd(Number(schema['minLength'] ?? 0), 'x').slice(0, Number(schema['maxLength'] ?? 1_000))
}

function makeObject(document: JsonObject, schema: JsonObject, depth: number): JsonObject {
  const result: JsonObject = {}
  const properties = isJsonObject(schema['properties']) ? schema['properties'] : {}
  const required = new Set(Array.isArray(schema['required']) ? schema['required'] : [])
  for (const [name, member] of Object.entries(properties)) {
    const resolved = resolveReference(document, member)
    if (resolved?.['readOnly'] === true || (depth > 1 && !required.has(name))) continue
    setMember(result, name, makeValue(document, member, name, depth + 1))
  }
  return result
}
