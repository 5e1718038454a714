/** A service's messages as an AsyncAPI 3.0 document, made from the declarations of its resources. PROTOCOL.md §2, §3 and §5. */
import { headTopic, type Json, type JsonObject } from '../../contract/index.ts'
import { type DescribeOptions, type Outline, readOutline, type Subject } from './about.ts'
import { describeLive } from './live-protocol.ts'
import { type Event, events, messageExamples, messageName } from './message-schema.ts'
import { describeInfo, describeSchemas, describeTags } from './open-api.ts'

/**
 * Describes every message that a service with these options publishes or tells: topics, bindings, payloads, examples, the
 * feed as an event stream, and what the requests are that cause each. Errors: `invalid-option`.
 */
export function describeAsyncApi(options: DescribeOptions): JsonObject {
  const outline = readOutline(options)
  const { about, subjects, root } = outline
  const channels: JsonObject = {}
  const operations: JsonObject = {}
  const messages: JsonObject = {}
  for (const subject of subjects) {
    if (subject.audienceOf('messages') === undefined) continue
    Object.assign(messages, describeMessages(subject))
    const { topicPrefix } = outline
    if (topicPrefix !== undefined) addTopics(outline, topicPrefix, subject, channels, operations)
    if (!subject.isTop) continue
    if (topicPrefix !== undefined) addStreamTopics(topicPrefix, subject, channels, operations, messages)
    addFeed(outline, subject, channels, operations, messages)
  }
  if (about.live !== undefined && !outline.isPublicOnly) {
    const live = describeLive(about.live)
    channels['live'] = { ...live.channel, 'x-lockstep-audience': 'internal' }
    Object.assign(operations, live.operations)
    Object.assign(messages, live.messages)
  }
  const schemas = describeSchemas(outline)
  const used = Object.fromEntries(
    Object.entries(schemas).filter(([name]) =>
      subjects.some(
        subject =>
          name === subject.typeName ||
          name === `${subject.typeName}Patch` ||
          name.startsWith(`${subject.typeName}.`) ||
          name.startsWith(`${subject.typeName}Patch.`) ||
          events.some(event => name === messageName(subject, event)),
      ),
    ),
  )
  return {
    asyncapi: '3.0.0',
    info: { ...describeInfo(outline), tags: describeTags(outline) },
    defaultContentType: 'application/json',
    ...(about.broker === undefined || outline.topicPrefix === undefined
      ? {}
      : { servers: { broker: describeBroker(about.broker) } }),
    channels,
    operations,
    components: { schemas: { ...used, Head: schemas['Head']! }, messages },
    'x-lockstep': {
      protocol: 1,
      ...(outline.topicPrefix === undefined ? {} : { topicPrefix: outline.topicPrefix }),
      openapi: `${root}/_openapi`,
    },
  }
}

function describeBroker(url: string): JsonObject {
  const { host, protocol } = new URL(url)
  const name = protocol.slice(0, -1)
  const isSecure = name.endsWith('s')
  return {
    host,
    protocol: isSecure ? 'mqtts' : 'mqtt',
    description: 'MQTT 3.1.1 or 5.',
  }
}

function describeMessages(subject: Subject): JsonObject {
  const examples = messageExamples(subject)
  const summaries: Readonly<Record<Event, string>> = {
    created: 'It was created',
    modified: 'It was changed',
    deleted: 'It was deleted',
  }
  return Object.fromEntries(
    events.map(event => {
      const name = messageName(subject, event)
      const example = examples[event]
      const message: JsonObject = {
        name,
        title: `${subject.typeName} ${event}`,
        summary: `${summaries[event]}: one of ${subject.resource.template}`,
        contentType: 'application/json',
        tags: [{ name: subject.typeName }],
        'x-lockstep-audience': subject.audienceOf('messages')!,
        bindings: { mqtt: { contentType: 'application/json', bindingVersion: '0.2.0' } },
        payload: { $ref: `#/components/schemas/${name}` },
        ...(example === undefined ? {} : { examples: [{ name: event, payload: example }] }),
      }
      return [name, message]
    }),
  )
}

/** The topic of the collection tells what is created by POST, that of a resource all else. PROTOCOL.md 2.3. */
function addTopics(
  { readOnly, hasBulk }: Outline,
  topicPrefix: string,
  subject: Subject,
  channels: JsonObject,
  operations: JsonObject,
): void {
  const { operationName, listPath, itemPath, typeName, resource } = subject
  const audience = subject.audienceOf('messages')!
  const places: readonly [
    name: string,
    path: string,
    told: readonly Event[],
    by: Readonly<Partial<Record<Event, readonly string[]>>>,
  ][] = [
    [operationName, listPath, ['created'], { created: ['create', 'bulk'] }],
    [
      `${operationName}.item`,
      itemPath,
      events,
      { created: ['replace', 'bulk'], modified: ['replace', 'patch', 'bulk'], deleted: ['delete', 'bulk'] },
    ],
  ]
  for (const [name, path, told, by] of places) {
    channels[name] = {
      address: `${topicPrefix}${path.slice(1)}`,
      title: path === listPath ? `New ${resource.template}` : `One of ${resource.template}`,
      tags: [{ name: typeName }],
      'x-lockstep-audience': audience,
      ...parametersOf(path),
      messages: Object.fromEntries(told.map(event => [messageName(subject, event), refer(subject, event)])),
    }
    for (const event of told) {
      const causes = by[event]!.filter(
        each => subject.audienceOf(each) !== undefined && (hasBulk || each !== 'bulk'),
      ).map(each => `${operationName}.${each}`)
      operations[`${name}.${event}`] = {
        action: 'send',
        channel: { $ref: `#/channels/${name}` },
        summary: `Publishes that ${event === 'created' ? 'one was created' : `it was ${event}`}`,
        tags: [{ name: typeName }],
        'x-lockstep-audience': audience,
        ...(readOnly ? {} : { 'x-lockstep-operations': causes }),
        bindings: { mqtt: { qos: 1, retain: false, bindingVersion: '0.2.0' } },
        messages: [{ $ref: `#/channels/${name}/messages/${messageName(subject, event)}` }],
      }
    }
  }
}

/** What a stream tells on topics beside its changes: resets and heads. */
function addStreamTopics(
  topicPrefix: string,
  subject: Subject,
  channels: JsonObject,
  operations: JsonObject,
  messages: JsonObject,
): void {
  const { stream, operationName, typeName } = subject
  const audience = subject.audienceOf('messages')!
  const reset = `${typeName}Reset`
  messages[reset] = describeReset(subject)
  const own = channels[operationName] as { messages: JsonObject }
  own.messages[reset] = { $ref: `#/components/messages/${reset}` }
  operations[`${operationName}.reset`] = {
    ...sends(operationName, reset, 'Asks for new baselines', false),
    'x-lockstep-audience': audience,
  }
  const head = `${operationName}.head`
  channels[head] = {
    address: headTopic(stream, topicPrefix),
    title: `Head of ${stream}`,
    'x-lockstep-audience': audience,
    messages: { Head: { $ref: '#/components/messages/Head' } },
  }
  operations[head] = {
    ...sends(head, 'Head', 'Says where the stream is, every 5 s', true),
    'x-lockstep-audience': audience,
  }
}

/** What a stream tells, all of it, as an event stream. */
function addFeed(
  { root, subjects }: Outline,
  subject: Subject,
  channels: JsonObject,
  operations: JsonObject,
  messages: JsonObject,
): void {
  const { stream, operationName } = subject
  const audience = subject.audienceOf('messages')!
  messages['Head'] ??= headMessage
  messages['Gone'] ??= goneMessage
  const changes = `${operationName}.changes`
  const told = subjects.filter(other => other.stream === stream && other.audienceOf('messages') !== undefined)
  const inFeed: JsonObject = {
    Head: { $ref: '#/components/messages/Head' },
    Gone: { $ref: '#/components/messages/Gone' },
  }
  for (const other of told)
    for (const event of events) inFeed[messageName(other, event)] = refer(other, event)
  channels[changes] = {
    address: `${root}/${stream}/_changes`,
    title: `Feed of ${stream}`,
    description:
      'An event stream over HTTP: `Accept: text/event-stream`. The id of each event is its position.',
    'x-lockstep-audience': audience,
    messages: inFeed,
  }
  operations[changes] = {
    action: 'send',
    channel: { $ref: `#/channels/${changes}` },
    summary: 'Tells every change of the stream, in order',
    'x-lockstep-audience': audience,
    bindings: { http: { method: 'GET', bindingVersion: '0.3.0' } },
    messages: Object.keys(inFeed).map(name => ({ $ref: `#/channels/${changes}/messages/${name}` })),
  }
}

function sends(channel: string, message: string, summary: string, retain: boolean): JsonObject {
  return {
    action: 'send',
    channel: { $ref: `#/channels/${channel}` },
    summary,
    bindings: { mqtt: { qos: 1, retain, bindingVersion: '0.2.0' } },
    messages: [{ $ref: `#/channels/${channel}/messages/${message}` }],
  }
}

const headMessage: JsonObject = {
  name: 'Head',
  title: 'Head',
  summary: 'Where the stream is.',
  contentType: 'application/json',
  payload: { $ref: '#/components/schemas/Head' },
  examples: [
    { payload: { stream: 'people', epoch: 'k3f9', seq: 1042, first: 1, time: '2026-01-31T12:00:00.000Z' } },
  ],
}

const goneMessage: JsonObject = {
  name: 'Gone',
  title: 'Gone',
  summary: 'The position cannot be continued: take a new baseline. Ends the event stream.',
  contentType: 'application/json',
  payload: { type: 'object', required: ['marker'], properties: { marker: { type: 'string' } } },
  examples: [{ payload: { marker: 'people:k3f9:1042' } }],
}

function describeReset(subject: Subject): JsonObject {
  const { stream } = subject
  return {
    name: 'Reset',
    title: `Reset of ${stream}`,
    summary: 'Everything up to its id is not told one by one: take a new baseline.',
    contentType: 'application/json',
    'x-lockstep-audience': subject.audienceOf('messages')!,
    payload: {
      type: 'object',
      required: ['event', 'resource', 'id'],
      properties: {
        event: { const: 'reset' },
        resource: { const: `/${stream}` },
        time: { type: 'string', format: 'date-time' },
        id: { type: 'string', pattern: `^${stream}:[A-Za-z0-9]{1,32}:[0-9]+$` },
      },
    },
    examples: [{ payload: { event: 'reset', resource: `/${stream}`, id: `${stream}:k3f9:9000` } }],
  }
}

function refer(subject: Subject, event: Event): JsonObject {
  return { $ref: `#/components/messages/${messageName(subject, event)}` }
}

function parametersOf(path: string): { parameters?: Json } {
  const names = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name!)
  if (names.length === 0) return {}
  return {
    parameters: Object.fromEntries(
      names.map(name => [name, { description: 'An id, encoded as a topic level.' }]),
    ),
  }
}
