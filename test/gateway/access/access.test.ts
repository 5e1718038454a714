/** Access as a whole: who comes in, how often, what is said of it, and ways around it. */
import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import type { JsonObject } from '../../../src/contract/index.ts'
import { openAccess } from '../../../src/gateway/access/access.ts'
import { readAccessSettings } from '../../../src/gateway/access/access-settings.ts'
import { addKey, type NewKey, revokeKey } from '../../../src/gateway/access/key-file.ts'
import type { Admission, Admitter } from '../../../src/gateway/admission.ts'
import type { GatewayRequest } from '../../../src/gateway/request.ts'
import { createAudienceCheck } from '../../../src/service/audience-token.ts'

let folder: string
let file: string
const made: Record<string, NewKey> = {}
const startMs = Date.parse('2026-01-31T12:00:00Z')
let nowMs = startMs
const secret = 'a secret of at least 32 bytes, for tests'

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lockstep-access-'))
  file = join(folder, 'keys.json')
  const add = async (name: string, more: Partial<Parameters<typeof addKey>[1]> = {}): Promise<void> => {
    made[name] = await addKey(file, { name, account: 'ann', plan: 'free', scopes: ['*:write'], ...more })
  }
  await add('ann')
  await add('ann2')
  await add('bob', { account: 'bob' })
  await add('pro', { account: 'pro', plan: 'pro' })
  await add('reader', { account: 'reader', plan: 'pro', scopes: ['people:read'] })
  await add('lost', { account: 'lost', plan: 'gone' })
  await add('over', { account: 'over', expiresAt: new Date(startMs - 1).toISOString() })
  await writeFile(join(folder, 'audience.key'), `${secret}\n`)
})
after(() => rm(folder, { recursive: true, force: true }))

const plans: JsonObject = {
  free: {
    perSecond: 2,
    burst: 4,
    perDay: 100,
    writes: { perSecond: 1 },
    feeds: { perSecond: 1, burst: 2 },
    upgrades: { perSecond: 1 },
  },
  pro: { unlimited: true },
}

async function open(sections: JsonObject = {}): Promise<Admitter & { readonly errors: unknown[] }> {
  nowMs = startMs
  const { settings, faults } = readAccessSettings({
    keys: { file: 'keys.json' },
    plans,
    audience: { keyFile: 'audience.key' },
    ...sections,
  })
  assert.deepEqual(faults, [])
  const errors: unknown[] = []
  const admitter = await openAccess(settings, {
    folder,
    now: () => nowMs,
    onError: error => errors.push(error),
  })
  return Object.assign(admitter, { errors })
}

const request = (more: Partial<GatewayRequest> = {}): GatewayRequest => ({
  id: 'r1',
  method: 'GET',
  path: '/api/v1/people/people',
  query: '',
  headers: {},
  remoteAddress: '10.0.0.1',
  face: 'public',
  service: 'people',
  pathInService: '/people',
  ...more,
})
const withKey = (name: string, more: Partial<GatewayRequest> = {}): GatewayRequest =>
  request({ ...more, headers: { authorization: `Bearer ${made[name]!.key}`, ...more.headers } })
const statusOf = ({ refused }: Admission): number => refused?.status ?? 200
async function tryAll(admitter: Admitter, requests: readonly GatewayRequest[]): Promise<string> {
  const statuses: number[] = []
  for (const each of requests) statuses.push(statusOf(await admitter.admit(each)))
  return statuses.join(' ')
}
const times = (count: number, make: (index: number) => GatewayRequest): readonly GatewayRequest[] =>
  Array.from({ length: count }, (_, index) => make(index))

test('a valid key comes in, and the service is told who it is by a token for it alone', async () => {
  const admitter = await open()
  const { refused, requestHeaders, stillHolds } = await admitter.admit(withKey('ann'))
  assert.equal(refused, undefined)
  const claims = createAudienceCheck('people', [secret], () => nowMs)(requestHeaders!['lockstep-audience']!)
  assert.deepEqual(
    { face: claims.face, sub: claims.sub, scopes: claims.scopes, jti: claims.jti },
    { face: 'public', sub: 'ann', scopes: ['*:write'], jti: 'r1' },
  )
  assert.ok('authorization' in requestHeaders! && 'x-api-key' in requestHeaders)
  assert.deepEqual([requestHeaders['authorization'], requestHeaders['x-api-key']], [undefined, undefined])
  assert.equal(stillHolds!(), true)
  assert.equal(statusOf(await admitter.admit(request({ headers: { 'x-api-key': made['ann']!.key } }))), 200)
  await admitter.close()
})

test('who has no valid key is refused, in the same words whatever is wrong with it', async () => {
  const admitter = await open()
  const key = made['bob']!.key
  const wrong = [
    `${key}x`,
    key.toUpperCase(),
    made['over']!.key,
    made['lost']!.key,
    'lsk_',
    made['bob']!.record.hash,
  ]
  const texts = new Set<string>()
  for (const [index, text] of wrong.entries()) {
    const { refused } = await admitter.admit(
      request({ headers: { authorization: `Bearer ${text}` }, remoteAddress: `10.1.0.${index}` }),
    )
    assert.equal(refused?.status, 401)
    assert.equal(refused.headers!['www-authenticate'], 'Bearer')
    texts.add(String(refused.body))
  }
  assert.equal(texts.size, 1)
  const other: GatewayRequest['headers'][] = [
    {},
    { authorization: `Basic ${key}` },
    { authorization: key },
    { authorization: `Bearer ${key}, Bearer ${made['ann']!.key}` },
    { authorization: `Bearer ${key}`, 'x-api-key': made['ann']!.key },
    { 'x-api-key': [key, key] },
    { cookie: `key=${key}` },
    { x_api_key: key },
  ]
  for (const [index, headers] of other.entries())
    assert.equal(statusOf(await admitter.admit(request({ headers, remoteAddress: `10.2.0.${index}` }))), 401)
  assert.match(String(admitter.errors), /no plan "gone"/)
  await admitter.close()
})

test('a key in the URL is refused even where it is valid', async () => {
  const admitter = await open()
  const { key } = made['pro']!
  for (const [index, more] of [
    { query: `api_key=${key}` },
    { query: `x=${key}` },
    { query: `access%5Ftoken=abc` },
    { path: `/api/v1/people/people/${key}` },
  ].entries()) {
    const { refused } = await admitter.admit(withKey('pro', { ...more, remoteAddress: `10.3.0.${index}` }))
    assert.equal(refused?.status, 401)
    assert.doesNotMatch(String(refused.body), /lsk_/)
  }
  await admitter.close()
})

test('a revoked key ends what is open too', async () => {
  const extra = await addKey(file, { name: 'x', account: 'x', plan: 'pro', scopes: ['*:read'] })
  const admitter = await open()
  const { stillHolds } = await admitter.admit(request({ headers: { 'x-api-key': extra.key } }))
  assert.equal(stillHolds!(), true)
  await revokeKey(file, extra.record.id)
  for (const deadline = Date.now() + 20_000; stillHolds!(); ) {
    assert.ok(Date.now() < deadline)
    await new Promise(resolve => setTimeout(resolve, 20))
  }
  await admitter.close()
})

test('scopes say which services, and whether more than reading', async () => {
  const admitter = await open()
  const cases: [Partial<GatewayRequest>, number][] = [
    [{}, 200],
    [{ method: 'HEAD' }, 200],
    [{ method: 'POST' }, 403],
    [{ method: 'DELETE' }, 403],
    [{ method: 'get' }, 403],
    [{ method: 'PROPFIND' }, 403],
    [{ service: 'projects' }, 403],
    [{ service: 'people2' }, 403],
  ]
  for (const [more, status] of cases)
    assert.equal(statusOf(await admitter.admit(withKey('reader', more))), status)
  await admitter.close()
})

test('a plan lets its burst through, says how much is left, and refuses with the time to wait', async () => {
  const admitter = await open()
  const first = await admitter.admit(withKey('bob'))
  assert.equal(first.responseHeaders!['ratelimit'], '"second";r=3;t=1')
  assert.equal(
    first.responseHeaders!['ratelimit-policy'],
    '"second";q=4;w=2, "day";q=100;w=86400, "account-second";q=4;w=2, "account-day";q=100;w=86400',
  )
  assert.equal(
    await tryAll(
      admitter,
      times(4, () => withKey('bob')),
    ),
    '200 200 200 429',
  )
  const { refused, responseHeaders } = await admitter.admit(withKey('bob'))
  assert.equal(refused!.headers!['retry-after'], '1')
  assert.equal(refused!.headers!['content-type'], 'application/problem+json')
  assert.equal(JSON.parse(String(refused!.body)).code, 'rate-limited')
  assert.match(responseHeaders!['ratelimit']!, /^"second";r=0;t=1$/)
  nowMs += 500
  assert.equal(
    await tryAll(
      admitter,
      times(2, () => withKey('bob')),
    ),
    '200 429',
  )
  assert.equal(
    await tryAll(
      admitter,
      times(200, () => withKey('pro')),
    ),
    times(200, () => request())
      .map(() => '200')
      .join(' '),
  )
  assert.deepEqual((await admitter.admit(withKey('pro'))).responseHeaders, {})
  await admitter.close()
})

test('the number per day holds however slowly it is used', async () => {
  const admitter = await open({ plans: { free: { perDay: 3 }, pro: { unlimited: true } } })
  const slowly = async (): Promise<number> => {
    nowMs += 60_000
    return statusOf(await admitter.admit(withKey('bob')))
  }
  assert.deepEqual([await slowly(), await slowly(), await slowly(), await slowly()], [200, 200, 200, 429])
  nowMs = startMs + 12 * 3_600_000
  assert.equal(await slowly(), 200)
  await admitter.close()
})

test('writes, feeds and upgrades have budgets of their own', async () => {
  const admitter = await open()
  assert.equal(
    await tryAll(
      admitter,
      times(2, () => withKey('bob', { method: 'PATCH' })),
    ),
    '200 429',
  )
  assert.equal(await tryAll(admitter, [withKey('bob')]), '200')
  const feed = { pathInService: '/people/_changes' }
  const other = await open()
  const accept = { headers: { accept: 'Text/Event-Stream' } }
  assert.equal(
    await tryAll(other, [withKey('bob', feed), withKey('bob', accept), withKey('bob', feed)]),
    '200 200 429',
  )
  await Promise.all([admitter.close(), other.close()])
})

test('limits are not evaded by forged headers, cases, paths, other keys of the account, or addresses of the same /64', async () => {
  const evasions: Record<string, (index: number) => GatewayRequest> = {
    'forwarding headers': index =>
      withKey('ann', {
        headers: {
          'x-forwarded-for': `1.2.3.${index}`,
          forwarded: `for=1.2.3.${index}`,
          'x-real-ip': `1.2.3.${index}`,
        },
      }),
    'case of the scheme': index =>
      withKey('ann', {
        headers: { authorization: `${index % 2 ? 'BEARER' : 'bearer'}  ${made['ann']!.key}` },
      }),
    'the other header': index =>
      index % 2 ? withKey('ann') : request({ headers: { 'x-api-key': made['ann']!.key } }),
    'paths and queries': index =>
      withKey('ann', {
        path: `/api/v1/people/people/${index}`,
        pathInService: `/people/${index}`,
        query: `_=${index}`,
      }),
    addresses: index => withKey('ann', { remoteAddress: `10.9.0.${index}` }),
    'keys of the account': index => withKey(index % 2 ? 'ann' : 'ann2'),
    services: index => withKey('ann', { service: `s${index}` }),
    'HEAD and OPTIONS': index => withKey('ann', { method: ['GET', 'HEAD', 'OPTIONS'][index % 3]! }),
    'request ids': index => withKey('ann', { id: `r${index}` }),
  }
  for (const [what, make] of Object.entries(evasions)) {
    const admitter = await open()
    assert.equal(await tryAll(admitter, times(6, make)), '200 200 200 200 429 429', what)
    await admitter.close()
  }
  const admitter = await open({ plans: { ...plans, anonymous: { perSecond: 1, burst: 3 } } })
  const rotate = (index: number): GatewayRequest =>
    request({ remoteAddress: `2001:db8:0:7::${index.toString(16)}` })
  assert.equal(await tryAll(admitter, times(5, rotate)), '200 200 200 429 429')
  const mapped = ['10.0.0.8', '::ffff:10.0.0.8', '::FFFF:a00:8', '10.0.0.8']
  assert.equal(
    await tryAll(
      admitter,
      mapped.map(remoteAddress => request({ remoteAddress })),
    ),
    '200 200 200 429',
  )
  assert.equal(statusOf(await admitter.admit(request({ remoteAddress: '2001:db8:0:8::1' }))), 200)
  await admitter.close()
})

test('failed attempts have a budget per address, which a valid key does not draw on', async () => {
  const admitter = await open()
  const guess = (): GatewayRequest => request({ headers: { authorization: 'Bearer lsk_guess' } })
  assert.equal(await tryAll(admitter, times(12, guess)), `${'401 '.repeat(10)}429 429`)
  assert.equal(statusOf(await admitter.admit(withKey('pro'))), 200)
  nowMs += 6_000
  assert.equal(await tryAll(admitter, times(2, guess)), '401 429')
  await admitter.close()
})

test('where it cannot be found out who asks, nobody comes in', async () => {
  const admitter = await open({
    jwt: {
      corp: {
        issuer: 'https://id.example.com',
        audience: 'a',
        algorithm: 'ES256',
        jwks: 'missing.json',
        plan: 'free',
      },
    },
  })
  const encode = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url')
  const token = `${encode({ alg: 'ES256', typ: 'at+jwt' })}.${encode({ iss: 'https://id.example.com' })}.AAAA`
  const { refused } = await admitter.admit(request({ headers: { authorization: `Bearer ${token}` } }))
  assert.equal(refused!.status, 503)
  assert.ok(admitter.errors.length > 0)
  await admitter.close()
  await assert.rejects(open({ keys: { file: 'none.json' } }), { code: 'invalid-option' })
})

test('the internal face asks for no key unless it is said so, and its caller is told as internal', async () => {
  const admitter = await open()
  const { refused, requestHeaders } = await admitter.admit(request({ face: 'internal' }))
  assert.equal(refused, undefined)
  const { face } = createAudienceCheck('people', [secret], () => nowMs)(requestHeaders!['lockstep-audience']!)
  assert.equal(face, 'internal')
  const guarded = await open({ keys: { file: 'keys.json', faces: ['internal', 'public'] } })
  assert.equal(statusOf(await guarded.admit(request({ face: 'internal' }))), 401)
  await Promise.all([admitter.close(), guarded.close()])
})

const cors: JsonObject = { origins: ['https://app.example.com', 'http://localhost:5173'], credentials: true }

test('CORS allows the origins of the list and reflects no other', async () => {
  const admitter = await open({ cors })
  const ask = async (origin: string): Promise<Readonly<Record<string, string>>> =>
    JSON.parse(
      JSON.stringify((await admitter.admit(withKey('pro', { headers: { origin } }))).responseHeaders),
    )
  const allowed = await ask('https://app.example.com')
  assert.equal(allowed['access-control-allow-origin'], 'https://app.example.com')
  assert.equal(allowed['access-control-allow-credentials'], 'true')
  assert.equal(allowed['vary'], 'Origin')
  const others = [
    'null',
    'https://app.example.com.evil.com',
    'https://evilapp.example.com',
    'https://sub.app.example.com',
    'http://app.example.com',
    'https://app.example.com:8443',
    'https://APP.example.com',
    'https://app.example.com/',
    '*',
    'http://localhost:51730',
  ]
  for (const origin of others) assert.deepEqual(await ask(origin), { vary: 'Origin' }, origin)
  // A service that reflects origins by itself is not heard.
  const { responseHeaders = {} } = await admitter.admit(
    withKey('pro', { headers: { origin: 'https://evil.com' } }),
  )
  assert.ok('access-control-allow-origin' in responseHeaders)
  const refused = await admitter.admit(request({ headers: { origin: 'https://app.example.com' } }))
  assert.equal(refused.responseHeaders!['access-control-allow-origin'], 'https://app.example.com')
  await admitter.close()
})

test('a preflight is answered for what is allowed, for a short time, and never for a private network', async () => {
  const admitter = await open({ cors })
  const ask = (more: GatewayRequest['headers'], method = 'OPTIONS') =>
    admitter.preflight!(
      request({
        method,
        headers: { origin: 'https://app.example.com', 'access-control-request-method': 'PATCH', ...more },
      }),
    )
  const good = ask({
    'access-control-request-headers': 'Authorization, If-Match',
    'access-control-request-private-network': 'true',
  })!
  assert.equal(good.status, 204)
  assert.equal(good.headers!['access-control-allow-origin'], 'https://app.example.com')
  assert.equal(good.headers!['access-control-max-age'], '60')
  assert.equal(good.headers!['access-control-allow-private-network'], undefined)
  for (const wrong of [
    { origin: 'https://evil.com' },
    { 'access-control-request-method': 'TRACE' },
    { 'access-control-request-headers': 'x-secret' },
  ]) {
    const { status, headers } = ask(wrong)!
    assert.equal(status, 204)
    assert.deepEqual(Object.keys(headers!), ['vary'])
  }
  assert.equal(ask({ 'access-control-request-method': undefined }), undefined)
  assert.equal(ask({}, 'POST'), undefined)
  const none = await open()
  assert.equal(none.preflight!(request({ method: 'OPTIONS' })), undefined)
  await Promise.all([admitter.close(), none.close()])
})

test('a WebSocket is opened for pages of the list and of the own host only', async () => {
  const admitter = await open({ cors })
  const upgrade = async (origin: string | undefined): Promise<number> =>
    statusOf(
      await admitter.admit(
        withKey('pro', { headers: { upgrade: 'websocket', host: 'api.example.com', origin } }),
      ),
    )
  assert.equal(await upgrade('https://app.example.com'), 200)
  assert.equal(await upgrade('https://api.example.com'), 200)
  assert.equal(await upgrade(undefined), 200)
  for (const origin of ['https://evil.com', 'null', 'https://api.example.com.evil.com', 'x'])
    assert.equal(await upgrade(origin), 403)
  await admitter.close()
})

const faults: [string, JsonObject, string][] = [
  ['a misspelt member', { keys: { fil: 'x' } }, '/keys/fil'],
  ['keys without plans', { keys: { file: 'k' } }, '/plans'],
  ['a plan without rates', { plans: { free: {} } }, '/plans/free'],
  ['a rate of nothing', { plans: { free: { perSecond: 0 } } }, '/plans/free/perSecond'],
  [
    'an unlimited plan with rates',
    { plans: { free: { unlimited: true, perDay: 5 } } },
    '/plans/free/unlimited',
  ],
  ['an account with an unknown plan', { plans, accounts: { ann: { plan: 'x' } } }, '/accounts/ann/plan'],
  [
    'no algorithm',
    { plans, jwt: { a: { issuer: 'https://a', audience: 'x', jwks: 'k', algorithm: 'none', plan: 'pro' } } },
    '/jwt/a/algorithm',
  ],
  [
    'an HMAC',
    { plans, jwt: { a: { issuer: 'https://a', audience: 'x', jwks: 'k', algorithm: 'HS256', plan: 'pro' } } },
    '/jwt/a/algorithm',
  ],
  [
    'keys over plain HTTP',
    {
      plans,
      jwt: {
        a: {
          issuer: 'https://a',
          audience: 'x',
          jwks: 'http://a.example.com/k',
          algorithm: 'ES256',
          plan: 'pro',
        },
      },
    },
    '/jwt/a/jwks',
  ],
  [
    'a long leeway',
    {
      plans,
      jwt: {
        a: {
          issuer: 'https://a',
          audience: 'x',
          jwks: 'k',
          algorithm: 'ES256',
          plan: 'pro',
          leewaySeconds: 61,
        },
      },
    },
    '/jwt/a/leewaySeconds',
  ],
  ['* with credentials', { cors: { origins: '*', credentials: true } }, '/cors/credentials'],
  ['* beside others', { cors: { origins: ['*', 'https://a.example.com'] } }, '/cors/origins'],
  ['null as an origin', { cors: { origins: ['null'] } }, '/cors/origins/0'],
  ['an origin with a path', { cors: { origins: ['https://a.example.com/'] } }, '/cors/origins/0'],
  [
    'preflights that are kept for long',
    { cors: { origins: [], maxAgeSeconds: 86_400 } },
    '/cors/maxAgeSeconds',
  ],
  ['a shared counter without a place', { counting: { kind: 'redis' } }, '/counting'],
]
for (const [what, sections, pointer] of faults) {
  test(`the configuration is refused for ${what}, and says where`, () => {
    const found = readAccessSettings(sections).faults.map(fault => fault.pointer)
    assert.ok(found.includes(pointer), JSON.stringify(found))
  })
}

test('a request with a key and a plan costs microseconds', async () => {
  const admitter = await open({ audience: null })
  const each = withKey('bob')
  const run = (count: number): number => {
    const begin = performance.now()
    for (let index = 0; index < count; index++) admitter.admit(each)
    return ((performance.now() - begin) * 1_000) / count
  }
  run(5_000)
  const costs = [run(5_000), run(5_000), run(5_000)]
  // Far above what it takes on an idle machine: it finds what is slower by an order of magnitude.
  assert.ok(Math.min(...costs) < 100, String(costs))
  await admitter.close()
})
