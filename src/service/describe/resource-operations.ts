/** The operations of one resource as OpenAPI path items: what the handler of requests really answers. PROTOCOL.md §4 and §10. */
import type { Json, JsonObject } from '../../contract/index.ts'
import type { Outline, Subject } from './about.ts'
import { makePatch, makeState } from './example.ts'
import { type Event, messageName } from './message-schema.ts'
import {
  headerReferences,
  languageParameter,
  memberParameters,
  parameterReference,
  pathParameters,
} from './parameter.ts'
import { type Kind, problemsOf } from './problem.ts'

/** The path items of a resource, by path, and which kinds of operations are in them. */
export interface ResourceOperations {
  readonly paths: JsonObject
  readonly kinds: ReadonlySet<Kind>
}

interface OperationParts {
  readonly name: string
  readonly kind: Kind
  readonly summary: string
  readonly description?: string
  readonly parameters: readonly JsonObject[]
  readonly requestBody?: JsonObject
  readonly responses: JsonObject
  readonly messages?: readonly Event[]
}

const mirrorHeaders = ['Lockstep-Topic', 'Link', 'Lockstep-Marker']

export function describeResource(outline: Outline, subject: Subject): ResourceOperations {
  const { listPath, itemPath, isTop, resource } = subject
  const isReadOnly = outline.readOnly
  const places: [path: string, operations: [method: string, parts: OperationParts][]][] = [
    [listPath, readList(subject)],
    [itemPath, readItem(subject)],
  ]
  if (!isReadOnly) {
    places[0]![1].push(['post', createOne(subject)])
    places[1]![1].push(...changeOne(subject))
  }
  places[0]![1].push(['options', optionsOf('list', `Methods of ${listPath}`)])
  places[1]![1].push([
    'options',
    optionsOf('item', `Methods of ${itemPath}`, isReadOnly ? [] : ['Accept-Patch']),
  ])
  if (isTop) places.push([`${listPath}/_changes`, readChanges(subject)])
  if (outline.hasBulk) {
    places.push([
      `${listPath}/_bulk`,
      [
        ['post', bulk(resource.template)],
        ['options', optionsOf('bulk', 'Methods of bulks')],
      ],
    ])
  }
  const paths: JsonObject = {}
  const kinds = new Set<Kind>()
  for (const [path, operations] of places) {
    const allowed = operations.filter(([, { name }]) => subject.audienceOf(name) !== undefined)
    if (allowed.every(([method]) => method === 'options')) continue
    const described = allowed.map(([method, parts]) => [method, describeOperation(subject, parts)] as const)
    for (const [, { kind }] of allowed) kinds.add(kind)
    const parameters = pathParameters(path)
    paths[path] = { ...(parameters.length === 0 ? {} : { parameters }), ...Object.fromEntries(described) }
  }
  return { paths, kinds }
}

function describeOperation(subject: Subject, parts: OperationParts): JsonObject {
  const { name, kind, summary, description, parameters, requestBody, responses, messages = [] } = parts
  const { typeName, operationName, resource } = subject
  const hasMessages = messages.length > 0 && subject.audienceOf('messages') !== undefined
  const told: Json[] = messages.map(event => ({
    message: `#/components/messages/${messageName(subject, event)}`,
    channel: `#/channels/${channelOf(subject, kind === 'create' && event === 'created')}`,
  }))
  return {
    operationId: `${operationName}.${name}`,
    summary,
    ...(description === undefined ? {} : { description }),
    tags: [typeName],
    'x-lockstep-audience': subject.audienceOf(name)!,
    ...(hasMessages ? { 'x-lockstep-messages': told } : {}),
    ...(parameters.length === 0 ? {} : { parameters: [...parameters] }),
    ...(requestBody === undefined ? {} : { requestBody }),
    responses: { ...responses, ...problemsOf(kind, exceptionsOf(resource.requirePreconditions)) },
  }
}

/** Where a message of it is: on the topic of the collection or of the resource, or in the feed alone. */
function channelOf({ hasTopics, operationName, stream }: Subject, isOfCollection: boolean): string {
  if (!hasTopics) return `${stream}.changes`
  return isOfCollection ? operationName : `${operationName}.item`
}

function exceptionsOf(requirePreconditions: boolean): readonly number[] {
  return requirePreconditions ? [] : [428]
}

function readList(subject: Subject): [string, OperationParts][] {
  const { typeName, resource } = subject
  const names = ['limit', 'after', 'cursor', 'sort', 'versions', 'count', 'where', 'fields']
  const parameters = [
    ...names.map(parameterReference),
    ...viewParameters(subject),
    ...memberParameters(resource),
    ...conditionParameters,
  ]
  const headers = headerReferences('Lockstep-Versions', 'Lockstep-Count', ...shownHeaders(subject))
  const state = makeState(resource)
  const ok: JsonObject = {
    description: `Items of the collection. \`Link\` with \`rel="next"\` leads on while there are more.`,
    headers,
    content: {
      'application/json': {
        schema: { type: 'array', items: shownSchema(typeName) },
        ...(state === undefined ? {} : { example: [state] }),
      },
    },
  }
  const parts: OperationParts = {
    name: 'list',
    kind: 'list',
    summary: `List ${resource.template}`,
    parameters,
    responses: { 200: ok, 304: unchanged(subject) },
  }
  return [
    ['get', parts],
    ['head', headOf(parts)],
  ]
}

function readItem(subject: Subject): [string, OperationParts][] {
  const parts: OperationParts = {
    name: 'read',
    kind: 'read',
    summary: `Read one of ${subject.resource.template}`,
    parameters: [parameterReference('fields'), ...viewParameters(subject), ...conditionParameters],
    responses: {
      200: representation(subject, 'The resource.', shownHeaders(subject)),
      304: unchanged(subject),
    },
  }
  return [
    ['get', parts],
    ['head', headOf(parts)],
  ]
}

function createOne(subject: Subject): OperationParts {
  const { typeName, resource } = subject
  const state = makeState(resource)
  return {
    name: 'create',
    kind: 'create',
    summary: `Create one of ${resource.template}`,
    parameters: [...writeParameters, ...writeLanguage(subject)],
    requestBody: jsonBody(`${typeName}Input`, state),
    responses: { 201: representation(subject, 'It was created.', [...writtenHeaders(subject), 'Location']) },
    messages: ['created'],
  }
}

function changeOne(subject: Subject): [string, OperationParts][] {
  const { typeName, resource } = subject
  const state = makeState(resource)
  const conditions = ['If-Match', 'If-None-Match'].map(parameterReference)
  const parameters = [...writeParameters, ...writeLanguage(subject), ...conditions]
  const headers = writtenHeaders(subject)
  const patch = makePatch(resource, state)
  const [member] = Object.keys(patch ?? {})
  const patchBody: JsonObject = {
    required: true,
    content: {
      'application/merge-patch+json': mediaType(`${typeName}Patch`, patch),
      'application/json-patch+json': mediaType(
        'JsonPatch',
        member === undefined ? undefined : [{ op: 'replace', path: `/${member}`, value: patch![member]! }],
      ),
      'application/json': mediaType(`${typeName}Patch`, patch),
    },
  }
  return [
    [
      'put',
      {
        name: 'replace',
        kind: 'replace',
        summary: `Replace or create one of ${resource.template}`,
        parameters,
        requestBody: jsonBody(`${typeName}Input`, state),
        responses: {
          200: representation(subject, 'It was replaced.', headers),
          201: representation(subject, 'It was created.', [...headers, 'Location']),
        },
        messages: ['created', 'modified'],
      },
    ],
    [
      'patch',
      {
        name: 'patch',
        kind: 'patch',
        summary: `Change one of ${resource.template}`,
        parameters,
        requestBody: patchBody,
        responses: { 200: representation(subject, 'It is as the patch says.', [...headers, 'Accept-Patch']) },
        messages: ['modified'],
      },
    ],
    [
      'delete',
      {
        name: 'delete',
        kind: 'delete',
        summary: `Delete one of ${resource.template}`,
        description: 'What is nested below it is deleted too.',
        parameters: [...writeParameters, ...conditions],
        responses: {
          204: {
            description: 'It is deleted.',
            headers: headerReferences(...mirrorHeaders, 'X-Request-Id', 'Idempotency-Replayed'),
          },
        },
        messages: ['deleted'],
      },
    ],
  ]
}

function bulk(template: string): OperationParts {
  const schema: JsonObject = { $ref: '#/components/schemas/BulkResults' }
  return {
    name: 'bulk',
    kind: 'bulk',
    summary: `Write many of ${template}`,
    parameters: writeParameters,
    requestBody: jsonBody('Bulk', { atomic: true, operations: [{ method: 'DELETE', id: 'johndoe' }] }),
    responses: {
      200: {
        description: 'What became of each operation, in their order.',
        headers: headerReferences(...mirrorHeaders, 'X-Request-Id', 'Idempotency-Replayed'),
        content: {
          'application/json': {
            schema,
            example: { results: [{ status: 204, path: `/${template.replace(/[{}]/g, '')}/johndoe` }] },
          },
        },
      },
    },
    messages: ['created', 'modified', 'deleted'],
  }
}

function readChanges(subject: Subject): [string, OperationParts][] {
  const { stream, operationName } = subject
  const headers = headerReferences(...mirrorHeaders, 'Cache-Control', 'Vary')
  const parts: OperationParts = {
    name: 'changes',
    kind: 'changes',
    summary: `The changes of ${stream}`,
    description: `Every change of \`/${stream}\` and of what is nested below it, in order. As \`text/event-stream\` the response stays open: each change is an event whose data is the message, and an event \`head\` comes every 5 s.`,
    parameters: [
      ...['position', 'changesLimit', 'under', 'compact', 'Last-Event-ID'].map(parameterReference),
    ],
    responses: {
      200: {
        description: 'The changes of an interval, or a stream of events.',
        headers,
        content: {
          'application/json': { schema: { $ref: `#/components/schemas/${subject.typeName}Changes` } },
          'text/event-stream': {
            schema: { type: 'string' },
            'x-lockstep-channel': `#/channels/${operationName}.changes`,
          },
        },
      },
    },
  }
  return [
    ['get', parts],
    ['head', headOf(parts)],
    ['options', optionsOf('changes', `Methods of the changes of /${stream}`)],
  ]
}

/** The same without a body. */
function headOf(parts: OperationParts): OperationParts {
  const responses = Object.fromEntries(
    Object.entries(parts.responses).map(([status, response]) => {
      const { content: _content, ...rest } = response as JsonObject
      return [status, rest]
    }),
  )
  return { ...parts, name: `${parts.name}Head`, summary: `${parts.summary}: headers only`, responses }
}

function optionsOf(name: string, summary: string, further: readonly string[] = []): OperationParts {
  const headers = headerReferences('Allow', 'Lockstep-Topic', 'Link', ...further)
  const responses = { 204: { description: 'What is allowed here.', headers } }
  return { name: `${name}Options`, kind: 'options', summary, parameters: [], responses }
}

function viewParameters({ resource }: Subject): JsonObject[] {
  const hasTexts = resource.texts.places.length > 0
  const hasEmbeds = resource.references.size > 0
  return [
    ...(hasTexts || hasEmbeds ? [languageParameter(resource), parameterReference('Accept-Language')] : []),
    ...(hasEmbeds ? [parameterReference('embed')] : []),
  ]
}

function writeLanguage({ resource }: Subject): JsonObject[] {
  return resource.texts.places.length === 0
    ? []
    : [languageParameter(resource), parameterReference('Accept-Language')]
}

const conditionParameters = ['If-None-Match', 'If-Match'].map(parameterReference)
const writeParameters = ['Idempotency-Key', 'X-Request-Id'].map(parameterReference)

function languageHeaders({ resource }: Subject): string[] {
  const hasTexts = resource.texts.places.length > 0
  if (!hasTexts && resource.references.size === 0) return []
  return [...(hasTexts ? ['Lockstep-Languages', 'Lockstep-Texts'] : []), 'Content-Language', 'Vary']
}

function shownHeaders(subject: Subject): string[] {
  return [...mirrorHeaders, 'ETag', 'Cache-Control', ...languageHeaders(subject)]
}

function writtenHeaders(subject: Subject): string[] {
  return [...mirrorHeaders, 'ETag', 'X-Request-Id', 'Idempotency-Replayed', ...languageHeaders(subject)]
}

function representation(subject: Subject, description: string, headers: readonly string[]): JsonObject {
  const state = makeState(subject.resource)
  return {
    description,
    headers: headerReferences(...headers),
    content: {
      'application/json': {
        schema: shownSchema(subject.typeName),
        ...(state === undefined ? {} : { example: state }),
      },
    },
  }
}

function unchanged(subject: Subject): JsonObject {
  const names = [...shownHeaders(subject)]
  return { description: '`If-None-Match` names what would be shown.', headers: headerReferences(...names) }
}

/** The whole state, or what `fields`, `lang` and `embed` leave and add. */
function shownSchema(typeName: string): JsonObject {
  return {
    anyOf: [{ $ref: `#/components/schemas/${typeName}` }, { $ref: `#/components/schemas/${typeName}View` }],
  }
}

function jsonBody(component: string, example: JsonObject | undefined): JsonObject {
  return { required: true, content: { 'application/json': mediaType(component, example) } }
}

function mediaType(component: string, example: Json | undefined): JsonObject {
  return {
    schema: { $ref: `#/components/schemas/${component}` },
    ...(example === undefined ? {} : { example }),
  }
}
