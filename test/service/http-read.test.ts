/** GET, HEAD and OPTIONS of resources and collections: PROTOCOL.md §4, rule by rule, on both logs. */
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { defineResource } from '../../src/service/resource.ts'
import {
  acceptPatch,
  assertProblem,
  logKinds,
  openTestService,
  type TestService,
} from '../support/service.ts'

async function createPeople({ ask }: TestService, ...ids: readonly string[]): Promise<void> {
  for (const id of ids) assert.equal((await ask('PUT', `/people/${id}`, { body: { name: id } })).status, 201)
}

for (const logKind of logKinds) {
  suite(`reads on the ${logKind} log`, () => {
    test('4.1 4.2 4.3 4.4 a resource comes with its topic, feed, marker and tag', async () => {
      await using api = await openTestService({ logKind })
      await createPeople(api, 'ann', 'bob')
      await api.ask('PATCH', '/people/ann', { body: { age: 7 } })
      const { epoch } = await api.log.head('people')
      const { status, headers, json, text } = await api.ask('GET', '/people/ann')
      assert.equal(status, 200)
      assert.deepEqual(json, { id: 'ann', name: 'ann', age: 7 })
      assert.ok(text.endsWith('}\n'))
      assert.deepEqual(Object.fromEntries(headers), {
        'content-type': 'application/json; charset=utf-8',
        'cache-control': 'no-cache',
        etag: `"${epoch}.2"`,
        link: '</people/_changes>; rel="changes"',
        'lockstep-marker': `people:${epoch}:3`,
        'lockstep-topic': 'people/ann',
      })
    })

    test('4.8 a collection is an array in order of canonical paths, with the tag of its stream', async () => {
      await using api = await openTestService({ logKind })
      const empty = await api.ask('GET', '/people')
      assert.deepEqual([empty.status, empty.text], [200, '[]\n'])
      assert.match(empty.headers.get('lockstep-marker')!, /^people:[A-Za-z0-9]+:0$/)
      await createPeople(api, 'b', 'B', '10', '9')
      const { epoch } = await api.log.head('people')
      const { headers, json } = await api.ask('GET', '/people?limit=10')
      assert.deepEqual(
        json.map(({ id }: { id: string }) => id),
        ['10', '9', 'B', 'b'],
      )
      assert.equal(headers.get('etag'), `"${epoch}.s4"`)
      assert.equal(headers.get('lockstep-marker'), `people:${epoch}:4`)
      assert.equal(headers.get('lockstep-topic'), 'people')
      assert.equal(headers.get('link'), '</people/_changes>; rel="changes"')
    })

    test('4.8 pages lead on by Link, hold each item once, and let writes go on between them', async () => {
      await using api = await openTestService({ logKind })
      await createPeople(api, 'a', 'c', 'e', 'g', 'i')
      const seen: string[] = []
      let url: string | undefined = '/people?limit=2'
      let round = 0
      while (url !== undefined) {
        const { headers, json } = await api.ask('GET', url)
        assert.ok(json.length <= 2)
        seen.push(...json.map(({ id }: { id: string }) => id))
        url = /<([^>]+)>; rel="next"/.exec(headers.get('link')!)?.[1]
        // One before the page's end, which is not seen any more; one behind, which is; and one removed ahead.
        if (round === 0) await createPeople(api, 'b', 'f')
        if (round === 0) assert.equal((await api.ask('DELETE', '/people/g')).status, 204)
        round++
      }
      assert.deepEqual(seen, ['a', 'c', 'e', 'f', 'i'])
    })

    test('4.8 the next page keeps limit and versions, and its id is encoded', async () => {
      await using api = await openTestService({ logKind, root: '/api/v1' })
      for (const id of ['a&b=c', 'd'])
        await api.ask('PUT', `/api/v1/people/${encodeURIComponent(id)}`, { body: { name: id } })
      const { headers } = await api.ask('GET', '/api/v1/people?limit=1&versions=true')
      assert.equal(
        headers.get('link'),
        '</api/v1/people/_changes>; rel="changes", </api/v1/people?limit=1&versions=true&after=a%26b%3Dc>; rel="next"',
      )
      const next = /, <([^>]+)>/.exec(headers.get('link')!)![1]!
      assert.equal((await api.ask('GET', next)).json[0].id, 'd')
      assert.equal(
        (await api.ask('GET', next)).headers.get('link'),
        '</api/v1/people/_changes>; rel="changes"',
      )
    })

    test('4.8 without a limit a page has as many items as the resource says', async () => {
      await using api = await openTestService({ logKind })
      await createPeople(api, 'a', 'b', 'c', 'd')
      assert.equal((await api.ask('GET', '/people')).json.length, 3)
    })

    test('4.8 versions=true gives the versions of the items in their order', async () => {
      await using api = await openTestService({ logKind })
      await createPeople(api, 'a', 'b', 'c')
      await api.ask('PATCH', '/people/b', { body: { age: 1 } })
      await api.ask('DELETE', '/people/c')
      await createPeople(api, 'c')
      const { headers } = await api.ask('GET', '/people?versions=true')
      assert.equal(headers.get('lockstep-versions'), '1,2,3')
      assert.equal((await api.ask('GET', '/people?versions=false')).headers.get('lockstep-versions'), null)
      const empty = await api.ask('GET', '/people?versions=true&after=z')
      assert.equal(empty.headers.get('lockstep-versions'), '')
    })

    test('4.4 If-None-Match gives 304 with tag and marker and no body', async () => {
      await using api = await openTestService({ logKind })
      await createPeople(api, 'ann')
      const etag = (await api.ask('GET', '/people/ann')).headers.get('etag')!
      await createPeople(api, 'bob')
      const { epoch } = await api.log.head('people')
      for (const condition of [etag, `W/${etag}`, `"x", ${etag}`, '*']) {
        const answer = await api.ask('GET', '/people/ann', { headers: { 'if-none-match': condition } })
        assert.deepEqual([answer.status, answer.text], [304, ''], condition)
        assert.equal(answer.headers.get('etag'), etag)
        assert.equal(answer.headers.get('lockstep-marker'), `people:${epoch}:2`)
        assert.equal(answer.headers.get('lockstep-topic'), 'people/ann')
      }
      const other = await api.ask('GET', '/people/ann', { headers: { 'if-none-match': '"x"' } })
      assert.equal(other.status, 200)
      const list = await api.ask('GET', '/people')
      const unchanged = { headers: { 'if-none-match': list.headers.get('etag')! } }
      assert.equal((await api.ask('GET', '/people', unchanged)).status, 304)
      await api.ask('DELETE', '/people/bob')
      assert.equal((await api.ask('GET', '/people', unchanged)).status, 200)
    })

    test('4.4 If-Match on a read gives 412 where it does not hold', async () => {
      await using api = await openTestService({ logKind })
      await createPeople(api, 'ann')
      assertProblem(
        await api.ask('GET', '/people/ann', { headers: { 'if-match': '"x"' } }),
        412,
        'precondition-failed',
      )
      assert.equal((await api.ask('GET', '/people/ann', { headers: { 'if-match': '*' } })).status, 200)
      assertProblem(
        await api.ask('GET', '/people/ann', { headers: { 'if-match': 'x' } }),
        400,
        'invalid-condition',
      )
    })

    test('4.7 4.3 an id that never was is 404, a deleted one 410, both with marker; after the tombstone 404 again', async () => {
      await using api = await openTestService({ logKind })
      await createPeople(api, 'ann', 'bob')
      await api.ask('DELETE', '/people/ann')
      const { epoch } = await api.log.head('people')
      for (const method of ['GET', 'HEAD']) {
        const never = await api.ask(method, '/people/nobody', { headers: { 'if-match': '"x"' } })
        assert.equal(never.status, 404)
        assert.equal(never.headers.get('lockstep-marker'), `people:${epoch}:3`)
        assert.equal(never.headers.get('lockstep-topic'), 'people/nobody')
        const gone = await api.ask(method, '/people/ann', { headers: { 'if-none-match': '*' } })
        assert.equal(gone.status, 410)
        assert.equal(gone.headers.get('lockstep-marker'), `people:${epoch}:3`)
        assert.equal(gone.headers.get('etag'), null)
        assert.equal(gone.headers.get('cache-control'), 'no-store')
      }
      assertProblem(await api.ask('GET', '/people/nobody'), 404, 'not-found')
      assertProblem(await api.ask('GET', '/people/ann'), 410, 'gone')
      await api.log.prune({ maxRows: 1, minRows: 0, maxAgeMs: 0 })
      assertProblem(await api.ask('GET', '/people/ann'), 404, 'not-found')
    })

    test('4.7 a nested collection is there as long as its parent is', async () => {
      await using api = await openTestService({ logKind })
      await createPeople(api, 'ann')
      const { epoch } = await api.log.head('people')
      const never = await api.ask('GET', '/people/bob/friends')
      assertProblem(never, 404, 'not-found')
      assert.equal(never.headers.get('lockstep-marker'), `people:${epoch}:1`)
      assert.deepEqual((await api.ask('GET', '/people/ann/friends')).json, [])
      await api.ask('POST', '/people/ann/friends', { body: { id: 'bob' } })
      const list = await api.ask('GET', '/people/ann/friends')
      assert.deepEqual(list.json, [{ id: 'bob' }])
      assert.equal(list.headers.get('lockstep-topic'), 'people/ann/friends')
      assert.equal(list.headers.get('link'), '</people/_changes>; rel="changes"')
      assert.equal(list.headers.get('etag'), `"${epoch}.s2"`)
      await api.ask('DELETE', '/people/ann')
      const gone = await api.ask('GET', '/people/ann/friends')
      assertProblem(gone, 410, 'gone')
      assert.equal(gone.headers.get('lockstep-marker'), `people:${epoch}:4`)
      assert.equal(gone.headers.get('etag'), null)
    })

    test('HEAD answers as GET does, without the body', async () => {
      await using api = await openTestService({ logKind })
      await createPeople(api, 'ann')
      for (const path of [
        '/people/ann',
        '/people',
        '/people?versions=true',
        '/people/_changes',
        '/people/nobody',
        '/',
      ]) {
        const [get, head] = [await api.ask('GET', path), await api.ask('HEAD', path)]
        assert.deepEqual([head.status, head.text], [get.status, ''])
        assert.deepEqual(Object.fromEntries(head.headers), Object.fromEntries(get.headers), path)
      }
    })
  })
}

test('OPTIONS tells the methods', async () => {
  await using api = await openTestService()
  const collection = await api.ask('OPTIONS', '/people')
  assert.deepEqual([collection.status, collection.headers.get('allow')], [204, 'GET, HEAD, POST, OPTIONS'])
  const resource = await api.ask('OPTIONS', '/people/ann')
  assert.equal(resource.headers.get('allow'), 'GET, HEAD, PUT, PATCH, DELETE, OPTIONS')
  assert.equal(resource.headers.get('accept-patch'), acceptPatch)
  assert.equal((await api.ask('OPTIONS', '/people/_changes')).headers.get('allow'), 'GET, HEAD, OPTIONS')
  assert.equal((await api.ask('OPTIONS', '/')).headers.get('allow'), 'GET, HEAD, OPTIONS')
})

test('a method that is not allowed is 405 with Allow', async () => {
  await using api = await openTestService()
  const cases = [
    ['PUT', '/people', 'GET, HEAD, POST, OPTIONS'],
    ['PATCH', '/people', 'GET, HEAD, POST, OPTIONS'],
    ['DELETE', '/people', 'GET, HEAD, POST, OPTIONS'],
    ['POST', '/people/ann', 'GET, HEAD, PUT, PATCH, DELETE, OPTIONS'],
    ['POST', '/people/_changes', 'GET, HEAD, OPTIONS'],
    ['DELETE', '/people/_changes', 'GET, HEAD, OPTIONS'],
    ['POST', '/', 'GET, HEAD, OPTIONS'],
    ['QUERY', '/people', 'GET, HEAD, POST, OPTIONS'],
    ['constructor', '/people', 'GET, HEAD, POST, OPTIONS'],
    ['__proto__', '/people', 'GET, HEAD, POST, OPTIONS'],
  ] as const
  for (const [method, path, allow] of cases) {
    const answer = await api.ask(method, path)
    assertProblem(answer, 405, 'method-not-allowed')
    assert.equal(answer.headers.get('allow'), allow, `${method} ${path}`)
  }
})

test('Accept is negotiated; what cannot be given is 406', async () => {
  await using api = await openTestService()
  await api.ask('PUT', '/people/ann', { body: { name: 'Ann' } })
  const accept = (field: string, path = '/people/ann', method = 'GET') =>
    api.ask(method, path, {
      headers: { accept: field },
      ...(method === 'PUT' ? { body: { name: 'Eve' } } : {}),
    })
  for (const field of ['', '*/*', 'application/*', 'application/json', 'text/html, application/json;q=0.1'])
    assert.equal((await accept(field)).status, 200, field)
  for (const field of ['text/html', 'application/xml', 'application/json;q=0', 'text/event-stream'])
    assertProblem(await accept(field), 406, 'not-acceptable')
  assertProblem(await accept('text/html', '/people'), 406, 'not-acceptable')
  assertProblem(await accept('text/html', '/people/_changes'), 406, 'not-acceptable')
  assertProblem(await accept('text/html', '/'), 406, 'not-acceptable')
  assertProblem(await accept('text/html', '/people/ann', 'PUT'), 406, 'not-acceptable')
  assert.equal((await api.ask('GET', '/people/ann')).json.name, 'Ann')
})

test('4.12 a query parameter that is not known is refused, unless its name begins with _', async () => {
  await using api = await openTestService()
  await api.ask('PUT', '/people/ann', { body: { name: 'Ann' } })
  for (const [method, path] of [
    ['GET', '/people/ann?x=1'],
    ['GET', '/people/ann?limit=1'],
    ['GET', '/people?lang=fr'],
    ['GET', '/people?constructor=1'],
    ['GET', '/people/_changes?since=1'],
    ['DELETE', '/people/ann?force=true'],
    ['PATCH', '/people/ann?dry=1'],
    ['GET', '/?x'],
  ] as const) {
    const body = method === 'PATCH' ? { body: {} } : {}
    assertProblem(await api.ask(method, path, body), 400, 'invalid-query')
  }
  for (const path of ['/people/ann?_=1', '/people?_cb=x&_cb=y', '/people?__proto__=1', '/?_'])
    assert.equal((await api.ask('GET', path)).status, 200, path)
})

test('4.12 the parameters of json-server are refused with what takes their place', async () => {
  await using api = await openTestService()
  for (const [query, instead] of [
    ['_sort=name&_order=desc', 'sort=name, or sort=-name'],
    ['_order=desc', 'sort=-name'],
    ['_limit=1', 'limit=10'],
    ['_page=2', 'the Link header'],
    ['_start=1', 'after=id'],
    ['_end=2', 'limit=10'],
    ['_embed=notes', 'embed=name'],
    ['_expand=person', 'embed=name'],
  ] as const) {
    const { detail } = assertProblem(await api.ask('GET', `/people?${query}`), 400, 'invalid-query')
    assert.ok(String(detail).includes(`. Use ${instead}`), String(detail))
  }
  assertProblem(await api.ask('GET', '/people/ann?_embed=notes'), 400, 'invalid-query')
  assertProblem(await api.ask('GET', '/people/_changes?_limit=1'), 400, 'invalid-query')
})

test('4.8 limit and after that cannot be used are refused', async () => {
  await using api = await openTestService()
  for (const limit of ['0', '1001', '-1', '1.5', '', 'x', '1e2', '٣', ' 1', '+1', '99999999999999999999'])
    assertProblem(await api.ask('GET', `/people?limit=${encodeURIComponent(limit)}`), 400, 'invalid-query')
  assertProblem(await api.ask('GET', '/people?limit=1&limit=2'), 400, 'invalid-query')
  assertProblem(await api.ask('GET', '/people?versions=yes'), 400, 'invalid-query')
  for (const after of ['..', '_x', '%00', 'x'.repeat(513)])
    assertProblem(await api.ask('GET', `/people?after=${after}`), 400, 'invalid-path')
  assert.equal((await api.ask('GET', '/people?limit=1000&after=a%2Fb&versions')).status, 200)
})

test('a list of large items ends its pages before they grow too large', async () => {
  await using api = await openTestService({
    resources: [defineResource('texts', { schema: { type: 'object' }, maxBodyBytes: 8_000_000 })],
  })
  const text = 'x'.repeat(3_000_000)
  for (const id of ['a', 'b', 'c', 'd']) await api.ask('PUT', `/texts/${id}`, { body: { text } })
  const first = await api.ask('GET', '/texts')
  assert.deepEqual(
    first.json.map(({ id }: { id: string }) => id),
    ['a', 'b'],
  )
  assert.match(first.headers.get('link')!, /after=b>; rel="next"/)
})

test('the root tells what the API has', async () => {
  await using api = await openTestService({ root: '/api', topicPrefix: 'acme/' })
  for (const path of ['/api', '/api/']) {
    const { status, json } = await api.ask('GET', path)
    assert.equal(status, 200)
    assert.deepEqual(json.resources[1], {
      path: '/api/people/{person}/friends',
      topics: 'acme/people/+/friends/#',
      changes: '/api/people/_changes',
    })
  }
})
