/** The relay's window as a pure machine: any order of sending, answers and failures publishes the whole stream in order. */
import assert from 'node:assert/strict'
import test from 'node:test'
import fc from 'fast-check'
import {
  createRelayWindow,
  formOf,
  jumpTo,
  maxTries,
  noteAcked,
  noteLost,
  noteRefused,
  noteSent,
  type RelayWindow,
  roomIn,
} from '../../src/service/relay-window.ts'

const sendUpTo = (window: RelayWindow, seq: number): RelayWindow =>
  window.sent >= seq ? window : sendUpTo(noteSent(window, window.sent + 1), seq)

test('a window goes out in order and takes back nothing that was acknowledged', () => {
  let window = sendUpTo(createRelayWindow('e', 10), 13)
  assert.throws(() => noteSent(window, 15), /15 after 13/)
  assert.equal(roomIn(window, 4), 1)
  window = noteAcked(window, 0, 12)
  assert.equal(window.acked, 10)
  window = noteAcked(window, 0, 11)
  assert.equal(window.acked, 12)
  window = noteLost(window, 0)
  assert.deepEqual([window.acked, window.sent, window.turn], [12, 12, 1])
})

test('what was acknowledged above a hole goes out again after a loss', () => {
  let window = sendUpTo(createRelayWindow('e', 0), 3)
  window = noteLost(noteAcked(window, 0, 3), 0)
  assert.deepEqual([window.acked, window.sent, window.ackedAhead.size], [0, 0, 0])
})

test('an answer to an earlier turn says nothing about this one', () => {
  const before = sendUpTo(noteLost(sendUpTo(createRelayWindow('e', 0), 2), 0), 2)
  assert.equal(noteAcked(before, 0, 1), before)
  assert.equal(noteLost(before, 0), before)
  assert.equal(noteRefused(before, 0, 1), before)
  const jumped = jumpTo(before, 'f', 9)
  assert.equal(noteAcked(jumped, 1, 9), jumped)
})

test('a change that is refused goes out whole, then without its content, then not at all', () => {
  let window = createRelayWindow('e', 0)
  const forms: string[] = []
  for (let round = 0; round < 2 * maxTries + 1; round++) {
    forms.push(formOf(window, 1))
    window = noteRefused(noteSent(window, 1), window.turn, 1)
  }
  assert.deepEqual(forms, ['whole', 'whole', 'whole', 'ref', 'ref', 'ref', 'skip'])
})

test('a change that is refused for good is not tried again in the same form', () => {
  const once = noteRefused(noteSent(createRelayWindow('e', 0), 1), 0, 1, true)
  assert.equal(formOf(once, 1), 'ref')
  assert.equal(formOf(noteRefused(noteSent(once, 1), 1, 1, true), 1), 'skip')
})

test('after a turn without progress changes go one at a time, until all that were on their way are through', () => {
  let window = noteLost(sendUpTo(createRelayWindow('e', 0), 3), 0)
  for (const seq of [1, 2, 3]) {
    assert.equal(roomIn(window, 128), 1)
    window = noteSent(window, seq)
    assert.equal(roomIn(window, 128), 0)
    window = noteAcked(window, 1, seq)
  }
  assert.equal(roomIn(window, 128), 128)
})

test('a turn that was getting on when the connection went is simply continued', () => {
  const window = noteLost(noteAcked(sendUpTo(createRelayWindow('e', 0), 3), 0, 1), 0)
  assert.equal(roomIn(window, 128), 128)
})

test('a change that breaks the connection loses its content at last, but is never left out for that', () => {
  let window = noteLost(sendUpTo(createRelayWindow('e', 0), 3), 0)
  for (let round = 0; round < 10 * maxTries; round++) window = noteLost(noteSent(window, 1), window.turn)
  assert.equal(formOf(window, 1), 'ref')
  assert.equal(formOf(window, 2), 'whole')
})

/**
 * A broker with some changes that it refuses in some forms, and some that break the connection, driven by any
 * sequence of choices; when the choices are over it answers everything in order.
 */
interface World {
  readonly published: { seq: number; form: string }[]
  window: RelayWindow
  /** Given to the broker in this turn, not answered. */
  inFlight: { seq: number; turn: number; form: string }[]
}

type Poison = ReadonlyMap<number, 'refuses whole' | 'refuses all' | 'too large' | 'breaks'>

function answer(world: World, poison: Poison, index: number): void {
  const [call] = world.inFlight.splice(index, 1)
  if (call === undefined) return
  const { seq, turn, form } = call
  const fault = poison.get(seq)
  if (fault === 'breaks' && form === 'whole') {
    world.inFlight = []
    world.window = noteLost(world.window, world.window.turn)
  } else if (fault === 'refuses all' || (fault === 'refuses whole' && form === 'whole')) {
    world.window = noteRefused(world.window, turn, seq)
  } else if (fault === 'too large' && form === 'whole') {
    world.window = noteRefused(world.window, turn, seq, true)
  } else {
    world.published.push({ seq, form })
    world.window = noteAcked(world.window, turn, seq)
  }
}

function send(world: World, head: number, size: number): void {
  while (roomIn(world.window, size) > 0 && world.window.sent < head) {
    const seq = world.window.sent + 1
    const form = formOf(world.window, seq)
    const { turn } = world.window
    world.window = noteSent(world.window, seq)
    if (form === 'skip') world.window = noteAcked(world.window, turn, seq)
    else world.inFlight.push({ seq, turn, form })
  }
}

test('whatever happens on the way, each change is published, in order but for repetitions, and it ends', () => {
  const head = 12
  const poison = fc.dictionary(
    fc.integer({ min: 1, max: head }).map(String),
    fc.constantFrom('refuses whole', 'refuses all', 'too large', 'breaks'),
    { maxKeys: 4 },
  )
  const choices = fc.array(
    fc.oneof(
      fc.constant({ kind: 'send' as const, at: 0 }),
      fc.record({ kind: fc.constant('answer' as const), at: fc.nat(7) }),
      fc.constant({ kind: 'lose' as const, at: 0 }),
    ),
    { maxLength: 80 },
  )
  fc.assert(
    fc.property(poison, choices, fc.integer({ min: 1, max: 8 }), (faults, steps, size) => {
      const poisoned: Poison = new Map(Object.entries(faults).map(([seq, fault]) => [Number(seq), fault]))
      const world: World = { published: [], window: createRelayWindow('e', 0), inFlight: [] }
      for (const { kind, at } of steps) {
        const { acked, failures } = world.window
        if (kind === 'send') send(world, head, size)
        else if (kind === 'answer') answer(world, poisoned, at)
        else {
          world.window = noteLost(world.window, world.window.turn)
          world.inFlight = []
        }
        assert.ok(world.window.acked >= acked, 'the published prefix never shrinks')
        assert.ok(world.window.sent <= head && world.window.ackedAhead.size < size)
        assert.ok(failures.size <= head)
      }
      let rounds = 0
      while (world.window.acked < head) {
        send(world, head, size)
        // Answers come in the order of the calls, and what is too large is refused before it leaves.
        const local = world.inFlight.findIndex(
          ({ seq, form }) => poisoned.get(seq) === 'too large' && form === 'whole',
        )
        answer(world, poisoned, Math.max(0, local))
        if (++rounds > 2_000) assert.fail('it does not come to an end')
      }
      const first = new Map<number, number>()
      for (const [index, { seq }] of world.published.entries()) if (!first.has(seq)) first.set(seq, index)
      for (let seq = 1; seq <= head; seq++) {
        if (poisoned.get(seq) === 'refuses all') continue
        assert.ok(first.has(seq), `${seq} was published`)
      }
      assert.equal(world.window.failures.size, 0)
    }),
    { numRuns: 2_000 },
  )
})

test('two changes that are refused in turn do not keep each other from being given up', () => {
  const poisoned: Poison = new Map([
    [1, 'refuses all'],
    [3, 'too large'],
  ])
  const world: World = { published: [], window: createRelayWindow('e', 0), inFlight: [] }
  for (let round = 0; world.window.acked < 3; round++) {
    assert.ok(round < 50, 'it does not come to an end')
    send(world, 3, 8)
    const local = world.inFlight.findIndex(({ seq, form }) => seq === 3 && form === 'whole')
    answer(world, poisoned, Math.max(0, local))
  }
  assert.deepEqual(
    [...new Set(world.published.map(({ seq, form }) => `${seq} ${form}`))],
    ['2 whole', '3 ref'],
  )
})
