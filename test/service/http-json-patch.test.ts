/** PATCH with a JSON Patch, and how large a patch of either kind may make a state: PROTOCOL.md 4.6 and 4.14. */
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { defineResource } from '../../src/service/resource.ts'
import {
  type Answer,
  acceptPatch,
  assertProblem,
  logKinds,
  openTestService,
  people,
  type TestService,
} from '../support/service.ts'

const type = 'application/json-patch+json'

function patch(api: TestService, path: string, body: unknown, headers = {}): Promise<Answer> {
  return api.ask('PATCH', path, { body, headers: { 'content-type': type, ...headers } })
}

for (const logKind of logKinds) {
  suite(`JSON patches on the ${logKind} log`, () => {
    test('4.14 3.2 the answer has the state, the message what became of the resource', async () => {
      await using api = await openTestService({ logKind })
      const whole = { name: 'Ann', email: 'ann@example.com', address: { city: 'Bern' }, tags: ['a', 'b'] }
      const { headers } = await api.ask('PUT', '/people/ann', { body: whole })
      const answer = await patch(
        api,
        '/people/ann',
        [
          { op: 'test', path: '/id', value: 'ann' },
          { op: 'remove', path: '/email' },
          { op: 'replace', path: '/address/city', value: 'Basel' },
        ],
        { 'if-match': headers.get('etag')!, 'content-type': `${type}; charset=utf-8` },
      )
      assert.deepEqual(
        [answer.status, answer.headers.get('accept-patch'), answer.headers.get('content-type')],
        [200, acceptPatch, 'application/json; charset=utf-8'],
      )
      assert.deepEqual(answer.json, { id: 'ann', name: 'Ann', address: { city: 'Basel' }, tags: ['a', 'b'] })
      const added = await patch(api, '/people/ann', [{ op: 'add', path: '/tags/-', value: 'c' }])
      const [, first, second] = await api.changes('people')
      assert.deepEqual(first!['changes'], { email: null, address: { city: 'Basel' } })
      assert.deepEqual(second!['changes'], { tags: ['a', 'b', 'c'] })
      assert.equal(added.headers.get('lockstep-marker'), second!['id'])
    })

    test('4.14 a null, which no merge patch can set, goes out as the whole state', async () => {
      await using api = await openTestService({ logKind })
      await api.ask('PUT', '/people/ann', { body: { name: 'Ann' } })
      const { json } = await patch(api, '/people/ann', [{ op: 'add', path: '/note', value: null }])
      assert.deepEqual(json, { id: 'ann', name: 'Ann', note: null })
      const [, modified] = await api.changes('people')
      assert.deepEqual([modified!['state'], modified!['changes']], [json, undefined])
    })

    test('4.14 3.3 a patch that does not fit, or changes nothing, changes nothing', async () => {
      await using api = await openTestService({ logKind })
      const { headers } = await api.ask('PUT', '/people/ann', { body: { name: 'Ann', tags: ['a'] } })
      const conflict = assertProblem(
        await patch(api, '/people/ann', [
          { op: 'replace', path: '/name', value: 'Eve' },
          { op: 'remove', path: '/tags/1' },
        ]),
        409,
        'patch-conflict',
      )
      assert.deepEqual(
        [conflict['operation'], conflict['pointer'], conflict['faults']],
        [1, '/tags/1', [{ pointer: '/1/path', detail: 'does not exist' }]],
      )
      for (const operations of [
        [],
        [{ op: 'test', path: '/name', value: 'Ann' }],
        [
          { op: 'copy', from: '/tags', path: '/x' },
          { op: 'remove', path: '/x' },
        ],
      ]) {
        const same = await patch(api, '/people/ann', operations)
        assert.deepEqual([same.status, same.headers.get('etag')], [200, headers.get('etag')])
      }
      assert.equal((await api.changes('people')).length, 1)
    })

    test('4.14 the result is checked as any other: schema, id, object, depth', async () => {
      await using api = await openTestService({ logKind })
      await api.ask('PUT', '/people/%C3%A9', { body: { name: 'E' } })
      const ask = (...operations: unknown[]): Promise<Answer> => patch(api, '/people/%C3%A9', operations)
      const invalid = assertProblem(
        await ask({ op: 'remove', path: '/name' }, { op: 'add', path: '/age', value: -1 }),
        422,
        'invalid-state',
      )
      assert.deepEqual(
        (invalid['faults'] as { pointer: string }[]).map(({ pointer }) => pointer),
        ['/name', '/age'],
      )
      for (const operation of [
        { op: 'remove', path: '/id' },
        { op: 'replace', path: '/id', value: 'e' },
        { op: 'move', from: '/id', path: '/key' },
        { op: 'move', from: '/name', path: '/id' },
        { op: 'replace', path: '', value: { name: 'E' } },
      ]) {
        const { faults } = assertProblem(await ask(operation), 422, 'invalid-id')
        assert.deepEqual(faults, [{ pointer: '/id', detail: 'must be "\u00e9"' }])
      }
      assertProblem(await ask({ op: 'remove', path: '' }), 422, 'invalid-state')
      assertProblem(await ask({ op: 'replace', path: '', value: [] }), 422, 'invalid-state')
      assertProblem(await ask({ op: 'add', path: '', value: null }), 422, 'invalid-state')
      const deep = JSON.parse(`${'['.repeat(60)}${']'.repeat(60)}`)
      assertProblem(await ask({ op: 'add', path: '/deep', value: deep }), 422, 'json-too-deep')
      const whole = { name: 'F', id: 'e\u0301' }
      const replaced = await ask({ op: 'replace', path: '', value: whole })
      assert.deepEqual(replaced.json, { name: 'F', id: '\u00e9' })
      assert.equal((await api.changes('people')).length, 2)
    })
  })
}

test('4.14 what is no JSON Patch is refused with each place, before the resource is looked for', async () => {
  await using api = await openTestService()
  const { faults } = assertProblem(
    await patch(api, '/people/nobody', [{ op: 'spam' }, { op: 'add', path: 'x' }]),
    422,
    'invalid-patch',
  )
  assert.deepEqual(
    (faults as { pointer: string }[]).map(({ pointer }) => pointer),
    ['/0/op', '/1/path', '/1/value'],
  )
  assertProblem(await patch(api, '/people/nobody', { name: 'Ann' }), 422, 'invalid-patch')
  assertProblem(await patch(api, '/people/nobody', []), 404, 'not-found')
  assertProblem(
    await api.ask('PUT', '/people/x', { body: [], headers: { 'content-type': type } }),
    415,
    'unsupported-media-type',
  )
  assertProblem(await api.ask('PATCH', '/people/x', { body: [] }), 422, 'invalid-state')
})

test('4.14 __proto__ paths are data: they are kept, told and served, and nothing else changes', async () => {
  await using api = await openTestService()
  await api.ask('PUT', '/people/ann', { body: { name: 'Ann' } })
  const body =
    '[{"op":"add","path":"/__proto__","value":{"age":7}},{"op":"test","path":"/__proto__/age","value":7}]'
  const answer = await api.ask('PATCH', '/people/ann', { rawBody: body, headers: { 'content-type': type } })
  assert.equal(answer.text, '{"id":"ann","name":"Ann","__proto__":{"age":7}}\n')
  assert.equal((await api.ask('GET', '/people/ann')).text, answer.text)
  assert.match((await api.ask('GET', '/people/_changes')).text, /"changes":\{"__proto__":\{"age":7\}\}/)
  assert.equal('age' in {}, false)
})

test('4.14 no patch of either kind makes a state larger than a body may be; what is larger already may shrink', async () => {
  const notes = defineResource('notes', { maxBodyBytes: 200, schema: { type: 'object' } })
  await using api = await openTestService({ resources: [notes] })
  const fits = { text: 'x'.repeat(100), rest: '' }
  await api.ask('PUT', '/notes/a', { body: fits })
  const copies = [{ op: 'copy', from: '/text', path: '/more' }]
  const bomb = Array.from({ length: 9 }, (_, index) => ({ op: 'copy', from: '', path: `/${index}` }))
  for (const operations of [copies, bomb]) {
    const refused = await patch(api, '/notes/a', operations)
    assertProblem(refused, 413, 'body-too-large')
  }
  assertProblem(
    await api.ask('PATCH', '/notes/a', { body: { rest: '\u00e9'.repeat(50) } }),
    413,
    'body-too-large',
  )
  await assert.rejects(
    api.service.transaction(tx => tx.patch(notes, 'a', { rest: 'y'.repeat(100) } as never)),
    { code: 'body-too-large' },
  )
  assert.equal((await api.ask('PATCH', '/notes/a', { body: { rest: 'y'.repeat(50) } })).status, 200)
  await api.service.transaction(tx => tx.put(notes, 'b', { text: 'x'.repeat(1_000), more: 1 } as never))
  assertProblem(await api.ask('PATCH', '/notes/b', { body: { rest: 'y' } }), 413, 'body-too-large')
  const shrunk = await patch(api, '/notes/b', [{ op: 'remove', path: '/more' }])
  assert.equal(shrunk.status, 200)
})

test('4.13 4.14 a JSON Patch that is sent again, which would not fit any more, gets its first answer', async () => {
  await using api = await openTestService({ resources: [people] })
  await api.ask('PUT', '/people/ann', { body: { name: 'Ann', email: 'a@example.com' } })
  const send = (): Promise<Answer> =>
    patch(api, '/people/ann', [{ op: 'remove', path: '/email' }], { 'idempotency-key': 'k' })
  const first = await send()
  const again = await send()
  assert.deepEqual([first.status, again.status, again.text], [200, 200, first.text])
  assert.equal((await api.changes('people')).length, 2)
})
