/** Makes a document valid whose author, or whose converter, was not careful: nothing is invented, what cannot stand is left out. */
import { isJsonObject, type JsonObject } from '../../contract/index.ts'
import { httpMethods } from './operation-list.ts'
import { resolvePointer, rewriteReferences } from './reference-walk.ts'

const itemMembers = new Set<string>([
  '$ref',
  'summary',
  'description',
  'servers',
  'parameters',
  ...httpMethods,
])
const operationMembers = new Set([
  'tags',
  'summary',
  'description',
  'externalDocs',
  'operationId',
  'parameters',
  'requestBody',
  'responses',
  'callbacks',
  'deprecated',
  'security',
  'servers',
])
const schemeMembers: Readonly<Record<string, readonly string[]>> = {
  apiKey: ['name', 'in'],
  http: ['scheme', 'bearerFormat'],
  oauth2: ['flows'],
  openIdConnect: ['openIdConnectUrl'],
  mutualTLS: [],
}

/** What real documents have that 3.1 does not allow, whoever wrote or converted them. */
export function mend(document: JsonObject): JsonObject {
  const mended = rewriteReferences(document, {
    reference: target => target,
    object: (value, key) => mendObject(mendReference(value, key, document), key),
  }) as JsonObject
  const { info, paths, components } = mended
  const { title = 'API', version = '0', ...others } = isJsonObject(info ?? null) ? (info as JsonObject) : {}
  return {
    ...mended,
    openapi: '3.1.1',
    info: { ...others, title: String(title), version: String(version) },
    ...(isJsonObject(paths ?? null) ? { paths: mendPaths(paths as JsonObject) } : {}),
    ...(paths === undefined && mended['webhooks'] === undefined ? { paths: {} } : {}),
    ...(isJsonObject(components ?? null) ? { components: mendComponents(components as JsonObject) } : {}),
  }
}

/** A reference that leads to nothing in this document, or out of it, says so in place of what it should have been. */
function mendReference(value: JsonObject, key: string, document: JsonObject): JsonObject {
  const { $ref, ...rest } = value
  if (
    typeof $ref === 'string' &&
    $ref !== '#' &&
    resolvePointer(document, $ref) === undefined &&
    !$ref.startsWith('#/$')
  )
    return {
      description: 'Not described: what this refers to is missing.',
      ...rest,
      'x-lockstep-missing': $ref,
    }
  if (key !== 'discriminator' || !isJsonObject(value['mapping'] ?? null)) return value
  const known = Object.entries(value['mapping'] as JsonObject).filter(
    ([, target]) =>
      typeof target === 'string' &&
      resolvePointer(document, target.startsWith('#') ? target : `#/components/schemas/${target}`) !==
        undefined,
  )
  return { ...value, mapping: Object.fromEntries(known) as JsonObject }
}

function mendPaths(paths: JsonObject): JsonObject {
  const mended = Object.entries(paths).map(([path, item]) => {
    if (!isJsonObject(item)) return [path, item]
    const known = pick(item, itemMembers)
    for (const method of httpMethods) {
      const operation = known[method]
      if (isJsonObject(operation ?? null)) known[method] = pick(operation as JsonObject, operationMembers)
    }
    return [path, known]
  })
  return Object.fromEntries(mended) as JsonObject
}

function mendComponents(components: JsonObject): JsonObject {
  const { securitySchemes } = components
  if (!isJsonObject(securitySchemes ?? null)) return components
  const schemes = Object.entries(securitySchemes as JsonObject).map(([name, scheme]) => {
    const members = isJsonObject(scheme) ? schemeMembers[String(scheme['type'])] : undefined
    return [
      name,
      members === undefined
        ? scheme
        : pick(scheme as JsonObject, new Set(['type', 'description', ...members])),
    ]
  })
  return { ...components, securitySchemes: Object.fromEntries(schemes) as JsonObject }
}

function pick(value: JsonObject, members: ReadonlySet<string>): JsonObject {
  return Object.fromEntries(
    Object.entries(value).filter(([name]) => members.has(name) || name.startsWith('x-')),
  ) as JsonObject
}

function mendObject(value: JsonObject, key: string): JsonObject {
  let result = value
  const change = (changes: JsonObject, without: readonly string[] = []): void => {
    result = Object.fromEntries(
      Object.entries({ ...result, ...changes }).filter(([name]) => !without.includes(name)),
    ) as JsonObject
  }
  // Swagger's `type: file` and `collectionFormat` outlive some conversions.
  if (result['type'] === 'file') change({ type: 'string', contentMediaType: 'application/octet-stream' })
  // A description is text; some write nothing or a number.
  if (result['description'] === null) change({}, ['description'])
  // 3.0's nullable beside what its converter does not look into.
  if (result['nullable'] === true && typeof result['type'] === 'string') {
    change({ type: [result['type'], 'null'] }, ['nullable'])
  } else if (typeof result['nullable'] === 'boolean') change({}, ['nullable'])
  // An enum of a type that may be null names null too, or null would never do.
  const { type, enum: values } = result
  if (Array.isArray(type) && type.includes('null') && Array.isArray(values) && !values.includes(null)) {
    change({ enum: [...values, null] })
  }
  // Draft 4's flags beside the bounds that they sharpen.
  for (const [flag, bound] of [
    ['exclusiveMinimum', 'minimum'],
    ['exclusiveMaximum', 'maximum'],
  ] as const) {
    if (typeof result[flag] !== 'boolean') continue
    const limit = result[bound]
    change(result[flag] && limit !== undefined ? { [flag]: limit } : {}, result[flag] ? [bound] : [flag])
    if (typeof result[flag] === 'boolean') change({}, [flag])
  }
  // A flow of OAuth names its scopes, if there are none too.
  if (typeof result['tokenUrl'] === 'string' && result['scopes'] === undefined && key !== 'properties')
    change({ scopes: {} })
  // What Swagger 2.0 said of lists, in places where its converter does not look.
  if (typeof result['collectionFormat'] === 'string' && key !== 'properties') change({}, ['collectionFormat'])
  return isParameter(result) ? mendParameter(result) : result
}

function isParameter(value: JsonObject): boolean {
  return typeof value['name'] === 'string' && typeof value['in'] === 'string'
}

/** A parameter in the path is required, whatever is said. */
function mendParameter(value: JsonObject): JsonObject {
  return value['in'] === 'path' && value['required'] !== true ? { ...value, required: true } : value
}
