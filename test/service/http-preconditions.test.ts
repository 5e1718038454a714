/** Collections that are changed on a condition only: PROTOCOL.md 4.16, on both logs. */
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { defineResource } from '../../src/service/resource.ts'
import {
  type Answer,
  assertProblem,
  friends,
  logKinds,
  openTestService,
  type TestService,
} from '../support/service.ts'

const people = defineResource('people', { schema: { type: 'object' }, requirePreconditions: true })

interface Write {
  readonly method: 'PUT' | 'PATCH' | 'DELETE'
  readonly body?: object
}

const writes: readonly Write[] = [
  { method: 'PUT', body: { age: 2 } },
  { method: 'PUT', body: { age: 1 } },
  { method: 'PATCH', body: { age: 2 } },
  { method: 'PATCH', body: {} },
  { method: 'DELETE' },
]

function ask(
  api: TestService,
  { method, body }: Write,
  headers: Record<string, string> = {},
): Promise<Answer> {
  return api.ask(method, '/people/ann', { ...(body === undefined ? {} : { body }), headers })
}

for (const logKind of logKinds) {
  suite(`required conditions on the ${logKind} log`, () => {
    test('4.16 what is there is changed, replaced or deleted with a condition only', async () => {
      for (const write of writes) {
        await using api = await openTestService({ logKind, resources: [people] })
        const { headers } = await api.ask('PUT', '/people/ann', { body: { age: 1 } })
        const refused = await ask(api, write)
        const problem = assertProblem(refused, 428, 'precondition-required')
        assert.match(String(problem['detail']), /send its ETag as If-Match/)
        assert.equal(refused.headers.get('cache-control'), 'no-store')
        assert.equal((await api.changes('people')).length, 1)
        assertProblem(await ask(api, write, { 'if-match': '"x"' }), 412, 'precondition-failed')
        assertProblem(await ask(api, write, { 'if-none-match': '*' }), 412, 'precondition-failed')
        const allowed = await ask(api, write, { 'if-match': headers.get('etag')! })
        assert.ok(allowed.status < 300)
      }
    })

    test('4.16 any condition will do, also one that always holds', async () => {
      const conditions: Record<string, string>[] = [{ 'if-match': '*' }, { 'if-none-match': '"x"' }]
      for (const condition of conditions) {
        await using api = await openTestService({ logKind, resources: [people] })
        await api.ask('PUT', '/people/ann', { body: { age: 1 } })
        for (const write of writes) assert.ok((await ask(api, write, condition)).status < 300)
      }
    })

    test('4.16 what is not there needs none: it is created, or is 404 or 410', async () => {
      await using api = await openTestService({ logKind, resources: [people] })
      for (const method of ['PATCH', 'DELETE'] as const)
        assertProblem(
          await ask(api, { method, ...(method === 'PATCH' ? { body: {} } : {}) }),
          404,
          'not-found',
        )
      assert.equal((await ask(api, { method: 'PUT', body: {} })).status, 201)
      assert.equal((await api.ask('POST', '/people', { body: {} })).status, 201)
      await ask(api, { method: 'DELETE' }, { 'if-match': '*' })
      assertProblem(await ask(api, { method: 'DELETE' }), 410, 'gone')
      assert.equal((await ask(api, { method: 'PUT', body: {} })).status, 201)
    })

    test('4.16 4.15 the same holds in a bulk, for each operation', async () => {
      await using api = await openTestService({ logKind, resources: [people] })
      await api.ask('PUT', '/people/ann', { body: { age: 1 } })
      const operations = [
        { method: 'PUT', id: 'bob', body: {} },
        { method: 'PUT', id: 'bob', body: { age: 1 } },
        { method: 'PATCH', id: 'ann', body: {}, ifMatch: '*' },
        { method: 'DELETE', id: 'ann' },
      ]
      const send = (atomic: boolean): Promise<Answer> =>
        api.ask('POST', '/people/_bulk', { body: { atomic, operations } })
      assert.equal(assertProblem(await send(true), 428, 'precondition-required')['index'], 1)
      const { results } = (await send(false)).json
      assert.deepEqual(
        results.map(({ status }: Answer) => status),
        [201, 428, 200, 428],
      )
    })
  })
}

test('4.16 it is a matter of each collection, and of requests only', async () => {
  await using api = await openTestService({ resources: [people, friends] })
  await api.ask('PUT', '/people/ann', { body: {} })
  await api.ask('PUT', '/people/ann/friends/b', { body: {} })
  assert.equal((await api.ask('PATCH', '/people/ann/friends/b', { body: { since: 1 } })).status, 200)
  await api.service.transaction(async tx => {
    await tx.patch(people, 'ann', { age: 2 } as never)
    await tx.remove(people, 'ann')
  })
  assert.equal(await api.service.read(people, 'ann'), undefined)
  assert.throws(
    () => defineResource('x', { schema: { type: 'object' }, requirePreconditions: 'yes' as never }),
    { code: 'invalid-option' },
  )
})
