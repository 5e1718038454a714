/**
 * What the pages show, as one index over an OpenAPI and an AsyncAPI document: pages by tag, on each the operations and the
 * messages, each with an anchor that stays as long as its id does. Pure.
 */
import { isJsonObject, type Json, type JsonObject } from '../../contract/index.ts'
import { listOperations } from './operation-list.ts'
import { follow } from './reference-walk.ts'

export interface Site {
  readonly title: string
  readonly version: string
  readonly description: string
  readonly openApi: JsonObject
  readonly asyncApi: JsonObject | undefined
  readonly pages: readonly SitePage[]
  readonly services: readonly JsonObject[]
  /** By the name of a component: the file and anchor of a schema. */
  readonly schemas: ReadonlyMap<string, string>
}

export interface SitePage {
  /** The name of its file, without an ending. */
  readonly slug: string
  readonly group: string
  readonly title: string
  readonly description: string
  readonly operations: readonly OperationEntry[]
  readonly messages: readonly MessageEntry[]
}

export interface OperationEntry {
  readonly anchor: string
  readonly id: string
  readonly method: string
  readonly path: string
  readonly summary: string
  readonly operation: JsonObject
  /** Those of the path too, references followed. */
  readonly parameters: readonly JsonObject[]
  readonly messages: readonly Caused[]
  /** Where the changes that it makes are told as an event stream. */
  readonly feed: string | undefined
}

/** A message that an operation causes. */
export interface Caused {
  readonly name: string
  readonly address: string
  readonly href: string | undefined
}

export interface MessageEntry {
  readonly anchor: string
  readonly name: string
  readonly title: string
  readonly message: JsonObject
  readonly places: readonly MessagePlace[]
}

/** A topic or stream on which a message comes, and what causes it there. */
export interface MessagePlace {
  readonly address: string
  readonly direction: string
  readonly bindings: JsonObject
  readonly causes: readonly { readonly id: string; readonly href: string | undefined }[]
}

/** A page without tags is cut by the first segment of its paths from so many operations on. */
const maxUntagged = 40

export function createSite(openApi: JsonObject, asyncApi?: JsonObject): Site {
  const info = objectOf(openApi['info'] ?? asyncApi?.['info'])
  const groups = groupOperations(openApi)
  const messageGroups = groupMessages(asyncApi)
  const keys = [...new Set([...groups.keys(), ...messageGroups.keys()])]
  const slugs = nameSlugs(keys)
  const operationPlaces = new Map<string, string>()
  for (const [key, found] of groups) {
    for (const { operation, method, path } of found) {
      const id = idOf(operation, method, path)
      operationPlaces.set(id, `${slugs.get(key)}.html#${anchorOf(id)}`)
    }
  }
  const messagePlaces = new Map<string, string>()
  for (const [key, names] of messageGroups) {
    for (const name of names) messagePlaces.set(name, `${slugs.get(key)}.html#${anchorOf(`message-${name}`)}`)
  }
  const described = describeTags(openApi)
  const feeds = listFeeds(asyncApi)
  const pages = keys.map((key): SitePage => {
    const [group, title] = splitTag(key)
    return {
      slug: slugs.get(key)!,
      group,
      title: described.get(key)?.title ?? title,
      description: described.get(key)?.description ?? '',
      operations: (groups.get(key) ?? []).map(found =>
        readOperation(openApi, found, { messagePlaces, asyncApi, feeds }),
      ),
      messages: (messageGroups.get(key) ?? []).map(name => readMessage(asyncApi!, name, operationPlaces)),
    }
  })
  const schemas = new Map<string, string>()
  const named = objectOf(objectOf(openApi['components'])['schemas'])
  for (const name of Object.keys(named))
    schemas.set(name, `${schemaSlug(name)}.html#${anchorOf(`schema-${name}`)}`)
  const services = info['x-lockstep-services']
  return {
    title: String(info['title'] ?? 'API'),
    version: String(info['version'] ?? ''),
    description: typeof info['description'] === 'string' ? info['description'] : '',
    openApi,
    asyncApi,
    pages,
    services: Array.isArray(services) ? services.filter(isJsonObject) : [],
    schemas,
  }
}

/** Schemas stand on a page per service, which is what stands before the dot of their names. */
export function schemaSlug(name: string): string {
  const [service, rest] = name.split('.', 2)
  return rest === undefined ? 'schemas' : `${slugOf(service!)}-schemas`
}

export function anchorOf(text: string): string {
  return text.replaceAll(/[^A-Za-z0-9_.-]+/g, '-').replaceAll(/^-+|-+$/g, '')
}

function slugOf(text: string): string {
  return (
    text
      .toLowerCase()
      .replaceAll(/[^a-z0-9]+/g, '-')
      .replaceAll(/^-+|-+$/g, '') || 'page'
  )
}

function nameSlugs(keys: readonly string[]): ReadonlyMap<string, string> {
  const taken = new Set(['index', 'schemas'])
  return new Map(
    keys.map(key => {
      const plain = slugOf(key)
      let slug = plain
      for (let count = 2; taken.has(slug) || slug.endsWith('-schemas'); count++) slug = `${plain}-${count}`
      taken.add(slug)
      return [key, slug]
    }),
  )
}

type Found = ReturnType<typeof listOperations>[number]

function groupOperations(openApi: JsonObject): Map<string, Found[]> {
  const groups = new Map<string, Found[]>()
  for (const found of listOperations(openApi)) {
    const { tags } = found.operation
    const tag = Array.isArray(tags) && typeof tags[0] === 'string' ? tags[0] : 'default'
    groups.set(tag, [...(groups.get(tag) ?? []), found])
  }
  for (const [tag, all] of [...groups]) {
    if (tag.includes('/') || all.length <= maxUntagged) continue
    groups.delete(tag)
    const shared = sharedSegments(all.map(({ path }) => path))
    for (const found of all) {
      const segment = found.path.split('/').slice(1)[shared] ?? ''
      const key = `${tag}/${segment.replaceAll(/[{}]/g, '')}`
      groups.set(key, [...(groups.get(key) ?? []), found])
    }
  }
  return groups
}

/** How many segments all of the paths begin with. */
function sharedSegments(paths: readonly string[]): number {
  const split = paths.map(path => path.split('/').slice(1))
  const [first = []] = split
  let count = 0
  while (
    count < first.length &&
    split.every(segments => segments.length > count + 1 && segments[count] === first[count])
  )
    count++
  return count
}

function groupMessages(asyncApi: JsonObject | undefined): Map<string, string[]> {
  const groups = new Map<string, string[]>()
  for (const [name, message] of Object.entries(objectOf(objectOf(asyncApi?.['components'])['messages']))) {
    const { tags } = objectOf(message)
    const [service, rest] = name.split('.', 2)
    const prefix = rest === undefined ? '' : `${service}/`
    const tag =
      Array.isArray(tags) && isJsonObject(tags[0] ?? null)
        ? String((tags[0] as JsonObject)['name'])
        : 'Messages'
    const key = `${prefix}${tag}`
    groups.set(key, [...(groups.get(key) ?? []), name])
  }
  return groups
}

function splitTag(key: string): [group: string, title: string] {
  const [group, ...rest] = key.split('/')
  return rest.length === 0 ? ['', key] : [group!, rest.join('/')]
}

function describeTags(openApi: JsonObject): ReadonlyMap<string, { title: string; description: string }> {
  const tags = Array.isArray(openApi['tags']) ? openApi['tags'].filter(isJsonObject) : []
  return new Map(
    tags.map(({ name, description, 'x-displayName': title }) => [
      String(name),
      {
        title: typeof title === 'string' ? title : splitTag(String(name))[1],
        description: typeof description === 'string' ? description : '',
      },
    ]),
  )
}

interface Around {
  readonly asyncApi: JsonObject | undefined
  readonly messagePlaces: ReadonlyMap<string, string>
  readonly feeds: readonly string[]
}

function readOperation(
  openApi: JsonObject,
  { path, method, operation }: Found,
  around: Around,
): OperationEntry {
  const item = objectOf(objectOf(openApi['paths'])[path])
  const lists = [item['parameters'], operation['parameters']].flatMap(list =>
    Array.isArray(list) ? list : [],
  )
  const parameters = new Map<string, JsonObject>()
  for (const each of lists) {
    const found = follow(openApi, each)
    if (isJsonObject(found ?? null)) {
      const parameter = found as JsonObject
      parameters.set(`${parameter['in']} ${parameter['name']}`, parameter)
    }
  }
  const id = idOf(operation, method, path)
  const told = operation['x-lockstep-messages']
  const messages = Array.isArray(told) ? told.filter(isJsonObject).map(each => readCaused(each, around)) : []
  const feed = messages.length === 0 ? undefined : around.feeds.find(each => isBelow(path, each))
  return {
    anchor: anchorOf(id),
    id,
    method,
    path,
    summary: String(operation['summary'] ?? id),
    operation,
    parameters: [...parameters.values()],
    messages: messages.filter(({ address }) => address !== ''),
    feed,
  }
}

/** Is the path that of the feed's collection, or below it? */
function isBelow(path: string, feed: string): boolean {
  const collection = feed.replace(/\/_changes$/, '')
  return path === collection || path.startsWith(`${collection}/`)
}

function readCaused({ message, channel }: JsonObject, { asyncApi, messagePlaces }: Around): Caused {
  const name = String(message).split('/').at(-1)!
  const found = asyncApi && follow(asyncApi, { $ref: String(channel) })
  return { name, address: String(objectOf(found)['address'] ?? ''), href: messagePlaces.get(name) }
}

function listFeeds(asyncApi: JsonObject | undefined): readonly string[] {
  return Object.values(objectOf(asyncApi?.['channels'])).flatMap(channel => {
    const { address } = objectOf(channel)
    return typeof address === 'string' && address.endsWith('/_changes') ? [address] : []
  })
}

function readMessage(
  asyncApi: JsonObject,
  name: string,
  operationPlaces: ReadonlyMap<string, string>,
): MessageEntry {
  const message = objectOf(objectOf(objectOf(asyncApi['components'])['messages'])[name])
  const places: MessagePlace[] = []
  const reference = `#/components/messages/${name}`
  for (const [channelName, given] of Object.entries(objectOf(asyncApi['channels']))) {
    const channel = objectOf(given)
    const own = Object.entries(objectOf(channel['messages'])).find(
      ([, each]) => objectOf(each)['$ref'] === reference,
    )
    if (own === undefined) continue
    const operations = Object.values(objectOf(asyncApi['operations']))
      .map(objectOf)
      .filter(
        operation =>
          objectOf(operation['channel'])['$ref'] === `#/channels/${channelName}` &&
          (!Array.isArray(operation['messages']) ||
            operation['messages'].some(each => String(objectOf(each)['$ref']).endsWith(`/${own[0]}`))),
      )
    const causes = operations.flatMap(operation => operation['x-lockstep-operations'] ?? []) as string[]
    places.push({
      address: String(channel['address'] ?? ''),
      direction: String(operations[0]?.['action'] ?? 'send'),
      bindings: objectOf(operations[0]?.['bindings']),
      causes: causes.map(id => ({ id, href: operationPlaces.get(id) })),
    })
  }
  return {
    anchor: anchorOf(`message-${name}`),
    name,
    title: String(message['title'] ?? message['name'] ?? name),
    message,
    places,
  }
}

function idOf({ operationId }: JsonObject, method: string, path: string): string {
  return typeof operationId === 'string' ? operationId : `${method}-${path}`
}

export function objectOf(value: Json | undefined): JsonObject {
  return isJsonObject(value ?? null) ? (value as JsonObject) : {}
}
