/** The schemas and examples of a resource's messages, for documents of requests and of messages alike. PROTOCOL.md §3. */
import type { JsonObject } from '../../contract/index.ts'
import type { Subject } from './about.ts'
import { makePatch, makeState } from './example.ts'

/** What becomes of a resource. */
export const events = ['created', 'modified', 'deleted'] as const
export type Event = (typeof events)[number]

export function messageName({ typeName }: Subject, event: Event): string {
  return `${typeName}${event.charAt(0).toUpperCase()}${event.slice(1)}`
}

/** The schemas of the three messages by their names. */
export function messageSchemas(subject: Subject): JsonObject {
  const { typeName } = subject
  const state: JsonObject = { $ref: `#/components/schemas/${typeName}` }
  const changes: JsonObject = { $ref: `#/components/schemas/${typeName}Patch` }
  const ref: JsonObject = { const: true, description: 'It was too large for the broker: GET the resource.' }
  const contents: Readonly<Record<Event, JsonObject>> = {
    created: { properties: { state, ref }, anyOf: [{ required: ['state'] }, { required: ['ref'] }] },
    modified: {
      properties: { changes, state, ref },
      anyOf: [{ required: ['changes'] }, { required: ['state'] }, { required: ['ref'] }],
    },
    deleted: { properties: {} },
  }
  return Object.fromEntries(
    events.map(event => {
      const { properties, ...rest } = contents[event]
      const schema: JsonObject = {
        type: 'object',
        required: ['event', 'resource', 'version', 'id'],
        properties: { event: { const: event }, ...(properties as JsonObject), ...envelope(subject) },
        ...rest,
      }
      return [messageName(subject, event), schema]
    }),
  )
}

function envelope({ listPath, stream }: Subject): JsonObject {
  return {
    resource: {
      type: 'string',
      pattern: `^${listPath.replace(/\{\w+\}/g, '[^/]+')}/[^/]+$`,
      description: 'The canonical path.',
    },
    version: { type: 'integer', minimum: 1, description: 'Of the resource, after the change.' },
    time: { type: 'string', format: 'date-time', description: 'Information only: nothing is ordered by it.' },
    cause: { type: 'string', description: 'The id of the request that made the change.' },
    tx: {
      type: 'object',
      required: ['id', 'n'],
      properties: { id: { type: 'string' }, n: { type: 'integer', minimum: 1 } },
      description: 'The transaction, where it made several changes.',
    },
    id: {
      type: 'string',
      pattern: `^${stream}:[A-Za-z0-9]{1,32}:[0-9]+$`,
      description: 'The position in the stream: `stream:epoch:seq`.',
    },
  }
}

/** An example of each message; only those for which one is found. */
export function messageExamples(subject: Subject): Readonly<Partial<Record<Event, JsonObject>>> {
  const { resource, itemPath, stream } = subject
  const state = makeState(resource)
  if (state === undefined) return {}
  const path = itemPath
    .replace(/\{\w+\}$/, encodeURIComponent(String(state['id'])))
    .replace(/\{(\w+)\}/g, '$1-1')
  const rest = (version: number): JsonObject => ({
    resource: path,
    version,
    time: '2026-01-31T12:00:00.000Z',
    cause: 'c0ffee',
    id: `${stream}:k3f9:${1040 + version}`,
  })
  const changes = makePatch(resource, state)
  return {
    created: { event: 'created', state, ...rest(1) },
    modified: { event: 'modified', ...(changes === undefined ? { state } : { changes }), ...rest(2) },
    deleted: { event: 'deleted', ...rest(3) },
  }
}
