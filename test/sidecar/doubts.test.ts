/** When paths are looked at: the order of looks and writes, without a clock. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Doubts } from '../../src/sidecar/doubts.ts'

const path = '/people/ann'

test('a path is looked at once, after the last of the writes that overlap', () => {
  const doubts = new Doubts()
  let seen = 0
  const reason = { cause: 'r', onSeen: () => void seen++ }
  doubts.begin(path, 0)
  doubts.begin(path, 1)
  doubts.end(path, 'answered', reason, 2)
  assert.equal(doubts.take(3), undefined)
  doubts.end(path, 'answered', reason, 4)
  assert.deepEqual(doubts.take(5), { path, reason: undefined })
  assert.equal(doubts.take(5), undefined)
  doubts.settle(path, 6)
  assert.equal(seen, 2)
  assert.equal(doubts.size, 0)
})

test('a look says the request that it is for, where it is for no other', () => {
  const doubts = new Doubts()
  doubts.begin(path, 0)
  doubts.end(path, 'answered', { cause: 'mine' }, 1)
  assert.equal(doubts.take(2)?.reason?.cause, 'mine')
})

test('a write that ends while a look runs is looked at once more', () => {
  const doubts = new Doubts()
  doubts.raise(path, 'answered', {}, 0)
  assert.ok(doubts.take(0))
  doubts.begin(path, 1)
  doubts.end(path, 'answered', { cause: 'later' }, 2)
  assert.equal(doubts.take(2), undefined, 'one look at a time')
  doubts.settle(path, 3)
  assert.equal(doubts.take(3)?.reason?.cause, 'later')
})

test('writes that never stop overlapping do not put a look off for ever', () => {
  const doubts = new Doubts({ maxOverlapMs: 500 })
  doubts.begin(path, 0)
  doubts.begin(path, 0)
  doubts.end(path, 'answered', {}, 100)
  assert.equal(doubts.take(599), undefined)
  assert.ok(doubts.take(600))
})

test('what was refused is let go without a look', () => {
  const doubts = new Doubts()
  let seen = 0
  doubts.begin(path, 0)
  doubts.end(path, 'refused', { onSeen: () => void seen++ }, 1)
  assert.deepEqual([seen, doubts.size, doubts.take(1)], [1, 0, undefined])
})

test('an outcome that nobody knows is looked at again and again, and let go after the last look', () => {
  const doubts = new Doubts({ recheckMs: [100, 1_000] })
  let seen = 0
  doubts.raise(path, 'uncertain', { onSeen: () => void seen++ }, 0)
  for (const atMs of [0, 100, 1_000]) {
    if (atMs > 0) assert.equal(doubts.take(atMs - 1), undefined)
    assert.equal(seen, 0)
    assert.ok(doubts.take(atMs), `at ${atMs} ms`)
    doubts.settle(path, atMs)
  }
  assert.deepEqual([seen, doubts.size], [1, 0])
})

test('a look that fails is made again, with pauses that grow to a limit, for the same reasons', () => {
  const doubts = new Doubts({ minRetryMs: 10, maxRetryMs: 30 })
  doubts.raise(path, 'answered', { cause: 'mine' }, 0)
  let atMs = 0
  for (const pauseMs of [10, 20, 30, 30]) {
    assert.equal(doubts.take(atMs)?.reason?.cause, 'mine')
    doubts.fail(path, atMs)
    assert.equal(doubts.take(atMs + pauseMs - 1), undefined)
    atMs += pauseMs
  }
})

test('many that wait for the clock are each found when they are due', () => {
  const doubts = new Doubts({ minRetryMs: 10, maxRetryMs: 10 })
  for (let index = 0; index < 100; index++) doubts.raise(`/people/${index}`, 'answered', {}, 0)
  for (let look = doubts.take(0); look !== undefined; look = doubts.take(0)) doubts.fail(look.path, 0)
  assert.equal(doubts.looks, 0)
  let found = 0
  for (let look = doubts.take(10); look !== undefined; look = doubts.take(10)) found++
  assert.equal(found, 100)
})

test('a watch tells of what was in doubt before it and of what comes to be', () => {
  const doubts = new Doubts()
  doubts.begin('/people/a', 0)
  const watch = doubts.watch()
  doubts.raise('/people/b', 'answered', {}, 1)
  watch[Symbol.dispose]()
  doubts.raise('/people/c', 'answered', {}, 1)
  assert.deepEqual([...watch.touched], ['/people/a', '/people/b'])
})
