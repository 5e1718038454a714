/** An issuer of tokens, as the section `jwt` of the configuration says it. */
import type { Section } from '../section.ts'

export interface TokenIssuer {
  readonly name: string
  readonly issuer: string
  readonly audience: string
  /** The one algorithm; a token has no say in it. */
  readonly algorithm: string
  /** A URL or a file. */
  readonly jwks: string
  /** `typ` of the header. */
  readonly type: string
  readonly leewaySeconds: number
  /** The longest that a token may be good for. */
  readonly maxAgeSeconds: number
  /** Must tokens say from when on they hold? */
  readonly needsNotBefore: boolean
  /** The plan, unless a claim says it. */
  readonly plan: string
  readonly planClaim: string | undefined
  readonly accountClaim: string
  readonly scopeClaim: string
}

export const tokenAlgorithms: readonly string[] = [
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
  'ES256',
  'ES384',
  'ES512',
  'Ed25519',
  'EdDSA',
]

/** Reads one issuer. */
export function readTokenIssuer(name: string, section: Section): TokenIssuer {
  const need = (member: string, form: RegExp, meaning: string): string => {
    const text = section.text(member, '', form, meaning)
    if (text === '' && section.value(member) === undefined) section.fault('', `needs "${member}": ${meaning}`)
    return text
  }
  const issuer = {
    name,
    issuer: need('issuer', /^https?:\/\/\S+$/, 'the URL that tokens have as "iss"'),
    audience: need('audience', /^\S+$/, 'what tokens have as "aud" for this gateway'),
    algorithm: need(
      'algorithm',
      new RegExp(`^(${tokenAlgorithms.join('|')})$`),
      `one of ${tokenAlgorithms.join(', ')}`,
    ),
    jwks: need(
      'jwks',
      /^(https:\/\/\S+|http:\/\/(127\.0\.0\.1|localhost|\[::1\])(:\d+)?\/\S*|(?!https?:)\S.*)$/,
      'an https URL, or a file',
    ),
    type: section.text('type', 'at+jwt', /^[A-Za-z0-9+./-]+$/, 'the "typ" of tokens, such as "at+jwt"'),
    leewaySeconds: section.count('leewaySeconds', { or: 5, min: 0, max: 60 }),
    maxAgeSeconds: section.count('maxAgeSeconds', { or: 86_400 }),
    needsNotBefore: section.flag('needsNotBefore', true),
    plan: need('plan', /^[a-z][a-z0-9_-]*$/, 'the name of a plan'),
    planClaim: section.text('planClaim', undefined),
    accountClaim: section.text('accountClaim', 'sub'),
    scopeClaim: section.text('scopeClaim', 'scope'),
  }
  section.end()
  return issuer
}
