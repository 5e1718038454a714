/**
 * Brings OpenAPI documents of all ages to 3.1: Swagger 1.2 by swagger-converter, 2.0 and 3.0 by @scalar/openapi-upgrader.
 *
 * What their converters get wrong on real documents is put right here, each with its reason. Both are optional packages.
 */
import { isJsonObject, type JsonObject, LockstepError, quote } from '../../contract/index.ts'
import { kindOf } from './document-kind.ts'
import { mend } from './mend.ts'
import { loadPackage } from './optional-package.ts'

/** The further documents of a Swagger 1.2 API by the path under which the first one lists them. */
export type Declarations = Readonly<Record<string, JsonObject>>

/** An OpenAPI 3.1 document of any OpenAPI document. Errors: `invalid-json` where it is none, `missing-dependency`. */
export async function upgradeOpenApi(
  name: string,
  document: JsonObject,
  declarations: Declarations = {},
): Promise<JsonObject> {
  const kind = kindOf(document)
  switch (kind) {
    case 'openapi-3.1':
      return mend(document)
    case 'openapi-3.2':
      return mend(withoutNews(document))
    case 'openapi-3.0':
    case 'swagger-2.0':
      return mend(await toThreeOne(document))
    case 'swagger-1.2':
      return mend(await toThreeOne(await toTwo(name, document, declarations)))
    default: {
      const version = document['openapi'] ?? document['swagger']
      const says =
        version === undefined
          ? 'it has neither "openapi" nor "swagger"'
          : `its version is ${quote(String(version))}`
      throw new LockstepError(
        'invalid-json',
        `${name} is no OpenAPI document that can be read: ${says}. Give Swagger 1.2 or 2.0, or OpenAPI 3.0, 3.1 or 3.2.`,
      )
    }
  }
}

async function toThreeOne(document: JsonObject): Promise<JsonObject> {
  const { upgrade } = await loadPackage(
    '@scalar/openapi-upgrader',
    'A document of Swagger 2.0 or OpenAPI 3.0',
    () => import('@scalar/openapi-upgrader'),
  )
  // It works in place, and its result may share parts.
  return JSON.parse(JSON.stringify(upgrade(structuredClone(document), '3.1'))) as JsonObject
}

interface SwaggerConverter {
  convert(listing: JsonObject, declarations: Declarations): JsonObject
}

async function toTwo(name: string, listing: JsonObject, declarations: Declarations): Promise<JsonObject> {
  const { default: converter } = await loadPackage<{ default: SwaggerConverter }>(
    'swagger-converter',
    'A document of Swagger 1.2',
    // @ts-expect-error the package has no types
    () => import('swagger-converter'),
  )
  const missing = listDeclarations(listing).filter(path => !Object.hasOwn(declarations, path))
  if (missing.length > 0) {
    throw new LockstepError(
      'invalid-json',
      `${name} lists ${missing.map(each => quote(each)).join(', ')}, which was not given with it.`,
    )
  }
  return JSON.parse(
    JSON.stringify(converter.convert(structuredClone(listing), structuredClone(declarations))),
  ) as JsonObject
}

/** The paths of the further documents that a Swagger 1.2 document lists; none where it holds its operations itself. */
export function listDeclarations({ apis, resourcePath }: JsonObject): readonly string[] {
  if (!Array.isArray(apis) || resourcePath !== undefined) return []
  return apis.flatMap(api =>
    isJsonObject(api) && typeof api['path'] === 'string' && api['operations'] === undefined
      ? [api['path']]
      : [],
  )
}

/** What OpenAPI 3.2 has and 3.1 has not is kept as an extension. */
function withoutNews(document: JsonObject): JsonObject {
  const { $self: _self, tags, ...rest } = document
  const paths: JsonObject = {}
  for (const [path, item] of Object.entries((rest['paths'] ?? {}) as JsonObject)) {
    if (!isJsonObject(item)) continue
    const { query, additionalOperations, ...known } = item
    paths[path] = {
      ...known,
      ...(query === undefined ? {} : { 'x-query': query }),
      ...(additionalOperations === undefined ? {} : { 'x-additional-operations': additionalOperations }),
    }
  }
  const known = Array.isArray(tags) ? tags.filter(isJsonObject).map(keepTag) : undefined
  return {
    ...rest,
    ...(known === undefined ? {} : { tags: known }),
    ...(rest['paths'] === undefined ? {} : { paths }),
  }
}

function keepTag({ name, description, summary, externalDocs, parent, kind }: JsonObject): JsonObject {
  const entries = Object.entries({
    name,
    description: description ?? summary,
    externalDocs,
    'x-parent': parent,
    'x-kind': kind,
  })
  return Object.fromEntries(entries.filter(([, value]) => value !== undefined)) as JsonObject
}
