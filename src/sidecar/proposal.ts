/**
 * Proposes what to mirror, from what an OpenAPI document says, or from what was asked and answered. A proposal is looked at by somebody before
 * it is used: it says what it is not sure of. Pure.
 */
import { isJsonObject, type Json, type JsonObject } from '../contract/index.ts'
import type { MirroredOptions } from './mirrored.ts'

export interface Proposal {
  readonly resources: Readonly<Record<string, MirroredOptions>>
  /** By the name of a resource, or `''`, what somebody should look at. */
  readonly notes: readonly { readonly resource: string; readonly text: string }[]
}

/** A list of the API with the path of one of its items. */
export interface FoundList {
  /** As in a URL pattern: `/api/people/{person}/friends`. */
  readonly list: string | undefined
  /** With `{id}` at the end of it, or somewhere in it. */
  readonly item: string
  /** An answer of the list, where one was seen. */
  readonly answer?: Json
}

const idNames = ['id', '_id', 'uuid', 'key', 'name', 'slug', 'code']
const itemsNames = [
  'items',
  'data',
  'results',
  'rows',
  'records',
  'docs',
  'content',
  'value',
  'values',
  'entries',
  'objects',
]

/** Names the resources of the lists, those at the top before those below them. */
export function propose(found: readonly FoundList[]): Proposal {
  const resources: Record<string, MirroredOptions> = {}
  const notes: { resource: string; text: string }[] = []
  const names = new Map<string, string>()
  for (const each of found.toSorted((a, b) => depthOf(a.item) - depthOf(b.item))) {
    const template = nameOf(each, names)
    if (template === undefined) {
      notes.push({ resource: '', text: `${each.item} is below what is no resource itself; left out.` })
      continue
    }
    if (resources[template] !== undefined) continue
    names.set(each.item, template)
    resources[template] = describe(template, each, notes)
  }
  return { resources, notes }
}

/** `/api/people/{person}/friends` → `people/{person}/friends`, where `/api/people` is a resource. */
function nameOf({ list, item }: FoundList, names: ReadonlyMap<string, string>): string | undefined {
  const path = list ?? item.replace(/\/\{id\}$/, '')
  const last = path.split('/').findLast(part => part !== '' && !part.startsWith('{'))
  if (last === undefined) return undefined
  const name = last.replaceAll(/[^A-Za-z0-9_-]+/g, '-').replace(/^[-_]+/, '') || undefined
  if (name === undefined || name === 'lockstep') return undefined
  const parents = [...path.matchAll(/\{([^}]*)\}/g)].map(match => match[1]!)
  if (parents.length === 0)
    return [...names.values()].includes(name) ? path.slice(1).replaceAll('/', '-') : name
  // The resource above has all of these names but the last, which is its own id.
  const above = [...names].find(
    ([other]) =>
      other.replace('{id}', `{${parents.at(-1)}}`) ===
      path.slice(0, other.length - 4 + parents.at(-1)!.length + 2),
  )
  return above === undefined ? undefined : `${above[1]}/{${parents.at(-1)}}/${name}`
}

function describe(
  template: string,
  { list, item, answer }: FoundList,
  notes: { resource: string; text: string }[],
): MirroredOptions {
  const note = (text: string): void => void notes.push({ resource: template, text })
  const options: { -readonly [Name in keyof MirroredOptions]: MirroredOptions[Name] } = {}
  if (list === undefined) {
    note('It has no list: only what is written through the sidecar is found.')
    return { list: false, item }
  }
  if (list !== `/${template}`) options.list = list
  if (item !== `${list}/{id}`) options.item = item
  if (answer === undefined) return options
  const items = findItems(answer)
  if (items === undefined) {
    note('Where the items are in its list is not known: say it by "items".')
    return options
  }
  if (items.pointer !== '') options.items = items.pointer
  const [first] = items.values
  if (first === undefined) return options
  const id = isJsonObject(first) ? idNames.find(name => isId(first[name])) : undefined
  if (id === undefined) note('Which member of an item is its id is not known: say it by "id".')
  else if (id !== 'id') options.id = `/${id}`
  if (isJsonObject(answer)) {
    const next = ['next', 'nextPage', 'nextPageUrl'].find(name => typeof answer[name] === 'string')
    if (next !== undefined) options.pages = { next: `/${next}` }
    else if (
      ['page', 'totalPages', 'total', 'totalItems', 'count'].some(name => typeof answer[name] === 'number')
    )
      note('Its list may have pages: say how they are asked for by "pages".')
  }
  return options
}

function isId(value: Json | undefined): boolean {
  return typeof value === 'string' || typeof value === 'number'
}

function findItems(answer: Json): { readonly pointer: string; readonly values: readonly Json[] } | undefined {
  if (Array.isArray(answer)) return { pointer: '', values: answer }
  if (!isJsonObject(answer)) return undefined
  const arrays = Object.entries(answer).filter((entry): entry is [string, Json[]] => Array.isArray(entry[1]))
  const [name, values] =
    arrays.find(([name]) => itemsNames.includes(name)) ?? (arrays.length === 1 ? arrays[0]! : [])
  if (name === undefined || values === undefined) return undefined
  return { pointer: `/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`, values }
}

function depthOf(item: string): number {
  return item.split('{').length * 100 + item.split('/').length
}

/** What an OpenAPI document (2.0 and 3.x) has: each GET of a path that ends in a name, and the list above it. */
export function proposeFromOpenApi(document: Json): Proposal {
  const paths = isJsonObject(document) && isJsonObject(document['paths']) ? document['paths'] : {}
  const base = basePath(document)
  const gets = Object.keys(paths).filter(path => isJsonObject((paths[path] as JsonObject)['get'] ?? null))
  const found: FoundList[] = []
  for (const path of gets) {
    if (!/\/\{[^}/]+\}\/?$/.test(path)) continue
    const item = (base + path).replace(/\/$/, '')
    const above = path.replace(/\/\{[^}/]+\}\/?$/, '')
    const list = gets.find(other => other.replace(/\/$/, '') === above)
    const names = item
      .replace(/\{[^}/]+\}$/, '{id}')
      .replaceAll(/\{([^}]+)\}/g, (_, name: string) => `{${toName(name)}}`)
    const listText =
      list && (base + list).replaceAll(/\{([^}]+)\}/g, (_, name: string) => `{${toName(name)}}`)
    const answer = list && exampleOf(document as JsonObject, (paths[list] as JsonObject)['get'] as JsonObject)
    found.push({
      list: listText || undefined,
      item: names,
      ...(answer === undefined || answer === '' ? {} : { answer }),
    })
  }
  return propose(found)
}

function toName(name: string): string {
  const clean = name.replaceAll(/[^A-Za-z0-9_]/g, '_')
  return /^[A-Za-z]/.test(clean) ? clean : `p${clean}`
}

function basePath(document: Json): string {
  if (!isJsonObject(document)) return ''
  if (typeof document['basePath'] === 'string') return document['basePath'].replace(/\/$/, '')
  const [server] = Array.isArray(document['servers']) ? document['servers'] : []
  const url = isJsonObject(server) ? server['url'] : undefined
  if (typeof url !== 'string' || url.includes('{')) return ''
  return URL.canParse(url, 'http://api.invalid')
    ? new URL(url, 'http://api.invalid').pathname.replace(/\/$/, '')
    : ''
}

/** A list as its schema says it, with one item that has the members it names. */
function exampleOf(document: JsonObject, get: JsonObject): Json | undefined {
  const responses = isJsonObject(get['responses']) ? get['responses'] : {}
  const answer = resolve(document, responses['200'] ?? responses['default'])
  const content = isJsonObject(answer) && isJsonObject(answer['content']) ? answer['content'] : undefined
  const media = content?.['application/json'] ?? (content && Object.values(content)[0])
  const schema = isJsonObject(media) ? media['schema'] : isJsonObject(answer) ? answer['schema'] : undefined
  return schema === undefined ? undefined : sketch(document, schema, 4)
}

function sketch(document: JsonObject, given: Json | undefined, depth: number): Json | undefined {
  const schema = resolve(document, given)
  if (!isJsonObject(schema) || depth === 0) return undefined
  const parts = schema['allOf']
  if (Array.isArray(parts)) {
    return Object.assign(
      {},
      ...parts.map(part => sketch(document, part, depth - 1)).filter(part => isJsonObject(part ?? null)),
    )
  }
  if (schema['type'] === 'array' || schema['items'] !== undefined) {
    return [sketch(document, schema['items'], depth - 1) ?? {}]
  }
  if (isJsonObject(schema['properties'])) {
    const made: JsonObject = {}
    for (const [name, member] of Object.entries(schema['properties'])) {
      const value = sketch(document, member, depth - 1)
      if (value !== undefined) made[name] = value
    }
    return made
  }
  if (schema['type'] === 'integer' || schema['type'] === 'number') return 1
  return schema['type'] === 'string' ? 'text' : undefined
}

function resolve(document: JsonObject, value: Json | undefined, depth = 8): Json | undefined {
  if (!isJsonObject(value) || typeof value['$ref'] !== 'string' || depth === 0) return value
  const names = value['$ref'].split('/').slice(1)
  let at: Json | undefined = value['$ref'].startsWith('#/') ? document : undefined
  for (const name of names)
    at = isJsonObject(at) ? at[name.replaceAll('~1', '/').replaceAll('~0', '~')] : undefined
  return resolve(document, at, depth - 1)
}
