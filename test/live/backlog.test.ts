import assert from 'node:assert/strict'
import test from 'node:test'
import fc from 'fast-check'
import { Backlog, type Entry, type FeedPage } from '../../src/live/backlog.ts'

const epoch = 'k3f9'
const entry = (seq: number): Entry => ({ seq, resource: `/people/${seq % 3}`, text: `{"n":${seq}}` })
const page = (after: number, to: number, head: number): FeedPage => ({
  epoch,
  after,
  to,
  head,
  first: 1,
  entries: Array.from({ length: to - after }, (_, index) => entry(after + 1 + index)),
})
const numbers = (entries: readonly Entry[]): number[] => entries.map(({ seq }) => seq)

test('a backlog is contiguous, whatever is lost, repeated and reordered, and never passes a hole', () => {
  const event = fc.oneof(
    fc.record({ kind: fc.constant('hear' as const), seq: fc.integer({ min: 1, max: 60 }) }),
    fc.record({
      kind: fc.constant('page' as const),
      after: fc.integer({ min: 0, max: 60 }),
      length: fc.integer({ min: 0, max: 12 }),
    }),
  )
  const limits = { maxMessages: 8, maxChars: 1_000, maxAhead: 4 }
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 20 }), fc.array(event, { maxLength: 80 }), (start, events) => {
      const backlog = new Backlog(limits)
      backlog.restart(epoch, start)
      /** What the reference knows: the numbers that came, by whichever way. */
      const known = new Set<number>()
      let last = start
      for (const happened of events) {
        const before = last
        let added: readonly Entry[]
        if (happened.kind === 'hear') {
          added = backlog.hear(epoch, entry(happened.seq))
          if (happened.seq === last + 1) last += 1
          else if (happened.seq > last && known.size < limits.maxAhead) known.add(happened.seq)
        } else {
          const to = happened.after + happened.length
          added = backlog.takePage(page(happened.after, to, 60))
          if (happened.after <= last) last = Math.max(last, to)
        }
        while (last > before && known.has(last + 1)) last += 1
        for (const seq of known) if (seq <= last) known.delete(seq)
        assert.equal(backlog.last, last)
        assert.deepEqual(
          numbers(added),
          Array.from({ length: last - before }, (_, index) => before + 1 + index),
        )
        assert.deepEqual(numbers(backlog.after(backlog.start)), numbers(page(backlog.start, last, 0).entries))
        assert.ok(backlog.last - backlog.start <= limits.maxMessages)
        assert.ok(backlog.ahead <= limits.maxAhead)
        for (let seq = backlog.start; seq <= last; seq++) {
          assert.deepEqual(backlog.after(seq), page(seq, last, 0).entries)
        }
      }
    }),
  )
})

test('a backlog holds no more characters than it may, but always the newest message', () => {
  const backlog = new Backlog({ maxChars: 20 })
  backlog.restart(epoch, 0)
  for (const seq of [1, 2, 3, 4]) backlog.hear(epoch, entry(seq))
  assert.deepEqual([backlog.start, backlog.last, backlog.chars], [2, 4, 14])
  backlog.hear(epoch, { ...entry(5), text: 'x'.repeat(100) })
  assert.deepEqual([backlog.start, backlog.last, backlog.chars], [4, 5, 100])
})

test('a backlog that is full for long gives its memory back and stays right', () => {
  const backlog = new Backlog({ maxMessages: 3 })
  backlog.restart(epoch, 100)
  for (let seq = 101; seq <= 1_100; seq++) backlog.hear(epoch, entry(seq))
  assert.deepEqual(numbers(backlog.after(1_097)), [1_098, 1_099, 1_100])
})

test('a backlog takes nothing of another epoch, and a restart forgets all', () => {
  const backlog = new Backlog()
  assert.deepEqual(backlog.hear(epoch, entry(1)), [], 'before it knows where it is')
  backlog.restart(epoch, 5)
  assert.deepEqual(backlog.hear('other', entry(6)), [])
  assert.deepEqual(backlog.takePage({ ...page(5, 6, 6), epoch: 'other' }), [])
  backlog.hear(epoch, entry(6))
  backlog.hear(epoch, entry(9))
  assert.deepEqual([backlog.isBehind, backlog.ahead], [true, 1])
  backlog.restart('other', 2)
  assert.deepEqual(
    [backlog.epoch, backlog.start, backlog.last, backlog.isBehind, backlog.ahead],
    ['other', 2, 2, false, 0],
  )
})

test('a hint says that there is more, and a page from beyond the end proves no more than that', () => {
  const backlog = new Backlog()
  backlog.restart(epoch, 0)
  backlog.hint('other', 9)
  assert.equal(backlog.isBehind, false)
  backlog.hint(epoch, 2)
  assert.equal(backlog.isBehind, true)
  assert.deepEqual(backlog.takePage(page(1, 3, 3)), [])
  assert.deepEqual([backlog.last, backlog.isBehind], [0, true])
  backlog.takePage(page(0, 3, 3))
  assert.equal(backlog.isBehind, false)
})
