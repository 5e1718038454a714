/** Writing in-process: the operations, all or none, their messages, errors and types, on both logs. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { suite, test } from 'node:test'
import { promisify } from 'node:util'
import { type ErrorCode, isLockstepError, type JsonObject } from '../../src/contract/index.ts'
import { createMemoryLog } from '../../src/log/memory.ts'
import { defineResource } from '../../src/service/resource.ts'
import type { NewState, Patch, Transaction } from '../../src/service/transaction.ts'
import {
  friends,
  likes,
  logKinds,
  openTestLog,
  openTestService,
  people,
  projects,
  type TestService,
} from '../support/service.ts'

const rejects = (work: Promise<unknown>, code: ErrorCode): Promise<void> =>
  assert.rejects(work, error => isLockstepError(error, code))

for (const logKind of logKinds) {
  suite(`transactions on the ${logKind} log`, () => {
    test('3.4 writes to several resources are one transaction, also in the messages', async () => {
      await using api = await openTestService({ logKind })
      const { value, marker } = await api.service.transaction(
        async tx => {
          const ann = await tx.create(people, { name: 'Ann' })
          const atlas = await tx.put(projects, 'atlas', { title: `of ${ann.id}` })
          await tx.patch(people, ann.id, { age: 7, address: { city: 'Bern' } })
          await tx.put(friends.in(ann.id), 'bob', { since: 2020 })
          await tx.remove(projects, 'atlas')
          return { ann: await tx.read(people, ann.id), atlas, gone: await tx.read(projects, 'atlas') }
        },
        { cause: 'nightly' },
      )
      const { id } = value.ann!
      assert.deepEqual(value, {
        ann: { id, name: 'Ann', age: 7, address: { city: 'Bern' } },
        atlas: { id: 'atlas', title: `of ${id}` },
        gone: undefined,
      })
      const heads = await api.service.heads()
      assert.deepEqual(
        marker,
        heads.map(({ stream, epoch, seq }) => ({ stream, epoch, seq })),
      )
      const messages = [...(await api.changes('people')), ...(await api.changes('projects'))]
      assert.deepEqual(
        messages.map(({ event, resource, version }) => [event, resource, version]),
        [
          ['created', `/people/${id}`, 1],
          ['modified', `/people/${id}`, 2],
          ['created', `/people/${id}/friends/bob`, 1],
          ['created', '/projects/atlas', 1],
          ['deleted', '/projects/atlas', 2],
        ],
      )
      const [tx] = messages.map(message => message['tx'] as JsonObject)
      assert.equal(tx!['n'], 5)
      for (const message of messages) {
        assert.deepEqual(message['tx'], tx)
        assert.equal(message['cause'], 'nightly')
      }
      assert.deepEqual(await api.service.read(people, id), value.ann)
      assert.deepEqual(await api.service.read(friends.in(id), 'bob'), { id: 'bob', since: 2020 })
    })

    test('7.1 where the work throws, nothing was written, and the error is passed on', async () => {
      await using api = await openTestService({ logKind })
      await api.service.transaction(tx => tx.create(people, { id: 'ann', name: 'Ann' }))
      const own = new Error('changed my mind')
      const work = api.service.transaction(async tx => {
        await tx.patch(people, 'ann', { name: 'Eve' })
        await tx.create(projects, { title: 'x' })
        assert.equal((await tx.read(people, 'ann'))?.name, 'Eve')
        throw own
      })
      await assert.rejects(work, error => error === own)
      const refused = api.service.transaction(async tx => {
        await tx.patch(people, 'ann', { name: 'Eve' })
        await tx.patch(people, 'nobody', { name: 'Eve' })
      })
      await rejects(refused, 'not-found')
      assert.equal((await api.service.read(people, 'ann'))?.name, 'Ann')
      assert.equal((await api.changes('people')).length, 1)
      assert.equal((await api.changes('projects')).length, 0)
    })

    test('an operation that is refused may be caught, and the others stand', async () => {
      await using api = await openTestService({ logKind })
      await api.service.transaction(async tx => {
        await tx.create(people, { id: 'ann', name: 'Ann' })
        await rejects(tx.create(people, { id: 'ann', name: 'Eve' }), 'already-exists')
        await rejects(tx.put(people, 'bob', { name: '' }), 'invalid-state')
        await tx.put(people, 'eve', { name: 'Eve' })
      })
      assert.deepEqual(
        (await api.changes('people')).map(({ resource }) => resource),
        ['/people/ann', '/people/eve'],
      )
    })

    test('3.10 a deletion that is too large is refused before it begins, so that the others may stand', async () => {
      await using log = await openTestLog(logKind, { maxTransactionChanges: 4 })
      await using api = await openTestService({ log })
      await api.ask('PUT', '/people/ann', { body: { name: 'Ann' } })
      for (const id of ['a', 'b', 'c']) await api.ask('PUT', `/people/ann/friends/${id}`, { body: {} })
      await api.service.transaction(async tx => {
        await tx.create(people, { id: 'bob', name: 'Bob' })
        await rejects(tx.remove(people, 'ann'), 'too-many-changes')
      })
      assert.equal((await api.ask('GET', '/people/ann/friends')).json.length, 3)
      assert.equal((await api.ask('GET', '/people/bob')).status, 200)
      await api.service.transaction(tx => tx.remove(people, 'ann'))
      assert.equal((await api.ask('GET', '/people/ann')).status, 410)
    })

    test('operations that are not waited for one by one run in the order of the calls', async () => {
      await using api = await openTestService({ logKind })
      await api.service.transaction(async tx => {
        const all = [tx.create(people, { id: 'ann', name: 'Ann' })]
        for (let age = 1; age <= 20; age++) all.push(tx.patch(people, 'ann', { age }))
        await Promise.all(all)
      })
      const changes = await api.changes('people')
      assert.deepEqual(
        changes.slice(1).map(change => (change['changes'] as JsonObject)['age']),
        Array.from({ length: 20 }, (_, index) => index + 1),
      )
    })

    test('transactions that read and write the same resource do not lose each other’s writes', async () => {
      await using api = await openTestService({ logKind })
      await api.service.transaction(tx => tx.create(people, { id: 'ann', name: 'Ann', age: 0 }))
      const increment = async (tx: Transaction): Promise<void> => {
        const ann = await tx.read(people, 'ann')
        await tx.patch(people, 'ann', { age: ann!.age! + 1 })
      }
      await Promise.all(Array.from({ length: 50 }, () => api.service.transaction(increment)))
      assert.equal((await api.service.read(people, 'ann'))?.age, 50)
    })
  })
}

test('a transaction of one change carries no tx, one of none no message', async () => {
  await using api = await openTestService()
  await api.service.transaction(tx => tx.create(people, { id: 'ann', name: 'Ann' }))
  const { value, marker } = await api.service.transaction(async tx => {
    await tx.patch(people, 'ann', { name: 'Ann' })
    return (await tx.put(people, 'ann', { name: 'Ann' })).id
  })
  assert.deepEqual([value, marker[0]?.seq], ['ann', 1])
  const [only, ...others] = await api.changes('people')
  assert.equal('tx' in only!, false)
  assert.match(String(only!['cause']), /^[0-9a-z]{16}$/)
  assert.deepEqual(others, [])
})

test('each operation fails as its request does', async () => {
  await using api = await openTestService()
  const run = <T>(work: (tx: Transaction) => Promise<T>): Promise<unknown> => api.service.transaction(work)
  await run(tx => tx.create(people, { id: 'ann', name: 'Ann' }))
  await run(tx => tx.create(people, { id: 'old', name: 'Old' }))
  await run(tx => tx.remove(people, 'old'))
  await rejects(
    run(tx => tx.create(people, { id: 'ann', name: 'A' })),
    'already-exists',
  )
  await rejects(
    run(tx => tx.patch(people, 'nobody', {})),
    'not-found',
  )
  await rejects(
    run(tx => tx.patch(people, 'old', {})),
    'gone',
  )
  await rejects(
    run(tx => tx.remove(people, 'nobody')),
    'not-found',
  )
  await rejects(
    run(tx => tx.remove(people, 'old')),
    'gone',
  )
  await rejects(
    run(tx => tx.create(friends.in('nobody'), { id: 'x' })),
    'not-found',
  )
  await rejects(
    run(tx => tx.put(friends.in('old'), 'x', {})),
    'gone',
  )
  await rejects(
    run(tx => tx.put(people, 'ann', { id: 'bob', name: 'B' })),
    'invalid-id',
  )
  await rejects(
    run(tx => tx.create(people, { name: '' })),
    'invalid-state',
  )
  await rejects(
    run(tx => tx.create(friends, {})),
    'invalid-option',
  )
  for (const id of ['_x', '_changes']) {
    await rejects(
      run(tx => tx.put(people, id, { name: 'A' })),
      'invalid-id',
    )
    await rejects(
      run(tx => tx.create(people, { id, name: 'A' })),
      'invalid-id',
    )
    await rejects(
      run(tx => tx.read(people, id)),
      'invalid-id',
    )
    await rejects(api.service.read(people, id), 'invalid-id')
  }
  for (const id of ['', '..', '\n', 'x'.repeat(513)])
    await rejects(
      run(tx => tx.put(people, id, { name: 'A' })),
      'invalid-path',
    )
  assert.equal((await api.changes('people')).length, 3)
})

test('a resource that the service was not opened with is refused, also one of the same name', async () => {
  await using api = await openTestService({ resources: [people] })
  const twin = defineResource('people', { schema: { type: 'object' } })
  await rejects(
    api.service.transaction(tx => tx.create(twin, { id: 'x' })),
    'invalid-option',
  )
  await rejects(
    api.service.transaction(tx => tx.create(projects, { title: 'x' })),
    'invalid-option',
  )
  await rejects(
    api.service.transaction(tx => tx.put(likes.in('a', 'b'), 'x', {})),
    'invalid-option',
  )
  await rejects(api.service.read(projects, 'x'), 'invalid-option')
})

test('what is written is what a reader gets: dates are texts, undefined members are none, lost numbers are refused', async () => {
  const things = defineResource('things', { schema: { type: 'object', additionalProperties: true } })
  await using api = await openTestService({ resources: [things] })
  const write = (state: object): Promise<{ value: object }> =>
    api.service.transaction(tx => tx.put(things, 'x', state as never))
  const { value } = await write({ at: new Date(0), none: undefined, list: [undefined, () => {}], zero: -0 })
  const expected = { id: 'x', at: '1970-01-01T00:00:00.000Z', list: [null, null], zero: 0 }
  assert.deepEqual(value, expected)
  assert.deepEqual(await api.service.read(things, 'x'), expected)
  for (const number of [Number.NaN, Number.POSITIVE_INFINITY])
    await rejects(write({ n: [number] }), 'unsafe-number')
  await rejects(write(undefined as never), 'invalid-state')
  await rejects(write([] as never), 'invalid-state')
  let deep: object = {}
  for (let level = 0; level < 100; level++) deep = { deep }
  await rejects(write(deep), 'json-too-deep')
})

test('a cause that could not be sent is refused', async () => {
  await using api = await openTestService()
  for (const cause of ['', 'a b', 'é', 'x'.repeat(129), '\n'])
    await rejects(
      api.service.transaction(async () => {}, { cause }),
      'invalid-option',
    )
})

test('a transaction that takes too long is undone, and its operations are refused from then on', async () => {
  await using log = createMemoryLog({ transactionTimeoutMs: 10 })
  await using api = await openTestService({ log })
  let late: Promise<unknown> = Promise.resolve()
  const work = api.service.transaction(async tx => {
    await tx.create(people, { id: 'ann', name: 'Ann' })
    await new Promise<void>((_, reject) => {
      late = new Promise(resolve => setTimeout(resolve, 20))
        .then(() => tx.create(people, { id: 'bob', name: 'Bob' }))
        .catch(reject)
    })
  })
  await rejects(work, 'transaction-timeout')
  await late
  assert.deepEqual(await api.changes('people'), [])
})

test('a work that does not wait for its operations is refused with their name, and writes nothing', async () => {
  await using api = await openTestService()
  const forget = async (work: (tx: Transaction) => unknown, message: RegExp): Promise<void> =>
    assert.rejects(
      api.service.transaction(work as (tx: Transaction) => Promise<unknown>),
      error => isLockstepError(error, 'invalid-option') && message.test(error.message),
    )
  await forget(tx => {
    tx.create(people, { name: 'Ann' })
  }, /did not wait for tx\.create\(…\)/)
  await forget(async tx => {
    tx.put(people, 'ann', { name: 'Ann' })
    await tx.put(people, 'bob', { name: 'Bob' })
  }, /did not wait for tx\.put\(…\)/)
  await forget(async tx => {
    tx.create(people, { name: '' }).then(
      ({ id }) => tx.patch(people, id, { age: 1 }),
      () => {},
    )
  }, /did not wait for tx\.create\(…\)/)
  await assert.rejects(
    api.service.transaction(async tx => {
      tx.patch(people, 'nobody', { age: 1 })
    }),
    error => error instanceof Error && isLockstepError(error.cause, 'not-found'),
  )
  await rejects(api.service.transaction(undefined as never), 'invalid-option')
  assert.deepEqual(await api.changes('people'), [])
  const plain = await api.service.transaction((() => 5) as unknown as () => Promise<number>)
  assert.equal(plain.value, 5)
})

test('an operation that nobody waits for ends no process when it fails', async () => {
  const script = `
    const { createMemoryLog } = await import('lockstep/log')
    const { defineResource, openService } = await import('lockstep/service')
    const people = defineResource('people', { schema: { type: 'object', required: ['name'] } })
    const log = createMemoryLog()
    const service = await openService({ resources: [people], log })
    await service.transaction(tx => { tx.create(people, {}) }).catch(error => console.log(error.code))
    await service.transaction(async tx => { tx.create(people, {}); throw new Error('own') }).catch(error => console.log(error.message))
    await new Promise(done => setImmediate(done))
    await service.close()
    await log.close()
    console.log('end')`
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script], {
    cwd: new URL('../..', import.meta.url),
  })
  assert.deepEqual(stdout.trim().split('\n'), ['invalid-option', 'own', 'end'])
})

test('a write inside a transaction on the same log is refused at once; one that it has set going may come after', async () => {
  await using api = await openTestService()
  await using other = await openTestService()
  const create = (service: TestService, id: string): Promise<unknown> =>
    service.service.transaction(tx => tx.create(people, { id, name: 'N' }))
  let after: Promise<unknown> = Promise.resolve()
  const over = Promise.withResolvers<void>()
  await api.service.transaction(async tx => {
    await tx.create(people, { id: 'ann', name: 'Ann' })
    await assert.rejects(create(api, 'eve'), /^LockstepError: A write was begun inside a transaction/)
    await create(other, 'bob')
    const { status } = await api.ask('POST', '/people', { body: { name: 'Eve' } })
    assert.equal(status, 500)
    after = over.promise.then(() => create(api, 'carl'))
  })
  over.resolve()
  await after
  assert.deepEqual(
    (await api.changes('people')).map(({ resource }) => resource),
    ['/people/ann', '/people/carl'],
  )
  assert.equal((await other.changes('people')).length, 1)
  assert.match(String(api.errors.splice(0)[0]?.error), /inside a transaction/)
})

/** Fails to compile where the types are not the same. */
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : never
type Flat<T> = T extends object ? { [Name in keyof T]: T[Name] } : T
const isSame = <A, B>(same: Same<A, B>): void => assert.equal(same, true)

test('operations are typed by the schema', async () => {
  interface State {
    id: string
    name: string
    tags?: string[]
    address?: { city: string; zip?: string }
  }
  isSame<
    Flat<NewState<State>>,
    { name: string; tags?: string[]; address?: { city: string; zip?: string }; readonly id?: string }
  >(true)
  const patches: Patch<State>[] = [
    {},
    { name: 'x', tags: null },
    { tags: ['a'] },
    { address: { city: 'x' } },
    { address: { zip: null } },
    { address: null },
  ]
  // @ts-expect-error an array is replaced as a whole
  patches.push({ tags: [5] })
  // @ts-expect-error there is no such member
  patches.push({ address: { street: 'x' } })
  // @ts-expect-error it is a string
  patches.push({ name: 5 })
  await using api = await openTestService()
  const untyped = api.service.transaction(async tx => {
    // @ts-expect-error a title is required
    await tx.create(projects, {})
  })
  await rejects(untyped, 'invalid-state')
  const { value } = await api.service.transaction(tx => tx.create(projects, { title: 'x' }))
  isSame<Flat<typeof value>, { id: string; title: string }>(true)
})
