/** Rates and counters: how many are let through, when, and of whom. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { RateLimiterMemory } from 'rate-limiter-flexible'
import { networkOf } from '../../../src/gateway/access/client-network.ts'
import { createMemoryCounter } from '../../../src/gateway/access/counter.ts'
import { createLevel, look, type Policy, perDay, perSecond, take } from '../../../src/gateway/access/rate.ts'

const tryOne = (policy: Policy, level: ReturnType<typeof createLevel>, nowMs: number): boolean => {
  const { allowed } = look(policy, level, nowMs)
  if (allowed) take(policy, level, nowMs)
  return allowed
}

test('a rate lets its burst through at once, then one per step, and no more in any time', () => {
  const rates = fc.record({
    rate: fc.integer({ min: 1, max: 50 }),
    burst: fc.integer({ min: 1, max: 20 }),
    gaps: fc.array(fc.integer({ min: 0, max: 400 }), { minLength: 1, maxLength: 200 }),
  })
  fc.assert(
    fc.property(rates, ({ rate, burst, gaps }) => {
      const policy = perSecond('r', rate, burst)
      const level = createLevel()
      let nowMs = 1_000_000
      const times: number[] = []
      for (const gap of gaps) {
        nowMs += gap
        const { resetMs } = look(policy, level, nowMs)
        if (tryOne(policy, level, nowMs)) times.push(nowMs)
        // Where it refuses, it says when it will not.
        else assert.ok(look(policy, level, nowMs + Math.ceil(resetMs)).allowed)
      }
      for (const [start, from] of times.entries())
        for (let end = start; end < times.length; end++)
          assert.ok(end - start + 1 <= burst + ((times[end]! - from) * rate) / 1_000 + 1e-6)
    }),
    { numRuns: 200 },
  )
})

test('a whole burst is let through, and the same again when it is refilled', () => {
  const policy = perSecond('r', 3, 7)
  const level = createLevel()
  for (const nowMs of [0, 10_000]) {
    const allowed = Array.from({ length: 10 }, () => tryOne(policy, level, nowMs)).filter(Boolean)
    assert.equal(allowed.length, 7)
  }
})

test('a number per day begins anew at midnight', () => {
  const policy = perDay('d', 2)
  const level = createLevel()
  const eveningMs = Date.parse('2026-01-31T23:59:59.000Z')
  assert.deepEqual(
    [1, 2, 3].map(() => tryOne(policy, level, eveningMs)),
    [true, true, false],
  )
  assert.equal(look(policy, level, eveningMs).resetMs, 1_000)
  assert.equal(tryOne(policy, level, eveningMs + 1_000), true)
})

test('a burst within one window is as large as the one of the library for shared counters', async () => {
  const policy = perSecond('r', 5, 5)
  const counter = createMemoryCounter(() => 0)
  const library = new RateLimiterMemory({ points: policy.quota, duration: policy.windowMs / 1_000 })
  for (let index = 0; index < 8; index++) {
    const [own] = (await counter.take([{ key: 'a', policy }])) as readonly {
      allowed: boolean
      remaining: number
    }[]
    const other = await library.consume('a').then(
      ({ remainingPoints }) => ({ allowed: true, remaining: remainingPoints }),
      () => ({ allowed: false, remaining: 0 }),
    )
    assert.deepEqual({ allowed: own!.allowed, remaining: own!.remaining }, other)
  }
})

test('where one of several budgets is empty, nothing is taken of the others', async () => {
  const counter = createMemoryCounter(() => 0)
  const [wide, tight] = [perSecond('wide', 1, 3), perSecond('tight', 1, 1)]
  const both = [
    { key: 'a', policy: wide },
    { key: 'a', policy: tight },
  ]
  assert.deepEqual(
    (await counter.take(both)).map(({ allowed }) => allowed),
    [true, true],
  )
  for (let index = 0; index < 5; index++)
    assert.deepEqual(
      (await counter.take(both)).map(({ allowed }) => allowed),
      [true, false],
    )
  assert.equal((await counter.take([both[0]!]))[0]!.remaining, 1)
})

test('what is remembered is bounded, and a budget that is used is not forgotten', async () => {
  const counter = createMemoryCounter(() => 0)
  const policy = perSecond('r', 1, 1)
  await counter.take([{ key: 'kept', policy }])
  for (let index = 0; index < 150_000; index++) {
    await counter.take([{ key: `other ${index}`, policy }])
    if (index % 50_000 === 0) assert.equal((await counter.take([{ key: 'kept', policy }]))[0]!.allowed, false)
  }
  assert.equal((await counter.take([{ key: 'kept', policy }]))[0]!.allowed, false)
})

test('an IPv6 address stands for its /64, however it is written', () => {
  const same = [
    '2001:db8:1:2::1',
    '2001:DB8:1:2:ffff::',
    '2001:0db8:0001:0002:1:2:3:4',
    '2001:db8:1:2::1%eth0',
  ]
  assert.deepEqual([...new Set(same.map(networkOf))], ['2001:db8:1:2::/64'])
  assert.notEqual(networkOf('2001:db8:1:3::1'), '2001:db8:1:2::/64')
  for (const text of ['10.0.0.7', '::ffff:10.0.0.7', '::ffff:a00:7'])
    assert.equal(networkOf(text), '10.0.0.7')
  assert.equal(networkOf('::1'), '0:0:0:0::/64')
})
