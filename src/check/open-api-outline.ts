/** Reads the outline of an API from its OpenAPI 3.0 or 3.1 document. */
import { isJsonObject, type Json, type JsonObject, LockstepError } from '../contract/index.ts'
import {
  type Collection,
  type Feature,
  isCollectionTemplate,
  isSame,
  linkCollections,
  type Outline,
  type Write,
} from './outline.ts'
import { createSampler } from './sample.ts'
import { compileSchema, resolveReference } from './schema.ts'

const writes: readonly Write[] = ['PUT', 'PATCH', 'DELETE']

/** Errors: `invalid-option` for what is no OpenAPI document, and for one without a collection that can be written. */
export function readOpenApiOutline(document: JsonObject, source: string): Outline {
  const { paths, openapi } = document
  if (typeof openapi !== 'string' || !isJsonObject(paths)) {
    throw new LockstepError(
      'invalid-option',
      `${source} is no OpenAPI document: it has no "openapi" and "paths".`,
    )
  }
  const templates = Object.keys(paths).filter(isCollectionTemplate)
  const declared = new Set<Feature>()
  const collections = linkCollections(templates, (template, parent) =>
    readCollection(document, paths, template, parent, declared),
  ).filter(({ methods }) => methods.has('POST') || methods.has('PUT'))
  if (collections.length === 0) {
    throw new LockstepError(
      'invalid-option',
      `${source} has no collection that can be written: a path such as /people with POST, beside /people/{id}. Give the resources in a file.`,
    )
  }
  for (const path of Object.keys(paths)) {
    if (path.endsWith('/_bulk')) declared.add('bulk')
    if (path === '/health') declared.add('health')
    if (path.endsWith('/_changes')) readFeedFeatures(document, paths[path], declared)
  }
  const extension = document['x-lockstep']
  const prefix = isJsonObject(extension) ? extension['topicPrefix'] : undefined
  return { collections, declared, source, ...(typeof prefix === 'string' ? { topicPrefix: prefix } : {}) }
}

function readCollection(
  document: JsonObject,
  paths: JsonObject,
  template: string,
  parent: Collection | undefined,
  declared: Set<Feature>,
): Collection {
  const list = resolveReference(document, paths[template]) ?? {}
  const itemPath = Object.keys(paths).find(path => isSame(path, `${template}/{id}`))
  const item = (itemPath === undefined ? undefined : resolveReference(document, paths[itemPath])) ?? {}
  const methods = new Set<Write>(list['post'] === undefined ? [] : ['POST'])
  for (const method of writes) if (item[method.toLowerCase()] !== undefined) methods.add(method)
  if (methods.has('PUT')) declared.add('put')
  if (hasParameter(document, list['post'], 'idempotency-key')) declared.add('idempotency')
  const patchTypes = contentOf(document, resolveReference(document, item['patch'])?.['requestBody'])
  if (patchTypes?.['application/json-patch+json'] !== undefined) declared.add('json-patch')
  const body = contentOf(
    document,
    resolveReference(
      document,
      (resolveReference(document, list['post']) ?? resolveReference(document, item['put']))?.['requestBody'],
    ),
  )
  const media = resolveReference(document, body?.['application/json']) ?? {}
  const schema = resolveReference(document, media['schema']) ?? {}
  const validate = compileSchema(schema, document)
  return {
    template,
    ...(parent === undefined ? {} : { parent }),
    methods,
    sampler: createSampler({ schema, document, validate, examples: readExamples(document, media) }),
    ...stateValidator(document, item),
  }
}

/** Examples that the schema itself refuses would only mislead. */
function readExamples(document: JsonObject, media: JsonObject): JsonObject[] {
  const named = isJsonObject(media['examples'])
    ? Object.values(media['examples']).map(each => resolveReference(document, each)?.['value'])
    : []
  const schema = resolveReference(document, media['schema'])
  const listed = Array.isArray(schema?.['examples']) ? schema['examples'] : []
  const validate = compileSchema(schema ?? {}, document)
  return [media['example'], schema?.['example'], ...named, ...listed].filter(
    (each): each is JsonObject => isJsonObject(each) && validate(each).length === 0,
  )
}

function stateValidator(document: JsonObject, item: JsonObject): Pick<Collection, 'validate'> {
  const read = resolveReference(document, item['get'])
  const responses = resolveReference(document, read?.['responses'])
  const media = resolveReference(document, contentOf(document, responses?.['200'])?.['application/json'])
  const schema = resolveReference(document, media?.['schema'])
  return schema === undefined ? {} : { validate: compileSchema(schema, document) }
}

function readFeedFeatures(document: JsonObject, path: Json | undefined, declared: Set<Feature>): void {
  const read = resolveReference(document, resolveReference(document, path)?.['get'])
  const responses = resolveReference(document, read?.['responses'])
  if (contentOf(document, responses?.['200'])?.['text/event-stream'] !== undefined)
    declared.add('event-stream')
  if (hasParameter(document, read, 'compact')) declared.add('compact')
}

function contentOf(document: JsonObject, value: Json | undefined): JsonObject | undefined {
  const content = resolveReference(document, value)?.['content']
  return isJsonObject(content) ? content : undefined
}

function hasParameter(document: JsonObject, operation: Json | undefined, name: string): boolean {
  const parameters = resolveReference(document, operation)?.['parameters']
  return (
    Array.isArray(parameters) &&
    parameters.some(each => String(resolveReference(document, each)?.['name']).toLowerCase() === name)
  )
}
