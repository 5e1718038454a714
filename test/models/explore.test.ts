/** Holds what the models rely on: shortest ways, a search that is never cut short unseen, and states without a way out. */
import assert from 'node:assert/strict'
import test from 'node:test'
import { explore, exploreAll, type Model, stuck } from './explore.ts'

/** Counts in steps of 1 and 3 from 0; at `limit` nothing more happens. */
function createCounter(limit: number, { bad, trap }: { bad?: number; trap?: number } = {}): Model<number> {
  return {
    initial: 0,
    key: String,
    visit(count, { step, breaks, reaches, rests }) {
      if (count === bad) breaks('B bad', `${count} is bad`)
      if (count === 7) reaches('seven')
      if (count === limit) rests()
      if (count >= limit || count === trap) return
      step('one', count + 1)
      step('three', Math.min(count + 3, limit))
    },
  }
}

test('it visits every state once and gives the shortest way to a failure', () => {
  const { stateCount, broken, reached } = explore(createCounter(10, { bad: 5 }))
  assert.equal(stateCount, 11)
  assert.deepEqual([...broken], [['B bad', ['one', 'one', 'three', '5 is bad']]])
  assert.deepEqual([...reached], ['seven'])
})

test('it gives a state from which no state of rest can be reached', () => {
  const { broken } = explore(createCounter(10, { trap: 8 }))
  assert.deepEqual(
    [...broken],
    [[stuck, ['one', 'one', 'three', 'three', 'from here nothing leads to rest']]],
  )
})

test('it finds steps that go round for ever', () => {
  const { broken } = explore<string>({
    initial: 'a',
    key: state => state,
    visit(state, { step }) {
      step('on', state === 'a' ? 'b' : 'a')
    },
  })
  assert.deepEqual([...broken.keys()], [stuck])
})

test('it refuses a model of more states than allowed', () => {
  assert.equal(explore(createCounter(10), { maxStates: 11 }).stateCount, 11)
  assert.throws(() => explore(createCounter(10), { maxStates: 10 }), /more than 10 states/)
})

test('several models give the shortest way of all of them', () => {
  const { stateCount, broken } = exploreAll([createCounter(10, { bad: 8 }), createCounter(4, { bad: 3 })])
  assert.equal(stateCount, 16)
  assert.deepEqual(broken.get('B bad'), ['three', '3 is bad'])
})
