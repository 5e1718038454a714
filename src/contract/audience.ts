/**
 * What a gateway tells a service of who asks: the claims of the header `Lockstep-Audience`, a short-lived signed token.
 *
 * Signing and verifying are done at the two ends; this is what they have in common. PROTOCOL.md §13.
 */
import { isJsonObject, type Json } from './json.ts'

/** The faces of an API: all of it, or what is declared public. */
export type AudienceFace = 'internal' | 'public'

/** The header that carries the token, in lower case. A gateway takes it out of whatever comes from outside. */
export const audienceHeader = 'lockstep-audience'
/** `iss` of the token. */
export const audienceIssuer = 'lockstep-gateway'
/** The longest time in seconds between `iat` and `exp`. */
export const maxAudienceSeconds = 60

/** The claims of the token; times are seconds since 1970. */
export interface AudienceClaims {
  /** {@link audienceIssuer}. */
  readonly iss: string
  /** The service that it is for, as the gateway names it. */
  readonly aud: string
  readonly face: AudienceFace
  /** Who asks, where that is known: the account of a key, or the subject of a token. */
  readonly sub?: string
  readonly scopes: readonly string[]
  /** The id of the request. */
  readonly jti: string
  readonly iat: number
  readonly exp: number
}

/** Is it such claims, by their kinds? Whether they hold is for whoever verifies. */
export function isAudienceClaims(value: Json): boolean {
  if (!isJsonObject(value)) return false
  const { iss, aud, face, sub, scopes, jti, iat, exp } = value
  return (
    iss === audienceIssuer &&
    typeof aud === 'string' &&
    (face === 'internal' || face === 'public') &&
    (sub === undefined || typeof sub === 'string') &&
    Array.isArray(scopes) &&
    scopes.every(scope => typeof scope === 'string') &&
    typeof jti === 'string' &&
    Number.isSafeInteger(iat) &&
    Number.isSafeInteger(exp)
  )
}

/**
 * The epoch under which the public knows a stream: another one wherever what the public sees is declared otherwise, so that
 * nothing which was made by one declaration is taken for what another one gives.
 */
export function publicEpochOf(epoch: string, rule: string): string {
  return `${epoch}p${rule}`
}
