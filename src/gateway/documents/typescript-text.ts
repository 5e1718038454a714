/** TypeScript types of JSON Schemas, as text: erasable, without imports. */
import { isJsonObject, type Json, type JsonObject } from '../../contract/index.ts'
import { objectOf } from './site.ts'

/** Gives each component a name that TypeScript takes. */
export type TypeNames = ReadonlyMap<string, string>

export function nameTypes(names: readonly string[]): TypeNames {
  const taken = new Set<string>(['Api', 'Apis', 'Operations', 'Messages', 'Client'])
  return new Map(
    names.map(name => {
      const words = name.split(/[^A-Za-z0-9]+/).filter(Boolean)
      const plain = words.map(word => word.charAt(0).toUpperCase() + word.slice(1)).join('')
      const base = /^[A-Za-z]/.test(plain) ? plain : `Type${plain}`
      let chosen = base
      for (let count = 2; taken.has(chosen); count++) chosen = `${base}${count}`
      taken.add(chosen)
      return [name, chosen]
    }),
  )
}

/** The type of a schema. */
export function formatType(schema: Json | undefined, names: TypeNames, indent = ''): string {
  if (schema === undefined || schema === true) return 'unknown'
  if (!isJsonObject(schema)) return 'never'
  const { $ref, const: value, enum: values, type, oneOf, anyOf, allOf } = schema
  if (typeof $ref === 'string') return formatReference($ref, names)
  if (value !== undefined) return formatLiteral(value)
  if (Array.isArray(values)) return union(values.map(formatLiteral))
  const parts: string[] = []
  if (Array.isArray(allOf)) parts.push(...allOf.map(each => formatType(each, names, indent)))
  const own = Array.isArray(type)
    ? union(type.map(each => formatPlain(String(each), schema, names, indent)))
    : formatOwn(schema, names, indent)
  // What an object has besides its alternatives; a condition without members says nothing to a type.
  if (own !== 'unknown') parts.push(own)
  for (const list of [oneOf, anyOf]) {
    if (!Array.isArray(list)) continue
    const alternatives = list.map(each => formatType(each, names, indent)).filter(each => each !== 'unknown')
    if (alternatives.length === list.length && list.length > 0) parts.push(union(alternatives))
  }
  const distinct = [...new Set(parts)]
  if (distinct.length === 0) return 'unknown'
  return distinct.length === 1
    ? distinct[0]!
    : distinct.map(part => (part.includes(' | ') ? `(${part})` : part)).join(' & ')
}

function formatOwn(schema: JsonObject, names: TypeNames, indent: string): string {
  const { type, properties, items } = schema
  if (typeof type === 'string') return formatPlain(type, schema, names, indent)
  if (properties !== undefined) return formatPlain('object', schema, names, indent)
  return items === undefined ? 'unknown' : formatPlain('array', schema, names, indent)
}

function formatPlain(type: string, schema: JsonObject, names: TypeNames, indent: string): string {
  switch (type) {
    case 'string':
    case 'boolean':
    case 'null':
      return type
    case 'integer':
    case 'number':
      return 'number'
    case 'array':
      return `readonly (${formatType(schema['items'], names, indent)})[]`
    case 'object':
      return formatObject(schema, names, indent)
    default:
      return 'unknown'
  }
}

function formatObject(schema: JsonObject, names: TypeNames, indent: string): string {
  const properties = Object.entries(objectOf(schema['properties']))
  const required = new Set(Array.isArray(schema['required']) ? schema['required'] : [])
  const { additionalProperties } = schema
  if (properties.length === 0) {
    if (additionalProperties === false) return 'Record<string, never>'
    return `{ readonly [name: string]: ${formatType(additionalProperties, names, indent)} }`
  }
  const inner = `${indent}  `
  const members = properties.map(([name, member]) => {
    const mark = required.has(name) ? '' : '?'
    return `${formatComment(objectOf(member)['description'], inner)}${inner}readonly ${formatName(name)}${mark}: ${formatType(member, names, inner)}`
  })
  return `{\n${members.join('\n')}\n${indent}}`
}

export function formatComment(text: Json | undefined, indent = ''): string {
  if (typeof text !== 'string' || text.trim() === '') return ''
  const line = text.replaceAll('*/', '*\\/').replaceAll(/\s+/g, ' ').trim()
  return `${indent}/** ${line.length > 300 ? `${line.slice(0, 300)} …` : line} */\n`
}

export function formatName(name: string): string {
  return /^[A-Za-z_$][\w$]*$/.test(name) ? name : JSON.stringify(name)
}

function formatReference(reference: string, names: TypeNames): string {
  const [, name] = /^#\/components\/schemas\/([^/]+)$/.exec(reference) ?? []
  return (name !== undefined && names.get(name.replaceAll('~1', '/').replaceAll('~0', '~'))) || 'unknown'
}

function formatLiteral(value: Json): string {
  return typeof value === 'object' && value !== null ? 'unknown' : JSON.stringify(value)
}

function union(types: readonly string[]): string {
  const distinct = [...new Set(types)]
  return distinct.length === 0 ? 'never' : distinct.join(' | ')
}
