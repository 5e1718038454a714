/** Many writes in one request: PROTOCOL.md 4.15, on both logs. */
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { createMemoryHub } from '../../src/broker/memory.ts'
import { isAtLeast, type JsonObject, parseMarker } from '../../src/contract/index.ts'
import { createMemoryLog } from '../../src/log/memory.ts'
import { defineResource } from '../../src/service/resource.ts'
import {
  type Answer,
  assertProblem,
  hear,
  logKinds,
  openTestService,
  type TestService,
} from '../support/service.ts'

interface BulkResult {
  readonly status: number
  readonly path?: string
  readonly etag?: string
  readonly marker?: string
  readonly replayed?: boolean
  readonly body?: JsonObject
  readonly problem?: JsonObject
}

function ask(
  api: TestService,
  operations: readonly object[],
  { atomic, path = '/people', key }: { atomic?: boolean; path?: string; key?: string } = {},
): Promise<Answer> {
  const headers: Record<string, string> = key === undefined ? {} : { 'idempotency-key': key }
  return api.ask('POST', `${path}/_bulk`, { body: { atomic, operations }, headers })
}

async function resultsOf(answer: Promise<Answer>): Promise<BulkResult[]> {
  const { status, json, text } = await answer
  assert.equal(status, 200, text)
  return json.results
}

const statusesOf = (results: readonly BulkResult[]): number[] => results.map(({ status }) => status)
const post = (body: object): object => ({ method: 'POST', body })
const put = (id: string, body: object, more: object = {}): object => ({ method: 'PUT', id, body, ...more })
const patch = (id: string, body: unknown, more: object = {}): object => ({
  method: 'PATCH',
  id,
  body,
  ...more,
})
const remove = (id: string, more: object = {}): object => ({ method: 'DELETE', id, ...more })

for (const logKind of logKinds) {
  suite(`bulks on the ${logKind} log`, () => {
    for (const atomic of [false, true]) {
      const kind = atomic ? 'atomic' : 'not atomic'

      test(`4.15 each operation is carried out in order and answered as its own request would be (${kind})`, async () => {
        const hub = createMemoryHub()
        await using heard = await hear(hub.connect(), 'people/#')
        await using api = await openTestService({ logKind, broker: hub.connect() })
        const { epoch } = await api.log.head('people')
        const answer = await ask(
          api,
          [
            post({ id: 'ann@home', name: 'Ann' }),
            put('bob', { name: 'Bob' }),
            patch('bob', { age: 1 }),
            patch('bob', [{ op: 'replace', path: '/age', value: 2 }], {
              contentType: 'application/json-patch+json',
            }),
            put('bob', { name: 'Bob', age: 2 }),
            remove('ann@home'),
          ],
          { atomic },
        )
        const bob = (state: object): object => ({ id: 'bob', name: 'Bob', ...state })
        const expected = [
          { status: 201, path: '/people/ann%40home', version: 1, body: { id: 'ann@home', name: 'Ann' } },
          { status: 201, path: '/people/bob', version: 1, body: bob({}) },
          { status: 200, path: '/people/bob', version: 2, body: bob({ age: 1 }) },
          { status: 200, path: '/people/bob', version: 3, body: bob({ age: 2 }) },
          { status: 200, path: '/people/bob', version: 3, body: bob({ age: 2 }) },
          { status: 204, path: '/people/ann%40home' },
        ]
        assert.deepEqual(
          answer.json.results.map(({ marker: _, ...result }: BulkResult) => result),
          expected.map(({ version, ...result }) =>
            version === undefined ? result : { ...result, etag: `"${epoch}.${version}"` },
          ),
        )
        assert.equal(answer.headers.get('content-type'), 'application/json; charset=utf-8')
        assert.equal(answer.headers.get('lockstep-marker'), `people:${epoch}:5`)
        assert.equal(answer.headers.get('lockstep-topic'), 'people')
        assert.equal(answer.headers.get('link'), '</people/_changes>; rel="changes"')
        const changes = await api.changes('people')
        assert.deepEqual(
          changes.map(({ event, resource }) => `${event} ${resource}`),
          [
            'created /people/ann%40home',
            'created /people/bob',
            'modified /people/bob',
            'modified /people/bob',
            'deleted /people/ann%40home',
          ],
        )
        assert.ok(changes.every(({ cause }) => cause === answer.headers.get('x-request-id')))
        const txs = changes.map(({ tx }) => tx as JsonObject | undefined)
        if (atomic) assert.ok(txs.every(tx => tx?.['id'] === txs[0]!['id'] && tx?.['n'] === 5))
        else assert.deepEqual(new Set(txs), new Set([undefined]))
        await heard.until(({ length }) => length === 5)
        assert.deepEqual(
          heard.deliveries.map(({ topic }) => topic),
          ['people', 'people/bob', 'people/bob', 'people/bob', 'people/ann%40home'],
        )
      })

      test(`4.15 nested collections have bulks too (${kind})`, async () => {
        await using api = await openTestService({ logKind })
        await api.ask('PUT', '/people/ann', { body: { name: 'Ann' } })
        const path = '/people/ann/friends'
        const results = await resultsOf(ask(api, [post({ id: 'a' }), put('b', {})], { atomic, path }))
        assert.deepEqual(
          results.map(result => result.path),
          ['/people/ann/friends/a', '/people/ann/friends/b'],
        )
        const orphan = await ask(api, [post({ id: 'a' })], { atomic, path: '/people/nobody/friends' })
        const problem = atomic ? orphan.json : orphan.json.results[0].problem
        assert.deepEqual([problem.status, problem.code], [404, 'not-found'])
      })

      test(`4.15 conditions hold for the operation that has them, at its turn (${kind})`, async () => {
        await using api = await openTestService({ logKind })
        const { headers } = await api.ask('PUT', '/people/ann', { body: { name: 'Ann' } })
        const ifMatch = headers.get('etag')!
        const results = await resultsOf(
          ask(api, [patch('ann', { age: 1 }, { ifMatch }), put('bob', { name: 'B' }, { ifNoneMatch: '*' })], {
            atomic,
          }),
        )
        assert.deepEqual(statusesOf(results), [200, 201])
        const stale = [patch('ann', { age: 2 }, { ifMatch: '*' }), remove('ann', { ifMatch })]
        const refused = await ask(api, stale, { atomic })
        if (atomic) {
          assert.equal(assertProblem(refused, 412, 'precondition-failed')['index'], 1)
        } else {
          assert.deepEqual(statusesOf(refused.json.results), [200, 412])
        }
        assert.equal((await api.ask('GET', '/people/ann')).json.age, atomic ? 1 : 2)
      })
    }

    test('4.15 atomic: where one operation fails, nothing is written and its problem is the answer', async () => {
      await using api = await openTestService({ logKind })
      await api.ask('PUT', '/people/ann', { body: { name: 'Ann' } })
      const fine = [put('ann', { name: 'Anna' }), remove('ann'), post({ id: 'bob', name: 'Bob' })]
      const failing: readonly (readonly [object, number, string])[] = [
        [post({ id: 'bob', name: 'Bob' }), 409, 'already-exists'],
        [patch('ann', { age: 1 }), 410, 'gone'],
        [put('carl', { name: '' }), 422, 'invalid-state'],
        [put('_x', { name: 'X' }), 422, 'invalid-id'],
        [put('..', { name: 'X' }), 400, 'invalid-path'],
        [patch('bob', [], { contentType: 'text/plain' }), 415, 'unsupported-media-type'],
        [patch('bob', {}, { contentType: 'application/json-patch+json' }), 422, 'invalid-patch'],
        [put('carl', { name: 'x'.repeat(10_000) }), 413, 'body-too-large'],
        [remove('nobody', { ifMatch: 'x' }), 404, 'not-found'],
        [put('bob', { name: 'B' }, { ifMatch: 'x' }), 400, 'invalid-condition'],
      ]
      for (const [operation, status, code] of failing) {
        const answer = await ask(api, [...fine, operation, post({ name: '' })], { atomic: true })
        const problem = assertProblem(answer, status, code)
        assert.equal(problem['index'], 3)
        assert.match(String(problem['detail']), /^Operation 3: /)
        assert.equal(answer.headers.get('lockstep-marker'), null)
      }
      const { faults } = (await ask(api, [post({ name: '' })], { atomic: true })).json
      assert.equal(faults[0].pointer, '/name')
      assert.equal((await api.changes('people')).length, 1)
      assert.deepEqual((await api.ask('GET', '/people')).json, [{ id: 'ann', name: 'Ann' }])
    })

    test('4.15 not atomic: each operation that fails has its problem, and the others go on', async () => {
      await using api = await openTestService({ logKind })
      const results = await resultsOf(
        ask(api, [
          post({ id: 'ann', name: 'Ann' }),
          post({ id: 'ann', name: 'Ann' }),
          put('bob', { name: '' }),
          put('_x', { name: 'X' }),
          patch('nobody', {}),
          patch('ann', { age: 1 }, { contentType: 'text/plain' }),
          patch('ann', { age: 2 }),
        ]),
      )
      assert.deepEqual(
        results.map(({ status, path, problem }) => [status, path, problem?.['code']]),
        [
          [201, '/people/ann', undefined],
          [409, undefined, 'already-exists'],
          [422, '/people/bob', 'invalid-state'],
          [422, undefined, 'invalid-id'],
          [404, '/people/nobody', 'not-found'],
          [415, '/people/ann', 'unsupported-media-type'],
          [200, '/people/ann', undefined],
        ],
      )
      const { title, detail, faults } = results[2]!.problem!
      assert.deepEqual(faults, [{ pointer: '/name', detail: 'must not have fewer than 1 characters' }])
      assert.equal(typeof title, 'string')
      assert.match(String(detail), /\/people\/bob does not fit its schema/)
      assert.equal((await api.changes('people')).length, 2)
    })

    test('4.15 a thousand operations on few resources keep their order and are counted without a hole', async () => {
      await using api = await openTestService({ logKind })
      const operations = Array.from({ length: 1_000 }, (_, index) =>
        index < 5
          ? put(`p${index}`, { name: 'P', age: 0 })
          : patch(`p${index % 5}`, { age: Math.floor(index / 5) }),
      )
      for (const atomic of [false, true]) {
        const answer = await ask(api, operations, { atomic })
        const results: BulkResult[] = answer.json.results
        assert.ok(results.every(({ status }) => status < 300))
        assert.deepEqual(
          results.slice(-5).map(({ body }) => body!['age']),
          [199, 199, 199, 199, 199],
        )
        const marker = parseMarker(answer.headers.get('lockstep-marker')!)
        assert.equal(marker[0]!.seq, atomic ? 2_000 : 1_000)
        if (!atomic) for (const result of results) assert.ok(isAtLeast(marker, parseMarker(result.marker!)))
      }
      const changes = await api.changes('people')
      assert.deepEqual(
        changes.map(({ id }) => Number(String(id).split(':')[2])),
        Array.from({ length: 2_000 }, (_, index) => index + 1),
      )
    })

    test('4.15 not atomic: where nothing succeeds the marker tells where the stream stood', async () => {
      await using api = await openTestService({ logKind })
      await api.ask('PUT', '/people/ann', { body: { name: 'Ann' } })
      const { epoch } = await api.log.head('people')
      const { status, headers } = await ask(api, [remove('nobody')])
      assert.deepEqual([status, headers.get('lockstep-marker')], [200, `people:${epoch}:1`])
    })

    test('4.13 4.15 an atomic bulk is remembered as a whole', async () => {
      await using api = await openTestService({ logKind })
      const operations = [post({ name: 'Ann' }), put('bob', { name: 'Bob' }), remove('bob')]
      assertProblem(await ask(api, [...operations, remove('bob')], { atomic: true, key: 'k' }), 410, 'gone')
      const first = await ask(api, operations, { atomic: true, key: 'k' })
      await api.ask('PUT', '/people/bob', { body: { name: 'Other' } })
      const again = await ask(api, operations, { atomic: true, key: 'k' })
      assert.deepEqual([first.status, again.status, again.text], [200, 200, first.text])
      assert.equal(again.headers.get('lockstep-marker'), first.headers.get('lockstep-marker'))
      assert.deepEqual(
        [first, again].map(({ headers }) => headers.get('idempotency-replayed')),
        [null, 'true'],
      )
      const others: Parameters<typeof ask>[] = [
        [api, operations.slice(1), { atomic: true, key: 'k' }],
        [api, [...operations, remove('ann')], { atomic: true, key: 'k' }],
      ]
      for (const other of others) assertProblem(await ask(...other), 422, 'idempotency-key-reused')
      for (const { problem } of await resultsOf(ask(api, operations, { key: 'k' })))
        assert.equal(problem!['code'], 'idempotency-key-reused')
      assert.equal((await api.changes('people')).length, 4)
      const single = { headers: { 'idempotency-key': 'k' }, body: { name: 'Ann' } }
      assert.equal((await api.ask('POST', '/people', single)).status, 201)
    })

    test('4.13 4.15 a bulk that is not atomic is remembered operation by operation: a retry does what is missing', async () => {
      await using api = await openTestService({ logKind })
      const operations = (name: string): object[] => [
        post({ name: 'Ann' }),
        put('bob', { name }),
        patch('bob', { age: 1 }, { ifNoneMatch: '"x"' }),
        remove('ann'),
      ]
      const first = await resultsOf(ask(api, operations(''), { key: 'k' }))
      assert.deepEqual(statusesOf(first), [201, 422, 404, 404])
      const answer = await ask(api, operations('Bob'), { key: 'k' })
      const second: BulkResult[] = answer.json.results
      assert.deepEqual(statusesOf(second), [201, 201, 200, 404])
      assert.deepEqual(second[0], { ...first[0], replayed: true })
      assert.deepEqual(
        second.map(({ replayed }) => replayed),
        [true, undefined, undefined, undefined],
      )
      assert.equal(answer.headers.get('idempotency-replayed'), null)
      const { epoch } = await api.log.head('people')
      assert.equal(answer.headers.get('lockstep-marker'), `people:${epoch}:3`)
      await api.ask('PUT', '/people/ann', { body: { name: 'Ann' } })
      const third = await resultsOf(ask(api, operations('Bob'), { key: 'k' }))
      assert.deepEqual(statusesOf(third), [201, 201, 200, 204])
      const last = await ask(api, operations('Bob'), { key: 'k' })
      assert.equal(last.headers.get('idempotency-replayed'), 'true')
      assert.deepEqual(
        last.json.results.map(({ replayed: _, ...result }: BulkResult) => result),
        third.map(({ replayed: _, ...result }) => result),
      )
      const mixed = await resultsOf(ask(api, operations('Eve'), { key: 'k' }))
      assert.deepEqual(statusesOf(mixed), [201, 422, 200, 204])
      assert.equal(mixed[1]!.problem!['code'], 'idempotency-key-reused')
      assertProblem(
        await ask(api, operations('Bob'), { key: 'k', atomic: true }),
        422,
        'idempotency-key-reused',
      )
      assert.equal((await api.changes('people')).length, 5)
    })
  })
}

test('4.15 what is no bulk is refused with each place, and nothing of it is carried out', async () => {
  await using api = await openTestService()
  const fine = put('ann', { name: 'Ann' })
  const faultsOf = async (body: unknown): Promise<string[]> => {
    const problem = assertProblem(await api.ask('POST', '/people/_bulk', { body }), 422, 'invalid-bulk')
    return (problem['faults'] as { pointer: string }[]).map(({ pointer }) => pointer)
  }
  assert.deepEqual(await faultsOf([]), [''])
  assert.deepEqual(await faultsOf(null), [''])
  assert.deepEqual(await faultsOf({}), ['/operations'])
  assert.deepEqual(await faultsOf({ operations: [] }), ['/operations'])
  assert.deepEqual(await faultsOf({ operations: { 0: fine } }), ['/operations'])
  assert.deepEqual(await faultsOf({ operations: [fine], atomic: 'true', 'a/b': 1 }), ['/a~1b', '/atomic'])
  const operations = [
    fine,
    null,
    [],
    {},
    { method: 'post', body: {} },
    { method: 'GET', id: 'ann' },
    { method: 'constructor' },
    { method: 'POST' },
    { method: 'POST', id: 'ann', body: {} },
    { method: 'POST', body: {}, ifMatch: '*' },
    { method: 'PUT', id: 'ann' },
    { method: 'PUT', body: {} },
    { method: 'PATCH', id: 5, body: {} },
    { method: 'DELETE', id: 'ann', body: {} },
    { method: 'DELETE', id: 'ann', 'if-match': '"x"' },
    { method: 'DELETE', id: 'ann', ifMatch: null },
    { method: 'PUT', id: 'ann', body: {}, contentType: 5, ifNoneMatch: ['*'] },
  ]
  assert.deepEqual(
    await faultsOf({ operations }),
    [
      '1',
      '2',
      '3/method',
      '4/method',
      '5/method',
      '6/method',
      '7/body',
      '8/id',
      '9/ifMatch',
      '10/body',
      '11/id',
      '12/id',
      '13/body',
      '14/if-match',
      '15/ifMatch',
      '16/contentType',
      '16/ifNoneMatch',
    ].map(place => `/operations/${place}`),
  )
  assert.equal((await faultsOf({ operations: Array(200).fill(5) })).length, 100)
  assert.deepEqual(await api.changes('people'), [])
})

test('4.15 a bulk has at most so many operations and bytes as the service allows', async () => {
  await using api = await openTestService({ bulk: { maxOperations: 2, maxBodyBytes: 500 } })
  const fine = put('ann', { name: 'Ann' })
  assert.equal((await ask(api, [fine, fine])).status, 200)
  const tooMany = assertProblem(await ask(api, [fine, fine, fine]), 422, 'invalid-bulk')
  assert.match(String(tooMany['detail']), /1 to 2 operations/)
  const large = [put('ann', { name: 'x'.repeat(500) })]
  assertProblem(await ask(api, large), 413, 'body-too-large')
  for (const bulk of [{ maxOperations: 0 }, { maxBodyBytes: 1.5 }, { maxResultChars: Number.NaN }])
    await assert.rejects(openTestService({ bulk }), { code: 'invalid-option' })
  await using whole = await openTestService()
  assertProblem(await ask(whole, Array(1_001).fill(fine)), 422, 'invalid-bulk')
  const rawBody = `{"operations":[],"x":"${'x'.repeat(8_388_608)}"}`
  const headers = { 'content-type': 'application/json' }
  assertProblem(await whole.ask('POST', '/people/_bulk', { rawBody, headers }), 413, 'body-too-large')
})

test('4.13 4.15 in a new epoch a remembered result keeps its marker, the response has one of now', async () => {
  await using api = await openTestService()
  const operations = [remove('bob'), post({ id: 'ann', name: 'Ann' })]
  const [, first] = await resultsOf(ask(api, operations, { key: 'k' }))
  await api.log.renewEpoch('people')
  await api.ask('PUT', '/people/bob', { body: { name: 'Bob' } })
  const answer = await ask(api, operations, { key: 'k' })
  const { epoch } = await api.log.head('people')
  const [removed, remembered] = answer.json.results
  assert.equal(removed.marker, `people:${epoch}:2`)
  assert.deepEqual(remembered, { ...first, replayed: true })
  assert.equal(answer.headers.get('lockstep-marker'), `people:${epoch}:2`)
})

test('4.15 a service may have no bulks', async () => {
  await using api = await openTestService({ bulk: false })
  assertProblem(await ask(api, [put('ann', { name: 'Ann' })]), 404, 'not-found')
  assertProblem(await api.ask('OPTIONS', '/people/_bulk'), 404, 'not-found')
})

test('4.15 small patches that answer with large states are cut off before they fill the memory', async () => {
  await using api = await openTestService({ bulk: { maxResultChars: 10_000 } })
  await api.ask('PUT', '/people/ann', { body: { name: 'x'.repeat(1_000) } })
  const operations = Array(130).fill(patch('ann', {}))
  const atomic = await ask(api, operations, { atomic: true })
  assert.equal(assertProblem(atomic, 422, 'too-many-changes')['index'], 10)
  const results = await resultsOf(ask(api, operations))
  assert.deepEqual(statusesOf(results), [...Array(64).fill(200), ...Array(66).fill(422)])
  assert.equal(results[64]!.problem!['code'], 'too-many-changes')
})

test('4.15 the operations of a large transaction let the event loop turn, and end in time', async () => {
  const notes = defineResource('notes', { maxBodyBytes: 1_048_576, schema: { type: 'object' } })
  await using log = createMemoryLog({ transactionTimeoutMs: 50 })
  await using api = await openTestService({ resources: [notes], log })
  const wide = Object.fromEntries(Array.from({ length: 20_000 }, (_, index) => [`member${index}`, index]))
  await api.ask('PUT', '/notes/a', { body: wide })
  const operations = Array.from({ length: 1_000 }, (_, index) => patch('a', { member0: `m${index}` }))
  const answer = await ask(api, operations, { atomic: true, path: '/notes' })
  assertProblem(answer, 503, 'transaction-timeout')
  assert.deepEqual(
    api.errors.splice(0).map(({ stage }) => stage),
    ['request'],
  )
  assert.equal((await api.changes('notes')).length, 1)
})

test('4.15 failures of the service itself are told to onError, each operation has its problem', async () => {
  await using api = await openTestService()
  const write = api.log.write.bind(api.log)
  let calls = 0
  api.log.write = work => (++calls === 2 ? Promise.reject(new Error('the disk')) : write(work))
  const results = await resultsOf(
    ask(
      api,
      ['a', 'b', 'c'].map(id => put(id, { name: 'N' })),
    ),
  )
  assert.deepEqual(statusesOf(results), [201, 500, 201])
  assert.equal(results[1]!.problem!['code'], 'internal')
  assert.doesNotMatch(JSON.stringify(results), /the disk/)
  assert.match(String(api.errors.splice(0)[0]!.error), /the disk/)
})

test('4.15 2.6 _bulk is a place of its own: POST and OPTIONS, of collections only, without query and conditions', async () => {
  await using api = await openTestService()
  await api.ask('PUT', '/people/ann', { body: { name: 'Ann' } })
  const options = await api.ask('OPTIONS', '/people/_bulk')
  assert.deepEqual([options.status, options.headers.get('allow')], [204, 'POST, OPTIONS'])
  assert.equal(options.headers.get('accept-patch'), null)
  for (const method of ['GET', 'HEAD', 'PUT', 'PATCH', 'DELETE']) {
    const answer = await api.ask(method, '/people/_bulk', method === 'PUT' ? { body: {} } : {})
    assert.deepEqual([answer.status, answer.headers.get('allow')], [405, 'POST, OPTIONS'])
  }
  const body = { operations: [put('bob', { name: 'Bob' })] }
  for (const path of [
    '/_bulk',
    '/people/ann/_bulk',
    '/nothing/_bulk',
    '/people/_bulk/_bulk',
    '/people/_bulk/x',
  ])
    assertProblem(await api.ask('POST', path, { body }), 404, 'not-found')
  assertProblem(await api.ask('POST', '/people/_bulk?x=1', { body }), 400, 'invalid-query')
  for (const [field, value] of [
    ['if-match', '"x"'],
    ['if-none-match', '*'],
  ] as const) {
    const answer = await api.ask('POST', '/people/_bulk', { body, headers: { [field]: value } })
    assertProblem(answer, 412, 'precondition-failed')
  }
  const type = { 'content-type': 'application/json-patch+json' }
  assertProblem(
    await api.ask('POST', '/people/_bulk', { body, headers: type }),
    415,
    'unsupported-media-type',
  )
  const accept = { accept: 'text/html' }
  assertProblem(await api.ask('POST', '/people/_bulk', { body, headers: accept }), 406, 'not-acceptable')
  assertProblem(await api.ask('PUT', '/people/_bulk2', { body: { name: 'B' } }), 404, 'not-found')
  assert.equal((await api.changes('people')).length, 1)
})

test('4.15 2.2 below a root, with a topic prefix, results have canonical paths', async () => {
  await using api = await openTestService({ root: '/api/v1', topicPrefix: 'acme/' })
  const answer = await ask(api, [put('e\u0301', { name: 'E' })], { path: '/api/v1/people' })
  assert.equal(answer.json.results[0].path, '/people/%C3%A9')
  assert.equal(answer.headers.get('lockstep-topic'), 'acme/people')
})
