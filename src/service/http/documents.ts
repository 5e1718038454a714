/** `GET {root}/_openapi` and `{root}/_asyncapi`: what the service says of its requests and messages. PROTOCOL.md §12. */
import { LockstepError, quote, satisfiesIfNoneMatch } from '../../contract/index.ts'
import type { Documents } from '../describe/documents.ts'
import { negotiate } from './context.ts'
import { type Exchange, jsonType, type Reply, readQuery } from './exchange.ts'

/** The document that stands at the path below the root; `undefined` where none does. */
export function findDocument(below: string): keyof Documents | undefined {
  return below === '/_openapi' || below === '/_asyncapi' ? (below.slice(1) as keyof Documents) : undefined
}

/** Errors: `method-not-allowed`, `not-acceptable`, `invalid-query`. */
export function replyWithDocument(
  documents: Documents,
  name: keyof Documents,
  exchange: Exchange,
  headers: Record<string, string>,
): Reply {
  const { method } = exchange
  if (method !== 'GET' && method !== 'HEAD') {
    headers['allow'] = 'GET, HEAD, OPTIONS'
    if (method === 'OPTIONS') return { status: 204, headers }
    throw new LockstepError(
      'method-not-allowed',
      `${quote(method)} is not allowed on /${name}. Allowed: ${headers['allow']}.`,
    )
  }
  negotiate(exchange, ['application/json'])
  const { audience = 'internal' } = readQuery(exchange.query, ['audience'])
  if (audience !== 'internal' && audience !== 'public') {
    throw new LockstepError(
      'invalid-query',
      `audience=${quote(audience)} is none. Give internal or public, or leave it out for the whole.`,
    )
  }
  const { text, etag } = documents[name](audience)
  headers['etag'] = etag
  headers['cache-control'] = 'no-cache'
  const ifNoneMatch = exchange.header('if-none-match')
  if (ifNoneMatch !== undefined && !satisfiesIfNoneMatch(ifNoneMatch, etag)) return { status: 304, headers }
  headers['content-type'] = jsonType
  return { status: 200, headers, body: text }
}
