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

test('ages count only while the wall clock goes with the monotonic one', () => {
  let [wallMs, monotonicMs] = [1_000 * hourMs, 0]
  const clock = new PruningClock(
    () => wallMs,
    () => monotonicMs,
  )
  const notices: string[] = []
  const ask = (): number => clock.nowMs(({ message }) => void notices.push(message)) - hourMs
  assert.equal(ask(), 999 * hourMs)
  wallMs += 24 * hourMs
  monotonicMs += 24 * hourMs
  assert.equal(ask(), 1_023 * hourMs)
  wallMs += hourMs
  assert.equal(ask(), 1_024 * hourMs)
  wallMs += hourMs + 1
  assert.equal(ask(), Number.NEGATIVE_INFINITY)
  assert.equal(ask(), wallMs - hourMs)
  wallMs -= 2 * hourMs
  assert.equal(ask(), Number.NEGATIVE_INFINITY)
  assert.equal(ask(), wallMs - hourMs)
  assert.deepEqual(
    notices.map(notice => /by (-?\d+) s/.exec(notice)?.[1]),
    ['3600', '-7200'],
  )
})
