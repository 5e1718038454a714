/** What has to be done to components when they get other names, or when nothing refers to them any more. Pure. */
import { isJsonObject, type Json, type JsonObject } from '../../contract/index.ts'
import { listReferences, splitPointer } from './reference-walk.ts'

/**
 * A discriminator without a mapping says the names of schemas, which change when documents are joined: the mapping that it
 * means is written out.
 */
export function mapDiscriminators(components: JsonObject): JsonObject {
  const { schemas } = components
  if (!isJsonObject(schemas ?? null) || !JSON.stringify(schemas).includes('"discriminator"'))
    return components
  const children = new Map<string, string[]>()
  for (const [name, schema] of Object.entries(schemas as JsonObject)) {
    if (!isJsonObject(schema) || !Array.isArray(schema['allOf'])) continue
    for (const each of schema['allOf']) {
      const parent = isJsonObject(each) ? schemaName(each['$ref']) : undefined
      if (parent !== undefined) children.set(parent, [...(children.get(parent) ?? []), name])
    }
  }
  const mapped = Object.entries(schemas as JsonObject).map(([name, schema]) => [
    name,
    writeMapping(schema, children.get(name) ?? []),
  ])
  return { ...components, schemas: Object.fromEntries(mapped) as JsonObject }
}

function writeMapping(schema: Json, children: readonly string[]): Json {
  if (Array.isArray(schema)) return schema.map(each => writeMapping(each, []))
  if (!isJsonObject(schema)) return schema
  const result = Object.fromEntries(
    Object.entries(schema).map(([name, value]) => [
      name,
      name === 'example' || name === 'enum' ? value : writeMapping(value, []),
    ]),
  ) as JsonObject
  const { discriminator, oneOf, anyOf } = result
  if (
    !isJsonObject(discriminator ?? null) ||
    typeof (discriminator as JsonObject)['propertyName'] !== 'string'
  )
    return result
  const { mapping = {}, ...rest } = discriminator as JsonObject
  const known = new Set(
    Object.values(mapping as JsonObject).map(target =>
      typeof target === 'string' ? (schemaName(target) ?? target) : '',
    ),
  )
  const alternatives = [oneOf, anyOf].flatMap(list => (Array.isArray(list) ? list : []))
  const meant = [
    ...alternatives.map(each => (isJsonObject(each) ? schemaName(each['$ref']) : undefined)),
    ...children,
  ]
  const added = meant.filter(
    name => name !== undefined && !known.has(name) && !Object.hasOwn(mapping as JsonObject, name),
  ) as string[]
  if (added.length === 0) return result
  const written = Object.fromEntries(added.map(name => [name, `#/components/schemas/${name}`]))
  return { ...result, discriminator: { ...rest, mapping: { ...(mapping as JsonObject), ...written } } }
}

function schemaName(reference: Json | undefined): string | undefined {
  if (typeof reference !== 'string' || !reference.startsWith('#/components/schemas/')) return undefined
  return splitPointer(reference.slice(1))[2]
}

/** Leaves out the components that nothing that is left refers to. Security schemes stay. */
export function dropUnused(document: JsonObject): JsonObject {
  const { components = {}, ...rest } = document
  const all = components as JsonObject
  const used = new Set<string>()
  let open = [...listReferences(rest), ...listMappings(rest)]
  while (open.length > 0) {
    const next: string[] = []
    for (const reference of open) {
      const [top, kind, name] = splitPointer(reference.slice(1))
      const key = `${kind} ${name}`
      if (top !== 'components' || used.has(key)) continue
      used.add(key)
      const component = ((all[kind!] ?? {}) as JsonObject)[name!]
      if (component !== undefined) next.push(...listReferences(component), ...listMappings(component))
    }
    open = next
  }
  const kept = Object.entries(all).flatMap(([kind, members]) => {
    if (kind === 'securitySchemes' || !isJsonObject(members)) return [[kind, members] as const]
    const left = Object.entries(members).filter(([name]) => used.has(`${kind} ${name}`))
    return left.length === 0 ? [] : [[kind, Object.fromEntries(left)] as const]
  })
  return { ...rest, components: Object.fromEntries(kept) as JsonObject }
}

/** The schemas that discriminators name. */
function listMappings(value: Json): string[] {
  if (Array.isArray(value)) return value.flatMap(listMappings)
  if (!isJsonObject(value)) return []
  const { discriminator } = value
  const mapping = isJsonObject(discriminator ?? null) ? ((discriminator as JsonObject)['mapping'] ?? {}) : {}
  const own = Object.values(mapping as JsonObject).filter(
    target => typeof target === 'string' && target.startsWith('#/'),
  )
  return [...(own as string[]), ...Object.values(value).flatMap(listMappings)]
}
