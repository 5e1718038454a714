/** Whose pages may connect: a page of another site would do so with its user's cookies. PROTOCOL.md §9.3, RFC 6454. */
import type { IncomingMessage } from 'node:http'
import { LockstepError, quote } from '../contract/index.ts'

/** The origins that are allowed; `undefined`: the host that was asked. */
export type Origins = ReadonlySet<string> | undefined

/** Errors: `access-denied`. A request without an origin is no browser's. */
export function checkOrigin(request: IncomingMessage, origins: Origins): void {
  const { origin } = request.headers
  if (origin === undefined || isAllowed(request, origin, origins)) return
  throw new LockstepError(
    'access-denied',
    `Pages of ${quote(origin)} may not connect here. Add it to the origins of the bridge.`,
  )
}

function isAllowed({ headers }: IncomingMessage, origin: string, origins: Origins): boolean {
  if (origins !== undefined) return origins.has(origin)
  return URL.canParse(origin) && new URL(origin).host === headers.host
}

/** What lets the pages of allowed origins read the answers of a bridge elsewhere. */
export function corsHeaders(
  { headers: { origin } }: IncomingMessage,
  origins: Origins,
): Record<string, string> {
  if (origin === undefined || !origins?.has(origin)) return { vary: 'Origin' }
  return {
    vary: 'Origin',
    'access-control-allow-origin': origin,
    'access-control-allow-credentials': 'true',
  }
}
