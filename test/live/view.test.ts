import assert from 'node:assert/strict'
import test from 'node:test'
import fc from 'fast-check'
import { isLockstepError, type Json, type JsonObject } from '../../src/contract/index.ts'
import { pickFields, project } from '../../src/live/projection.ts'
import {
  type Follow,
  isWithin,
  maxFields,
  maxFollows,
  readFollows,
  toViews,
  visibleOf,
} from '../../src/live/view.ts'

const paths = ['/a', '/a/1', '/a/2', '/a/1/b', '/a/1/b/1', '/c', '/c/1']
const follow: fc.Arbitrary<Follow> = fc.record(
  {
    path: fc.constantFrom(...paths),
    fields: fc.uniqueArray(fc.constantFrom('x', 'y', 'z'), { minLength: 1, maxLength: 3 }),
  },
  { requiredKeys: ['path'] },
)
const follows = fc.array(follow, { minLength: 1, maxLength: 4 })
const read = (list: readonly Follow[]): readonly Follow[] => readFollows(list as unknown as Json)

test('nobody sees through a part of a grant what the grant does not show', () => {
  let within = 0
  fc.assert(
    fc.property(
      follows,
      follows,
      fc.constantFrom(...paths, '/a/9', '/a/9/b/1'),
      (granted, wanted, resource) => {
        if (!isWithin(read(wanted), read(granted))) return
        within += 1
        const [mine, allowed] = [visibleOf(read(wanted), resource), visibleOf(read(granted), resource)]
        if (mine === undefined || allowed === 'all') return
        assert.ok(mine !== 'all' && allowed !== undefined, `${resource} is seen whole or at all`)
        for (const field of mine) assert.ok(allowed.has(field), `${resource} shows ${field}`)
      },
    ),
    { numRuns: 2_000 },
  )
  assert.ok(within > 50)
})

test('a grant is part of itself, and of a whole collection', () => {
  fc.assert(
    fc.property(follows, granted => {
      assert.ok(isWithin(read(granted), read(granted)))
      assert.ok(isWithin(read(granted), read([{ path: '/a' }, { path: '/c' }])))
    }),
  )
})

test('fields of a collection may be followed for one of its resources, and of nothing below it', () => {
  const granted = read([{ path: '/a', fields: ['x', 'y'] }])
  assert.ok(isWithin(read([{ path: '/a/1', fields: ['x', 'id'] }]), granted))
  for (const wanted of [
    { path: '/a/1' },
    { path: '/a/1', fields: ['z'] },
    { path: '/a/1/b', fields: ['x'] },
    { path: '/a/1/b/1', fields: ['x'] },
    { path: '/ab', fields: ['x'] },
  ]) {
    assert.equal(isWithin(read([wanted]), granted), false, JSON.stringify(wanted))
  }
})

test('a view passes on what lies under its paths, narrowed to the fields of all its entries', () => {
  const [view] = toViews(
    read([
      { path: '/a', fields: ['x'] },
      { path: '/a/1', fields: ['y'] },
    ]),
  )
  const message = (resource: string, content: JsonObject): string | undefined =>
    project(
      {
        seq: 1,
        resource,
        text: JSON.stringify({
          ...content,
          resource,
          version: 2,
          time: 't',
          cause: 'c',
          tx: { id: 'i', n: 2 },
          id: 'a:e:1',
        }),
      },
      view!,
    )
  const envelope = { resource: '/a/1', version: 2, time: 't', cause: 'c', id: 'a:e:1' }
  const state = { id: '1', x: 1, y: 2, z: 3 }
  assert.deepEqual(JSON.parse(message('/a/1', { event: 'created', state })!), {
    event: 'created',
    state: { id: '1', x: 1, y: 2 },
    ...envelope,
  })
  assert.deepEqual(JSON.parse(message('/a/2', { event: 'created', state })!).state, { id: '1', x: 1 })
  assert.deepEqual(JSON.parse(message('/a/1', { event: 'modified', changes: { y: null, z: 1 } })!).changes, {
    y: null,
  })
  assert.equal(message('/a/1', { event: 'modified', changes: { z: 1 } }), undefined)
  assert.equal(message('/a/1/b/1', { event: 'created', state }), undefined)
  assert.deepEqual(JSON.parse(message('/a/1', { event: 'deleted' })!), { event: 'deleted', ...envelope })
})

test('no field outside the view is in what a page is sent, for any message', () => {
  const content = fc.dictionary(
    fc.constantFrom('x', 'y', 'z', '__proto__', 'toString'),
    fc.integer(),
  ) as fc.Arbitrary<JsonObject>
  fc.assert(
    fc.property(
      follows,
      fc.constantFrom(...paths),
      content,
      fc.boolean(),
      (list, resource, members, isPatch) => {
        const text = JSON.stringify({
          event: 'modified',
          [isPatch ? 'changes' : 'state']: members,
          resource,
          version: 1,
          id: 'a:e:1',
        })
        for (const view of toViews(read(list))) {
          const sent = project({ seq: 1, resource, text }, view)
          if (sent === undefined) continue
          const visible = visibleOf(view.follows, resource)!
          const shown = JSON.parse(sent)[isPatch ? 'changes' : 'state'] as JsonObject
          for (const name of Object.keys(shown)) assert.ok(visible === 'all' || visible.has(name), name)
          assert.deepEqual(Object.keys(shown), Object.keys(pickFields(members, visible)))
        }
      },
    ),
  )
})

test('pages that follow the same have the same key, in whatever order they say it', () => {
  fc.assert(
    fc.property(
      follows.chain(list =>
        fc.tuple(fc.constant(list), fc.shuffledSubarray(list, { minLength: list.length })),
      ),
      ([one, other]) => {
        const keys = (list: readonly Follow[]): string[] =>
          toViews(read([...list, ...list])).map(({ key }) => key)
        assert.deepEqual(keys(one), keys(other))
      },
    ),
  )
})

test('what cannot be followed is refused with its reason', () => {
  const cases: readonly (readonly [Json | undefined, string])[] = [
    [undefined, 'invalid-frame'],
    [[], 'invalid-frame'],
    [{ path: '/a' }, 'invalid-frame'],
    [['/a'], 'invalid-frame'],
    [[{ path: 7 }], 'invalid-frame'],
    [[{ path: 'a' }], 'invalid-path'],
    [[{ path: '/a/_changes' }], 'invalid-path'],
    [[{ path: '/a', fields: [] }], 'invalid-frame'],
    [[{ path: '/a', fields: [1] }], 'invalid-frame'],
    [
      [{ path: '/a', fields: Array.from({ length: maxFields + 1 }, (_, index) => `f${index}`) }],
      'invalid-frame',
    ],
    [[{ path: '/a', fields: ['x'.repeat(1_000)] }], 'invalid-frame'],
    [Array.from({ length: maxFollows + 1 }, () => ({ path: '/a' })), 'invalid-frame'],
    [Array.from({ length: 33 }, (_, index) => ({ path: `/s${index}` })), 'invalid-frame'],
  ]
  for (const [value, code] of cases) {
    assert.throws(
      () => readFollows(value),
      error => isLockstepError(error) && error.code === code,
      JSON.stringify(value),
    )
  }
})
