import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { retryDelayMs } from '../../src/broker/retry-delay.ts'

const bounds = { minDelayMs: 200, maxDelayMs: 5_000 }

describe('retry delay', () => {
  it('lies between the minimum and a bound that doubles up to the maximum', () => {
    const least = [0, 1, 2, 3, 4, 5, 50, 5_000].map(attempt => retryDelayMs(attempt, 0, bounds))
    const most = [0, 1, 2, 3, 4, 5, 50, 5_000].map(attempt => retryDelayMs(attempt, 1, bounds))
    assert.deepEqual(least, Array(8).fill(200))
    assert.deepEqual(most, [400, 800, 1_600, 3_200, 5_000, 5_000, 5_000, 5_000])
  })

  it('spreads evenly in between', () => {
    assert.equal(retryDelayMs(9, 0.5, bounds), 2_600)
  })

  it('is constant where minimum and maximum are one', () => {
    assert.equal(retryDelayMs(3, 0.7, { minDelayMs: 50, maxDelayMs: 50 }), 50)
  })
})
