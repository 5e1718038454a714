/**
 * Which members a schema knows: what fields, filters and orders of a request may name.
 *
 * Members that are declared are known. Where none are declared, or the schema says of the others what they are
 * (`additionalProperties: true`, or a schema), any name is. A misspelt name is then refused wherever it can be told.
 */
import { isJsonObject, type Json, type JsonObject, type MemberPath } from '../contract/index.ts'

/** The schemas that what stands at the path may have; `[]` where nothing can stand there. `true` is any value. */
export function findMember(root: Readonly<JsonObject>, path: MemberPath): readonly Json[] {
  let schemas: readonly Json[] = [root]
  for (const name of path) schemas = findNamed(root, schemas, name)
  return schemas
}

/** The schemas of the items, where the schemas are those of arrays. */
export function findItems(root: Readonly<JsonObject>, schemas: readonly Json[]): readonly Json[] {
  return listAlternatives(root, schemas, false).flatMap(({ items, prefixItems = [] }) => [
    ...(items === undefined ? [] : [items]),
    ...(prefixItems as Json[]),
  ])
}

/** The types that the schemas allow, `number` for integers too; `undefined` where any may be. */
export function typesOf(
  root: Readonly<JsonObject>,
  schemas: readonly Json[],
): ReadonlySet<string> | undefined {
  const types = new Set<string>()
  for (const schema of schemas) {
    const known = listAlternatives(root, [schema], false).flatMap(listTypes)
    if (known.length === 0) return undefined
    for (const type of known) types.add(type === 'integer' ? 'number' : type)
  }
  return types
}

/** The names that may be given here, for an error's text. */
export function listNames(root: Readonly<JsonObject>, path: MemberPath): readonly string[] {
  const alternatives = listAlternatives(root, findMember(root, path))
  return [...new Set(alternatives.flatMap(({ properties }) => Object.keys(membersOf(properties))))]
}

function findNamed(root: Readonly<JsonObject>, schemas: readonly Json[], name: string): readonly Json[] {
  const objects = listAlternatives(root, schemas).filter(({ type = 'object' }) =>
    [type].flat().includes('object'),
  )
  const found = objects.flatMap(({ properties, patternProperties, additionalProperties }): Json[] => {
    const declared = membersOf(properties)
    if (Object.hasOwn(declared, name)) return [declared[name]!]
    // Whether the name fits a pattern is not looked at: what one may write there comes from outside.
    const others = Object.values(membersOf(patternProperties))
    return additionalProperties === undefined ? others : [...others, additionalProperties]
  })
  if (found.length > 0) return found.filter(schema => schema !== false)
  const isOpen = objects.every(schema => {
    const names = Object.keys({
      ...membersOf(schema['properties']),
      ...membersOf(schema['patternProperties']),
    })
    return names.every(other => other === 'id' && schema === root)
  })
  return objects.length > 0 && isOpen ? [true] : []
}

/** The schemas, all that they refer to or are composed of, and the items of arrays. One that allows anything is `{}`. */
function listAlternatives(
  root: Readonly<JsonObject>,
  schemas: readonly Json[],
  withItems = true,
): readonly JsonObject[] {
  const seen = new Set<JsonObject>()
  const visit = (schema: Json | undefined): void => {
    if (schema === true) seen.add({})
    if (Array.isArray(schema)) for (const each of schema) visit(each)
    if (!isJsonObject(schema) || seen.has(schema)) return
    seen.add(schema)
    if (typeof schema['$ref'] === 'string') visit(resolve(root, schema['$ref']))
    for (const keyword of ['allOf', 'anyOf', 'oneOf', 'then', 'else']) visit(schema[keyword])
    if (withItems) for (const keyword of ['items', 'prefixItems']) visit(schema[keyword])
  }
  for (const schema of schemas) visit(schema)
  return [...seen]
}

/** Only pointers into the schema itself; another reference may be anything. */
function resolve(root: Readonly<JsonObject>, reference: string): Json {
  if (!reference.startsWith('#')) return true
  let value: Json | undefined = root
  for (const part of reference.slice(1).split('/').slice(1)) {
    const name = decodeURIComponent(part).replaceAll('~1', '/').replaceAll('~0', '~')
    if (!isJsonObject(value) && !Array.isArray(value)) return true
    value = Object.hasOwn(value, name) ? (value as JsonObject)[name] : true
  }
  return value ?? true
}

function membersOf(map: Json | undefined): JsonObject {
  return isJsonObject(map) ? map : {}
}

function listTypes({ type, enum: values, const: value }: JsonObject): string[] {
  if (type !== undefined) return [type].flat() as string[]
  const examples = Array.isArray(values) ? values : value === undefined ? [] : [value]
  return examples.map(each => (each === null ? 'null' : Array.isArray(each) ? 'array' : typeof each))
}
