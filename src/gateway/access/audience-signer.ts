/**
 * Signs what the gateway tells a service of who asks: `Lockstep-Audience`, good for 60 s and for one service. PROTOCOL.md §13.
 *
 * A text of at least 32 bytes is a secret that gateway and services share (HS256); with an Ed25519 private key (EdDSA) the services hold the
 * public one, and cannot sign.
 */
import { createHmac, createPrivateKey, sign } from 'node:crypto'
import {
  type AudienceClaims,
  type AudienceFace,
  audienceIssuer,
  LockstepError,
  maxAudienceSeconds,
} from '../../contract/index.ts'

/** What differs from request to request. */
export interface AudienceFacts {
  readonly service: string
  readonly face: AudienceFace
  readonly subject?: string | undefined
  readonly scopes: readonly string[]
  readonly requestId: string
}

export type SignAudience = (facts: AudienceFacts) => string

/** `key`: a secret of at least 32 bytes, or an Ed25519 private key as PEM. Errors: `invalid-option`. */
export function createAudienceSigner(key: string, now: () => number = Date.now): SignAudience {
  const { alg, signText } = readKey(key)
  const header = encode({ alg, typ: 'lockstep-audience+jwt' })
  return ({ service, face, subject, scopes, requestId }) => {
    const iat = Math.floor(now() / 1_000)
    const claims: AudienceClaims = {
      iss: audienceIssuer,
      aud: service,
      face,
      ...(subject === undefined ? {} : { sub: subject }),
      scopes,
      jti: requestId,
      iat,
      exp: iat + maxAudienceSeconds,
    }
    const signed = `${header}.${encode(claims)}`
    return `${signed}.${signText(signed)}`
  }
}

function encode(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url')
}

function readKey(key: string): { readonly alg: string; readonly signText: (text: string) => string } {
  const refuse = (reason: string): LockstepError =>
    new LockstepError('invalid-option', `The audience key cannot be used: ${reason}.`)
  if (key.includes('-----BEGIN')) {
    let privateKey: ReturnType<typeof createPrivateKey>
    try {
      privateKey = createPrivateKey(key)
    } catch {
      throw refuse('it is no private key in PEM')
    }
    if (privateKey.asymmetricKeyType !== 'ed25519') throw refuse('it is no Ed25519 key')
    return { alg: 'EdDSA', signText: text => sign(null, Buffer.from(text), privateKey).toString('base64url') }
  }
  const secret = Buffer.from(key)
  if (secret.length < 32) throw refuse('a secret has at least 32 bytes')
  return {
    alg: 'HS256',
    signText: text => createHmac('sha256', secret).update(text).digest('base64url'),
  }
}
