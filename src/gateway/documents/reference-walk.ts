/**
 * Walks an OpenAPI or AsyncAPI document and rewrites its references.
 *
 * The same name is a keyword in one place and a name of the author's in another (a property called `example`), and data may
 * look like a reference. So the walk knows which members are maps of names, and which are data. Pure.
 */
import { isJsonObject, type Json, type JsonObject, setMember } from '../../contract/index.ts'

/** Members whose own members are named by the author. */
const maps = new Set([
  'properties',
  'patternProperties',
  '$defs',
  'definitions',
  'dependentSchemas',
  'schemas',
  'responses',
  'parameters',
  'examples',
  'requestBodies',
  'headers',
  'securitySchemes',
  'links',
  'callbacks',
  'pathItems',
  'paths',
  'webhooks',
  'content',
  'encoding',
  'variables',
  'channels',
  'operations',
  'messages',
  'servers',
])
/** Members that hold values of the API, whatever they look like. */
const data = new Set(['example', 'default', 'const', 'enum', 'value', 'required', 'security'])

export interface Rewrite {
  /** Gives the new target of a `$ref`. */
  readonly reference: (target: string) => string
  /** May change any object that is no data, after its members; `key` is the name it stands under. */
  readonly object?: (value: JsonObject, key: string) => JsonObject
}

/** A copy with every reference rewritten. */
export function rewriteReferences(value: Json, rewrite: Rewrite, key = ''): Json {
  return walk(value, rewrite, key, maps.has(key))
}

function walk(value: Json, rewrite: Rewrite, key: string, isMap: boolean): Json {
  if (Array.isArray(value)) return value.map(each => walk(each, rewrite, key, false))
  if (!isJsonObject(value)) return value
  const result: JsonObject = {}
  for (const [name, member] of Object.entries(value)) {
    if (isMap) setMember(result, name, walk(member, rewrite, name, false))
    else if (name === '$ref' && typeof member === 'string') result['$ref'] = rewrite.reference(member)
    else if (isData(name, member)) setMember(result, name, member)
    else setMember(result, name, walk(member, rewrite, name, maps.has(name) && !Array.isArray(member)))
  }
  return isMap || rewrite.object === undefined ? result : rewrite.object(result, key)
}

function isData(name: string, member: Json): boolean {
  return (
    data.has(name) ||
    name.startsWith('x-') ||
    (name === 'examples' && Array.isArray(member) && !member.some(hasReference))
  )
}

/** Examples of messages are an array of objects, in which a reference may stand. */
function hasReference(value: Json): boolean {
  return isJsonObject(value) && typeof value['$ref'] === 'string'
}

/** Every reference in the document, outside of data. */
export function listReferences(value: Json): ReadonlySet<string> {
  const found = new Set<string>()
  rewriteReferences(value, {
    reference: target => {
      found.add(target)
      return target
    },
  })
  return found
}

export function splitPointer(pointer: string): string[] {
  return pointer
    .split('/')
    .slice(1)
    .map(part => decode(part).replaceAll('~1', '/').replaceAll('~0', '~'))
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part)
  } catch {
    return part
  }
}

export function joinPointer(...parts: readonly (string | number)[]): string {
  return parts.map(part => `/${String(part).replaceAll('~', '~0').replaceAll('/', '~1')}`).join('')
}

/** What a local reference (`#/…`) leads to; `undefined` where it leads nowhere. */
export function resolvePointer(document: Json, reference: string): Json | undefined {
  if (reference === '#') return document
  if (!reference.startsWith('#/')) return undefined
  let value: Json | undefined = document
  for (const part of splitPointer(reference.slice(1))) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, part)) return undefined
    value = (value as JsonObject)[part]
  }
  return value
}

/** Follows `$ref` until something else stands there; `undefined` where it leads nowhere or in a circle. */
export function follow(document: Json, value: Json | undefined): Json | undefined {
  const seen = new Set<string>()
  let found = value
  while (isJsonObject(found ?? null) && typeof (found as JsonObject)['$ref'] === 'string') {
    const target = (found as JsonObject)['$ref'] as string
    if (seen.has(target)) return undefined
    seen.add(target)
    found = resolvePointer(document, target)
  }
  return found
}
