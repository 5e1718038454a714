/**
 * Faults in a JSON Schema that a validator would pass over in silence: `"type": "strnig"`, `"properties": []`,
 * `"requierd": […]`, a `$ref` to nothing.
 *
 * JSON Schema lets unknown keywords be, so only those that nearly are a known one count as misspelt.
 */
import { type Fault, isJsonObject, type Json } from 'lockstep/contract'
import { escapePointer, splitPointer } from './served-text.ts'
import { isNear, suggest } from './suggestion.ts'

const types = ['string', 'number', 'integer', 'boolean', 'object', 'array', 'null']

type Kind =
  | 'type'
  | 'schema'
  | 'schemas'
  | 'schema map'
  | 'text'
  | 'texts'
  | 'pattern'
  | 'number'
  | 'count'
  | 'boolean'
  | 'array'
  | 'object'
  | 'reference'
  | 'any'

const keywords: Readonly<Record<string, Kind>> = {
  type: 'type',
  enum: 'array',
  const: 'any',
  properties: 'schema map',
  patternProperties: 'schema map',
  dependentSchemas: 'schema map',
  $defs: 'schema map',
  definitions: 'schema map',
  additionalProperties: 'schema',
  unevaluatedProperties: 'schema',
  unevaluatedItems: 'schema',
  propertyNames: 'schema',
  items: 'schema',
  contains: 'schema',
  not: 'schema',
  if: 'schema',
  // biome-ignore lint/suspicious/noThenProperty: this is how the keyword of JSON Schema is called
  then: 'schema',
  else: 'schema',
  contentSchema: 'schema',
  prefixItems: 'schemas',
  allOf: 'schemas',
  anyOf: 'schemas',
  oneOf: 'schemas',
  required: 'texts',
  dependentRequired: 'object',
  pattern: 'pattern',
  format: 'text',
  multipleOf: 'number',
  minimum: 'number',
  maximum: 'number',
  exclusiveMinimum: 'number',
  exclusiveMaximum: 'number',
  minLength: 'count',
  maxLength: 'count',
  minItems: 'count',
  maxItems: 'count',
  minContains: 'count',
  maxContains: 'count',
  minProperties: 'count',
  maxProperties: 'count',
  uniqueItems: 'boolean',
  readOnly: 'boolean',
  writeOnly: 'boolean',
  deprecated: 'boolean',
  title: 'text',
  description: 'text',
  $comment: 'text',
  $schema: 'text',
  $id: 'text',
  $anchor: 'text',
  contentMediaType: 'text',
  contentEncoding: 'text',
  $ref: 'reference',
  default: 'any',
  examples: 'array',
}

/** What a keyword's value must be. Types, patterns and references have checks of their own. */
const kinds: Readonly<Partial<Record<Kind, readonly [isKind: (value: Json) => boolean, wanted: string]>>> = {
  schemas: [Array.isArray, 'an array of schemas'],
  'schema map': [isJsonObject, 'an object of schemas'],
  text: [value => typeof value === 'string', 'a text'],
  texts: [
    value => Array.isArray(value) && value.every(item => typeof item === 'string'),
    'an array of texts',
  ],
  number: [value => typeof value === 'number', 'a number'],
  count: [value => Number.isInteger(value) && (value as number) >= 0, 'a whole number from 0'],
  boolean: [value => typeof value === 'boolean', 'true or false'],
  array: [Array.isArray, 'an array'],
  object: [isJsonObject, 'an object'],
}

/** The faults of a schema; `pointer` is where it stands. */
export function findSchemaFaults(root: Json, pointer: string): Fault[] {
  const faults: Fault[] = []
  const visit = (schema: Json, at: string): void => {
    if (typeof schema === 'boolean') return
    if (!isJsonObject(schema)) {
      faults.push({ pointer: at, detail: 'must be a schema: an object, true or false' })
      return
    }
    for (const [name, value] of Object.entries(schema)) {
      const inside = `${at}/${escapePointer(name)}`
      const kind = Object.hasOwn(keywords, name) ? keywords[name]! : undefined
      if (kind === undefined) {
        if (isNear(name, Object.keys(keywords))) {
          faults.push({
            pointer: inside,
            detail: `is no keyword of JSON Schema${suggest(name, Object.keys(keywords))}`,
          })
        }
        continue
      }
      const detail = checkKeyword(kind, value, root)
      if (detail !== undefined) faults.push({ pointer: inside, detail })
      else if (kind === 'schema') visit(value, inside)
      else if (kind === 'schemas')
        for (const [index, inner] of (value as Json[]).entries()) visit(inner, `${inside}/${index}`)
      else if (kind === 'schema map' && isJsonObject(value)) {
        for (const [key, inner] of Object.entries(value)) visit(inner, `${inside}/${escapePointer(key)}`)
      }
    }
  }
  if (isJsonObject(root)) visit(root, pointer)
  else faults.push({ pointer, detail: 'must be a JSON Schema of an object, such as {"type": "object"}' })
  return faults
}

function checkKeyword(kind: Kind, value: Json, root: Json): string | undefined {
  if (kind === 'type') return checkType(value)
  if (kind === 'pattern') return checkPattern(value)
  if (kind === 'reference') return checkReference(value, root)
  const [isKind, wanted] = kinds[kind] ?? [() => true, '']
  return isKind(value) ? undefined : `must be ${wanted}`
}

function checkType(value: Json): string | undefined {
  const unknown = [value].flat().find(type => !types.includes(type as string))
  if (unknown === undefined) return undefined
  const hint = typeof unknown === 'string' ? suggest(unknown, types) : `; there are ${types.join(', ')}`
  return `is ${JSON.stringify(unknown)}, which is no type${hint}`
}

function checkPattern(value: Json): string | undefined {
  try {
    if (typeof value !== 'string') return 'must be a regular expression, as a text'
    new RegExp(value, 'u')
    return undefined
  } catch (error) {
    return `is no regular expression: ${(error as Error).message}`
  }
}

/** Only references within the schema: nothing is fetched. */
function checkReference(value: Json, root: Json): string | undefined {
  if (typeof value !== 'string' || !value.startsWith('#')) {
    return 'must point into this schema, such as "#/$defs/address"'
  }
  if (!value.startsWith('#/')) return undefined
  let target: Json | undefined = root
  for (const name of splitPointer(value)) {
    const holder = target as Readonly<Record<string, Json>>
    target = typeof holder === 'object' && Object.hasOwn(holder, name) ? holder[name] : undefined
    if (target === undefined || target === null)
      return `is ${JSON.stringify(value)}, which is not in this schema`
  }
  return undefined
}
