/** Counters that several gateways share, in a real PostgreSQL; and what each does while the store is away. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openJointCounter } from '../../../src/gateway/access/joint-counter.ts'
import { perSecond } from '../../../src/gateway/access/rate.ts'
import { skipWithoutPostgres, startPostgres } from '../../support/postgres.ts'

test('two gateways count together in PostgreSQL, and each for itself while it is down', {
  skip: skipWithoutPostgres,
}, async () => {
  await using postgres = await startPostgres()
  const errors: unknown[] = []
  const open = () =>
    openJointCounter({
      kind: 'postgres',
      url: postgres.url(),
      onError: error => errors.push(error),
      now: Date.now,
      waitMs: 20_000,
    })
  const [one, other] = await Promise.all([open(), open()])
  // A window that is far longer than the test.
  const policy = perSecond('test', 0.01, 5)
  const buckets = [{ key: 'a', policy }]
  const allowed: boolean[] = []
  for (let index = 0; index < 4; index++)
    for (const counter of [one, other]) allowed.push((await counter.take(buckets))[0]!.allowed)
  assert.deepEqual(allowed, [true, true, true, true, true, false, false, false])
  assert.equal((await one.take([{ key: 'b', policy }]))[0]!.remaining, 4)
  await postgres.kill()
  assert.equal((await one.take(buckets))[0]!.allowed, true)
  assert.equal((await other.take(buckets))[0]!.remaining, 4)
  assert.ok(errors.length > 0)
  await Promise.all([one.close(), other.close()])
})

test('a store that cannot be reached at first is told, and the gateway counts by itself', async () => {
  const errors: unknown[] = []
  const counter = await openJointCounter({
    kind: 'redis',
    url: 'redis://127.0.0.1:9',
    onError: error => errors.push(error),
    now: Date.now,
  })
  const policy = perSecond('test', 1, 1)
  assert.equal((await counter.take([{ key: 'a', policy }]))[0]!.allowed, true)
  assert.equal((await counter.take([{ key: 'a', policy }]))[0]!.allowed, false)
  assert.ok(errors.length > 0)
  await counter.close()
})
