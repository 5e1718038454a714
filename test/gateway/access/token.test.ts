/** Tokens of issuers: what holds, and the known ways to make one hold that must not. */
import assert from 'node:assert/strict'
import { createHmac, type KeyObject } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, suite, test } from 'node:test'
import { exportJWK, exportPKCS8, exportSPKI, generateKeyPair, type JWK, SignJWT } from 'jose'
import { createTokenCheck, type TokenCheck } from '../../../src/gateway/access/token.ts'
import type { TokenIssuer } from '../../../src/gateway/access/token-issuer.ts'

const seconds = Math.floor(Date.now() / 1_000)
const now = (): number => seconds * 1_000
const issuer = (more: Partial<TokenIssuer>): TokenIssuer => ({
  name: 'corp',
  issuer: 'https://id.example.com',
  audience: 'https://api.example.com',
  algorithm: 'ES256',
  jwks: '',
  type: 'at+jwt',
  leewaySeconds: 5,
  maxAgeSeconds: 86_400,
  needsNotBefore: true,
  plan: 'free',
  planClaim: undefined,
  accountClaim: 'sub',
  scopeClaim: 'scope',
  ...more,
})
const goodClaims = {
  iss: 'https://id.example.com',
  aud: 'https://api.example.com',
  sub: 'ann',
  scope: 'people:read openid',
  iat: seconds,
  nbf: seconds,
  exp: seconds + 300,
}
const encode = (value: unknown): string =>
  Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url')

interface Keys {
  readonly privateKey: CryptoKey
  readonly jwk: JWK
}
async function makeKeys(alg: string, kid: string): Promise<Keys> {
  const { privateKey, publicKey } = await generateKeyPair(alg, { extractable: true })
  return {
    privateKey: privateKey as CryptoKey,
    jwk: { ...(await exportJWK(publicKey)), kid, alg, use: 'sig' },
  }
}
const signWith = (
  key: CryptoKey | KeyObject,
  alg: string,
  header: object = {},
  claims: object = {},
): Promise<string> =>
  new SignJWT({ ...goodClaims, ...claims } as Record<string, unknown>)
    .setProtectedHeader({ alg, typ: 'at+jwt', kid: 'one', ...header })
    .sign(key as CryptoKey)

for (const alg of ['ES256', 'RS256', 'PS256', 'Ed25519']) {
  suite(`tokens with ${alg}`, () => {
    let folder: string
    let keys: Keys
    let other: Keys
    let check: TokenCheck
    before(async () => {
      folder = await mkdtemp(join(tmpdir(), 'lockstep-jwks-'))
      keys = await makeKeys(alg, 'one')
      other = await makeKeys(alg, 'two')
      const jwks = join(folder, 'jwks.json')
      await writeFile(jwks, JSON.stringify({ keys: [keys.jwk] }))
      check = createTokenCheck({ issuers: [issuer({ algorithm: alg, jwks })], onError: assert.fail, now })
    })
    after(() => rm(folder, { recursive: true, force: true }))
    const sign = (header: object = {}, claims: object = {}): Promise<string> =>
      signWith(keys.privateKey, alg, header, claims)
    const refused = async (what: string, token: string): Promise<void> =>
      assert.equal(await check.verify(token), undefined, what)

    test('a token of the issuer holds, twice, and says its account and scopes', async () => {
      const token = await sign()
      const facts = {
        account: 'corp/ann',
        subject: 'corp/ann',
        plan: 'free',
        scopes: ['people:read'],
        expiresAtMs: (seconds + 300) * 1_000,
      }
      assert.deepEqual(await check.verify(token), facts)
      assert.deepEqual(check.verify(token), facts)
    })

    test('what is not whole, or was changed, does not hold', async () => {
      const token = await sign()
      const [header, payload, signature] = token.split('.') as [string, string, string]
      const flip = (text: string): string => `${text[0] === 'A' ? 'B' : 'A'}${text.slice(1)}`
      const changed = encode({ ...goodClaims, sub: 'bob' })
      const forms: Record<string, string> = {
        'the empty text': '',
        'two dots': '..',
        'no signature': `${header}.${payload}.`,
        'no signature and no dot': `${header}.${payload}`,
        'no payload': `${header}..${signature}`,
        'no header': `.${payload}.${signature}`,
        'a part too many': `${token}.`,
        'another part': `${token}.foo`,
        'a changed payload': `${header}.${changed}.${signature}`,
        'a changed signature': `${header}.${payload}.${flip(signature)}`,
        'a shortened signature': `${header}.${payload}.${signature.slice(0, -4)}`,
        'a signature with more behind it': `${header}.${payload}.${signature}AAAA`,
        padding: `${header}.${payload}.${signature}==`,
        'standard base64': `${header}.${payload}.${Buffer.from(signature, 'base64url').toString('base64')}?`,
        'white space': `${header}.${payload}. ${signature}`,
        'JSON serialization': JSON.stringify({ payload, signatures: [{ protected: header, signature }] }),
        'flattened JSON': JSON.stringify({ payload, protected: header, signature }),
        'over 8 KiB': await sign({}, { padding: 'x'.repeat(8_192) }),
      }
      for (const [what, text] of Object.entries(forms)) await refused(what, text)
    })

    test('no algorithm but the configured one is taken, whatever a token says', async () => {
      const [header, payload] = (await sign()).split('.') as [string, string]
      for (const none of ['none', 'None', 'NONE', 'nOnE', '', null]) {
        const forged = encode({ alg: none, typ: 'at+jwt', kid: 'one' })
        await refused(`alg ${none}`, `${forged}.${payload}.`)
        await refused(`alg ${none} with a signature`, `${forged}.${payload}.AAAA`)
      }
      assert.ok(header)
      // Symmetric confusion: the public key, in each form in which it is known, as an HMAC secret.
      const { publicKey } = await generateKeyPair(alg, { extractable: true })
      const forms = [
        JSON.stringify(keys.jwk),
        await exportSPKI(publicKey),
        keys.jwk.x ?? '',
        keys.jwk.n ?? '',
      ]
      for (const secret of [...forms, ...forms.map(text => Buffer.from(text, 'base64url'))]) {
        for (const hmac of ['HS256', 'HS384', 'HS512']) {
          const signed = `${encode({ alg: hmac, typ: 'at+jwt', kid: 'one' })}.${payload}`
          const signature = createHmac(`sha${hmac.slice(2)}`, secret)
            .update(signed)
            .digest('base64url')
          await refused(`${hmac} with the public key`, `${signed}.${signature}`)
        }
      }
      for (const wrong of ['ES256', 'RS256', 'PS256', 'Ed25519', 'RS512']) {
        if (wrong === alg) continue
        const { privateKey } = await makeKeys(wrong, 'one')
        await refused(`signed with ${wrong}`, await signWith(privateKey, wrong))
      }
    })

    test('a token cannot bring its key along, nor say where to find one', async () => {
      await refused('a foreign key', await signWith(other.privateKey, alg))
      await refused('an unknown kid', await signWith(other.privateKey, alg, { kid: 'two' }))
      await refused('a kid that is a path', await sign({ kid: '../../dev/null' }))
      const headers: Record<string, unknown> = {
        jwk: other.jwk,
        jku: 'http://127.0.0.1:9/jwks.json',
        x5u: 'http://127.0.0.1:9/cert.pem',
        x5c: ['AAAA'],
        x5t: 'AAAA',
      }
      for (const [name, value] of Object.entries(headers)) {
        await refused(`${name}, foreign key`, await signWith(other.privateKey, alg, { [name]: value }))
        await refused(`${name}, own key`, await signWith(keys.privateKey, alg, { [name]: value }))
      }
      const [, payload, signature] = (await sign()).split('.')
      for (const kid of [1, null, ['one'], { one: 1 }])
        await refused(
          'a kid that is no text',
          `${encode({ alg, typ: 'at+jwt', kid })}.${payload}.${signature}`,
        )
    })

    test('claims must be there, fit, and hold now', async () => {
      const wrong: Record<string, object> = {
        'another issuer': { iss: 'https://evil.example.com' },
        'an issuer with a slash more': { iss: 'https://id.example.com/' },
        'an issuer in capitals': { iss: 'HTTPS://ID.EXAMPLE.COM' },
        'a list as issuer': { iss: ['https://id.example.com'] },
        'another audience': { aud: 'https://other.example.com' },
        'audiences without this one': { aud: ['https://a.example.com'] },
        'no audience': { aud: undefined },
        'no end': { exp: undefined },
        'no beginning': { nbf: undefined },
        'no subject': { sub: undefined },
        'an empty subject': { sub: '' },
        'a subject that is no text': { sub: 5 },
        'an end that is a text': { exp: String(seconds + 300) },
        over: { exp: seconds - 6 },
        'not yet': { nbf: seconds + 6 },
        'for too long': { exp: seconds + 90_000 },
      }
      for (const [what, claims] of Object.entries(wrong)) await refused(what, await sign({}, claims))
      assert.ok(await check.verify(await sign({}, { exp: seconds - 4 })), 'within the leeway')
      assert.ok(await check.verify(await sign({}, { aud: ['https://api.example.com', 'x'] })))
      await refused('an id token', await sign({ typ: 'JWT' }))
      await refused('no typ', await sign({ typ: undefined }))
      assert.ok(await check.verify(await sign({ typ: 'application/at+jwt' })))
    })

    test('a critical extension and a payload that is not encoded are refused', async () => {
      const token = await sign()
      const [, payload, signature] = token.split('.')
      for (const header of [
        { crit: ['exp'] },
        { b64: false, crit: ['b64'] },
        { zip: 'DEF' },
        { enc: 'A256GCM' },
      ])
        await refused(
          JSON.stringify(header),
          `${encode({ alg, typ: 'at+jwt', kid: 'one', ...header })}.${payload}.${signature}`,
        )
    })
  })
}

test('keys of a set that are for something else are not used', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'lockstep-jwks-'))
  try {
    const { privateKey, jwk } = await makeKeys('ES256', 'one')
    const pkcs8 = await exportPKCS8(privateKey)
    assert.ok(pkcs8)
    const token = await signWith(privateKey, 'ES256')
    const sets: unknown[] = [
      [{ ...jwk, use: 'enc' }],
      [{ ...jwk, alg: 'ES384' }],
      [{ ...jwk, key_ops: ['sign'] }],
      [{ kty: 'oct', k: 'AAAA', kid: 'one', alg: 'ES256' }],
      ['nothing'],
      [],
    ]
    for (const [index, keys] of sets.entries()) {
      const jwks = join(folder, `${index}.json`)
      await writeFile(jwks, JSON.stringify({ keys }))
      const check = createTokenCheck({ issuers: [issuer({ jwks })], onError: assert.fail, now })
      assert.equal(await check.verify(token), undefined, JSON.stringify(keys))
    }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
})

test('keys are fetched from the configured address only, rarely, and within bounds', async () => {
  const { privateKey, jwk } = await makeKeys('ES256', 'one')
  const next = await makeKeys('ES256', 'next')
  let keys: unknown[] = [jwk]
  let mode: 'keys' | 'down' | 'large' | 'redirect' = 'keys'
  let asked = 0
  const server = createServer((_, response) => {
    asked++
    if (mode === 'down') response.writeHead(503).end()
    else if (mode === 'redirect') response.writeHead(302, { location: '/elsewhere' }).end()
    else response.end(JSON.stringify({ keys, padding: mode === 'large' ? 'x'.repeat(300_000) : '' }))
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const errors: unknown[] = []
  let nowMs = now()
  const make = (): TokenCheck =>
    createTokenCheck({
      issuers: [
        issuer({
          jwks: `http://127.0.0.1:${(server.address() as AddressInfo).port}/jwks`,
          maxAgeSeconds: 1_000_000,
        }),
      ],
      onError: error => errors.push(error),
      now: () => nowMs,
    })
  try {
    const check = make()
    const claims = { exp: seconds + 500_000 }
    assert.ok(await check.verify(await signWith(privateKey, 'ES256', {}, claims)))
    assert.equal(asked, 1)
    // Tokens with unknown keys do not make it ask more often.
    for (let index = 0; index < 20; index++)
      assert.equal(
        await check.verify(await signWith(next.privateKey, 'ES256', { kid: `k${index}` }, claims)),
        undefined,
      )
    assert.equal(asked, 1)
    keys = [jwk, next.jwk]
    nowMs += 31_000
    assert.ok(await check.verify(await signWith(next.privateKey, 'ES256', { kid: 'next' }, claims)))
    assert.equal(asked, 2)
    // While the issuer is down its keys go on for an hour, then nobody is let in.
    mode = 'down'
    nowMs += 1_800_000
    assert.ok(await check.verify(await signWith(privateKey, 'ES256', {}, { ...claims, jti: '1' })))
    assert.equal(errors.length, 1)
    nowMs += 3_600_000
    await assert.rejects(
      async () => check.verify(await signWith(privateKey, 'ES256', {}, { ...claims, jti: '2' })),
      {
        code: 'api-unreachable',
      },
    )
    for (const wrong of ['large', 'redirect'] as const) {
      mode = wrong
      await assert.rejects(async () => make().verify(await signWith(privateKey, 'ES256', {}, claims)), {
        code: 'api-unreachable',
      })
    }
  } finally {
    server.closeAllConnections()
    server.close()
  }
})
