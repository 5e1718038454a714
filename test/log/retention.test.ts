import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isLockstepError } from '../../src/contract/index.ts'
import { defaultRetention, lastToPrune, PruningClock, readRetention } from '../../src/log/retention.ts'

const hourMs = 3_600_000

test('a change goes when it is too old or one too many, but the newest stay', () => {
  const limits = { ...defaultRetention, maxRows: 100, minRows: 10 }
  // head, last of the old ones → last to go
  assert.equal(lastToPrune(1_000, 0, limits), 900)
  assert.equal(lastToPrune(1_000, 950, limits), 950)
  assert.equal(lastToPrune(1_000, 1_000, limits), 990)
  assert.equal(lastToPrune(50, 0, limits), 0)
  assert.equal(lastToPrune(1_000, 0, { ...limits, minRows: 200 }), 800)
})

test('what is not said about retention has its default, and nonsense is refused', () => {
  assert.deepEqual(readRetention(), defaultRetention)
  assert.deepEqual(readRetention({ maxRows: 7 }), { ...defaultRetention, maxRows: 7 })
  assert.deepEqual(readRetention({ maxRows: undefined }), defaultRetention)
  for (const value of [-1, Number.NaN]) {
    assert.throws(
      () => readRetention({ minRows: value }),
      error => isLockstepError(error, 'invalid-option'),
    )
  }
})

test('where the wall clock jumps ahead, ages go on by the monotonic one until both agree again', () => {
  let [wallMs, monotonicMs] = [1_000 * hourMs, 0]
  const clock = new PruningClock(
    () => wallMs,
    () => monotonicMs,
  )
  const notices: string[] = []
  const ask = (): number => clock.nowMs(({ message }) => void notices.push(message)) / hourMs
  const pass = (hours: number): void => {
    wallMs += hours * hourMs
    monotonicMs += hours * hourMs
  }
  assert.equal(ask(), 1_000)
  pass(24)
  assert.equal(ask(), 1_024)
  wallMs += hourMs
  assert.equal(ask(), 1_025)
  wallMs += 2 * hourMs
  assert.equal(ask(), 1_025)
  pass(10)
  assert.equal(ask(), 1_035)
  assert.equal(notices.length, 1)
  assert.match(notices[0]!, /by 7200 s/)
  wallMs -= 2 * hourMs
  assert.equal(ask(), 1_035)
  // Set back, everything is younger, so it is believed; what comes after is measured from there.
  wallMs -= 5 * hourMs
  assert.equal(ask(), 1_030)
  wallMs += 5 * hourMs
  assert.equal(ask(), 1_030)
  assert.equal(notices.length, 2)
})
