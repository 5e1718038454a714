/** Paths, ids and topics over HTTP: PROTOCOL.md §2, with everything that could be a wildcard, a split or an injection. */
import assert from 'node:assert/strict'
import test from 'node:test'
import { createMemoryHub } from '../../src/broker/memory.ts'
import { readCases } from '../support/cases.ts'
import { type AskOptions, assertProblem, hear, openTestService } from '../support/service.ts'

/** Ids that are legal, with their canonical form. */
const ids: readonly (readonly [id: string, encoded: string])[] = [
  ['johndoe', 'johndoe'],
  ['A-z_0', 'A-z_0'],
  ['/', '%2F'],
  ['a/b', 'a%2Fb'],
  ['+', '%2B'],
  ['#', '%23'],
  ['$SYS', '%24SYS'],
  ['%', '%25'],
  ['%2F', '%252F'],
  ['%252F', '%25252F'],
  ['%00', '%2500'],
  ['...', '%2E%2E%2E'],
  ['a.b', 'a%2Eb'],
  ['*', '%2A'],
  ['>', '%3E'],
  [' ', '%20'],
  ['a?b&c=d', 'a%3Fb%26c%3Dd'],
  ['"\\', '%22%5C'],
  ['<script>', '%3Cscript%3E'],
  ['john@home;v=1,2', 'john%40home%3Bv%3D1%2C2'],
  ['\u2028', '%E2%80%A8'],
  ['\ufeff', '%EF%BB%BF'],
  ['\u00e9', '%C3%A9'],
  ['e\u0301', '%C3%A9'],
  ['\u{1f600}', '%F0%9F%98%80'],
  ['\ufffd', '%EF%BF%BD'],
  ['x'.repeat(512), 'x'.repeat(512)],
]

const illegalIds = [
  '',
  '.',
  '..',
  '_changes',
  '__proto__',
  '\u0000',
  '\n',
  'a\u001fb',
  '\u007f',
  '\u0085',
  'x'.repeat(513),
  '\u00e9'.repeat(257),
  '\ud800',
  'a\udfffb',
]

test('2.4 2.2 each legal id is one segment, one topic level, and comes back unchanged, by POST and by PUT', async () => {
  for (const [id, encoded] of ids) {
    const hub = createMemoryHub()
    await using heard = await hear(hub.connect(), 'people/#', 'people')
    await using api = await openTestService({ broker: hub.connect() })
    const normal = id.normalize('NFC')
    const path = `/people/${encoded}`
    const posted = await api.ask('POST', '/people', { body: { id, name: 'N' } })
    assert.equal(posted.status, 201, posted.text)
    assert.deepEqual(posted.json, { id: normal, name: 'N' })
    assert.equal(posted.headers.get('location'), path)
    assert.equal(posted.headers.get('lockstep-topic'), `people/${encoded}`)
    for (const spelling of [encoded, encoded.replaceAll(/%[0-9A-F]{2}/g, hex => hex.toLowerCase())]) {
      const got = await api.ask('GET', `/people/${spelling}`)
      assert.equal(got.json.id, normal, spelling)
      assert.equal(got.headers.get('lockstep-topic'), `people/${encoded}`)
    }
    assert.equal((await api.ask('DELETE', path)).status, 204)
    assert.equal((await api.ask('PUT', path, { body: { id, name: 'N' } })).json.id, normal)
    const deliveries = await heard.until(({ length }) => length >= 3)
    assert.deepEqual(
      deliveries.map(({ topic }) => topic),
      ['people', `people/${encoded}`, `people/${encoded}`],
    )
    for (const { payload } of deliveries) assert.equal(JSON.parse(payload).resource, path)
    const list = await api.ask('GET', `/people?after=${encodeURIComponent(id)}`)
    assert.deepEqual(list.json, [])
    const feed = await api.ask('GET', `/people/_changes?under=${encodeURIComponent(path)}`)
    assert.equal(feed.json.changes.length, 3)
  }
})

test('2.5 2.6 an id that cannot be one is refused in a body, with its place', async () => {
  await using api = await openTestService()
  for (const id of illegalIds) {
    const problem = assertProblem(
      await api.ask('POST', '/people', { body: { id, name: 'N' } }),
      422,
      'invalid-id',
    )
    assert.equal((problem['faults'] as { pointer: string }[])[0]!.pointer, '/id')
  }
  for (const id of [null, 5, true, [], {}, ['a']])
    assertProblem(await api.ask('POST', '/people', { body: { id, name: 'N' } }), 422, 'invalid-id')
  assert.deepEqual(await api.changes('people'), [])
})

test('2.5 2.6 a segment that cannot be one is refused in a path, before anything else is looked at', async () => {
  await using api = await openTestService()
  const handle = async (method: string, path: string): Promise<number> => {
    const { status } = await api.service.handle({
      method,
      path,
      query: '',
      header: () => undefined,
      readBody: async () => '{"name":"N"}',
      signal: new AbortController().signal,
    })
    return status
  }
  for (const path of [
    '/people/',
    '//people',
    '/people//friends',
    '/people/.',
    '/people/..',
    '/people/%2e%2E',
    '/people/%00',
    '/people/%0d%0aSet-Cookie:x',
    '/people/%7F',
    '/people/%C2%85',
    '/people/%ff',
    '/people/%C0%AF',
    '/people/%E0%80%AF',
    '/people/%ED%A0%80',
    '/people/%F4%90%80%80',
    '/people/%C3',
    '/people/%',
    '/people/%2',
    '/people/%zz',
    `/people/${'x'.repeat(513)}`,
    `/people/${'%41'.repeat(600)}`,
    `/people${'/a/friends'.repeat(8)}`,
  ])
    for (const method of ['GET', 'PUT', 'DELETE'])
      assert.equal(await handle(method, path), 400, `${method} ${path}`)
  for (const path of [
    '/people/_x',
    '/people/%5Fx',
    '/_changes',
    '/people/a/_changes',
    '/people/a/friends/_changes/b',
  ])
    for (const method of ['GET', 'PUT', 'DELETE'])
      assert.equal(await handle(method, path), 404, `${method} ${path}`)
  assert.deepEqual(await api.changes('people'), [])
})

test('2.4 every legal spelling of a path is one resource; written paths are canonical', async () => {
  await using api = await openTestService({ root: '/api', topicPrefix: 'acme/' })
  await api.ask('PUT', '/api/people/john%40home', { body: { name: 'N' } })
  for (const spelling of [
    '/api/people/john@home',
    '/api/people/john%40home',
    '/api/people/%6a%6F%68n@home',
    '/api/%70eople/john@home',
  ]) {
    const answer = await api.ask('PATCH', spelling, { body: { age: spelling.length } })
    assert.equal(answer.status, 200, spelling)
    assert.equal(answer.headers.get('lockstep-topic'), 'acme/people/john%40home')
    assert.equal(answer.headers.get('link'), '</api/people/_changes>; rel="changes"')
  }
  const resources = (await api.changes('people')).map(({ resource }) => resource)
  assert.deepEqual([...new Set(resources)], ['/people/john%40home'])
})

test('2.4 an encoded slash never makes a path of two segments', async () => {
  await using api = await openTestService()
  await api.ask('PUT', '/people/ann', { body: { name: 'Ann' } })
  for (const path of [
    '/people%2Fann',
    '/people%2Ffriends',
    '/people/ann/friends%2Flikes',
    '/people/ann/friends%2Fbob/likes',
  ])
    for (const method of ['GET', 'POST', 'PUT'])
      assertProblem(
        await api.ask(method, path, method === 'GET' ? {} : { body: { id: 'x' } }),
        404,
        'not-found',
      )
  assert.equal((await api.changes('people')).length, 1)
})

test('the cases of paths and topics hold over HTTP', async () => {
  const cases = readCases('paths-and-topics') as readonly Record<string, string>[]
  await using api = await openTestService()
  let count = 0
  for (const { path, canonical, kind } of cases) {
    if (path === undefined || kind !== 'resource' || !canonical?.startsWith('/people/')) continue
    if (canonical.split('/').length !== 3 || /[?#]/.test(path)) continue
    const answer = await api.ask('PUT', path, { body: { name: 'N' } })
    assert.ok(answer.status < 300, path)
    assert.equal(answer.headers.get('lockstep-topic'), canonical.slice(1))
    assert.equal((await api.ask('GET', canonical)).status, 200)
    count++
  }
  assert.ok(count > 20, 'the cases were found')
})

test('2.2 what is not below the root is not there', async () => {
  await using api = await openTestService({ root: '/api/v1' })
  await api.ask('PUT', '/api/v1/people/ann', { body: { name: 'Ann' } })
  for (const path of ['/people/ann', '/', '/api', '/api/v12/people/ann', '/API/v1/people/ann', '/api/v1x'])
    assertProblem(await api.ask('GET', path), 404, 'not-found')
  assert.equal(api.service.owns('/api/v1'), true)
  assert.equal(api.service.owns('/api/v1/anything'), true)
  assert.equal(api.service.owns('/api/v1x'), false)
  const problem = assertProblem(await api.ask('GET', '/api/v1/animals'), 404, 'not-found')
  assert.match(
    String(problem['detail']),
    /^There is nothing at "\/animals" below \/api\/v1\. This API has: \/people, /,
  )
})

test('a message names what was sent, as it was sent', async () => {
  await using api = await openTestService()
  await api.ask('PUT', '/people/ann', { body: { name: 'Ann' } })
  const detailOf = async (method: string, path: string, options: AskOptions = {}): Promise<string> =>
    String((await api.ask(method, path, options)).json.detail)
  const headers = { 'if-match': '"x.1"' }
  for (const [detail, start] of [
    [await detailOf('POST', '/people', { body: { id: '_x', name: 'N' } }), 'The id "_x" cannot be used'],
    [
      await detailOf('POST', '/people', { body: { id: 5, name: 'N' } }),
      'The id 5 cannot be used: it must be a',
    ],
    [await detailOf('POST', '/people', { body: { id: [], name: 'N' } }), 'The id […] cannot be used'],
    [
      await detailOf('PATCH', '/people/ann', { headers, body: {} }),
      'If-Match: "x.1" does not hold: /people/ann',
    ],
    [await detailOf('GET', '/people/ann', { headers }), 'If-Match: "x.1" does not hold; the ETag is'],
    [await detailOf('POST', '/people', { body: { age: 1 } }), 'The new resource of /people does not fit'],
    [await detailOf('POST', '/people/_changes', { body: {} }), '"POST" is not allowed on /people/_changes.'],
    [await detailOf('GET', '/people/_bulk'), '"GET" is not allowed on /people/_bulk.'],
  ] as const)
    assert.ok(detail.startsWith(start), detail)
  assert.match(
    await detailOf('PUT', '/people/ann', { body: { id: 'eve', name: 'N' } }),
    /the id "eve"|id "eve"/,
  )
})

test('an empty id to go on after, and a misspelt condition, are refused as what they are', async () => {
  await using api = await openTestService()
  assertProblem(await api.ask('GET', '/people?after='), 400, 'invalid-query')
  await api.ask('PUT', '/people/ann', { body: { name: 'Ann' } })
  const headers = { 'if-match': 'x' }
  const problem = assertProblem(await api.ask('DELETE', '/people/ann', { headers }), 400, 'invalid-condition')
  assert.match(String(problem['detail']), /^The condition x is neither/)
})

test('header values cannot be injected: not by ids, not by request ids', async () => {
  await using api = await openTestService()
  assertProblem(
    await api.ask('PUT', '/people/a%0d%0ax-evil:%201', { body: { name: 'A' } }),
    400,
    'invalid-path',
  )
  const posted = await api.ask('POST', '/people', { body: { id: 'a\r\nx-evil: 1', name: 'A' } })
  assertProblem(posted, 422, 'invalid-id')
  const { headers } = await api.ask('POST', '/people', { body: { id: '>; rel="next", <x', name: 'A' } })
  assert.equal(headers.get('location'), '/people/%3E%3B%20rel%3D%22next%22%2C%20%3Cx')
  const next = await api.ask('GET', '/people?limit=1&_=%0d%0a')
  assert.equal(next.status, 200)
})

test('roots, prefixes and resources that cannot be used are refused before anything is opened', async () => {
  const { isLockstepError } = await import('../../src/contract/index.ts')
  const { people, friends, likes } = await import('../support/service.ts')
  const refused = [
    { root: '/api/' },
    { root: 'api' },
    { root: '/a b' },
    { root: '/x"\r\n' },
    { topicPrefix: 'acme' },
    { topicPrefix: '/acme/' },
    { topicPrefix: 'a+/' },
    { topicPrefix: '#/' },
    { resources: [people, people] },
    { resources: [people, likes] },
    { resources: [friends] },
  ]
  for (const options of refused)
    await assert.rejects(openTestService(options), error => isLockstepError(error, 'invalid-option'))
})
