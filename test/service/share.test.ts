/** Sharing: work that runs is not begun a second time, and nothing of it is kept. */
import assert from 'node:assert/strict'
import test from 'node:test'
import { createShare } from '../../src/service/share.ts'

test('who asks while the work runs gets its result; who asks later begins it anew', async () => {
  const share = createShare()
  let runs = 0
  const work = async (): Promise<number> => {
    await new Promise(resolve => setImmediate(resolve))
    return ++runs
  }
  assert.deepEqual(await Promise.all([share('a', work), share('a', work), share('b', work)]), [1, 1, 2])
  assert.equal(await share('a', work), 3)
})

test('a failure is everybody’s, and is not kept either', async () => {
  const share = createShare()
  const fail = (): Promise<never> => Promise.reject(new Error('no'))
  const results = await Promise.allSettled([share('a', fail), share('a', fail)])
  assert.deepEqual(
    results.map(({ status }) => status),
    ['rejected', 'rejected'],
  )
  assert.equal(await share('a', async () => 5), 5)
})
