import assert from 'node:assert/strict'
import test from 'node:test'
import fc from 'fast-check'
import {
  type ConnectionAction,
  type ConnectionEvent,
  type ConnectionState,
  stepConnection,
  unconnected,
} from '../../../src/live/browser/connection-machine.ts'

const silenceMs = 45_000

/** Runs events at their times; gives the last state, and all actions. */
function run(
  events: readonly (readonly [atMs: number, ConnectionEvent | ConnectionEvent['type']])[],
  random = 1,
): { state: ConnectionState; actions: readonly ConnectionAction[] } {
  let state = unconnected
  const all: ConnectionAction[] = []
  for (const [now, event] of events) {
    const full = (typeof event === 'string' ? { type: event } : event) as ConnectionEvent
    const [next, ...actions] = stepConnection(state, full, { now, random, silenceMs })
    state = next
    all.push(...actions)
  }
  return { state, actions: all }
}

test('a page connects, and what it hears keeps the connection open', () => {
  const { state, actions } = run([
    [0, 'start'],
    [50, 'heard'],
    [30_000, 'heard'],
    [46_000, 'wake'],
  ])
  assert.deepEqual(actions, ['connect'])
  assert.equal(state.phase, 'open')
  assert.equal(state.wakeAt, 75_000)
})

test('a connection that is silent for too long is given up', () => {
  const { state, actions } = run([
    [0, 'start'],
    [50, 'heard'],
    [45_050, 'wake'],
  ])
  assert.deepEqual(actions, ['connect', 'disconnect'])
  assert.equal(state.phase, 'waiting')
})

test('one that does not say its first word within 10 s is given up', () => {
  assert.equal(
    run([
      [0, 'start'],
      [9_999, 'wake'],
    ]).state.phase,
    'connecting',
  )
  assert.equal(
    run([
      [0, 'start'],
      [10_000, 'wake'],
    ]).state.phase,
    'waiting',
  )
})

test('the waits grow to 10 s, and begin anew when a connection was of use', () => {
  let events: [number, ConnectionEvent['type']][] = [[0, 'start']]
  const waits: number[] = []
  for (let i = 0; i < 9; i++) {
    const { state } = run([...events, [1_000, 'lost']])
    waits.push(state.wakeAt - 1_000)
    events = [...events, [1_000, 'lost'], [1_000, 'doubt']]
  }
  assert.deepEqual(waits, [500, 1_000, 2_000, 4_000, 8_000, 10_000, 10_000, 10_000, 10_000])
  const { state } = run([...events, [1_000, 'heard'], [1_000, 'settled'], [1_000, 'lost']])
  assert.equal(state.wakeAt, 1_500)
})

test('a connection that is taken and then ends without having been of use does not shorten the waits', () => {
  const { state } = run([
    [0, 'start'],
    [0, 'heard'],
    [0, 'lost'],
    [600, 'wake'],
    [600, 'heard'],
    [600, 'lost'],
  ])
  assert.equal(state.wakeAt, 1_600)
})

test('the bridge’s wish for the next try is waited for, and the jitter comes on top', () => {
  assert.equal(
    run(
      [
        [0, 'start'],
        [0, { type: 'lost', retryMs: 2_500 }],
      ],
      0.5,
    ).state.wakeAt,
    2_750,
  )
})

test('each third try in a row is an event stream’s turn', () => {
  const transports = [0, 1, 2, 3, 4, 5].map(count => {
    const tries: [number, ConnectionEvent['type']][] = []
    for (let i = 0; i < count; i++) tries.push([0, 'start'], [0, 'lost'])
    return run(tries).state.transport
  })
  assert.deepEqual(transports, ['websocket', 'websocket', 'sse', 'websocket', 'websocket', 'sse'])
})

test('a page that is put away disconnects, and connects at once when it is back', () => {
  const { state, actions } = run([
    [0, 'start'],
    [0, 'heard'],
    [10, 'leave'],
    [99_999, 'wake'],
    [100_000, 'start'],
  ])
  assert.deepEqual(actions, ['connect', 'disconnect', 'connect'])
  assert.equal(state.phase, 'connecting')
})

test('a doubt asks, and does not wait long for the answer; one after too long a silence connects anew', () => {
  const open: [number, ConnectionEvent['type']][] = [
    [0, 'start'],
    [0, 'heard'],
  ]
  assert.deepEqual(run([...open, [1_000, 'doubt']]).actions, ['connect', 'ask'])
  assert.equal(run([...open, [1_000, 'doubt'], [6_000, 'wake']]).state.phase, 'waiting')
  assert.equal(run([...open, [1_000, 'doubt'], [2_000, 'heard'], [6_000, 'wake']]).state.phase, 'open')
  assert.deepEqual(run([...open, [60_000, 'doubt']]).actions, ['connect', 'disconnect', 'connect'])
})

test('a look at the page doubts only what has been silent for a while', () => {
  const open: [number, ConnectionEvent['type']][] = [
    [0, 'start'],
    [0, 'heard'],
  ]
  assert.deepEqual(run([...open, [1_000, 'look']]).actions, ['connect'])
  assert.deepEqual(run([...open, [30_000, 'look']]).actions, ['connect', 'ask'])
})

test('whatever happens, there is never a second connection, a wait without an end, or a step after the end', () => {
  const types = ['start', 'heard', 'settled', 'wake', 'doubt', 'look', 'leave', 'lost'] as const
  const step = fc.record({
    type: fc.constantFrom(...types, 'end' as const),
    afterMs: fc.integer({ min: 0, max: 60_000 }),
  })
  fc.assert(
    fc.property(
      fc.array(step, { maxLength: 60 }),
      fc.double({ min: 0, max: 0.999, noNaN: true }),
      (steps, random) => {
        let state = unconnected
        let now = 0
        let isConnected = false
        for (const { type, afterMs } of steps) {
          now += afterMs
          const [next, ...actions] = stepConnection(state, { type }, { now, random, silenceMs })
          if (state.phase === 'ended') assert.deepEqual([next, actions], [state, []])
          for (const action of actions) {
            if (action === 'connect') assert.equal(isConnected, false)
            if (action !== 'ask') isConnected = action === 'connect'
          }
          state = next
          assert.equal(isConnected, state.phase === 'connecting' || state.phase === 'open')
          const isTimed =
            ['connecting', 'open'].includes(state.phase) ||
            (state.phase === 'waiting' && state !== unconnected)
          if (isTimed && state.failures > 0) assert.ok(state.wakeAt <= now + 60_000)
          if (isTimed && isConnected) assert.ok(state.wakeAt < Infinity)
        }
      },
    ),
  )
})

test('a connection is changed for a new one without a wait, and without counting as a failure', () => {
  const { state, actions } = run([
    [0, 'start'],
    [1_000, 'heard'],
    [2_000, 'again'],
  ])
  assert.deepEqual([state.phase, state.failures], ['connecting', 0])
  assert.deepEqual(actions.slice(-2), ['disconnect', 'connect'])
})
