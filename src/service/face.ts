/**
 * The public face of a resource: which operations the public has on it, which members it sees, and of which resources.
 *
 * It is declared once, with the resource, and everything else follows from it: what requests may name and write, what lists,
 * feed and messages show. What is not declared public is internal. PROTOCOL.md §13.
 */
import { createHash } from 'node:crypto'
import {
  type Condition,
  checkOptions,
  type Fault,
  type Fields,
  formatCondition,
  formatFields,
  formatMemberPath,
  isJsonObject,
  isLockstepError,
  type Json,
  type JsonObject,
  LockstepError,
  listFields,
  parseCondition,
  parseFields,
  quote,
  setMember,
  type Texts,
  type Where,
} from '../contract/index.ts'
import type { Reference } from './reference.ts'
import { type CompiledSchema, compileSchema } from './schema.ts'
import { findMember, listNames, typesOf } from './schema-member.ts'

/** What may be declared public: `read` is a resource, lists, the feed and messages. */
export type PublicOperation = 'read' | 'create' | 'put' | 'patch' | 'remove'

export interface PublicOptions {
  /** What the public may do; `true`: everything, bulks of it too. @default ['read'] */
  readonly operations?: readonly PublicOperation[] | true
  /**
   * The members that the public sees and, as far as it may write, writes: member paths, `['name', 'address/city']`; the `id` is
   * always among them. `true`: all, also those that are added later. Where the public writes they are names, not paths.
   */
  readonly fields: readonly string[] | true
  /** The public has only the resources of which all of this holds, as in the query of a list: `{ status: 'published' }`. @default all */
  readonly where?: Readonly<Record<string, string | number | boolean>>
}

/** The public face of a resource, as it is declared and checked. */
export interface Face {
  readonly operations: ReadonlySet<PublicOperation>
  /** `undefined` for all members. */
  readonly fields: Fields | undefined
  readonly where: Where
  /** The same for the same declaration. */
  readonly rule: string
  /** Of what the public sees. */
  readonly schema: Readonly<JsonObject>
  readonly texts: Texts
  /** What the public may ask to embed. */
  readonly references: ReadonlyMap<string, Reference>
  validate(state: JsonObject): readonly Fault[]
}

/** What the face is made of. */
export interface FaceParts {
  readonly template: string
  /** As it was declared. */
  readonly declared: Json
  readonly compiled: CompiledSchema
  readonly languages: readonly string[]
  readonly references: ReadonlyMap<string, Reference>
}

export const publicOperations: readonly PublicOperation[] = ['read', 'create', 'put', 'patch', 'remove']
const maxConditions = 20

/** Errors: `invalid-option`. */
export function readFace(parts: FaceParts, options: PublicOptions): Face {
  const { template } = parts
  checkOptions(`public of ${quote(template)}`, options, { operations: true, fields: true, where: true })
  const operations = readOperations(template, options.operations ?? ['read'])
  const fields = readFields(parts, options.fields)
  const where = readWhere(parts, options.where ?? {})
  if (fields !== undefined) checkWritable(parts, operations, fields)
  const compiled = fields === undefined ? parts.compiled : compileNarrow(parts, fields)
  const references = [...parts.references].filter(
    ([, { path, target }]) =>
      typeof target === 'string' && (fields === undefined || findMember(compiled.schema, path).length > 0),
  )
  return {
    operations,
    fields,
    where,
    rule: ruleOf(fields, where),
    ...compiled,
    references: new Map(references),
  }
}

function compileNarrow(
  { template, declared, languages, compiled }: FaceParts,
  fields: Fields,
): CompiledSchema {
  const narrowed = narrowSchema(JSON.parse(JSON.stringify(declared)) as JsonObject, fields)
  const hasTexts = compiled.texts.places.some(path => hasField(fields, path))
  return compileSchema(template, narrowed, hasTexts ? languages : [])
}

function hasField(fields: Fields, [name, ...rest]: readonly string[]): boolean {
  const inner = fields.get(name!)
  return fields.has(name!) && (inner === undefined || hasField(inner, rest))
}

function refuse(template: string, reason: string): LockstepError {
  return new LockstepError('invalid-option', `public of ${quote(template)} cannot be used: ${reason}.`)
}

function readOperations(
  template: string,
  operations: NonNullable<PublicOptions['operations']>,
): ReadonlySet<PublicOperation> {
  if (operations === true) return new Set(publicOperations)
  const known = publicOperations.join(', ')
  if (!Array.isArray(operations) || operations.length === 0)
    throw refuse(template, `its operations are no list of ${known}, and not true`)
  const unknown = operations.find(name => !publicOperations.includes(name))
  if (unknown !== undefined)
    throw refuse(template, `there is no operation ${quote(unknown)}. Known: ${known}`)
  return new Set(operations)
}

function readFields(
  { template, compiled: { schema } }: FaceParts,
  paths: PublicOptions['fields'],
): Fields | undefined {
  if (paths === true) return undefined
  if (!Array.isArray(paths) || !paths.every(path => typeof path === 'string'))
    throw refuse(template, 'it needs fields: a list of member paths, such as ["name"], or true for all')
  // The id alone is a face too: that something is there.
  const fields = inWords(template, () => parseFields(['id', ...paths].join(',')))
  for (const path of listFields(fields)) checkKnown(template, schema, path)
  return fields
}

function readWhere(
  { template, compiled: { schema } }: FaceParts,
  where: NonNullable<PublicOptions['where']>,
): Where {
  const isMap = typeof where === 'object' && where !== null && !Array.isArray(where)
  if (!isMap) throw refuse(template, 'its where is no object, such as { status: "published" }')
  const conditions = Object.entries(where).map(([name, value]): Condition => {
    const condition = inWords(template, () => parseCondition(name, String(value)))
    checkKnown(template, schema, condition.path)
    return condition
  })
  if (conditions.length > maxConditions) throw refuse(template, `it has over ${maxConditions} conditions`)
  return conditions
}

function inWords<T>(template: string, read: () => T): T {
  try {
    return read()
  } catch (error) {
    if (isLockstepError(error)) throw refuse(template, error.message.replace(/\.$/, ''))
    throw error
  }
}

function checkKnown(template: string, schema: Readonly<JsonObject>, path: readonly string[]): void {
  if (findMember(schema, path).length > 0) return
  const names = listNames(schema, path.slice(0, -1)).join(', ')
  throw refuse(
    template,
    `the schema knows no member ${quote(formatMemberPath(path))}. Known there: ${names || 'none'}`,
  )
}

/** What the public writes is put into the place of what it sees, member by member: so these are whole, and enough. */
function checkWritable(
  { template, compiled: { schema } }: FaceParts,
  operations: ReadonlySet<PublicOperation>,
  fields: Fields,
): void {
  const creates = operations.has('create') || operations.has('put')
  if (!creates && !operations.has('patch')) return
  const partial = [...fields].find(([, inner]) => inner !== undefined)
  if (partial !== undefined)
    throw refuse(
      template,
      `the public writes it and sees only a part of ${quote(partial[0])}. Show it whole, or not at all`,
    )
  const required = Array.isArray(schema['required']) ? schema['required'] : []
  const missing = creates ? required.find(name => !fields.has(String(name))) : undefined
  if (missing !== undefined)
    throw refuse(
      template,
      `the public creates it and does not see ${quote(missing)}, which is required. Show it, or give it no "required"`,
    )
}

function ruleOf(fields: Fields | undefined, where: Where): string {
  const conditions = where.map(condition => formatCondition(condition)).sort()
  const text = JSON.stringify([fields === undefined ? true : formatFields(fields), conditions])
  return createHash('sha256').update(text).digest('hex').slice(0, 8)
}

/** The schema of what the fields leave: only these members, and nothing said of others. */
function narrowSchema(declared: JsonObject, fields: Fields): JsonObject {
  const narrowed = narrowMembers(declared, [], fields)
  const definitions: JsonObject = {}
  for (const keyword of ['$defs', 'definitions']) {
    const kept = keepReferred(declared, keyword, narrowed)
    if (Object.keys(kept).length > 0) definitions[keyword] = kept
  }
  return { ...narrowed, type: 'object', ...definitions }
}

function narrowMembers(declared: JsonObject, path: readonly string[], fields: Fields): JsonObject {
  const properties: JsonObject = {}
  for (const [name, inner] of fields) {
    const place = [...path, name]
    const found = findMember(declared, place)
    if (inner !== undefined) setMember(properties, name, narrowPart(declared, place, inner))
    else if (found.length > 0)
      setMember(properties, name, found.length === 1 ? found[0]! : { anyOf: [...found] })
  }
  const holders = path.length === 0 ? [declared] : findMember(declared, path)
  const [holder] = holders
  const required =
    holders.length === 1 && isJsonObject(holder) && Array.isArray(holder['required'])
      ? holder['required'].filter(name => fields.has(String(name)))
      : []
  const whole: JsonObject = { properties, additionalProperties: false }
  return required.length > 0 ? { ...whole, required } : whole
}

/** What stands at a path of which only a part is seen: an object, or an array of them. */
function narrowPart(declared: JsonObject, path: readonly string[], fields: Fields): JsonObject {
  const types = typesOf(declared, findMember(declared, path))
  const members = narrowMembers(declared, path, fields)
  if (types?.has('array') !== true) return { type: 'object', ...members }
  const items = { type: 'object', ...members }
  return types.has('object') ? { type: ['object', 'array'], ...members, items } : { type: 'array', items }
}

/** The definitions that are referred to, also by each other: the others may tell of what is hidden. */
function keepReferred(declared: JsonObject, keyword: string, from: JsonObject): JsonObject {
  const all = declared[keyword]
  const kept: JsonObject = {}
  if (!isJsonObject(all)) return kept
  const visit = (text: string): void => {
    for (const [, name] of text.matchAll(
      new RegExp(`"\\$ref":"#/[$]?${keyword.replace('$', '')}/([^"/]+)`, 'g'),
    )) {
      if (Object.hasOwn(kept, name!) || !Object.hasOwn(all, name!)) continue
      setMember(kept, name!, all[name!]!)
      visit(JSON.stringify(all[name!]))
    }
  }
  visit(JSON.stringify(from))
  return kept
}
