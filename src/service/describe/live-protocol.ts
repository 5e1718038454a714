/** The frames between a page and a bridge, as the messages of an AsyncAPI channel. PROTOCOL.md §9. */
import type { JsonObject } from '../../contract/index.ts'

const text: JsonObject = { type: 'string' }
const count: JsonObject = { type: 'integer', minimum: 0 }
const follow: JsonObject = {
  type: 'array',
  maxItems: 64,
  items: {
    type: 'object',
    required: ['path'],
    properties: { path: text, fields: { type: 'array', items: text, maxItems: 32 } },
  },
}

/** What each side says: by the type of the frame, its other members, those that are always there first. */
interface Frame {
  readonly from: 'page' | 'bridge'
  readonly summary: string
  readonly required: readonly string[]
  readonly properties: JsonObject
  readonly example: JsonObject
}

const frames: Readonly<Record<string, Frame>> = {
  hello: {
    from: 'page',
    summary: 'What the page follows, and from where on.',
    required: ['protocol'],
    properties: { protocol: { const: 1 }, follow, marker: text, ticket: text, from: { const: 'now' } },
    example: { protocol: 1, follow: [{ path: '/people' }], marker: 'people:k3f9:1042' },
  },
  renew: {
    from: 'page',
    summary: 'A new ticket, before the lease ends.',
    required: ['ticket'],
    properties: { ticket: text },
    example: { ticket: 'opaque' },
  },
  pong: { from: 'page', summary: 'The answer to a ping.', required: [], properties: {}, example: {} },
  welcome: {
    from: 'bridge',
    summary: 'The first frame after each hello that is taken.',
    required: ['protocol', 'pingEveryMs', 'deadAfterMs'],
    properties: { protocol: { const: 1 }, pingEveryMs: count, deadAfterMs: count, leaseMs: count },
    example: { protocol: 1, pingEveryMs: 20000, deadAfterMs: 45000, leaseMs: 60000 },
  },
  interval: {
    from: 'bridge',
    summary: 'All that the page may see behind `after` and up to `to`, in order.',
    required: ['stream', 'epoch', 'after', 'to', 'messages'],
    properties: {
      stream: text,
      epoch: text,
      after: count,
      to: count,
      conflated: { const: true },
      messages: { type: 'array', items: { type: 'object', required: ['event', 'id', 'resource'] } },
    },
    example: { stream: 'people', epoch: 'k3f9', after: 1042, to: 1042, messages: [] },
  },
  live: {
    from: 'bridge',
    summary: 'The page has all that the bridge has.',
    required: ['stream'],
    properties: { stream: text },
    example: { stream: 'people' },
  },
  hold: {
    from: 'bridge',
    summary: 'The bridge cannot say now whether the page has all.',
    required: ['stream', 'reason'],
    properties: { stream: text, reason: { enum: ['behind', 'source'] } },
    example: { stream: 'people', reason: 'behind' },
  },
  refresh: {
    from: 'bridge',
    summary: 'The gap cannot be bridged: take new baselines.',
    required: ['stream', 'reason'],
    properties: {
      stream: text,
      reason: { enum: ['gone', 'epoch', 'too-far', 'ahead', 'unmarked'] },
      marker: text,
    },
    example: { stream: 'people', reason: 'gone', marker: 'people:k3f9:9000' },
  },
  ping: { from: 'bridge', summary: 'Is answered by a pong.', required: [], properties: {}, example: {} },
  ticket: {
    from: 'bridge',
    summary: 'How long the grant is known to stand.',
    required: ['leaseMs'],
    properties: { ticket: text, leaseMs: count },
    example: { leaseMs: 60000 },
  },
  close: {
    from: 'bridge',
    summary: 'Why the bridge ends the connection.',
    required: ['status', 'code', 'detail'],
    properties: { status: { type: 'integer' }, code: text, detail: text, retryAfterMs: { type: 'number' } },
    example: { status: 4008, code: 'too-slow', detail: 'The page takes too little.', retryAfterMs: 2500 },
  },
}

/** What a document has of the bridge that answers at `path`. */
export interface LiveDescription {
  readonly channel: JsonObject
  readonly operations: JsonObject
  readonly messages: JsonObject
}

export function describeLive(path: string): LiveDescription {
  const messages: JsonObject = {}
  for (const [type, { summary, required, properties, example }] of Object.entries(frames)) {
    messages[nameOf(type)] = {
      name: type,
      summary,
      contentType: 'application/json',
      payload: {
        type: 'object',
        required: ['type', ...required],
        properties: { type: { const: type }, ...properties },
      },
      examples: [{ payload: { type, ...example } }],
    }
  }
  const refer = (from: Frame['from']): JsonObject[] =>
    Object.keys(frames)
      .filter(type => frames[type]!.from === from)
      .map(type => ({ $ref: `#/channels/live/messages/${nameOf(type)}` }))
  return {
    channel: {
      address: path,
      title: 'Live pages',
      description: 'A WebSocket; or a POST of the hello, answered by an event stream of these frames.',
      bindings: { ws: { method: 'GET', bindingVersion: '0.1.0' } },
      messages: Object.fromEntries(
        Object.keys(messages).map(name => [name, { $ref: `#/components/messages/${name}` }]),
      ),
    },
    operations: {
      'live.tell': {
        action: 'send',
        channel: { $ref: '#/channels/live' },
        summary: 'What the bridge tells the page',
        messages: refer('bridge'),
      },
      'live.hear': {
        action: 'receive',
        channel: { $ref: '#/channels/live' },
        summary: 'What the page tells the bridge',
        messages: refer('page'),
      },
    },
    messages,
  }
}

function nameOf(type: string): string {
  return `Live${type.charAt(0).toUpperCase()}${type.slice(1)}`
}
