/**
 * Verifies the token by which a gateway says who asks: `Lockstep-Audience`. PROTOCOL.md §13.
 *
 * Which algorithm a token has is not for the token to say: its header is compared, not read. A text of at least 32 bytes is a
 * secret (HS256), a PEM or a KeyObject an Ed25519 public key (EdDSA).
 */
import { createHmac, createPublicKey, KeyObject, timingSafeEqual, verify } from 'node:crypto'
import {
  type AudienceClaims,
  isAudienceClaims,
  type Json,
  LockstepError,
  maxAudienceSeconds,
} from '../contract/index.ts'

/** A secret of at least 32 bytes, or an Ed25519 public key as PEM or KeyObject. */
export type AudienceKey = string | Uint8Array | KeyObject

const maxTokenChars = 8_192
/** How far two clocks may be apart. */
const leewaySeconds = 5
const maxKeys = 4

type Check = (signed: string, signature: Buffer) => boolean

/** Makes a function that gives the claims of a token. Errors: `invalid-option`; of the function: `invalid-credentials`. */
export function createAudienceCheck(
  service: string,
  keys: readonly AudienceKey[],
  now: () => number,
): (token: string) => AudienceClaims {
  if (!Array.isArray(keys) || keys.length === 0 || keys.length > maxKeys)
    throw invalidKey(`give 1 to ${maxKeys} of them, as a list`)
  const checks = new Map<string, Check[]>()
  for (const key of keys) {
    const { header, check } = readKey(key)
    checks.set(header, [...(checks.get(header) ?? []), check])
  }
  return token => {
    if (token.length > maxTokenChars) throw refuse()
    const parts = token.split('.')
    const [header = '', payload = '', signatureText = ''] = parts
    const signature = Buffer.from(signatureText, 'base64url')
    const isPlain = parts.length === 3 && signature.toString('base64url') === signatureText
    const isSigned = isPlain && checks.get(header)?.some(check => check(`${header}.${payload}`, signature))
    const claims = isSigned ? readClaims(payload) : undefined
    const seconds = now() / 1_000
    if (
      claims?.aud !== service ||
      claims.iat > seconds + leewaySeconds ||
      claims.exp < seconds - leewaySeconds ||
      claims.exp - claims.iat > maxAudienceSeconds
    )
      throw refuse()
    return claims
  }
}

function readClaims(payload: string): AudienceClaims | undefined {
  try {
    const value = JSON.parse(Buffer.from(payload, 'base64url').toString()) as Json
    return isAudienceClaims(value) ? (value as unknown as AudienceClaims) : undefined
  } catch {
    return undefined
  }
}

function readKey(key: AudienceKey): { readonly header: string; readonly check: Check } {
  const isPem = typeof key === 'string' && key.includes('-----BEGIN')
  if (isPem || key instanceof KeyObject) {
    const publicKey = toPublicKey(key)
    return {
      header: headerOf('EdDSA'),
      check: (signed, signature) => verify(null, Buffer.from(signed), publicKey, signature),
    }
  }
  const secret = typeof key === 'string' ? Buffer.from(key) : key
  if (!(secret instanceof Uint8Array) || secret.length < 32)
    throw invalidKey('a secret has at least 32 bytes; a public key is a PEM')
  return {
    header: headerOf('HS256'),
    check(signed, signature) {
      const expected = createHmac('sha256', secret).update(signed).digest()
      return signature.length === expected.length && timingSafeEqual(signature, expected)
    },
  }
}

function toPublicKey(key: string | KeyObject): KeyObject {
  try {
    const publicKey = key instanceof KeyObject && key.type === 'public' ? key : createPublicKey(key)
    if (publicKey.asymmetricKeyType === 'ed25519') return publicKey
  } catch {
    // Told below.
  }
  throw invalidKey('it is no Ed25519 public key')
}

/** The one header that a token of the algorithm has, as it stands in the token. */
function headerOf(alg: 'HS256' | 'EdDSA'): string {
  return Buffer.from(JSON.stringify({ alg, typ: 'lockstep-audience+jwt' })).toString('base64url')
}

function invalidKey(reason: string): LockstepError {
  return new LockstepError('invalid-option', `audience.keys of openService cannot be used: ${reason}.`)
}

/** Why is not for whoever sent it. */
function refuse(): LockstepError {
  return new LockstepError(
    'invalid-credentials',
    'The Lockstep-Audience of the request does not hold: it is signed with another key or for another service, or its time is over.',
  )
}
