/**
 * What a page follows: paths, each whole or narrowed to fields. It says which resources a page may see and what of them.
 *
 * Entries are taken from outside, so everything about them is checked here, once; from then on paths are canonical and entries are in
 * order, and pages that follow the same thing have the same key. PROTOCOL.md §9.2.
 */
import {
  isJsonObject,
  isUnder,
  type Json,
  LockstepError,
  maxMarkerStreams,
  parentOf,
  parsePath,
  quote,
  streamOf,
} from '../contract/index.ts'

/** One path that is followed. */
export interface Follow {
  /** The canonical path of a collection or resource: it and everything below. */
  readonly path: string
  /** Only these members (and `id`) of the resource itself, or of the resources directly in the collection. */
  readonly fields?: readonly string[]
}

/** What a page follows of one stream. */
export interface View {
  readonly stream: string
  readonly follows: readonly Follow[]
  /** The same for all pages that follow the same. */
  readonly key: string
  /** No entry is narrowed to fields: a message can be passed on as it is. */
  readonly isWhole: boolean
}

export const maxFollows = 64
export const maxFields = 32
const maxFieldChars = 256

/** Reads the entries that a page, ticket or program gives. Errors: `invalid-frame`, `invalid-path`. */
export function readFollows(value: Json | undefined): readonly Follow[] {
  if (!Array.isArray(value) || value.length === 0 || value.length > maxFollows) {
    throw invalid(`"follow" is no list of 1 to ${maxFollows} entries`)
  }
  const follows = new Map<string, Follow>()
  for (const entry of value) {
    const follow = readFollow(entry)
    follows.set(keyOf(follow), follow)
  }
  if (new Set([...follows.values()].map(({ path }) => streamOf(path))).size > maxMarkerStreams) {
    throw invalid(`"follow" names over ${maxMarkerStreams} streams`)
  }
  return [...follows.keys()].sort().map(key => follows.get(key)!)
}

function readFollow(entry: Json): Follow {
  if (!isJsonObject(entry) || typeof entry['path'] !== 'string') {
    throw invalid(`the entry ${quote(JSON.stringify(entry))} has no path`)
  }
  const { path } = parsePath(entry['path'])
  const fields = entry['fields']
  if (fields === undefined) return { path }
  const isList = Array.isArray(fields) && fields.length > 0 && fields.length <= maxFields
  if (!isList || !fields.every(field => typeof field === 'string' && field.length <= maxFieldChars)) {
    throw invalid(`the fields of ${quote(path)} are no list of 1 to ${maxFields} names`)
  }
  return { path, fields: [...new Set(fields as string[])].sort() }
}

function invalid(reason: string): LockstepError {
  return new LockstepError(
    'invalid-frame',
    `What is to be followed cannot be read: ${reason}. It looks like [{"path": "/people", "fields": ["name"]}].`,
  )
}

/** The entries by stream, each as a view. */
export function toViews(follows: readonly Follow[]): readonly View[] {
  const streams = Map.groupBy(follows, ({ path }) => streamOf(path))
  return [...streams].map(([stream, parts]) => ({
    stream,
    follows: parts,
    key: parts.map(keyOf).join(' '),
    isWhole: parts.every(({ fields }) => fields === undefined),
  }))
}

function keyOf({ path, fields }: Follow): string {
  return fields === undefined ? path : `${path}#${fields.map(encodeURIComponent).join('&')}`
}

/** What of a resource a view has: `undefined` is nothing, `all` the whole. */
export type Visible = 'all' | ReadonlySet<string> | undefined

/** Says what a page with these entries may see of a resource. */
export function visibleOf(follows: readonly Follow[], resource: string): Visible {
  let visible: Set<string> | undefined
  for (const { path, fields } of follows) {
    if (fields === undefined) {
      if (isUnder(resource, path)) return 'all'
    } else if (resource === path || isMember(resource, path)) {
      visible ??= new Set(['id'])
      for (const field of fields) visible.add(field)
    }
  }
  return visible
}

/** Is everything that is wanted part of what is granted? */
export function isWithin(wanted: readonly Follow[], granted: readonly Follow[]): boolean {
  return wanted.every(({ path, fields }) => {
    const isWhole = granted.some(grant => grant.fields === undefined && isUnder(path, grant.path))
    if (isWhole || fields === undefined) return isWhole
    // Fields of the very same place, or of one resource of a collection whose fields are granted.
    const narrow = granted.filter(grant => grant.path === path || isMember(path, grant.path))
    const allowed = new Set(['id', ...narrow.flatMap(grant => grant.fields ?? [])])
    return narrow.length > 0 && fields.every(field => allowed.has(field))
  })
}

/** Is it a resource directly in that collection? An even number of slashes ends at a resource. */
function isMember(path: string, collection: string): boolean {
  return parentOf(path) === collection && path.split('/').length % 2 === 1
}
