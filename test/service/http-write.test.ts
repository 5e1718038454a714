/** POST, PUT, PATCH and DELETE: PROTOCOL.md §3 and §4, rule by rule, on both logs. */
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { readCases } from '../support/cases.ts'
import { acceptPatch, assertProblem, logKinds, openTestService } from '../support/service.ts'

interface ConditionalCase {
  readonly method: string
  readonly on: 'existing' | 'missing' | 'deleted'
  readonly ifMatch?: string
  readonly ifNoneMatch?: string
  readonly status: number
  readonly events: readonly string[]
}

const now = (): number => Date.parse('2026-01-31T12:00:00.000Z')
const time = '2026-01-31T12:00:00.000Z'

for (const logKind of logKinds) {
  suite(`writes on the ${logKind} log`, () => {
    test('4.5 3.1 POST answers 201 with Location and representation; the message carries the state', async () => {
      await using api = await openTestService({ logKind, now })
      const answer = await api.ask('POST', '/people', {
        body: { name: 'Ann', id: 'ann@home', more: [1, null] },
        headers: { 'x-request-id': 'req-1' },
      })
      const { epoch } = await api.log.head('people')
      assert.equal(answer.status, 201)
      assert.deepEqual(Object.fromEntries(answer.headers), {
        'content-type': 'application/json; charset=utf-8',
        etag: `"${epoch}.1"`,
        link: '</people/_changes>; rel="changes"',
        location: '/people/ann%40home',
        'lockstep-marker': `people:${epoch}:1`,
        'lockstep-topic': 'people/ann%40home',
        'x-request-id': 'req-1',
      })
      const state = { id: 'ann@home', name: 'Ann', more: [1, null] }
      assert.deepEqual(answer.json, state)
      assert.deepEqual((await api.ask('GET', '/people/ann%40home')).json, state)
      assert.deepEqual(await api.changes('people'), [
        {
          event: 'created',
          state,
          resource: '/people/ann%40home',
          version: 1,
          time,
          cause: 'req-1',
          id: `people:${epoch}:1`,
        },
      ])
    })

    test('4.5 without an id the server makes one that sorts by time; with a taken one it is 409', async () => {
      await using api = await openTestService({ logKind })
      const { json, headers } = await api.ask('POST', '/people', { body: { name: 'Ann' } })
      assert.match(json.id, /^[0-9a-z]{26}$/)
      assert.equal(headers.get('location'), `/people/${json.id}`)
      assertProblem(
        await api.ask('POST', '/people', { body: { id: json.id, name: 'Eve' } }),
        409,
        'already-exists',
      )
      assert.equal((await api.changes('people')).length, 1)
    })

    test('4.5 3.2 PUT creates with 201 or replaces with 200; its message carries the whole state', async () => {
      await using api = await openTestService({ logKind })
      const created = await api.ask('PUT', '/people/ann', { body: { name: 'Ann', age: 1 } })
      assert.deepEqual([created.status, created.headers.get('location')], [201, '/people/ann'])
      const replaced = await api.ask('PUT', '/people/ann', { body: { id: 'ann', name: 'Ann', tags: [] } })
      assert.deepEqual([replaced.status, replaced.headers.get('location')], [200, null])
      assert.deepEqual(replaced.json, { id: 'ann', name: 'Ann', tags: [] })
      const { epoch } = await api.log.head('people')
      assert.equal(replaced.headers.get('etag'), `"${epoch}.2"`)
      assert.equal(replaced.headers.get('lockstep-marker'), `people:${epoch}:2`)
      const [first, second] = await api.changes('people')
      assert.deepEqual([first!['event'], first!['version']], ['created', 1])
      assert.deepEqual(
        [second!['event'], second!['version'], second!['state']],
        ['modified', 2, replaced.json],
      )
    })

    test('4.6 3.2 PATCH applies a merge patch; the message says what became of the resource', async () => {
      await using api = await openTestService({ logKind })
      const whole = {
        name: 'Ann',
        email: 'ann@example.com',
        address: { city: 'Bern', zip: '3000' },
        tags: ['a', 'b'],
      }
      await api.ask('PUT', '/people/ann', { body: whole })
      const patch = { name: 'Ann', email: null, address: { city: 'Basel' }, nothing: null }
      for (const type of [
        'application/merge-patch+json',
        'application/json; charset=utf-8',
        'APPLICATION/JSON',
      ]) {
        const answer = await api.ask('PATCH', '/people/ann', {
          body: patch,
          headers: { 'content-type': type },
        })
        assert.equal(answer.status, 200)
        assert.equal(answer.headers.get('accept-patch'), acceptPatch)
        assert.deepEqual(answer.json, {
          id: 'ann',
          name: 'Ann',
          address: { city: 'Basel', zip: '3000' },
          tags: ['a', 'b'],
        })
      }
      const [, modified, ...others] = await api.changes('people')
      assert.deepEqual(modified!['changes'], { email: null, address: { city: 'Basel' } })
      assert.equal('state' in modified!, false)
      assert.deepEqual(others, [])
    })

    test('3.2 where the changes are not shorter than the state, the message carries the state', async () => {
      await using api = await openTestService({ logKind })
      await api.ask('PUT', '/people/ann', { body: { name: 'Ann', address: { city: 'Bern' }, age: 3 } })
      await api.ask('PATCH', '/people/ann', { body: { name: 'B', address: null, age: null } })
      const [, modified] = await api.changes('people')
      assert.deepEqual(modified!['state'], { id: 'ann', name: 'B' })
      assert.equal('changes' in modified!, false)
    })

    test('4.5 DELETE answers 204; 4.7 once more is 410, of what never was 404', async () => {
      await using api = await openTestService({ logKind })
      await api.ask('PUT', '/people/ann', { body: { name: 'Ann' } })
      const { epoch } = await api.log.head('people')
      const answer = await api.ask('DELETE', '/people/ann', { headers: { 'x-request-id': 'r' } })
      assert.deepEqual([answer.status, answer.text], [204, ''])
      assert.equal(answer.headers.get('lockstep-marker'), `people:${epoch}:2`)
      assert.equal(answer.headers.get('etag'), null)
      const { time: _, ...deleted } = (await api.changes('people'))[1]!
      assert.deepEqual(deleted, {
        event: 'deleted',
        resource: '/people/ann',
        version: 2,
        cause: 'r',
        id: `people:${epoch}:2`,
      })
      for (const method of ['DELETE', 'PATCH']) {
        const body = method === 'PATCH' ? { body: { age: 1 } } : {}
        assertProblem(await api.ask(method, '/people/ann', body), 410, 'gone')
        assertProblem(await api.ask(method, '/people/bob', body), 404, 'not-found')
      }
      assert.equal((await api.changes('people')).length, 2)
    })

    test('4.7 7.3 a resource that is created again continues the versions, also after its tombstone is gone', async () => {
      await using api = await openTestService({ logKind })
      await api.ask('PUT', '/people/ann', { body: { name: 'Ann' } })
      await api.ask('DELETE', '/people/ann')
      const { epoch } = await api.log.head('people')
      const again = await api.ask('POST', '/people', { body: { id: 'ann', name: 'Ann' } })
      assert.deepEqual([again.status, again.headers.get('etag')], [201, `"${epoch}.3"`])
      await api.ask('DELETE', '/people/ann')
      const put = await api.ask('PUT', '/people/ann', { body: { name: 'Ann' } })
      assert.deepEqual([put.status, put.headers.get('etag')], [201, `"${epoch}.5"`])
      await api.ask('DELETE', '/people/ann')
      await api.log.prune({ maxAgeMs: 0, maxRows: 1, minRows: 0 })
      const late = await api.ask('PUT', '/people/ann', { body: { name: 'Ann' } })
      assert.deepEqual([late.status, late.headers.get('etag')], [201, `"${epoch}.7"`])
      assert.equal((await api.changes('people')).at(-1)!['event'], 'created')
    })

    test('3.3 a write that changes nothing makes no version and no message', async () => {
      await using api = await openTestService({ logKind })
      const body = { name: 'Ann', address: { city: 'Bern', zip: 1 }, age: 0 }
      await api.ask('PUT', '/people/ann', { body })
      const { epoch } = await api.log.head('people')
      const shuffled = { age: -0, address: { zip: 1.0, city: 'Bern' }, name: 'Ann', id: 'ann' }
      for (const [method, same] of [
        ['PUT', shuffled],
        ['PATCH', {}],
        ['PATCH', { name: 'Ann', nothing: null }],
        ['PATCH', { address: {} }],
        ['PATCH', { id: 'ann' }],
      ] as const) {
        const answer = await api.ask(method, '/people/ann', { body: same })
        assert.equal(answer.status, 200)
        assert.deepEqual(answer.json, { id: 'ann', ...body })
        assert.equal(answer.headers.get('etag'), `"${epoch}.1"`)
        assert.equal(answer.headers.get('lockstep-marker'), `people:${epoch}:1`)
      }
      assert.equal((await api.changes('people')).length, 1)
    })

    test('3.10 3.4 a deletion takes all that is nested with it, the deepest first, in one transaction', async () => {
      await using api = await openTestService({ logKind })
      await api.ask('PUT', '/people/ann', { body: { name: 'Ann' } })
      await api.ask('PUT', '/people/anna', { body: { name: 'Anna' } })
      await api.ask('PUT', '/people/ann/friends/b', { body: {} })
      await api.ask('PUT', '/people/ann/friends/a', { body: {} })
      await api.ask('POST', '/people/ann/friends/a/likes', { body: { id: 'x' } })
      await api.ask('PUT', '/people/anna/friends/a', { body: {} })
      const before = (await api.changes('people')).length
      assert.equal((await api.ask('DELETE', '/people/ann')).status, 204)
      const changes = (await api.changes('people')).slice(before)
      const order = changes.map(({ resource }) => resource as string)
      assert.deepEqual(order.toSorted(), [
        '/people/ann',
        '/people/ann/friends/a',
        '/people/ann/friends/a/likes/x',
        '/people/ann/friends/b',
      ])
      for (const path of order) {
        const parents = order.filter(other => path.startsWith(`${other}/`))
        for (const parent of parents) assert.ok(order.indexOf(parent) > order.indexOf(path))
      }
      const [tx] = changes.map(change => change['tx'] as { id: string; n: number })
      assert.ok(
        changes.every(({ event, tx: own }) => event === 'deleted' && (own as { id: string }).id === tx!.id),
      )
      assert.equal(tx!.n, 4)
      assert.deepEqual((await api.ask('GET', '/people/anna/friends')).json, [{ id: 'a' }])
      assertProblem(await api.ask('GET', '/people/ann/friends/a/likes/x'), 410, 'gone')
      assertProblem(await api.ask('PUT', '/people/ann/friends/a', { body: {} }), 410, 'gone')
      assertProblem(await api.ask('POST', '/people/ann/friends', { body: {} }), 410, 'gone')
      assertProblem(await api.ask('POST', '/people/zoe/friends', { body: {} }), 404, 'not-found')
    })

    test('4.1 the id never changes: a body may repeat it in any spelling, but not another', async () => {
      await using api = await openTestService({ logKind })
      await api.ask('PUT', '/people/e%CC%81', { body: { name: 'E' } })
      const nfd = { id: 'e\u0301', name: 'E', age: 1 }
      for (const method of ['PUT', 'PATCH']) {
        const answer = await api.ask(method, '/people/%C3%A9', { body: nfd })
        assert.deepEqual(answer.json, { id: '\u00e9', name: 'E', age: 1 })
        for (const id of ['e', '', null, 5, ['\u00e9'], {}]) {
          const refused = await api.ask(method, '/people/%C3%A9', { body: { name: 'E', id } })
          const problem = assertProblem(refused, 422, 'invalid-id')
          assert.deepEqual(problem['faults'], [{ pointer: '/id', detail: 'must be "\u00e9"' }])
        }
      }
      const posted = await api.ask('POST', '/people', { body: { id: 'a\u0301', name: 'A' } })
      assert.deepEqual(posted.json.id, '\u00e1')
      assert.equal(posted.headers.get('location'), '/people/%C3%A1')
    })

    test('4.4 conditional requests give what RFC 9110 says, and no message where they fail', async () => {
      for (const example of readCases(
        'conditional-requests',
      ) as readonly unknown[] as readonly ConditionalCase[]) {
        await using api = await openTestService({ logKind })
        let tags = { current: '"none"', stale: '"none"' }
        if (example.on !== 'missing') {
          const first = await api.ask('PUT', '/people/ann', { body: { name: 'Ann' } })
          const second = await api.ask('PATCH', '/people/ann', { body: { age: 1 } })
          tags = { stale: first.headers.get('etag')!, current: second.headers.get('etag')! }
        }
        if (example.on === 'deleted') await api.ask('DELETE', '/people/ann')
        const before = (await api.changes('people')).length
        const fill = (field: string): string =>
          field.replaceAll('{current}', tags.current).replaceAll('{stale}', tags.stale)
        const headers = {
          ...(example.ifMatch === undefined ? {} : { 'if-match': fill(example.ifMatch) }),
          ...(example.ifNoneMatch === undefined ? {} : { 'if-none-match': fill(example.ifNoneMatch) }),
        }
        const hasBody = example.method === 'PUT' || example.method === 'PATCH'
        const body = hasBody ? { body: { name: 'Changed' } } : {}
        const answer = await api.ask(example.method, '/people/ann', { headers, ...body })
        const events = (await api.changes('people')).slice(before).map(({ event }) => event)
        assert.deepEqual(
          { status: answer.status, events },
          { status: example.status, events: [...example.events] },
          JSON.stringify(example),
        )
      }
    })

    test('of many writers with the same If-Match exactly one wins', async () => {
      await using api = await openTestService({ logKind })
      const { headers } = await api.ask('PUT', '/people/ann', { body: { name: 'Ann' } })
      const condition = { 'if-match': headers.get('etag')! }
      const answers = await Promise.all(
        Array.from({ length: 20 }, (_, age) =>
          api.ask('PATCH', '/people/ann', { body: { age }, headers: condition }),
        ),
      )
      assert.equal(answers.filter(({ status }) => status === 200).length, 1)
      assert.equal(answers.filter(({ status }) => status === 412).length, 19)
      assert.equal((await api.changes('people')).length, 2)
    })
  })
}

test('POST takes no conditions but If-Match: *', async () => {
  await using api = await openTestService()
  const list = await api.ask('GET', '/people')
  for (const [field, value] of [
    ['if-none-match', '*'],
    ['if-none-match', '"x"'],
    ['if-match', list.headers.get('etag')!],
  ] as const) {
    const answer = await api.ask('POST', '/people', {
      body: { id: 'a', name: 'A' },
      headers: { [field]: value },
    })
    assert.match(
      String(assertProblem(answer, 412, 'precondition-failed')['detail']),
      /PUT it with If-None-Match: \*/,
    )
  }
  const answer = await api.ask('POST', '/people', { body: { name: 'A' }, headers: { 'if-match': '*' } })
  assert.equal(answer.status, 201)
  assert.equal((await api.changes('people')).length, 1)
})

test('4.11 X-Request-Id comes back on every answer to a write; one that cannot stand in a header is replaced', async () => {
  await using api = await openTestService()
  const ask = (method: string, path: string, id: string, body?: unknown) =>
    api.ask(method, path, { body, headers: { 'x-request-id': id } })
  assert.equal(
    (await ask('PUT', '/people/a', 'x'.repeat(128), { name: 'A' })).headers.get('x-request-id'),
    'x'.repeat(128),
  )
  assert.equal((await ask('PUT', '/people/a', 'refused', {})).headers.get('x-request-id'), 'refused')
  assert.equal(
    (await ask('POST', '/people', 'taken', { id: 'a', name: 'A' })).headers.get('x-request-id'),
    'taken',
  )
  assert.equal((await ask('DELETE', '/people/b', 'missing')).headers.get('x-request-id'), 'missing')
  for (const id of ['x'.repeat(129), 'a b', 'a, b', 'é', '']) {
    const made = (await ask('PATCH', '/people/a', id, { name: `${id}!` })).headers.get('x-request-id')!
    assert.match(made, /^[0-9a-z]{16}$/)
    assert.equal((await api.changes('people')).at(-1)!['cause'], made)
  }
})

test('3.10 a deletion of more than one transaction may hold is refused as a whole', async () => {
  const { createMemoryLog } = await import('../../src/log/memory.ts')
  await using log = createMemoryLog({ maxTransactionChanges: 3 })
  await using api = await openTestService({ log })
  await api.ask('PUT', '/people/ann', { body: { name: 'Ann' } })
  for (const id of ['a', 'b', 'c']) await api.ask('PUT', `/people/ann/friends/${id}`, { body: {} })
  assertProblem(await api.ask('DELETE', '/people/ann'), 422, 'too-many-changes')
  assert.equal((await api.ask('GET', '/people/ann/friends')).json.length, 3)
  await api.ask('DELETE', '/people/ann/friends/c')
  assert.equal((await api.ask('DELETE', '/people/ann')).status, 204)
})

test('what fails inside the log is answered as a problem and told to onError', async () => {
  const api = await openTestService()
  await api.log.close()
  for (const answer of [
    await api.ask('PUT', '/people/a', { body: { name: 'A' } }),
    await api.ask('GET', '/people/a'),
  ]) {
    assertProblem(answer, 503, 'log-closed')
    assert.equal(answer.headers.get('retry-after'), '1')
  }
  assert.deepEqual(
    api.errors.splice(0).map(({ stage }) => stage),
    ['request', 'request'],
  )
  await api.service.close()
})

test('an error of unknown kind is told to onError and shown without its text', async () => {
  await using api = await openTestService({
    now: () => {
      throw new Error('the password is 12345')
    },
  })
  const answer = await api.ask('PUT', '/people/a', { body: { name: 'A' } })
  assertProblem(answer, 500, 'internal')
  assert.doesNotMatch(answer.text, /12345/)
  assert.match(String(api.errors.splice(0)[0]!.error), /12345/)
})
