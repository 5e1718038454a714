/** Writes that are sent again: PROTOCOL.md 4.13, on both logs. */
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite, test } from 'node:test'
import { openSqliteLog } from '../../src/log/sqlite.ts'
import type { Exchange } from '../../src/service/http/exchange.ts'
import {
  type Answer,
  type AskOptions,
  assertProblem,
  logKinds,
  openTestLog,
  openTestService,
  people,
} from '../support/service.ts'

/** What a retry gets again; the rest tells of the request itself. */
function kept({ status, headers, text }: Answer): unknown {
  const { 'x-request-id': _, 'idempotency-replayed': _replayed, ...others } = Object.fromEntries(headers)
  return { status, headers: others, text }
}

const isReplayed = ({ headers }: Answer): boolean => headers.get('idempotency-replayed') === 'true'

for (const logKind of logKinds) {
  suite(`retries on the ${logKind} log`, () => {
    test('4.13 a write that is sent again gets the first answer, whatever happened since, and makes no message', async () => {
      await using api = await openTestService({ logKind })
      const send = (method: string, path: string, key: string, options: AskOptions = {}): Promise<Answer> =>
        api.ask(method, path, { ...options, headers: { 'idempotency-key': key, ...options.headers } })
      const requests = [
        () => send('POST', '/people', 'k1', { body: { name: 'Ann' } }),
        () => send('PUT', '/people/bob', 'k1', { body: { name: 'Bob' } }),
        () => send('PUT', '/people/bob', 'k2', { body: { name: 'Bob', age: 1 } }),
        () => send('PATCH', '/people/bob', 'k1', { body: { age: 2 } }),
        () => send('PATCH', '/people/bob', 'k3', { body: { age: 2 } }),
        () => send('POST', '/people/bob/friends', 'k1', { body: { since: 2020 } }),
        () => send('DELETE', '/people/bob', 'k1'),
      ]
      const first: Answer[] = []
      for (const request of requests) first.push(await request())
      assert.deepEqual(
        first.map(({ status }) => status),
        [201, 201, 200, 200, 200, 201, 204],
      )
      assert.equal(first.some(isReplayed), false)
      const before = await api.changes('people')
      for (let round = 0; round < 2; round++) {
        for (const [index, request] of requests.entries()) {
          const again = await request()
          assert.ok(isReplayed(again), again.text)
          assert.deepEqual(kept(again), kept(first[index]!))
        }
      }
      assert.deepEqual(await api.changes('people'), before)
      assertProblem(await api.ask('GET', '/people/bob'), 410, 'gone')
    })

    test('4.13 a PATCH with If-Match that succeeded is not 412 when it is sent again', async () => {
      await using api = await openTestService({ logKind })
      const { headers } = await api.ask('PUT', '/people/ann', { body: { name: 'Ann' } })
      const request = { body: { age: 1 }, headers: { 'if-match': headers.get('etag')! } }
      const keyed = { ...request, headers: { ...request.headers, 'idempotency-key': 'k' } }
      const first = await api.ask('PATCH', '/people/ann', keyed)
      assertProblem(await api.ask('PATCH', '/people/ann', request), 412, 'precondition-failed')
      assert.deepEqual(kept(await api.ask('PATCH', '/people/ann', keyed)), kept(first))
      assert.equal(first.status, 200)
    })

    test('4.13 another request under the key is 422: another body, media type or condition', async () => {
      await using api = await openTestService({ logKind })
      const headers = { 'idempotency-key': 'k', 'content-type': 'application/merge-patch+json' }
      await api.ask('PUT', '/people/ann', { body: { name: 'Ann' } })
      await api.ask('PATCH', '/people/ann', { headers, rawBody: '{"age":1}' })
      const others: AskOptions[] = [
        { headers, rawBody: '{"age":2}' },
        { headers, rawBody: '{"age":1} ' },
        { headers: { ...headers, 'if-match': '*' }, rawBody: '{"age":1}' },
        { headers: { ...headers, 'if-none-match': '"x"' }, rawBody: '{"age":1}' },
        { headers: { ...headers, 'content-type': 'application/json' }, rawBody: '{"age":1}' },
      ]
      for (const other of others) {
        const problem = assertProblem(
          await api.ask('PATCH', '/people/ann', other),
          422,
          'idempotency-key-reused',
        )
        assert.match(String(problem['detail']), /^The idempotency key "k" was used for another request/)
      }
      assert.ok(isReplayed(await api.ask('PATCH', '/people/ann', { headers, rawBody: '{"age":1}' })))
      assert.equal((await api.changes('people')).length, 2)
    })

    test('4.13 a key is valid for its method and path, in any spelling of the path', async () => {
      await using api = await openTestService({ logKind })
      const keyed = { headers: { 'idempotency-key': 'k' }, body: { name: 'Ann' } }
      for (const path of ['/people/a%40b', '/people/ann']) {
        const put = await api.ask('PUT', path, keyed)
        assert.deepEqual([put.status, isReplayed(put)], [201, false])
        const patched = await api.ask('PATCH', path, keyed)
        assert.deepEqual([patched.status, isReplayed(patched)], [200, false])
      }
      assert.ok(isReplayed(await api.ask('PUT', '/people/a@b', keyed)))
      assert.equal((await api.changes('people')).length, 2)
    })

    test('4.13 a refused write leaves nothing: corrected, it is carried out under the same key', async () => {
      await using api = await openTestService({ logKind })
      const headers = { 'idempotency-key': 'k' }
      const send = (body: unknown): Promise<Answer> => api.ask('POST', '/people', { headers, body })
      assertProblem(await send({ id: 'ann', name: '' }), 422, 'invalid-state')
      assertProblem(await send({ id: '_', name: 'Ann' }), 422, 'invalid-id')
      const { status } = await send({ id: 'ann', name: 'Ann' })
      assert.equal(status, 201)
      assert.ok(isReplayed(await send({ id: 'ann', name: 'Ann' })))
      assertProblem(await send({ id: 'bob', name: 'Bob' }), 422, 'idempotency-key-reused')
    })

    test('4.13 of many that come at once one is carried out; the others are told to wait, then get its answer', async () => {
      await using log = await openTestLog(logKind)
      await using api = await openTestService({ log })
      const write = log.write.bind(log)
      const { promise: opened, resolve: open } = Promise.withResolvers<void>()
      log.write = async work => {
        await opened
        return await write(work)
      }
      const send = (key: string): Promise<Answer> =>
        api.ask('POST', '/people', { headers: { 'idempotency-key': key }, body: { name: 'Ann' } })
      const first = send('k')
      const other = send('other')
      for (const refused of await Promise.all([send('k'), send('"k"')])) {
        const problem = assertProblem(refused, 409, 'idempotency-key-in-use')
        assert.equal(refused.headers.get('retry-after'), '1')
        assert.match(String(problem['detail']), /Try again/)
      }
      open()
      assert.deepEqual([(await first).status, (await other).status], [201, 201])
      assert.deepEqual(kept(await send('k')), kept(await first))
      assert.equal((await api.changes('people')).length, 2)
    })

    test('4.13 a key is remembered as long as retention says', async () => {
      let time = Date.parse('2026-01-31T12:00:00Z')
      await using api = await openTestService({ logKind, now: () => time })
      const send = (): Promise<Answer> =>
        api.ask('POST', '/people', { headers: { 'idempotency-key': 'k' }, body: { name: 'Ann' } })
      await send()
      await api.log.prune({ maxReceiptAgeMs: Date.now() - time + 60_000 })
      assert.ok(isReplayed(await send()))
      time += 1_000
      await api.log.prune({ maxReceiptAgeMs: 0 })
      assert.equal(isReplayed(await send()), false)
      assert.equal((await api.changes('people')).length, 2)
    })

    test('4.13 a transaction with a key runs once; then it gives its value and marker', async () => {
      await using api = await openTestService({ logKind })
      let runs = 0
      const run = (key: string): ReturnType<typeof api.service.transaction<string[]>> =>
        api.service.transaction(
          async tx => {
            runs++
            const { id } = await tx.create(people, { name: 'Ann' })
            await tx.put(people, 'last', { name: id })
            return [id]
          },
          { idempotencyKey: key },
        )
      const first = await run('k')
      const other = await run('other')
      assert.deepEqual(await run('k'), { ...first, replayed: true })
      assert.deepEqual([first.replayed, other.replayed, runs], [false, false, 2])
      const both = await Promise.all([run('both'), run('both')])
      assert.deepEqual(both[1], { ...both[0], replayed: true })
      const nothing = (): ReturnType<typeof api.service.transaction<undefined>> =>
        api.service.transaction(async () => undefined, { idempotencyKey: 'nothing' })
      assert.deepEqual(await nothing(), { value: undefined, marker: [], replayed: false })
      assert.deepEqual(await nothing(), { value: undefined, marker: [], replayed: true })
      const failing = (name: string): Promise<unknown> =>
        api.service.transaction(tx => tx.create(people, { id: 'x', name }), { idempotencyKey: 'f' })
      await assert.rejects(failing(''))
      await failing('X')
      assert.equal((await api.changes('people')).length, 7)
    })
  })
}

test('4.13 a retry that reaches another process on the same file gets the first answer', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'lockstep-retry-'))
  try {
    const file = join(folder, 'log.db')
    await using one = await openSqliteLog({ file })
    await using two = await openSqliteLog({ file })
    await using first = await openTestService({ log: one })
    await using second = await openTestService({ log: two })
    const options = { headers: { 'idempotency-key': 'k' }, body: { name: 'Ann' } }
    const answers = await Promise.all([first, second].map(service => service.ask('POST', '/people', options)))
    assert.deepEqual(answers.map(isReplayed).sort(), [false, true])
    assert.deepEqual(kept(answers[0]!), kept(answers[1]!))
    assert.equal((await first.changes('people')).length, 1)
  } finally {
    await rm(folder, { recursive: true })
  }
})

test('4.13 the message names the first request as its cause, each answer its own', async () => {
  await using api = await openTestService()
  const send = (id: string): Promise<Answer> =>
    api.ask('PUT', '/people/ann', {
      headers: { 'idempotency-key': 'k', 'x-request-id': id },
      body: { name: 'Ann' },
    })
  const answers = [await send('first'), await send('second')]
  assert.deepEqual(
    answers.map(({ headers }) => headers.get('x-request-id')),
    ['first', 'second'],
  )
  assert.deepEqual(
    (await api.changes('people')).map(({ cause }) => cause),
    ['first'],
  )
})

test('4.13 callers whom the application tells apart do not share keys', async () => {
  const principal = (exchange: Exchange): string | undefined => exchange.header('authorization')
  await using api = await openTestService({ principal })
  const send = (authorization: string | undefined): Promise<Answer> =>
    api.ask('POST', '/people', {
      headers: { 'idempotency-key': 'k', ...(authorization === undefined ? {} : { authorization }) },
      body: { name: 'Ann' },
    })
  for (const caller of ['ann', 'bob', '', undefined]) assert.equal(isReplayed(await send(caller)), false)
  for (const caller of ['ann', 'bob', '', undefined]) assert.ok(isReplayed(await send(caller)))
  assert.equal((await api.changes('people')).length, 4)
})

test('4.13 a key is 1 to 255 visible ASCII characters, bare or quoted; anything else is refused before the write', async () => {
  await using api = await openTestService()
  const send = (key: string): Promise<Answer> =>
    api.ask('PUT', '/people/ann', { headers: { 'idempotency-key': key }, body: { name: 'Ann' } })
  const same: readonly (readonly [string, string])[] = [
    ['k', '"k"'],
    ['8e03978e-40d5-43dd-bc93-6894a57f9324', '"8e03978e-40d5-43dd-bc93-6894a57f9324"'],
    ['x'.repeat(255), `"${'x'.repeat(255)}"`],
    ['a"b\\c', '"a\\"b\\\\c"'],
    ['!~', ' "!~" '],
  ]
  for (const [bare, quoted] of same) {
    assert.equal(isReplayed(await send(bare)), false, bare)
    assert.ok(isReplayed(await send(quoted)), quoted)
  }
  const wrong = ['', ' ', '""', 'a b', '"a b"', 'é', 'x'.repeat(256), `"${'x'.repeat(256)}"`]
  const unfinished = ['"', '"a', '"a"b', '"a";p=1', '"a\\"', '"a\\n"', '"a", "b"', 'a, a']
  for (const key of [...wrong, ...unfinished]) assertProblem(await send(key), 400, 'invalid-idempotency-key')
  for (const idempotencyKey of ['', 'a b', 'é', 'x'.repeat(256)])
    await assert.rejects(
      api.service.transaction(async () => 1, { idempotencyKey }),
      { code: 'invalid-idempotency-key' },
    )
  const read = await api.ask('GET', '/people/ann', { headers: { 'idempotency-key': '' } })
  assert.equal(read.status, 200)
  assert.equal((await api.changes('people')).length, 1)
})
