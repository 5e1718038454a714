import assert from 'node:assert/strict'
import test from 'node:test'
import { isLockstepError } from '../../src/contract/index.ts'
import { Admission } from '../../src/live/admission.ts'

const overloaded = (error: unknown): boolean => isLockstepError(error, 'overloaded')

test('so many connections are let in, in all and from one address, and a place that is left is free again', () => {
  const admission = new Admission({ maxConnections: 3, maxConnectionsPerAddress: 2 }, 0, () => 0)
  const address = admission.enter('a', 0)
  admission.enter('a', 0)
  assert.throws(() => admission.enter('a', 0), overloaded)
  admission.enter('b', 0)
  assert.throws(() => admission.enter('c', 0), overloaded)
  admission.leave(address)
  admission.enter('c', 0)
  assert.equal(admission.connections, 3)
})

test('a storm is let in at a rate, with a second of it at once', () => {
  const admission = new Admission({ maxArrivalsPerSecond: 10 }, 0, () => 0)
  for (let page = 0; page < 10; page++) admission.enter(`a${page}`, 0)
  assert.throws(() => admission.enter('b', 50), overloaded)
  admission.enter('b', 100)
  assert.throws(() => admission.enter('c', 100), overloaded)
  for (let page = 0; page < 10; page++) admission.enter(`d${page}`, 60_000)
  assert.throws(() => admission.enter('e', 60_000), overloaded)
})

test('the window in which pages come back grows with how many they are', () => {
  const admission = new Admission({ maxArrivalsPerSecond: 10, maxConnectionsPerAddress: 100 }, 0, () => 0.5)
  assert.equal(admission.retryAfterMs(), 500)
  for (let page = 0; page < 50; page++) admission.enter('a', page * 1_000)
  assert.equal(admission.retryAfterMs(), 5_000)
})

test('a limit that is no whole number is refused', () => {
  assert.throws(
    () => new Admission({ maxConnections: 0 }, 0, () => 0),
    error => isLockstepError(error, 'invalid-option'),
  )
})
