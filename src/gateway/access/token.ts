/**
 * Tokens (JWT, RFC 7519) of OAuth 2 and OpenID Connect issuers, verified as RFC 8725 advises.
 *
 * Which issuer, key and algorithm there are is configured: of the header only `kid` counts, to choose among the issuer's own keys. A token that
 * brings keys or their addresses along is refused. What was verified is remembered for a short time.
 */
import { createHash } from 'node:crypto'
import { decodeJwt, decodeProtectedHeader, errors, type JWTPayload, jwtVerify } from 'jose'
import { LockstepError, type ReportError } from '../../contract/index.ts'
import { createKeySet, type KeySet } from './key-set.ts'
import { isScope } from './scope.ts'
import type { TokenIssuer } from './token-issuer.ts'

/** What a token that holds says. */
export interface TokenFacts {
  readonly account: string
  readonly plan: string
  readonly scopes: readonly string[]
  readonly subject: string
  /** Milliseconds since 1970. */
  readonly expiresAtMs: number
}

export interface TokenCheckOptions {
  readonly issuers: readonly TokenIssuer[]
  readonly onError: ReportError
  readonly now: () => number
  readonly fetch?: typeof fetch
}

export interface TokenCheck {
  /** `undefined` where the token does not hold. Errors: `api-unreachable` where the issuer's keys cannot be had. */
  verify(token: string): TokenFacts | undefined | Promise<TokenFacts | undefined>
}

const maxTokenChars = 8_192
/** What was verified is not verified again for so long. */
const rememberMs = 60_000
const maxRemembered = 10_000
/** What would let a token say which key it is to be verified with, or how. */
const refusedHeaders = ['jku', 'jwk', 'x5u', 'x5c', 'x5t', 'x5t#S256', 'crit', 'b64', 'zip', 'enc']

interface Remembered {
  readonly facts: TokenFacts
  readonly untilMs: number
}

export function createTokenCheck({ issuers, onError, now, fetch }: TokenCheckOptions): TokenCheck {
  const known = new Map(
    issuers.map(issuer => {
      const { jwks: source, algorithm } = issuer
      return [
        issuer.issuer,
        { issuer, keys: createKeySet({ source, algorithm, onError, now, ...(fetch && { fetch }) }) },
      ]
    }),
  )
  const remembered = new Map<string, Remembered>()
  const remember = (name: string, facts: TokenFacts): void => {
    if (remembered.size >= maxRemembered) remembered.delete(remembered.keys().next().value!)
    remembered.set(name, { facts, untilMs: Math.min(now() + rememberMs, facts.expiresAtMs) })
  }
  return {
    verify(token) {
      if (token.length > maxTokenChars || !isPlain(token)) return undefined
      const name = createHash('sha256').update(token).digest('base64url')
      const before = remembered.get(name)
      if (before !== undefined && now() < before.untilMs) return before.facts
      remembered.delete(name)
      const read = readUnverified(token)
      const found = read && known.get(read.issuer)
      if (found === undefined || read === undefined) return undefined
      return verifyWith(token, read.kid, found.issuer, found.keys, now).then(facts => {
        if (facts !== undefined) remember(name, facts)
        return facts
      })
    },
  }
}

/** Three parts in base64url, in the one form that each has: else one token could come in many. */
function isPlain(token: string): boolean {
  const parts = token.split('.', 4)
  return (
    parts.length === 3 &&
    parts.every(part => part !== '' && Buffer.from(part, 'base64url').toString('base64url') === part)
  )
}

/** What chooses the issuer and the key. Nothing of it is believed yet. */
function readUnverified(
  token: string,
): { readonly issuer: string; readonly kid: string | undefined } | undefined {
  try {
    const header: object = decodeProtectedHeader(token)
    const { iss } = decodeJwt(token)
    if (typeof iss !== 'string' || refusedHeaders.some(name => Object.hasOwn(header, name))) return undefined
    const { kid } = header as { readonly kid?: unknown }
    if (kid !== undefined && typeof kid !== 'string') return undefined
    return { issuer: iss, kid }
  } catch {
    return undefined
  }
}

async function verifyWith(
  token: string,
  kid: string | undefined,
  issuer: TokenIssuer,
  keys: KeySet,
  now: () => number,
): Promise<TokenFacts | undefined> {
  const findKey = await keys.get(kid)
  try {
    const { payload } = await jwtVerify(token, findKey, {
      issuer: issuer.issuer,
      audience: issuer.audience,
      algorithms: [issuer.algorithm],
      typ: issuer.type,
      clockTolerance: issuer.leewaySeconds,
      currentDate: new Date(now()),
      requiredClaims: ['iss', 'aud', 'exp', issuer.accountClaim, ...(issuer.needsNotBefore ? ['nbf'] : [])],
    })
    return factsOf(payload, issuer, now())
  } catch (error) {
    if (error instanceof errors.JOSEError) return undefined
    throw new LockstepError('api-unreachable', 'The token could not be verified.', { cause: error })
  }
}

function factsOf(payload: JWTPayload, issuer: TokenIssuer, nowMs: number): TokenFacts | undefined {
  const { exp = 0 } = payload
  const account = payload[issuer.accountClaim]
  if (typeof account !== 'string' || account === '') return undefined
  if (exp * 1_000 > nowMs + issuer.maxAgeSeconds * 1_000) return undefined
  const claimed = issuer.planClaim === undefined ? undefined : payload[issuer.planClaim]
  return {
    // An issuer can name only accounts of its own.
    account: `${issuer.name}/${account}`,
    subject: `${issuer.name}/${typeof payload.sub === 'string' ? payload.sub : account}`,
    plan: typeof claimed === 'string' ? claimed : issuer.plan,
    scopes: scopesOf(payload[issuer.scopeClaim]),
    expiresAtMs: exp * 1_000,
  }
}

/** `scope` is a text with spaces (RFC 8693), elsewhere a list. Scopes that mean something else are left out. */
function scopesOf(value: unknown): readonly string[] {
  const list = typeof value === 'string' ? value.split(' ') : Array.isArray(value) ? value : []
  return list.filter((scope): scope is string => typeof scope === 'string' && isScope(scope))
}
