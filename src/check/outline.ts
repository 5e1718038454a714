/**
 * What is judged: the collections of an API, what one may do there, and what to write.
 *
 * Read from an OpenAPI document or from a short file of resources; the messages' schemas come from an AsyncAPI document.
 */
import type { JsonObject } from '../contract/index.ts'
import type { Sampler } from './sample.ts'
import type { Validate } from './schema.ts'

/** What a service may leave out. PROTOCOL.md says of each that it MAY. */
export const features = [
  'put',
  'idempotency',
  'json-patch',
  'bulk',
  'event-stream',
  'compact',
  'health',
] as const
export type Feature = (typeof features)[number]

export type Write = 'POST' | 'PUT' | 'PATCH' | 'DELETE'

export interface Collection {
  /** `/people`, `/people/{person}/notes`. */
  readonly template: string
  readonly parent?: Collection
  readonly methods: ReadonlySet<Write>
  readonly sampler: Sampler
  /** Of the whole state, where it is known. */
  readonly validate?: Validate
}

export interface Outline {
  /** Parents before what is nested in them. */
  readonly collections: readonly Collection[]
  /** What the API says it has. Besides, each is tried. */
  readonly declared: ReadonlySet<Feature>
  /** As documents or the file say; else it is taken from the answers. */
  readonly topicPrefix?: string
  /** Where all of this comes from, for people. */
  readonly source: string
}

/** Gives the payload schemas of a topic: by AsyncAPI channels. */
export interface MessageSchemas {
  /** The faults of a message on a topic; `undefined` where no channel has this topic. */
  judge(topic: string, message: JsonObject): readonly string[] | undefined
}

/** Is a path one of collections and ids in turn, and a collection at its end? */
export function isCollectionTemplate(path: string): boolean {
  const segments = path.split('/').slice(1)
  return (
    path.startsWith('/') &&
    segments.length % 2 === 1 &&
    segments.every((segment, index) =>
      index % 2 === 0 ? /^[A-Za-z0-9][\w%-]*$/.test(segment) : /^\{[^{}]+\}$/.test(segment),
    )
  )
}

/** The template of the collection that a nested one lies in: of `/people/{person}/notes` it is `/people`. */
export function parentTemplate(template: string): string | undefined {
  const segments = template.split('/')
  return segments.length <= 3 ? undefined : segments.slice(0, -2).join('/')
}

/** Puts parents in their places. `make` gives each collection, with its parent. Templates whose parents are missing are left out. */
export function linkCollections(
  templates: readonly string[],
  make: (template: string, parent: Collection | undefined) => Collection,
): Collection[] {
  const made = new Map<string, Collection>()
  const byDepth = [...templates].sort((a, b) => a.split('/').length - b.split('/').length)
  for (const template of byDepth) {
    const above = parentTemplate(template)
    const parent =
      above === undefined ? undefined : [...made.values()].find(({ template: other }) => isSame(other, above))
    if (above === undefined || parent !== undefined) made.set(template, make(template, parent))
  }
  return [...made.values()]
}

/** Are they the same, whatever their parameters are called? */
export function isSame(a: string, b: string): boolean {
  const plain = (template: string): string => template.replaceAll(/\{[^{}]+\}/g, '{}')
  return plain(a) === plain(b)
}
