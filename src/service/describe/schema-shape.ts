/**
 * The schemas of what travels, made of the one that a resource declares: the state, what creates one, what is shown of it
 * in part or in one language, and the patches of it.
 *
 * What is shown in part needs a looser schema, since members may be missing everywhere; whatever could then not hold is
 * left out, never guessed. Pure.
 */
import { isJsonObject, type Json, type JsonObject, setMember } from '../../contract/index.ts'

/** `state` is stored and published, `input` creates, `view` is shown by `fields`, `lang` and `embed`, `patch` changes. */
export type Shape = 'state' | 'input' | 'view' | 'patch'

/** Values that are data, whatever they look like. */
const data = new Set(['const', 'enum', 'default', 'examples', 'example', 'required', 'dependentRequired'])
const schemaMaps = new Set(['properties', 'patternProperties', '$defs', 'definitions', 'dependentSchemas'])
/** What may not hold any more where members are missing. */
const tooStrict = new Set([
  'required',
  'minProperties',
  'maxProperties',
  'dependentRequired',
  'dependentSchemas',
  'if',
  'then',
  'else',
  'not',
  'contains',
  'minContains',
  'maxContains',
  'minItems',
  'maxItems',
  'uniqueItems',
  'prefixItems',
  'unevaluatedProperties',
  'unevaluatedItems',
])

/**
 * Shapes a resource's schema as the component of this name. What it defines for itself becomes components too
 * (`People.address`), since not every kind of document has a place for it inside.
 */
export function shapeSchema(schema: Readonly<JsonObject>, component: string, shape: Shape): JsonObject {
  const anchors = findAnchors(schema, '')
  const own = typeof schema['$id'] === 'string' ? schema['$id'] : undefined
  const point = (reference: string): string => pointInto(reference, component, anchors, own)
  const { $defs = {}, definitions = {}, ...rest } = schema
  const rewriting: Rewriting = { shape, point, isBranch: false }
  const components: JsonObject = {}
  for (const [name, defined] of Object.entries({ ...(definitions as JsonObject), ...($defs as JsonObject) }))
    components[definedName(component, name)] = rewrite(defined, rewriting)
  const rewritten = rewrite(rest, rewriting) as JsonObject
  const required = requiredOf(rewritten).filter(name => name !== 'id')
  if (shape === 'input') return { [component]: { ...rewritten, required }, ...components }
  if (shape === 'patch') return { [component]: rewritten, ...components }
  return { [component]: { ...rewritten, required: ['id', ...required] }, ...components }
}

/** A component's name holds letters, digits and `.-_` only. */
function definedName(component: string, name: string): string {
  return `${component}.${name.replaceAll(/[^A-Za-z0-9_-]/g, '_')}`
}

interface Rewriting {
  readonly shape: Shape
  readonly point: (reference: string) => string
  /** Is it one of several schemas of the same value? */
  readonly isBranch: boolean
}

function rewrite(schema: Json, rewriting: Rewriting): Json {
  if (Array.isArray(schema)) return schema.map(each => rewrite(each, rewriting))
  if (!isJsonObject(schema)) return schema
  const { shape, isBranch } = rewriting
  const isLoose = shape === 'view' || shape === 'patch'
  const result: JsonObject = {}
  for (const [name, value] of Object.entries(schema)) {
    if (name === '$schema' || name === '$anchor' || name === '$id' || name === 'public') continue
    if (isLoose && (tooStrict.has(name) || isStrict(schema, name, value, isBranch))) continue
    if (name === 'translatable') setMember(result, 'x-lockstep-translatable', value)
    else if (name === '$ref' || name === '$dynamicRef')
      setMember(result, '$ref', typeof value === 'string' ? rewriting.point(value) : value)
    else if (isLoose && name === 'oneOf')
      setMember(result, 'anyOf', rewrite(value, { ...rewriting, isBranch: true }))
    else setMember(result, name, data.has(name) ? value : rewriteKeyword(name, value, rewriting))
  }
  return schema['translatable'] === true && shape !== 'state' ? orPlainText(result) : result
}

function rewriteKeyword(name: string, value: Json, rewriting: Rewriting): Json {
  const isBranch = name === 'anyOf' || name === 'allOf'
  const inner = { ...rewriting, isBranch }
  const isNullable = rewriting.shape === 'patch' && (name === 'properties' || name === 'patternProperties')
  const shapeOne = (schema: Json): Json => {
    const shaped = rewrite(schema, inner)
    return isNullable && shaped !== false && shaped !== true ? orNull(shaped) : shaped
  }
  if (schemaMaps.has(name) && isJsonObject(value)) {
    const result: JsonObject = {}
    for (const [key, schema] of Object.entries(value)) setMember(result, key, shapeOne(schema))
    return result
  }
  if (name === 'additionalProperties' && rewriting.shape === 'patch' && isJsonObject(value))
    return orNull(rewrite(value, inner))
  return rewrite(value, inner)
}

/** A closed object among several schemas, a value that is an object, and the items behind others. */
function isStrict(schema: JsonObject, name: string, value: Json, isBranch: boolean): boolean {
  if (name === 'additionalProperties')
    return value === false && (isBranch || ['anyOf', 'oneOf', 'allOf', '$ref'].some(each => each in schema))
  if (name === 'items') return 'prefixItems' in schema
  if (name === 'enum')
    return Array.isArray(value) && value.some(each => typeof each === 'object' && each !== null)
  return name === 'const' && typeof value === 'object' && value !== null
}

function orNull(schema: Json): Json {
  if (
    isJsonObject(schema) &&
    typeof schema['type'] === 'string' &&
    !('enum' in schema) &&
    !('const' in schema)
  )
    return schema['type'] === 'null' ? schema : { ...schema, type: [schema['type'], 'null'] }
  return { anyOf: [schema, { type: 'null' }] }
}

/** A text is the map of its languages, or, where one is asked for, the text in it. */
function orPlainText(map: JsonObject): JsonObject {
  const { title, description, ...rest } = map
  const [first = { type: 'string' }] = Object.values((rest['properties'] ?? {}) as JsonObject)
  const notes = Object.entries({ title, description }).filter(([, value]) => value !== undefined)
  return { ...(Object.fromEntries(notes) as JsonObject), anyOf: [rest, first] }
}

function requiredOf(schema: JsonObject): string[] {
  const { required } = schema
  return Array.isArray(required) ? required.filter(name => typeof name === 'string') : []
}

/** A reference inside a resource's schema begins at the schema; in a document it begins at the document. */
function pointInto(
  reference: string,
  component: string,
  anchors: ReadonlyMap<string, string>,
  own: string | undefined,
): string {
  const [base = '', fragment = ''] = reference.split('#', 2)
  if (base !== '' && base !== own) return reference
  const pointer = fragment === '' || fragment.startsWith('/') ? fragment : (anchors.get(fragment) ?? '')
  const [, defined, rest = ''] = /^\/(?:\$defs|definitions)\/([^/]+)(\/.*)?$/.exec(pointer) ?? []
  if (defined === undefined) return `#/components/schemas/${component}${pointer}`
  const name = defined.replaceAll('~1', '/').replaceAll('~0', '~')
  return `#/components/schemas/${definedName(component, name)}${rest}`
}

function findAnchors(value: Json | Readonly<JsonObject>, pointer: string): Map<string, string> {
  const found = new Map<string, string>()
  if (Array.isArray(value)) {
    for (const [index, each] of value.entries())
      for (const entry of findAnchors(each, `${pointer}/${index}`)) found.set(...entry)
  } else if (isJsonObject(value as Json)) {
    const object = value as JsonObject
    for (const name of ['$anchor', '$dynamicAnchor']) {
      const anchor = object[name]
      if (typeof anchor === 'string') found.set(anchor, pointer)
    }
    for (const [name, each] of Object.entries(object)) {
      const escaped = name.replaceAll('~', '~0').replaceAll('/', '~1')
      for (const entry of findAnchors(each, `${pointer}/${escaped}`)) found.set(...entry)
    }
  }
  return found
}
