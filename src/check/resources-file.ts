/**
 * Reads the outline of an API from a short file, for an API without an OpenAPI document:
 *
 * {"resources": [{"path": "/people", "create": {"name": "Ann"}, "patch": {"name": "Bea"}}], "features": ["idempotency"]}
 */
import { isJsonObject, type Json, type JsonObject, LockstepError, quote } from '../contract/index.ts'
import {
  type Feature,
  features,
  isCollectionTemplate,
  isSame,
  linkCollections,
  type Outline,
  type Write,
} from './outline.ts'
import { createSampler } from './sample.ts'
import { compileSchema } from './schema.ts'

const allWrites: readonly Write[] = ['POST', 'PUT', 'PATCH', 'DELETE']
const names = ['path', 'create', 'patch', 'schema', 'methods']

/** Errors: `invalid-option` with what is wrong. */
export function readResourcesFile(content: Json, source: string): Outline {
  const refuse = (reason: string): LockstepError =>
    new LockstepError('invalid-option', `${source} cannot be used: ${reason}.`)
  if (!isJsonObject(content) || !Array.isArray(content['resources']) || content['resources'].length === 0)
    throw refuse('it needs "resources", a list of objects with "path" and "create"')
  const unknown = Object.keys(content).find(name => !['resources', 'features', 'topicPrefix'].includes(name))
  if (unknown !== undefined) throw refuse(`${quote(unknown)} is no member of it`)
  const entries = content['resources'].map((entry, index) => readEntry(entry, index, refuse))
  const collections = linkCollections(
    entries.map(({ path }) => path),
    (template, parent) => {
      const { schema, create, patch, methods } = entries.find(({ path }) => path === template)!
      const validate = schema === undefined ? () => [] : compileSchema(schema)
      return {
        template,
        ...(parent === undefined ? {} : { parent }),
        methods: new Set(methods),
        sampler: createSampler({ schema, examples: create, patches: patch, validate }),
        ...(schema === undefined ? {} : { validate }),
      }
    },
  )
  const lost = entries.find(({ path }) => !collections.some(({ template }) => isSame(template, path)))
  if (lost !== undefined) throw refuse(`${quote(lost.path)} lies in a collection that is not in the list`)
  const { features: given = [], topicPrefix } = content
  const isFeature = (name: Json): name is Feature => features.includes(name as Feature)
  if (!Array.isArray(given) || !given.every(isFeature))
    throw refuse(`"features" is a list of ${features.join(', ')}`)
  if (topicPrefix !== undefined && typeof topicPrefix !== 'string') throw refuse('"topicPrefix" is a text')
  return {
    collections,
    declared: new Set(given),
    source,
    ...(topicPrefix === undefined ? {} : { topicPrefix }),
  }
}

interface Entry {
  readonly path: string
  readonly create: readonly JsonObject[]
  readonly patch: readonly JsonObject[]
  readonly schema?: JsonObject
  readonly methods: readonly Write[]
}

function readEntry(entry: Json, index: number, refuse: (reason: string) => LockstepError): Entry {
  const where = `resources[${index}]`
  if (!isJsonObject(entry)) throw refuse(`${where} is no object`)
  const unknown = Object.keys(entry).find(name => !names.includes(name))
  if (unknown !== undefined) throw refuse(`${where} has ${quote(unknown)}; it may have ${names.join(', ')}`)
  const { path, schema, methods = [...allWrites] } = entry
  if (typeof path !== 'string' || !isCollectionTemplate(path))
    throw refuse(`the path of ${where} is ${quote(path)} and not such as /people or /people/{person}/notes`)
  const objects = (name: string): JsonObject[] => {
    const list = entry[name] === undefined ? [] : [entry[name]].flat()
    if (!list.every(isJsonObject)) throw refuse(`${name} of ${where} is an object or a list of objects`)
    return list
  }
  if (schema !== undefined && !isJsonObject(schema)) throw refuse(`the schema of ${where} is no object`)
  const isWrite = (name: Json): name is Write => allWrites.includes(name as Write)
  if (!Array.isArray(methods) || !methods.every(isWrite))
    throw refuse(`the methods of ${where} are a list of ${allWrites.join(', ')}`)
  const create = objects('create')
  if (create.length === 0 && schema === undefined)
    throw refuse(`${where} needs "create", a body, or a "schema"`)
  return { path, create, patch: objects('patch'), ...(schema === undefined ? {} : { schema }), methods }
}
