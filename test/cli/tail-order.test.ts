/** The order of a tail: whatever is lost, repeated or mixed up, each number is printed once, and in order. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { createTailOrder } from '../../src/cli/tail-order.ts'

const epoch = 'k3f9'
const start = { stream: 'people', epoch, seq: 0 }

test('messages lost, repeated and mixed up, pages read at any time: each once and in order', () => {
  const message = fc.record({ kind: fc.constant('message' as const), seq: fc.integer({ min: 1, max: 12 }) })
  const head = fc.record({ kind: fc.constant('head' as const), seq: fc.integer({ min: 0, max: 12 }) })
  const page = fc.record({
    kind: fc.constant('page' as const),
    back: fc.nat(3),
    size: fc.integer({ min: 1, max: 5 }),
  })
  fc.assert(
    fc.property(fc.array(fc.oneof(message, head, page), { maxLength: 60 }), steps => {
      const order = createTailOrder<number>(start)
      const printed: number[] = []
      const read = (after: number, size: number): void => {
        const to = Math.min(12, after + size)
        const changes = Array.from({ length: to - after }, (_, index) => ({
          seq: after + 1 + index,
          item: after + 1 + index,
        }))
        printed.push(...order.takePage({ epoch, to, head: 12, changes }))
      }
      for (const step of steps) {
        if (step.kind === 'message')
          printed.push(...order.takeMessage({ epoch, seq: step.seq, item: step.seq }))
        else if (step.kind === 'head') order.takeHead({ epoch, seq: step.seq })
        // A page that was asked for some messages ago.
        else read(Math.max(0, order.position.seq - step.back), step.size)
        assert.deepEqual(
          printed,
          printed.map((_, index) => index + 1),
        )
        assert.equal(order.position.seq, printed.length)
      }
      while (order.isBehind || order.position.seq < 12) read(order.position.seq, 5)
      assert.equal(printed.length, 12)
    }),
  )
})

test('a hole, a greater head and another epoch each say that the feed has to be read; nothing else does', () => {
  const order = createTailOrder<number>(start)
  order.takeMessage({ epoch, seq: 1, item: 1 })
  order.takeHead({ epoch, seq: 1 })
  assert.equal(order.isBehind, false)
  order.takeMessage({ epoch, seq: 3, item: 3 })
  assert.equal(order.isBehind, true)
  assert.deepEqual(order.takeMessage({ epoch, seq: 2, item: 2 }), [2, 3])
  assert.equal(order.isBehind, false)
  order.takeHead({ epoch, seq: 4 })
  assert.equal(order.isBehind, true)
  order.takeMessage({ epoch, seq: 4, item: 4 })
  order.takeMessage({ epoch: 'other', seq: 9, item: 9 })
  assert.equal(order.isBehind, true)
  order.takePage({ epoch, to: 4, head: 4, changes: [] })
  assert.equal(order.isBehind, false)
})

test('a jump into another epoch forgets what waited for the old one', () => {
  const order = createTailOrder<string>({ ...start, seq: 7 })
  order.takeMessage({ epoch, seq: 9, item: 'old' })
  assert.deepEqual(order.jump({ epoch: 'new', seq: 8 }), [])
  assert.equal(order.isBehind, false)
  assert.deepEqual(order.takeMessage({ epoch: 'new', seq: 9, item: 'new' }), ['new'])
})

test('more than a thousand waiting messages are left to the feed', () => {
  const order = createTailOrder<number>(start)
  for (let seq = 2; seq <= 1_500; seq++) order.takeMessage({ epoch, seq, item: seq })
  const first = order.takePage({ epoch, to: 1, head: 1_500, changes: [{ seq: 1, item: 1 }] })
  assert.equal(first.length, 1_001)
  assert.equal(order.isBehind, true)
})
