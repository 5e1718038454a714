/** The schemas that all resources share: patches, bulks, pages of the feed, the head, the index and the health. */
import type { JsonObject } from '../../contract/index.ts'

const text: JsonObject = { type: 'string' }
const count: JsonObject = { type: 'integer', minimum: 0 }

export const sharedSchemas: JsonObject = {
  JsonPatch: {
    type: 'array',
    maxItems: 1000,
    description: 'A JSON Patch (RFC 6902).',
    items: {
      type: 'object',
      required: ['op', 'path'],
      properties: {
        op: { enum: ['add', 'remove', 'replace', 'move', 'copy', 'test'] },
        path: text,
        from: text,
        value: {},
      },
    },
  },
  Bulk: {
    type: 'object',
    required: ['operations'],
    additionalProperties: false,
    properties: {
      atomic: { type: 'boolean', default: false, description: 'All in one transaction, or each in its own.' },
      operations: {
        type: 'array',
        minItems: 1,
        items: {
          type: 'object',
          required: ['method'],
          additionalProperties: false,
          properties: {
            method: { enum: ['POST', 'PUT', 'PATCH', 'DELETE'] },
            id: { type: 'string', description: 'Of the resource; a POST has it in its body, if at all.' },
            body: { description: 'As the body of a request of its own.' },
            contentType: text,
            lang: text,
            ifMatch: text,
            ifNoneMatch: text,
          },
        },
      },
    },
  },
  BulkResults: {
    type: 'object',
    required: ['results'],
    properties: {
      results: {
        type: 'array',
        description: 'One for each operation, in their order.',
        items: {
          type: 'object',
          required: ['status'],
          properties: {
            status: { type: 'integer' },
            path: text,
            etag: text,
            marker: text,
            replayed: { type: 'boolean' },
            body: { type: 'object' },
            problem: { $ref: '#/components/schemas/Problem' },
          },
        },
      },
    },
  },
  Head: {
    type: 'object',
    description: 'Where a stream is. Every 5 s; it proves that one is behind.',
    required: ['stream', 'epoch', 'seq', 'first'],
    properties: {
      stream: text,
      epoch: { type: 'string', pattern: '^[A-Za-z0-9]{1,32}$' },
      seq: count,
      first: { type: 'integer', minimum: 1 },
      time: { type: 'string', format: 'date-time' },
    },
  },
}

export const indexSchema: JsonObject = {
  type: 'object',
  required: ['resources'],
  properties: {
    resources: {
      type: 'array',
      items: {
        type: 'object',
        required: ['path', 'topics', 'changes'],
        properties: { path: text, topics: text, changes: text },
      },
    },
  },
}

export const healthSchema: JsonObject = {
  type: 'object',
  required: ['status', 'reasons', 'streams', 'eventStreams', 'uptimeMs'],
  properties: {
    status: { enum: ['ok', 'degraded', 'failing'] },
    reasons: { type: 'array', items: text },
    streams: {
      type: 'object',
      additionalProperties: {
        type: 'object',
        properties: { epoch: text, head: count, first: count, relayed: count, lag: count },
      },
    },
    broker: { type: 'object', properties: { connected: { type: 'boolean' } } },
    eventStreams: count,
    lastError: { type: 'object', properties: { code: text, stage: text, agoMs: { type: 'number' } } },
    uptimeMs: { type: 'number' },
  },
}

/** A page of the feed, whose changes are messages of these types. */
export function changesSchema(messageNames: readonly string[]): JsonObject {
  return {
    type: 'object',
    required: ['stream', 'epoch', 'after', 'to', 'head', 'first', 'changes'],
    properties: {
      stream: text,
      epoch: text,
      after: count,
      to: count,
      head: count,
      first: { type: 'integer', minimum: 1 },
      changes: {
        type: 'array',
        items: { anyOf: messageNames.map(name => ({ $ref: `#/components/schemas/${name}` })) },
      },
    },
  }
}
