/** The operations of an OpenAPI document. */
import { isJsonObject, type Json, type JsonObject } from '../../contract/index.ts'

export const httpMethods = ['get', 'put', 'post', 'delete', 'options', 'head', 'patch', 'trace'] as const

/** Every operation of a document, webhooks left out, in its order. */
export function listOperations(
  document: JsonObject,
): readonly { readonly path: string; readonly method: string; readonly operation: JsonObject }[] {
  const paths = (document['paths'] ?? {}) as JsonObject
  return Object.entries(paths).flatMap(([path, item]) =>
    httpMethods.flatMap(method => {
      const operation: Json | undefined = isJsonObject(item) ? item[method] : undefined
      return isJsonObject(operation ?? null) ? [{ path, method, operation: operation as JsonObject }] : []
    }),
  )
}
