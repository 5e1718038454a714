/** What kind of document it is, by what it says of itself. */
import type { JsonObject } from '../../contract/index.ts'

export type DocumentKind =
  | 'swagger-1.2'
  | 'swagger-2.0'
  | 'openapi-3.0'
  | 'openapi-3.1'
  | 'openapi-3.2'
  | 'asyncapi-2'
  | 'asyncapi-3'

/** `undefined` where it is none of these. */
export function kindOf(document: JsonObject): DocumentKind | undefined {
  const { openapi, swagger, swaggerVersion, asyncapi } = document
  if (typeof openapi === 'string') {
    const [, version] = /^(3\.[012])(\.|$)/.exec(openapi) ?? []
    return version === undefined ? undefined : (`openapi-${version}` as DocumentKind)
  }
  if (String(swagger) === '2.0' || swagger === 2) return 'swagger-2.0'
  if (typeof swaggerVersion === 'string' && /^1\.[0-2]/.test(swaggerVersion)) return 'swagger-1.2'
  if (typeof asyncapi === 'string') {
    if (asyncapi.startsWith('2.')) return 'asyncapi-2'
    if (asyncapi.startsWith('3.')) return 'asyncapi-3'
  }
  return undefined
}
