/**
 * Joins the OpenAPI documents of services into one: paths below `{root}/{service}`, and a namespace per service for components,
 * operation ids, tags and security schemes, whether or not they collide now, so that a new service renames nothing.
 *
 * Every operation is kept. What a joined document cannot say, such as a server of its own for one path, is noted. Pure.
 */
import { isJsonObject, type Json, type JsonObject } from '../../contract/index.ts'
import { type ComponentNames, createComponentNames } from './component-names.ts'
import { dropUnused, mapDiscriminators } from './components.ts'
import { joinResponses, withDoor, withHeaders } from './door-responses.ts'
import { httpMethods } from './operation-list.ts'
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
import { serverPath } from './server-path.ts'

/** Joins what the parts have; parts without an OpenAPI document are left out. */
export function joinOpenApi(parts: readonly Part[], options: JoinOptions = {}): Joined {
  const { title = 'API', version = '1.0.0', description, audience = 'internal', access } = options
  const notes: string[] = []
  const paths: JsonObject = {}
  const webhooks: JsonObject = {}
  const components: JsonObject = {}
  const tags: Json[] = []
  const groups: Json[] = []
  for (const part of parts) {
    if (part.openApi === undefined) continue
    const joining = createJoining(part, part.openApi, {
      place: placeOf(part, options),
      audience,
      access,
      notes,
    })
    Object.assign(paths, joining.paths())
    Object.assign(webhooks, joining.webhooks())
    for (const [kind, members] of Object.entries(joining.components()))
      components[kind] = { ...((components[kind] ?? {}) as JsonObject), ...(members as JsonObject) }
    const own = joining.tags()
    tags.push(...own)
    groups.push({ name: namespaceOf(part), tags: own.map(tag => tag['name']!) })
  }
  if (access !== undefined) Object.assign(components, withDoor(components, access))
  const document: JsonObject = {
    openapi: '3.1.1',
    info: {
      title,
      version,
      ...(description === undefined ? {} : { description }),
      'x-lockstep-services': describeParts(parts, 'openApi'),
    },
    servers: [{ url: '/' }],
    security: [...(access?.security?.requirements ?? [])],
    tags,
    paths,
    ...(Object.keys(webhooks).length === 0 ? {} : { webhooks }),
    components,
    'x-tagGroups': groups,
  }
  return { document: audience === 'public' ? dropUnused(document) : document, notes }
}

interface JoiningOptions {
  readonly place: string
  readonly audience: 'internal' | 'public'
  readonly access: JoinOptions['access']
  readonly notes: string[]
}

interface Joining {
  paths(): JsonObject
  webhooks(): JsonObject
  components(): JsonObject
  tags(): JsonObject[]
}

/** One document on its way into the joined one. */
function createJoining(part: Part, document: JsonObject, options: JoiningOptions): Joining {
  const service = namespaceOf(part)
  const { audience, access, notes } = options
  const given = mapDiscriminators((document['components'] ?? {}) as JsonObject)
  const names = createComponentNames(service, given)
  const prefix = options.place + serverPath(document, part.root)
  const usedTags = new Set<string>()
  const operationIds = new Set<string>()
  const newPath = (path: string): string => joinPath(prefix, path)
  const rewrite = (value: Json, key = ''): Json =>
    rewriteReferences(
      value,
      {
        reference: target =>
          names.reference(target, { paths: newPath, webhooks: name => `${service}.${name}` }),
        object: (object, objectKey) => renameInside(object, objectKey, service, names, newPath),
      },
      key,
    )

  function joinItem(item: JsonObject, describe: (method: string) => string): JsonObject {
    const result: JsonObject = {}
    const methods = new Set<string>(httpMethods)
    for (const [name, value] of Object.entries(item)) {
      if (name === 'servers')
        notes.push(`${describe('')}: its own servers are left out; it is answered at the gateway.`)
      else if (!methods.has(name))
        result[name] = name === '$ref' ? names.reference(String(value)) : rewrite(value, name)
      else if (isJsonObject(value) && isFor(audience, value))
        result[name] = joinOperation(value, describe(name))
    }
    return result
  }

  function joinOperation(operation: JsonObject, fallbackId: string): JsonObject {
    const {
      servers,
      tags,
      security = document['security'],
      operationId,
      responses = {},
      ...rest
    } = rewrite(operation) as JsonObject
    if (servers !== undefined)
      notes.push(`${fallbackId}: its own servers are left out; it is answered at the gateway.`)
    const own = Array.isArray(tags) ? tags.filter(tag => typeof tag === 'string') : []
    for (const tag of own) usedTags.add(tag)
    if (own.length === 0) usedTags.add('')
    return {
      operationId: newId(typeof operationId === 'string' && operationId !== '' ? operationId : fallbackId),
      ...rest,
      responses: joinResponses(responses as JsonObject, 'requestBody' in rest, access),
      ...(part.isDeprecated === true ? { deprecated: true } : {}),
      tags: own.length === 0 ? [service] : own.map(tag => `${service}/${tag}`),
      ...(access?.security === undefined && Array.isArray(security)
        ? { security: renameSecurity(security, names) }
        : {}),
      ...(operation['x-lockstep-messages'] === undefined
        ? {}
        : { 'x-lockstep-messages': renameMessages(operation['x-lockstep-messages'], service, names) }),
      'x-lockstep-service': service,
      ...(part.staleSince === undefined ? {} : { 'x-lockstep-stale-since': part.staleSince }),
    }
  }

  function newId(id: string): string {
    const plain = `${service}.${id}`
    let chosen = plain
    for (let count = 2; operationIds.has(chosen); count++) chosen = `${plain}_${count}`
    if (chosen !== plain)
      notes.push(`${service}: the operation id ${id} is there twice; the second one is ${chosen}.`)
    operationIds.add(chosen)
    return chosen
  }

  return {
    paths() {
      const result: JsonObject = {}
      for (const [path, item] of Object.entries((document['paths'] ?? {}) as JsonObject)) {
        if (!isJsonObject(item) || !path.startsWith('/') || !isRouted(part, path)) continue
        const joined = joinItem(item, method =>
          `${method}_${path}`.replaceAll(/[^A-Za-z0-9]+/g, '_').replace(/^_|_$/g, ''),
        )
        const isEmpty = !('$ref' in joined) && !httpMethods.some(method => method in joined)
        if (!isEmpty || audience === 'internal') result[newPath(path)] = joined
      }
      return result
    },
    webhooks() {
      if (audience === 'public') return {}
      const entries = Object.entries((document['webhooks'] ?? {}) as JsonObject)
      return Object.fromEntries(
        entries.map(([name, item]) => [
          `${service}.${name}`,
          joinItem(item as JsonObject, method => `webhook_${name}_${method}`),
        ]),
      )
    },
    components() {
      const result: JsonObject = {}
      for (const [kind, members] of Object.entries(given)) {
        if (
          !isJsonObject(members) ||
          kind.startsWith('x-') ||
          (kind === 'securitySchemes' && access?.security !== undefined)
        )
          continue
        result[kind] = Object.fromEntries(
          Object.entries(members).map(([name, member]) => [
            names.of(kind, name),
            kind === 'pathItems' && isJsonObject(member)
              ? joinItem(member, method => `${name}_${method}`)
              : kind === 'responses'
                ? withHeaders(rewrite(member), access)
                : rewrite(member, kind === 'schemas' ? 'schema' : ''),
          ]),
        )
      }
      return result
    },
    tags: () => joinTags(document, service, usedTags),
  }
}

/** What names a component, a path or an operation in other ways than a reference does. */
function renameInside(
  object: JsonObject,
  key: string,
  service: string,
  names: ComponentNames,
  newPath: (path: string) => string,
): JsonObject {
  if (key === 'discriminator' && isJsonObject(object['mapping'] ?? null)) {
    const mapping = Object.entries(object['mapping'] as JsonObject).map(([value, target]) => {
      if (typeof target !== 'string') return [value, target]
      const isName = !/[/#]/.test(target)
      return [value, names.reference(isName ? `#/components/schemas/${target}` : target)]
    })
    return { ...object, mapping: Object.fromEntries(mapping) as JsonObject }
  }
  // A link.
  if (typeof object['operationId'] === 'string' && !('responses' in object)) {
    const { server: _server, ...rest } = object
    return { ...rest, operationId: `${service}.${object['operationId']}` }
  }
  if (typeof object['operationRef'] === 'string' && object['operationRef'].startsWith('#/'))
    return { ...object, operationRef: names.reference(object['operationRef'], { paths: newPath }) }
  // An operation inside a callback.
  if ('responses' in object && Array.isArray(object['security']) && key !== '')
    return { ...object, security: renameSecurity(object['security'], names) }
  return object
}

function renameSecurity(security: readonly Json[], names: ComponentNames): Json[] {
  return security
    .filter(isJsonObject)
    .map(requirement =>
      Object.fromEntries(
        Object.entries(requirement).map(([name, scopes]) => [names.of('securitySchemes', name), scopes]),
      ),
    )
}

function renameMessages(messages: Json, service: string, names: ComponentNames): Json {
  if (!Array.isArray(messages)) return []
  return messages.filter(isJsonObject).map(({ message, channel, ...rest }) => ({
    ...rest,
    message: names.reference(String(message)),
    channel: `#/channels/${service}.${String(channel).replace(/^#\/channels\//, '')}`,
  }))
}

function joinTags(document: JsonObject, service: string, used: ReadonlySet<string>): JsonObject[] {
  const declared = Array.isArray(document['tags']) ? document['tags'].filter(isJsonObject) : []
  const known = new Map<string, JsonObject>()
  for (const tag of declared)
    if (typeof tag['name'] === 'string' && used.has(tag['name'])) known.set(tag['name'], tag)
  for (const name of used) if (!known.has(name)) known.set(name, {})
  return [...known].map(([name, { description, externalDocs, 'x-displayName': shown }]) => ({
    name: name === '' ? service : `${service}/${name}`,
    ...(typeof description === 'string' ? { description } : {}),
    ...(externalDocs === undefined ? {} : { externalDocs }),
    'x-displayName': typeof shown === 'string' ? shown : name === '' ? service : name,
  }))
}

function joinPath(prefix: string, path: string): string {
  return path === '/' ? prefix : `${prefix}${path}`
}
