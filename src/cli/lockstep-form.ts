/**
 * Lockstep's own form of a served file: `resources` by their templates, each with a JSON Schema and first rows,
 * and settings beside it.
 *
 * Unknown members are faults: a misspelt setting must not be passed over.
 */
import {
  type Fault,
  isJsonObject,
  isLockstepError,
  type Json,
  type JsonObject,
  LockstepError,
} from 'lockstep/contract'
import { defineResource, type Resource, type ResourceOptions } from 'lockstep/service'
import { readRoot, readTopicPrefix } from './argument.ts'
import { describeBlockedPort, isBlockedPort } from './blocked-port.ts'
import { type RowList, readFirstRows } from './first-row.ts'
import { findSchemaFaults } from './schema-fault.ts'
import type { ServedCollection, ServedContent, ServedSettings } from './served-content.ts'
import { escapePointer } from './served-text.ts'
import { suggest } from './suggestion.ts'

/** What is taken for the value of a setting, as for an option of the same name. Errors: `invalid-option`. */
const settingReaders: Readonly<Record<keyof ServedSettings, (value: Json) => string | number>> = {
  port: readApiPort,
  mqttPort: readPort,
  host: value => readText(value, 'must be a host name or address, such as "127.0.0.1"'),
  data: value => readText(value, 'must be the path of a folder'),
  root: value => readRoot(typeof value === 'string' ? value : JSON.stringify(value)),
  topicPrefix: value => readTopicPrefix(typeof value === 'string' ? value : JSON.stringify(value)),
}
const otherMembers = ['resources', '$schema']
const resourceMembers = ['schema', 'languages', 'references', 'public', 'rows']

/** Reads the file's value, which has an object as `resources`. */
export function readLockstepForm(value: JsonObject): ServedContent {
  const faults: Fault[] = []
  checkMembers(value, '', [...Object.keys(settingReaders), ...otherMembers], faults)
  const settings: Record<string, string | number> = {}
  for (const [name, read] of Object.entries(settingReaders)) {
    const setting = value[name]
    if (setting === undefined) continue
    try {
      settings[name] = read(setting)
    } catch (error) {
      faults.push({ pointer: `/${name}`, detail: messageFrom(error) })
    }
  }
  const declared = value['resources'] as JsonObject
  const collections = Object.entries(declared).flatMap(([template, declaration]) => {
    const pointer = `/resources/${escapePointer(template)}`
    const collection = readCollection(template, declaration, pointer, faults)
    return collection === undefined ? [] : [collection]
  })
  if (faults.length === 0) findOpenReferences(collections, faults)
  if (faults.length === 0) findOrphans(collections, faults)
  return { settings: settings as ServedSettings, collections, notices: [], faults }
}

function readCollection(
  template: string,
  declaration: Json,
  pointer: string,
  faults: Fault[],
): ServedCollection | undefined {
  if (!isJsonObject(declaration)) {
    faults.push({
      pointer,
      detail: 'must be an object with "schema", "languages", "references", "public" and "rows", all optional',
    })
    return undefined
  }
  checkMembers(declaration, pointer, resourceMembers, faults)
  const schema = declaration['schema'] ?? {}
  const schemaFaults = findSchemaFaults(schema, `${pointer}/schema`)
  faults.push(...schemaFaults)
  if (schemaFaults.length > 0) return undefined
  const resource = tryToDefine(template, { ...declaration, schema }, pointer, faults)
  if (resource === undefined) return undefined
  const rowCounts = { numericIds: 0, madeIds: 0 }
  const depth = template.split('/').length >> 1
  const lists = readLists(declaration['rows'] ?? (depth === 0 ? [] : {}), depth, `${pointer}/rows`, faults)
  const firstRows = lists.flatMap(list => readFirstRows(list, resource, rowCounts, faults))
  return { resource, firstRows, rowCounts }
}

/** A template that cannot be used is said at the resource, a schema that cannot be compiled at the schema. */
function tryToDefine(
  template: string,
  { schema, languages, references, public: face }: JsonObject,
  pointer: string,
  faults: Fault[],
): Resource<object> | undefined {
  try {
    defineResource(template, { schema: {} })
  } catch (error) {
    faults.push({ pointer, detail: messageFrom(error) })
    return undefined
  }
  const options = { languages, references, public: face } as Pick<
    ResourceOptions<object>,
    'languages' | 'references' | 'public'
  >
  try {
    return defineResource(template, { ...options, schema: schema as object })
  } catch (error) {
    const isSchema = languages === undefined && references === undefined && face === undefined
    faults.push({ pointer: isSchema ? `${pointer}/schema` : pointer, detail: messageFrom(error) })
    return undefined
  }
}

/** The rows of a nested collection stand below the ids of their parents: `{"johndoe": [...]}`. */
function readLists(value: Json, depth: number, pointer: string, faults: Fault[]): RowList[] {
  if (depth === 0) {
    if (Array.isArray(value)) return [{ rows: value, parentIds: [], pointer }]
    faults.push({ pointer, detail: 'must be an array of objects' })
    return []
  }
  if (!isJsonObject(value)) {
    faults.push({
      pointer,
      detail:
        'must be an object: the rows of a nested resource stand below their parent\'s id, such as {"johndoe": [ … ]}',
    })
    return []
  }
  return Object.entries(value).flatMap(([parentId, inner]) =>
    readLists(inner, depth - 1, `${pointer}/${escapePointer(parentId)}`, faults).map(list => ({
      ...list,
      parentIds: [parentId.normalize('NFC'), ...list.parentIds],
    })),
  )
}

/** What is referred to by its name is in the same file. */
function findOpenReferences(collections: readonly ServedCollection[], faults: Fault[]): void {
  const routes = new Set(collections.map(({ resource }) => resource.route))
  for (const { resource } of collections) {
    for (const { name, target } of resource.references.values()) {
      if (typeof target !== 'string' || routes.has(target)) continue
      const pointer = `/resources/${escapePointer(resource.template)}/references/${escapePointer(name)}`
      faults.push({ pointer, detail: `is none of the file's resources${suggest(target, [...routes])}` })
    }
  }
}

/** Nested resources need their parent to be declared, and its rows to be there for theirs. */
function findOrphans(collections: readonly ServedCollection[], faults: Fault[]): void {
  const byTemplate = new Map(collections.map(collection => [collection.resource.route, collection]))
  for (const { resource, firstRows } of collections) {
    const { template, route } = resource
    if (!route.includes('/')) continue
    const pointer = `/resources/${escapePointer(template)}`
    const parent = byTemplate.get(route.slice(0, route.lastIndexOf('/')))
    if (parent === undefined) {
      faults.push({ pointer, detail: 'is nested below a resource that the file does not declare' })
      continue
    }
    const known = new Set(parent.firstRows.map(row => JSON.stringify([...row.parentIds, row.id])))
    const missing = new Set(
      firstRows.map(row => JSON.stringify(row.parentIds)).filter(key => !known.has(key)),
    )
    for (const key of missing) {
      const ids = JSON.parse(key) as string[]
      const detail = `stands below ${JSON.stringify(ids.at(-1))}, which is not among the rows of ${parent.resource.template}`
      faults.push({ pointer: `${pointer}/rows/${ids.map(escapePointer).join('/')}`, detail })
    }
  }
}

function checkMembers(value: JsonObject, pointer: string, known: readonly string[], faults: Fault[]): void {
  for (const name of Object.keys(value)) {
    if (known.includes(name)) continue
    const detail = `is not known here${suggest(name, known)}`
    faults.push({ pointer: `${pointer}/${escapePointer(name)}`, detail })
  }
}

function readPort(value: Json): number {
  if (typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= 65_535) return value
  throw new LockstepError('invalid-option', 'must be a port, 0 to 65535 (0 takes any free one)')
}

function readApiPort(value: Json): number {
  const port = readPort(value)
  if (isBlockedPort(port)) throw new LockstepError('invalid-option', describeBlockedPort(port))
  return port
}

function readText(value: Json, wanted: string): string {
  if (typeof value === 'string' && value !== '') return value
  throw new LockstepError('invalid-option', wanted)
}

function messageFrom(error: unknown): string {
  if (isLockstepError(error)) return error.message
  throw error
}
