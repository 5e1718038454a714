/**
 * Joins the AsyncAPI 3 documents of services into one, with a namespace per service for channels, operations, servers and
 * components. Addresses of topics stay; those of HTTP lead through the gateway. Pure.
 */
import { isJsonObject, type Json, type JsonObject } from '../../contract/index.ts'
import { type ComponentNames, createComponentNames } from './component-names.ts'
import { dropUnused } from './components.ts'
import {
  describeParts,
  isFor,
  isRouted,
  type Joined,
  type JoinOptions,
  namespaceOf,
  type Part,
  placeOf,
} from './part.ts'
import { rewriteReferences } from './reference-walk.ts'

/** Joins what the parts have; parts without an AsyncAPI document are left out. */
export function joinAsyncApi(parts: readonly Part[], options: JoinOptions = {}): Joined {
  const { title = 'API', version = '1.0.0', description, audience = 'internal' } = options
  const notes: string[] = []
  const joined = { servers: {}, channels: {}, operations: {} } as Record<
    'servers' | 'channels' | 'operations',
    JsonObject
  >
  const components: JsonObject = {}
  for (const part of parts) {
    if (part.asyncApi === undefined) continue
    const own = joinPart(part, part.asyncApi, placeOf(part, options), audience)
    for (const name of ['servers', 'channels', 'operations'] as const) Object.assign(joined[name], own[name])
    for (const [kind, members] of Object.entries(own.components))
      components[kind] = { ...((components[kind] ?? {}) as JsonObject), ...(members as JsonObject) }
  }
  const { servers, channels, operations } = joined
  const document: JsonObject = {
    asyncapi: '3.0.0',
    info: {
      title,
      version,
      ...(description === undefined ? {} : { description }),
      'x-lockstep-services': describeParts(parts, 'asyncApi'),
    },
    defaultContentType: 'application/json',
    ...(Object.keys(servers).length === 0 ? {} : { servers }),
    channels,
    operations,
    components,
  }
  return { document: audience === 'public' ? dropUnused(document) : document, notes }
}

interface JoinedPart {
  readonly servers: JsonObject
  readonly channels: JsonObject
  readonly operations: JsonObject
  readonly components: JsonObject
}

function joinPart(
  part: Part,
  document: JsonObject,
  httpPlace: string,
  audience: 'internal' | 'public',
): JoinedPart {
  const service = namespaceOf(part)
  const given = (document['components'] ?? {}) as JsonObject
  const names = createComponentNames(service, given)
  const place = (name: string): string => `${service}.${name}`
  // Names of servers hold no dots.
  const serverPlace = (name: string): string => `${service}_${name}`
  const places = { channels: place, operations: place, servers: serverPlace }
  const rewrite = (value: Json, key = ''): Json =>
    rewriteReferences(value, { reference: target => names.reference(target, places) }, key)
  const serverNames = Object.keys((document['servers'] ?? {}) as JsonObject)
  const channels: JsonObject = {}
  const dropped = new Set<string>()
  for (const [name, channel] of membersOf(document, 'channels')) {
    const isShown = isFor(audience, channel) || '$ref' in channel
    if (!isShown || !isReached(part, channel, document)) {
      dropped.add(`#/channels/${name}`)
      continue
    }
    channels[place(name)] = joinChannel(
      rewrite(channel) as JsonObject,
      part,
      document,
      httpPlace,
      serverNames,
    )
  }
  const operations: JsonObject = {}
  for (const [name, operation] of membersOf(document, 'operations')) {
    const { channel } = operation
    if (isJsonObject(channel ?? null) && dropped.has(String((channel as JsonObject)['$ref']))) continue
    const causes = operation['x-lockstep-operations']
    operations[place(name)] = {
      ...(rewrite(operation) as JsonObject),
      ...(Array.isArray(causes) ? { 'x-lockstep-operations': causes.map(id => place(String(id))) } : {}),
      ...staleness(part),
    }
  }
  return {
    servers: Object.fromEntries(
      membersOf(document, 'servers').map(([name, server]) => [serverPlace(name), rewrite(server)]),
    ),
    channels,
    operations,
    components: joinComponents(given, names, rewrite),
  }
}

function joinChannel(
  channel: JsonObject,
  part: Part,
  document: JsonObject,
  httpPlace: string,
  serverNames: readonly string[],
): JsonObject {
  const service = namespaceOf(part)
  const own = document['x-lockstep'] as JsonObject | undefined
  const { address, servers } = channel
  const isHttp = typeof address === 'string' && address.startsWith('/') && own !== undefined
  // Without servers a channel is on all of them: on those of its own document, that is.
  const isOnAll = servers === undefined && !isHttp && serverNames.length > 0
  const ownRoot = ownRootOf(document)
  return {
    ...channel,
    ...(isHttp && (channel['title'] !== 'Live pages' || address.startsWith(`${ownRoot}/`))
      ? { address: httpPlace + address.slice(ownRoot.length) }
      : {}),
    ...(isOnAll ? { servers: serverNames.map(name => ({ $ref: `#/servers/${service}_${name}` })) } : {}),
    'x-lockstep-service': service,
    ...staleness(part),
  }
}

/** The root of a service's own document, which its gateway may have in another place. */
function ownRootOf(document: JsonObject): string {
  const { openapi } = (document['x-lockstep'] ?? {}) as JsonObject
  return typeof openapi === 'string' ? openapi.replace(/\/_openapi$/, '') : ''
}

/** Is the resource routed whose messages the channel has? Of what is not made with Lockstep nobody can tell. */
function isReached(part: Part, { address }: JsonObject, document: JsonObject): boolean {
  const own = document['x-lockstep']
  if (!isJsonObject(own ?? null) || typeof address !== 'string') return true
  const { topicPrefix = '' } = own as JsonObject
  const topic = address.startsWith(String(topicPrefix)) ? address.slice(String(topicPrefix).length) : address
  const path = address.startsWith('/')
    ? address.slice(ownRootOf(document).length)
    : `/${topic.replace(/^lockstep\/head\//, '')}`
  return isRouted(part, path)
}

function joinComponents(
  given: JsonObject,
  names: ComponentNames,
  rewrite: (value: Json, key?: string) => Json,
): JsonObject {
  const result: JsonObject = {}
  for (const [kind, members] of Object.entries(given)) {
    if (!isJsonObject(members) || kind.startsWith('x-')) continue
    result[kind] = Object.fromEntries(
      Object.entries(members).map(([name, member]) => [names.of(kind, name), rewrite(member)]),
    )
  }
  return result
}

function staleness({ staleSince }: Part): JsonObject {
  return staleSince === undefined ? {} : { 'x-lockstep-stale-since': staleSince }
}

function membersOf(document: JsonObject, name: string): [string, JsonObject][] {
  const members = document[name]
  if (!isJsonObject(members ?? null)) return []
  return Object.entries(members as JsonObject).filter((entry): entry is [string, JsonObject] =>
    isJsonObject(entry[1]),
  )
}
