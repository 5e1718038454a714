/** What the door in front of services answers by itself, in their joined document. Pure. */
import { isJsonObject, type Json, type JsonObject } from '../../contract/index.ts'
import type { DoorDescription } from './part.ts'

/** Names of the door's components begin with it; those of services with the service's. */
const prefix = 'Gateway.'

/** The components, with those of the door. */
export function withDoor(components: JsonObject, door: DoorDescription): JsonObject {
  const { security, responses = {}, headers = {}, schemas = {} } = door
  const named = (members: Readonly<JsonObject>, change = (member: Json): Json => member): JsonObject =>
    Object.fromEntries(Object.entries(members).map(([name, member]) => [prefix + name, change(member)]))
  const own: JsonObject = {
    responses: named(responses, response => withHeaders(response, door)),
    headers: named(headers),
    schemas: named(schemas),
  }
  const result: JsonObject = { ...components }
  for (const [kind, members] of Object.entries(own)) {
    if (Object.keys(members as JsonObject).length === 0) continue
    result[kind] = { ...((components[kind] ?? {}) as JsonObject), ...(members as JsonObject) }
  }
  if (security !== undefined) result['securitySchemes'] = security.schemes
  return result
}

/** The responses of an operation, with those of the door that its service has not. */
export function joinResponses(
  given: JsonObject,
  hasBody: boolean,
  door: DoorDescription | undefined,
): JsonObject {
  const joined: JsonObject = {}
  for (const [status, response] of Object.entries(given)) joined[status] = withHeaders(response, door)
  for (const status of Object.keys(door?.responses ?? {})) {
    if (status in joined || (status === '413' && !hasBody)) continue
    joined[status] = { $ref: `#/components/responses/${prefix}${status}` }
  }
  return joined
}

/** A response with the headers that the door sets on every one. */
export function withHeaders(response: Json, door: DoorDescription | undefined): Json {
  const names = Object.keys(door?.headers ?? {})
  if (names.length === 0 || !isJsonObject(response) || '$ref' in response) return response
  const headers = names.map(name => [name, { $ref: `#/components/headers/${prefix}${name}` }])
  return {
    ...response,
    headers: { ...((response['headers'] ?? {}) as JsonObject), ...Object.fromEntries(headers) },
  }
}
