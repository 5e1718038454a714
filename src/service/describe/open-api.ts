/** A service as an OpenAPI 3.1 document, made from the declarations of its resources. */
import { isJsonObject, type Json, type JsonObject } from '../../contract/index.ts'
import { type DescribeOptions, type Outline, readOutline, type Subject } from './about.ts'
import { changesSchema, healthSchema, indexSchema, sharedSchemas } from './contract-schema.ts'
import { events, messageName, messageSchemas } from './message-schema.ts'
import { headerComponents, headerReferences, parameterComponents } from './parameter.ts'
import { type Kind, problemResponses, problemSchema, problemsOf } from './problem.ts'
import { describeResource } from './resource-operations.ts'
import { shapeSchema } from './schema-shape.ts'

/**
 * Describes every operation that a service with these options answers, with its parameters, headers, problems and the
 * messages that it causes. It takes the options of `openService` as they are. Errors: `invalid-option`.
 */
export function describeOpenApi(options: DescribeOptions): JsonObject {
  const outline = readOutline(options)
  const { about, root, subjects } = outline
  const kinds = new Set<Kind>()
  const paths: JsonObject = {}
  for (const subject of subjects) {
    const described = describeResource(outline, subject)
    Object.assign(paths, described.paths)
    for (const kind of described.kinds) kinds.add(kind)
  }
  if (!outline.isPublicOnly) {
    Object.assign(paths, describeOwnPaths(outline))
    kinds.add('plain')
  }
  const document: JsonObject = {
    openapi: '3.1.1',
    info: describeInfo(outline),
    servers: [{ url: root === '' ? '/' : root }],
    tags: describeTags(outline),
    // Who may call is said by what stands before the service.
    security: [],
    paths,
    components: {
      schemas: describeSchemas(outline),
      parameters: { ...parameterComponents },
      headers: { ...headerComponents },
      responses: problemResponses(kinds),
    },
    'x-lockstep': {
      protocol: 1,
      ...(outline.topicPrefix === undefined ? {} : { topicPrefix: outline.topicPrefix }),
      asyncapi: `${root}/_asyncapi`,
    },
    ...(about.live === undefined ? {} : { 'x-lockstep-live': about.live }),
  }
  return dropUnused(document)
}

export function describeInfo({ about }: Outline): JsonObject {
  const { title = 'API', version = '1.0.0', description } = about
  return { title, version, ...(description === undefined ? {} : { description }) }
}

export function describeTags({ subjects, isPublicOnly }: Outline): Json[] {
  const own = subjects.map(({ typeName, resource }) => {
    const { description } = resource.schema
    return {
      name: typeName,
      'x-displayName': resource.template.replaceAll(/\/\{\w+\}/g, ''),
      description: typeof description === 'string' ? description : `Resources at \`/${resource.template}\`.`,
    }
  })
  return isPublicOnly ? own : [...own, { name: 'Service', description: 'What the service says of itself.' }]
}

/** The schemas of all resources in all their shapes, those of their messages, and the shared ones. */
export function describeSchemas({ subjects }: Outline): JsonObject {
  const schemas: JsonObject = { Problem: problemSchema, ...sharedSchemas }
  for (const subject of subjects) {
    const { typeName, resource, stream, isTop } = subject
    const { schema } = resource
    const view = `${typeName}View`
    Object.assign(
      schemas,
      shapeSchema(schema, typeName, 'state'),
      shapeSchema(schema, `${typeName}Input`, 'input'),
      shapeSchema(schema, `${typeName}Patch`, 'patch'),
      shapeSchema(schema, view, 'view'),
    )
    markMembers(schemas[typeName] as JsonObject, subject)
    schemas[view] = withEmbeds(schemas[view] as JsonObject, subject)
    Object.assign(schemas, messageSchemas(subject))
    if (!isTop) continue
    const inStream = subjects.filter(other => other.stream === stream)
    schemas[`${typeName}Changes`] = changesSchema(
      inStream.flatMap(other => events.map(event => messageName(other, event))),
    )
  }
  return schemas
}

/** Says of each member at the top whether the public sees it, where it sees some. */
function markMembers(schema: JsonObject, { resource: { face }, isPublicOnly }: Subject): void {
  const { properties } = schema
  if (face === undefined || isPublicOnly || !isJsonObject(properties ?? null)) return
  const marked = Object.entries(properties as JsonObject).map(([name, member]) => {
    const audience = face.fields === undefined || face.fields.has(name) ? 'public' : 'internal'
    return [name, isJsonObject(member) ? { ...member, 'x-lockstep-audience': audience } : member]
  })
  schema['properties'] = Object.fromEntries(marked) as JsonObject
}

/** What `fields`, `lang` and `embed` make of a state. */
function withEmbeds(view: JsonObject, { resource }: Subject): JsonObject {
  const description = 'What is shown of it with `fields`, `lang` or `embed`.'
  if (resource.references.size === 0) return { ...view, description }
  const one: JsonObject = { type: ['object', 'null'] }
  const names = [...resource.references.keys()]
  const embedded = Object.fromEntries(
    names.map(name => [name, { anyOf: [one, { type: 'array', items: one }] }]),
  )
  const problem: JsonObject = {
    type: 'object',
    required: ['pointer', 'resource', 'code', 'status', 'detail'],
    properties: {
      pointer: { type: 'string' },
      resource: { type: 'string' },
      code: { type: 'string' },
      status: { type: 'integer' },
      detail: { type: 'string' },
    },
  }
  return {
    ...view,
    description,
    properties: {
      ...(view['properties'] as JsonObject),
      _embedded: { type: 'object', properties: embedded },
      _problems: { type: 'array', items: problem },
    },
  }
}

/** The root, the health and the documents themselves. */
function describeOwnPaths({ hasHealth, about }: Outline): JsonObject {
  const paths: JsonObject = {
    '/': plainPath('index', 'What is here', { 200: json('The resources and their topics.', indexSchema) }),
  }
  if (hasHealth) {
    paths['/health'] = plainPath('health', 'How the service stands', {
      200: json('It answers.', healthSchema, ['Cache-Control']),
      503: json('Requests should go elsewhere.', healthSchema, ['Cache-Control', 'Retry-After']),
    })
  }
  const headers = ['ETag', 'Cache-Control']
  for (const [name, summary] of [
    ['_openapi', 'This document'],
    ['_asyncapi', 'The messages, as an AsyncAPI document'],
  ] as const) {
    const document = json(
      `${summary}${about.version === undefined ? '' : `, version ${about.version}`}.`,
      { type: 'object' },
      headers,
    )
    const notModified = { description: 'It is the same.', headers: headerReferences(...headers) }
    const audience: JsonObject = {
      name: 'audience',
      in: 'query',
      description: '`public`: only what is public, as the public sees it.',
      schema: { enum: ['internal', 'public'], default: 'internal' },
    }
    paths[`/${name}`] = plainPath(name.slice(1), summary, { 200: document, 304: notModified }, [audience])
  }
  return paths
}

function plainPath(
  name: string,
  summary: string,
  responses: JsonObject,
  parameters: readonly JsonObject[] = [],
): JsonObject {
  const problems = problemsOf('plain')
  const operation = (suffix: string, given: JsonObject): JsonObject => ({
    operationId: `service.${name}${suffix}`,
    summary: `${summary}${suffix === 'Head' ? ': headers only' : ''}`,
    tags: ['Service'],
    'x-lockstep-audience': 'internal',
    responses: { ...problems, ...given },
  })
  const bare = Object.fromEntries(
    Object.entries(responses).map(([status, response]) => {
      const { content: _content, ...rest } = response as JsonObject
      return [status, rest]
    }),
  )
  const allowed = { 204: { description: 'What is allowed here.', headers: headerReferences('Allow') } }
  return {
    ...(parameters.length === 0 ? {} : { parameters: [...parameters] }),
    get: operation('', responses),
    head: operation('Head', bare),
    options: { ...operation('Options', allowed), summary: `Methods of ${summary.toLowerCase()}` },
  }
}

function json(description: string, schema: JsonObject, headers: readonly string[] = []): JsonObject {
  return { description, headers: headerReferences(...headers), content: { 'application/json': { schema } } }
}

/** Leaves out the components that nothing refers to, until none is left. */
function dropUnused(document: JsonObject): JsonObject {
  const components = document['components'] as Record<string, JsonObject>
  for (;;) {
    const text = JSON.stringify(document)
    let dropped = 0
    for (const [kind, members] of Object.entries(components)) {
      for (const name of Object.keys(members)) {
        if (
          text.includes(`"#/components/${kind}/${name}"`) ||
          text.includes(`"#/components/${kind}/${name}/`)
        )
          continue
        delete members[name]
        dropped++
      }
    }
    if (dropped === 0) return document
  }
}
