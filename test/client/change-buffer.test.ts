import assert from 'node:assert/strict'
import test from 'node:test'
import type { Change } from '../../src/client/change.ts'
import { createChangeBuffer } from '../../src/client/change-buffer.ts'

function created(number: number): Change<{ n: number }> {
  return {
    event: 'created',
    path: `/people/${number}`,
    id: `${number}`,
    version: 1,
    cause: undefined,
    position: `people:e1:${number}`,
    state: { n: number },
    previous: undefined,
    changes: undefined,
  }
}

test('changes are given in order, before and after they are asked for', async () => {
  const buffer = createChangeBuffer<{ n: number }>({ path: '/people', id: '', onEnd() {} })
  buffer.push(created(1))
  const first = buffer.next()
  const second = buffer.next()
  const third = buffer.next()
  buffer.push(created(2))
  buffer.push(created(3))
  const ids = (await Promise.all([first, second, third])).map(({ value }) => value.id)
  assert.deepEqual(ids, ['1', '2', '3'])
})

test('an application that is too slow finds one refreshed in place of the older half', async () => {
  const buffer = createChangeBuffer<{ n: number }>({ path: '/people', id: '', maxWaiting: 10, onEnd() {} })
  for (let number = 1; number <= 100; number++) buffer.push(created(number))
  buffer.end()
  const all = []
  for await (const change of buffer) all.push(change)
  assert.ok(all.length <= 10)
  assert.deepEqual(
    all.map(({ event }) => event),
    ['refreshed', ...all.slice(1).map(() => 'created')],
  )
  assert.equal(all.at(-1)?.id, '100')
  // It stands for all that is left out.
  const [, , refreshedUpTo] = all[0]!.position.split(':')
  assert.equal(Number(refreshedUpTo) + 1, Number(all[1]!.id))
})

test('what waits is still given after the end; then the iteration is over', async () => {
  let ends = 0
  const buffer = createChangeBuffer<{ n: number }>({ path: '/people', id: '', onEnd: () => ends++ })
  buffer.push(created(1))
  buffer.end()
  buffer.end()
  buffer.push(created(2))
  const ids = []
  for await (const { id } of buffer) ids.push(id)
  assert.deepEqual(ids, ['1'])
  assert.equal(ends, 1)
  assert.equal((await buffer.next()).done, true)
})

test('who waits is told of the end', async () => {
  const buffer = createChangeBuffer<{ n: number }>({ path: '/people', id: '', onEnd() {} })
  const waiting = [buffer.next(), buffer.next()]
  buffer.end()
  for (const result of await Promise.all(waiting)) assert.equal(result.done, true)
})

test('leaving the loop ends the buffer', async () => {
  let ends = 0
  const buffer = createChangeBuffer<{ n: number }>({ path: '/people', id: '', onEnd: () => ends++ })
  buffer.push(created(1))
  buffer.push(created(2))
  for await (const change of buffer) {
    assert.equal(change.id, '1')
    break
  }
  assert.equal(ends, 1)
  assert.equal((await buffer.next()).done, true)
})
