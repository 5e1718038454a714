/** `GET {root}/health`: how the service stands, for load balancers and people. PROTOCOL.md §4.17. */
import { LockstepError, quote } from '../../contract/index.ts'
import type { Health } from '../health.ts'
import { negotiate } from './context.ts'
import { type Exchange, jsonType, type Reply, readQuery } from './exchange.ts'

/** Answers 200, or 503 where requests should go elsewhere. Errors: `method-not-allowed`, `not-acceptable`, `invalid-query`. */
export async function replyWithHealth(
  read: () => Promise<Health>,
  exchange: Exchange,
  headers: Record<string, string>,
): Promise<Reply> {
  const { method } = exchange
  if (method !== 'GET' && method !== 'HEAD') {
    headers['allow'] = 'GET, HEAD, OPTIONS'
    if (method === 'OPTIONS') return { status: 204, headers }
    throw new LockstepError(
      'method-not-allowed',
      `${quote(method)} is not allowed on /health. Allowed: ${headers['allow']}.`,
    )
  }
  negotiate(exchange, ['application/json'])
  readQuery(exchange.query, [])
  const health = await read()
  headers['content-type'] = jsonType
  headers['cache-control'] = 'no-store'
  if (health.status === 'failing') headers['retry-after'] = '1'
  return {
    status: health.status === 'failing' ? 503 : 200,
    headers,
    body: `${JSON.stringify(health, null, 2)}\n`,
  }
}
