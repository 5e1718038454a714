import assert from 'node:assert/strict'
import test from 'node:test'
import { isOlder } from '../../../src/live/browser/refresh.ts'
import { refreshWaitMs } from '../../../src/live/browser/refresh-pace.ts'

test('the first refresh comes at once, the next not within 30 s, and then ever less often up to 10 minutes', () => {
  const waits = [0, 1, 2, 3, 6, 20].map(count => refreshWaitMs({ lastAt: 1_000, count }, 'gone', 1_000, 0.5))
  assert.deepEqual(waits, [0, 30_000, 60_000, 120_000, 600_000, 600_000])
})

test('what is left of the pause is waited for, also where a clock was set back', () => {
  assert.equal(refreshWaitMs({ lastAt: 1_000, count: 1 }, 'gone', 21_000, 0.5), 10_000)
  assert.equal(refreshWaitMs({ lastAt: 1_000, count: 1 }, 'gone', 99_000, 0.5), 0)
  assert.equal(refreshWaitMs({ lastAt: 9_000_000, count: 1 }, 'gone', 1_000, 0.5), 30_000)
})

test('what meets all pages at once is spread', () => {
  for (const reason of ['epoch', 'reset', 'ahead']) {
    assert.equal(refreshWaitMs({ lastAt: 0, count: 0 }, reason, 0, 0.5), 1_500)
  }
})

test('a page is older where it is behind in a stream of the same epoch', () => {
  assert.equal(isOlder('people:e:4', 'people:e:5'), true)
  assert.equal(isOlder('people:e:5,projects:x:9', 'people:e:5,projects:x:10'), true)
  assert.equal(isOlder('people:e:5', 'people:e:5'), false)
  assert.equal(isOlder('people:new:1', 'people:e:5'), false)
  assert.equal(isOlder('cars:e:1', 'people:e:5'), false)
})
