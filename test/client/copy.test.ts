import assert from 'node:assert/strict'
import test from 'node:test'
import {
  applyMessage,
  buryResource,
  type Copy,
  createCopy,
  heldVersion,
  type Outcome,
  pruneTombstones,
  putState,
  replaceContent,
} from '../../src/client/copy.ts'
import type { ChangeMessage, JsonObject } from '../../src/contract/index.ts'

function copyOf(items: Readonly<Record<string, [version: number, state: JsonObject]>>): Copy {
  const copy = createCopy()
  for (const [id, [version, state]] of Object.entries(items)) putState(copy, id, version, state)
  return copy
}

function apply(copy: Copy, event: string, version: number, content: object = {}, seq = version): Outcome {
  const message = {
    event,
    version,
    id: `people:e1:${seq}`,
    resource: '/people/a',
    ...content,
  } as ChangeMessage
  return applyMessage(copy, 'a', message, { seq, isLatest: false })
}

test('a version at or below the one held is dropped, of a deleted resource too', () => {
  const copy = copyOf({ a: [3, { x: 1 }] })
  for (const version of [1, 2, 3]) assert.equal(apply(copy, 'modified', version, { state: { x: 2 } }), 'old')
  apply(copy, 'deleted', 4)
  assert.equal(apply(copy, 'created', 4, { state: {} }), 'old')
  assert.deepEqual([...copy.states], [])
})

test('changes go onto exactly the version before, without touching what was shown', () => {
  const copy = copyOf({ a: [3, { x: 1, deep: { y: 1 } }] })
  const before = copy.states.get('a')
  const outcome = apply(copy, 'modified', 4, { changes: { x: null, deep: { z: 2 } } })
  assert.deepEqual(outcome, {
    id: 'a',
    event: 'modified',
    version: 4,
    state: { deep: { y: 1, z: 2 } },
    previous: { x: 1, deep: { y: 1 } },
    changes: { x: null, deep: { z: 2 } },
  })
  assert.deepEqual(before, { x: 1, deep: { y: 1 } })
  assert.equal(apply(copy, 'modified', 6, { changes: { x: 1 } }), 'fetch')
  assert.equal(apply(createCopy(), 'modified', 1, { changes: { x: 1 } }), 'fetch')
})

test('a whole state goes onto anything older that is there', () => {
  const copy = copyOf({ a: [3, { x: 1 }] })
  assert.equal((apply(copy, 'modified', 9, { state: { x: 2 } }) as { event: string }).event, 'modified')
  assert.equal(heldVersion(copy, 'a'), 9)
})

test('a creation comes into the copy; a modification of what is not there is fetched', () => {
  assert.equal((apply(createCopy(), 'created', 7, { state: {} }) as { event: string }).event, 'created')
  assert.equal(apply(createCopy(), 'modified', 7, { state: {} }), 'fetch')
  assert.equal(apply(createCopy(), 'created', 7, { ref: true }), 'fetch')
})

test('a latest state goes onto anything older', () => {
  const copy = createCopy()
  buryResource(copy, 'a', { version: 3, seq: 3, exact: false })
  const message = {
    event: 'modified',
    version: 7,
    id: 'people:e1:9',
    resource: '/people/a',
    state: {},
  } as const
  const outcome = applyMessage(copy, 'a', message, { seq: 9, isLatest: true })
  assert.equal((outcome as { event: string }).event, 'created')
})

test('a deletion that was seen lets the next creation through', () => {
  const copy = copyOf({ a: [3, {}] })
  assert.equal((apply(copy, 'deleted', 4) as { event: string }).event, 'deleted')
  assert.equal((apply(copy, 'created', 5, { state: {} }) as { event: string }).event, 'created')
})

test('after a deletion that only a response told, earlier lives do not come back', () => {
  const copy = copyOf({ a: [3, {}] })
  buryResource(copy, 'a', { version: 4, seq: 20, exact: false })
  assert.equal(apply(copy, 'created', 9, { state: {} }, 20), 'old')
  assert.equal(apply(copy, 'deleted', 10, {}, 21), 'hidden')
  assert.equal(apply(copy, 'created', 11, { state: {} }, 22), 'fetch')
})

test('after a deletion that a latest state told, earlier lives do not come back either', () => {
  const copy = copyOf({ a: [3, {}] })
  const deleted = { event: 'deleted', version: 8, id: 'people:e1:20', resource: '/people/a' } as const
  applyMessage(copy, 'a', deleted, { seq: 20, isLatest: true })
  pruneTombstones(copy, 30)
  assert.equal(apply(copy, 'created', 7, { state: {} }, 31), 'old')
  assert.equal(apply(copy, 'created', 9, { state: {} }, 32), 'fetch')
})

test('a deletion of what was never shown changes nothing that is shown', () => {
  assert.equal(apply(createCopy(), 'deleted', 4), 'hidden')
})

test('a baseline replaces the copy and gives the differences only', () => {
  const copy = copyOf({ a: [1, { x: 1 }], b: [1, {}], c: [1, { y: 1 }] })
  const same = copy.states.get('c')
  const content = {
    seq: 9,
    states: new Map<string, JsonObject>([
      ['a', { x: 2 }],
      ['c', { y: 1 }],
      ['d', {}],
    ]),
    versions: new Map([
      ['a', 2],
      ['c', 1],
      ['d', 1],
    ]),
  }
  const { states } = copy
  const differences = replaceContent(copy, content, true).map(({ event, id, version }) => [
    event,
    id,
    version,
  ])
  assert.deepEqual(differences, [
    ['deleted', 'b', 2],
    ['modified', 'a', 2],
    ['created', 'd', 1],
  ])
  assert.equal(copy.states, states)
  assert.equal(copy.states.get('c'), same)
  assert.deepEqual(replaceContent(copy, content, true), [])
})

test('within an epoch a baseline takes nothing back', () => {
  const copy = copyOf({ a: [5, { x: 5 }] })
  buryResource(copy, 'b', { version: 4, seq: 3, exact: true })
  const content = {
    seq: 9,
    states: new Map<string, JsonObject>([
      ['a', { x: 4 }],
      ['b', {}],
    ]),
    versions: new Map([
      ['a', 4],
      ['b', 4],
    ]),
  }
  assert.deepEqual(replaceContent(copy, content, true), [])
  assert.deepEqual([...copy.states], [['a', { x: 5 }]])
})

test('in a new epoch versions may be lower, and old deletions mean nothing', () => {
  const copy = copyOf({ a: [5, { x: 5 }], c: [9, {}] })
  buryResource(copy, 'b', { version: 4, seq: 3, exact: true })
  const content = {
    seq: 1,
    states: new Map<string, JsonObject>([
      ['a', { x: 4 }],
      ['b', {}],
    ]),
    versions: new Map([
      ['a', 4],
      ['b', 2],
    ]),
  }
  const differences = replaceContent(copy, content, false).map(({ event, id, version }) => [
    event,
    id,
    version,
  ])
  assert.deepEqual(differences, [
    ['deleted', 'c', 0],
    ['modified', 'a', 4],
    ['created', 'b', 2],
  ])
  assert.deepEqual([...copy.tombstones], [['c', { version: 0, seq: 1, exact: false }]])
})

test('a deletion is forgotten when no message before it can come any more', () => {
  const copy = copyOf({ a: [1, {}], b: [1, {}], c: [1, {}] })
  buryResource(copy, 'a', { version: 2, seq: 7, exact: true })
  buryResource(copy, 'b', { version: 2, seq: 8, exact: true })
  buryResource(copy, 'c', { version: 2, seq: 3, exact: false })
  pruneTombstones(copy, 7)
  assert.deepEqual([...copy.tombstones.keys()], ['b', 'c'])
})

test('no more than ten thousand doubtful deletions are remembered, the oldest go first', () => {
  const copy = createCopy()
  for (let index = 0; index < 10_010; index++)
    buryResource(copy, `${index}`, { version: 2, seq: 1, exact: false })
  pruneTombstones(copy, 5)
  assert.equal(copy.tombstones.size, 10_000)
  assert.equal(copy.tombstones.has('9'), false)
  assert.equal(copy.tombstones.has('10'), true)
})
