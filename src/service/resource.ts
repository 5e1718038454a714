/**
 * Resources: what is declared once and then served, mirrored, validated and typed.
 *
 * A declaration names a collection's path and the JSON Schema of its representations. It does no I/O and knows
 * no store, so the same declaration may be used by several services. PROTOCOL.md §2 and §4.
 */
import { Compile, type XSchema, type XStatic } from 'typebox/schema'
import {
  encodeSegment,
  type Fault,
  formatPath,
  type JsonObject,
  LockstepError,
  quote,
} from '../contract/index.ts'
import { createTimeSortableId } from './id.ts'

export interface ResourceOptions<Schema extends XSchema> {
  /**
   * JSON Schema (2020-12) of a representation. `id` need not be declared: it is always a string.
   * Unknown members are kept unless the schema says `additionalProperties: false`.
   */
  readonly schema: Schema
  /** Makes the id of a created resource that brings none. @default 26 characters, sortable by time */
  readonly generateId?: () => string
  /** The largest body in bytes. @default 1_048_576 */
  readonly maxBodyBytes?: number
  /** Items per page of the list where the request does not say. @default 100 */
  readonly pageSize?: number
}

/** One collection at its place: `/people`, or `/people/johndoe/friends`. */
export interface Collection<State extends object> {
  readonly resource: Resource<State>
  /** The canonical path. */
  readonly path: string
}

/** A declared resource. `State` is the type of its representations, `id` included. */
export interface Resource<State extends object> {
  /** The collection's path template without the leading slash: `people`, `people/{person}/friends`. */
  readonly template: string
  /** The names of the collections on the way, joined by slashes: `people/friends`. What a request is routed by. */
  readonly route: string
  readonly schema: Readonly<JsonObject>
  readonly generateId: () => string
  readonly maxBodyBytes: number
  readonly pageSize: number
  /** The faults of a state, with a JSON Pointer each; `[]` where it fits the schema. */
  validate(state: JsonObject): readonly Fault[]
  /** The collection at its place: one id for each `{…}` of the template. Errors: `invalid-option`, `invalid-path`. */
  in(...parentIds: readonly string[]): Collection<State>
}

/** The type of a resource's representations: `type Person = StateOf<typeof people>`. */
export type StateOf<R> = R extends Resource<infer State> ? State : never

type WithId<State> = State extends object ? { id: string } & Omit<State, 'id'> : { id: string }
const faultLimit = 100

/**
 * Declares a resource. Nested collections name their parents' ids in braces: `people/{person}/friends`.
 * Errors: `invalid-option` for a template or schema that cannot be used.
 *
 *     const people = defineResource('people', {
 *       schema: { type: 'object', required: ['name'], properties: { name: { type: 'string' } } },
 *     })
 */
export function defineResource<const Schema extends XSchema>(
  template: string,
  options: ResourceOptions<Schema>,
): Resource<WithId<XStatic<Schema>>> {
  const names = parseTemplate(template)
  const schema = withIdDeclared(template, options.schema)
  const check = compileSchema(template, schema)
  const resource: Resource<WithId<XStatic<Schema>>> = {
    template,
    route: names.join('/'),
    schema,
    generateId: options.generateId ?? createTimeSortableId,
    maxBodyBytes: options.maxBodyBytes ?? 1_048_576,
    pageSize: options.pageSize ?? 100,
    validate: check,
    in(...parentIds) {
      if (parentIds.length !== names.length - 1) {
        throw new LockstepError(
          'invalid-option',
          `The resource ${quote(template)} needs ${names.length - 1} parent ids, not ${parentIds.length}: use resource.in(…) with one for each {…}.`,
        )
      }
      const segments = names.flatMap((name, index) => (index === 0 ? [name] : [parentIds[index - 1]!, name]))
      return { resource, path: formatPath(segments).path }
    },
  }
  return resource
}

/** `people/{person}/friends` → `['people', 'friends']`. */
function parseTemplate(template: string): string[] {
  const segments = template.split('/')
  const isUsable =
    segments.length % 2 === 1 &&
    segments.every((segment, index) =>
      index % 2 === 1
        ? /^\{[A-Za-z][A-Za-z0-9_]*\}$/.test(segment)
        : /^[A-Za-z0-9-][A-Za-z0-9_-]*$/.test(segment) && encodeSegment(segment) === segment,
    )
  if (!isUsable) {
    throw new LockstepError(
      'invalid-option',
      `The resource path ${quote(template)} cannot be used. Write collections of [A-Za-z0-9_-] with the parents' ids in braces, such as "people" or "people/{person}/friends".`,
    )
  }
  return segments.filter((_, index) => index % 2 === 0)
}

/** Without this, a schema with `additionalProperties: false` would refuse the `id` that every representation has. */
function withIdDeclared(template: string, schema: XSchema): JsonObject {
  if (typeof schema !== 'object' || schema === null || Array.isArray(schema)) {
    throw new LockstepError('invalid-option', `The schema of ${quote(template)} is not an object.`)
  }
  const declared = structuredClone(schema) as unknown as JsonObject
  const type = declared['type']
  if (type !== undefined && type !== 'object') {
    throw new LockstepError(
      'invalid-option',
      `The schema of ${quote(template)} has the type ${quote(type)}; a representation is an object.`,
    )
  }
  const properties = (declared['properties'] ?? {}) as JsonObject
  return { type: 'object', ...declared, properties: { id: { type: 'string' }, ...properties } }
}

function compileSchema(template: string, schema: JsonObject): (state: JsonObject) => readonly Fault[] {
  let validator: ReturnType<typeof Compile>
  try {
    validator = Compile(schema as unknown as XSchema)
  } catch (cause) {
    throw new LockstepError(
      'invalid-option',
      `The schema of ${quote(template)} cannot be compiled: ${String(cause)}`,
      { cause },
    )
  }
  return state => (validator.Check(state) ? [] : toFaults(validator.Errors(state)[1]))
}

type SchemaError = ReturnType<ReturnType<typeof Compile>['Errors']>[1][number]

/** The pointer names the member at fault itself, also where it is missing or should not be there. */
function toFaults(errors: readonly SchemaError[]): Fault[] {
  const faults: Fault[] = []
  for (const error of errors) {
    if (error.keyword === 'required') {
      for (const name of error.params.requiredProperties) {
        faults.push({ pointer: `${error.instancePath}/${escapePointer(name)}`, detail: 'is required' })
      }
    } else if (error.keyword === 'additionalProperties') {
      for (const name of error.params.additionalProperties) {
        faults.push({
          pointer: `${error.instancePath}/${escapePointer(name)}`,
          detail: 'is not a known member',
        })
      }
    } else if (error.keyword !== 'boolean') {
      faults.push({ pointer: error.instancePath, detail: error.message })
    }
    if (faults.length >= faultLimit) break
  }
  return faults.length > 0
    ? faults.slice(0, faultLimit)
    : [{ pointer: '', detail: 'does not fit the schema' }]
}

function escapePointer(name: string): string {
  return name.replaceAll('~', '~0').replaceAll('/', '~1')
}
