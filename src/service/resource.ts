/**
 * Resources: what is declared once and then served, mirrored, validated and typed.
 *
 * A declaration names a collection's path and the JSON Schema of its representations. It does no I/O and knows
 * no store, so the same declaration may be used by several services. PROTOCOL.md §2 and §4.
 */
import type { XSchema, XStatic } from 'typebox/schema'
import {
  checkOptions,
  describeValue,
  type Fault,
  formatPath,
  type Json,
  type JsonObject,
  LockstepError,
  maxSegmentBytes,
  maxSegments,
  quote,
  type Texts,
} from '../contract/index.ts'
import { type Face, type PublicOptions, readFace } from './face.ts'
import { createTimeSortableId } from './id.ts'
import { type Reference, type ReferenceOptions, readReferences } from './reference.ts'
import { compileSchema } from './schema.ts'
import type { StoredSchema } from './translatable.ts'

export interface ResourceOptions<
  Schema extends XSchema,
  Languages extends readonly string[] = readonly string[],
> {
  /**
   * JSON Schema (2020-12) of a representation. `id` need not be declared: it is always a string.
   * Unknown members are kept unless the schema says `additionalProperties: false`.
   */
  readonly schema: Schema
  /**
   * The languages of the texts that the schema marks with `translatable: true`, the default first: `['en', 'fr']`. Such
   * a text is a map, `{ en: '…', fr: '…' }`, in the store, in messages, and for whoever asks for no language.
   * @default []
   */
  readonly languages?: Languages
  /**
   * The members that hold ids of other resources, one or an array of them, and where these are: what `?embed=` may ask
   * for. `{ owner: 'people', members: 'https://users.example.com/users' }`. @default {}
   */
  readonly references?: ReferenceOptions
  /** Makes the id of a created resource that brings none. @default 26 characters, sortable by time */
  readonly generateId?: () => string
  /** The largest body in bytes. @default 1_048_576 */
  readonly maxBodyBytes?: number
  /** Items per page of the list where the request does not say, at most 1,000. @default 100 */
  readonly pageSize?: number
  /**
   * The most items that one request looks at for a filter, an order or a count, which no index answers. A filtered page
   * then goes on with the next request; an order or a count is refused. @default 50_000
   */
  readonly maxScannedItems?: number
  /**
   * Refuses requests that would change or delete what is there without If-Match or If-None-Match (428), so that
   * nobody overwrites what they have not seen. Writes in-process are not requests. @default false
   */
  readonly requirePreconditions?: boolean
  /**
   * What the public may do and see of it, through a gateway's public face: `{ operations: ['read'], fields: ['name'] }`.
   * @default nothing: it is internal
   */
  readonly public?: PublicOptions
}

/** One collection at its place: `/people`, or `/people/johndoe/friends`. */
export interface Collection<State extends object> {
  readonly resource: Resource<State>
  /** The canonical path. */
  readonly path: string
}

/** A declared resource. `State` is the type of its representations, `id` included. */
export interface Resource<State extends object, Template extends string = string> {
  /** The collection's path template without the leading slash: `people`, `people/{person}/friends`. */
  readonly template: Template
  /** The names of the collections on the way, joined by slashes: `people/friends`. What a request is routed by. */
  readonly route: string
  readonly schema: Readonly<JsonObject>
  readonly generateId: () => string
  readonly maxBodyBytes: number
  readonly pageSize: number
  readonly maxScannedItems: number
  readonly requirePreconditions: boolean
  /** What of it is public; `undefined` where nothing is. */
  readonly face: Face | undefined
  /** Of the resource as the public knows it: what requests may do. */
  readonly limits?: PublicLimits
  /** Which members are texts in several languages. */
  readonly texts: Texts
  /** By the name that `?embed=` asks for. */
  readonly references: ReadonlyMap<string, Reference>
  /** The faults of a state, with a JSON Pointer each; `[]` where it fits the schema. */
  validate(state: JsonObject): readonly Fault[]
  /** The collection at its place: one id for each `{…}` of the template. Errors: `invalid-option`, `invalid-path`. */
  in(...parentIds: readonly string[]): Collection<State>
}

export interface PublicLimits {
  /** The methods that are allowed on it. */
  readonly methods: ReadonlySet<string>
  /** Are there resources that the public does not see? Then it does not choose ids, or it would learn which are taken. */
  readonly hasConditions: boolean
}

/** The most items on one page of a list. */
export const maxPageSize = 1_000

/** The type of a resource's representations: `type Person = StateOf<typeof people>`. */
export type StateOf<R> = R extends Resource<infer State> ? State : never

/**
 * The type of an API that has these resources, for the `connect` of followers:
 * `type Api = ApiOf<[typeof shops, typeof orders]>` is `{ shops: Shop; 'shops/{shop}/orders': Order }`.
 */
export type ApiOf<Resources extends readonly Resource<object>[]> = {
  [R in Resources[number] as R['template']]: StateOf<R>
}

/** Without `id`; members that are declared and an index signature are both kept, each type of a union for itself. */
export type OmitId<State> = State extends object
  ? { [Name in keyof State as Name extends 'id' ? never : Name]: State[Name] }
  : unknown
type WithId<State> = State extends object ? { id: string } & OmitId<State> : { id: string }

/**
 * Declares a resource. Nested collections name their parents' ids in braces: `people/{person}/friends`.
 * Errors: `invalid-option` for a template or schema that cannot be used.
 *
 *     const people = defineResource('people', {
 *       schema: { type: 'object', required: ['name'], properties: { name: { type: 'string' } } },
 *     })
 */
export function defineResource<
  const Schema extends XSchema,
  const Template extends string,
  const Languages extends readonly string[] = readonly [],
>(
  template: Template,
  options: ResourceOptions<Schema, Languages>,
): Resource<WithId<XStatic<StoredSchema<Schema, Languages[number]>>>, Template> {
  const names = parseTemplate(template)
  checkOptions(`defineResource(${quote(template)}, …)`, options, {
    schema: true,
    languages: true,
    references: true,
    generateId: true,
    maxBodyBytes: true,
    pageSize: true,
    maxScannedItems: true,
    requirePreconditions: true,
    public: true,
  })
  const { maxBodyBytes = 1_048_576, pageSize = 100, generateId = createTimeSortableId } = options
  const { requirePreconditions = false, maxScannedItems = 50_000 } = options
  if (typeof requirePreconditions !== 'boolean') {
    throw new LockstepError(
      'invalid-option',
      `requirePreconditions of ${quote(template)} is ${quote(requirePreconditions)}. Give true or false.`,
    )
  }
  checkCount(template, 'maxBodyBytes', maxBodyBytes, 1_073_741_824)
  checkCount(template, 'pageSize', pageSize, maxPageSize)
  checkCount(template, 'maxScannedItems', maxScannedItems, 1_000_000_000)
  if (options.schema === undefined) {
    throw new LockstepError(
      'invalid-option',
      `The schema of ${quote(template)} is missing. Give one; { type: 'object' } takes any object.`,
    )
  }
  const compiled = compileSchema(template, options.schema, options.languages)
  const { schema, texts, validate } = compiled
  const references = readReferences(template, schema, options.references ?? {})
  const resource: Resource<WithId<XStatic<StoredSchema<Schema, Languages[number]>>>, Template> = {
    template,
    route: names.join('/'),
    schema,
    generateId,
    maxBodyBytes,
    pageSize,
    maxScannedItems,
    requirePreconditions,
    texts,
    references,
    face:
      options.public === undefined
        ? undefined
        : readFace(
            {
              template,
              declared: options.schema as Json,
              compiled,
              languages: options.languages ?? [],
              references,
            },
            options.public,
          ),
    validate,
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
  if (typeof template !== 'string') {
    throw new LockstepError(
      'invalid-option',
      `The path of a resource is ${describeValue(template)}. Give a text, such as "people".`,
    )
  }
  const segments = template.split('/')
  const isUsable =
    segments.length % 2 === 1 &&
    segments.length < maxSegments &&
    segments.every((segment, index) =>
      index % 2 === 1
        ? /^\{[A-Za-z][A-Za-z0-9_]*\}$/.test(segment)
        : /^[A-Za-z0-9-][A-Za-z0-9_-]*$/.test(segment) && segment.length <= maxSegmentBytes,
    )
  if (!isUsable) {
    throw new LockstepError(
      'invalid-option',
      `The resource path ${quote(template)} cannot be used. Write collections of [A-Za-z0-9_-] with the parents' ids in braces, such as "people" or "people/{person}/friends".`,
    )
  }
  if (segments[0] === 'lockstep') {
    throw new LockstepError(
      'invalid-option',
      'A collection cannot be named "lockstep": its topics would be those of the heads. Choose another name.',
    )
  }
  return segments.filter((_, index) => index % 2 === 0)
}

function checkCount(template: string, name: string, value: number, max: number): void {
  if (Number.isSafeInteger(value) && value > 0 && value <= max) return
  throw new LockstepError(
    'invalid-option',
    `${name} of ${quote(template)} is ${quote(value)}. Give a whole number from 1 to ${max}.`,
  )
}
