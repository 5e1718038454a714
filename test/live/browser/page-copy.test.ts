import assert from 'node:assert/strict'
import test from 'node:test'
import { applyMergePatch, PageCopy } from '../../../src/live/browser/page-copy.ts'
import { createStates } from '../../../src/live/browser/views.ts'
import { readCases } from '../../support/cases.ts'

const id = 'people:e:9'

test('the patches of the protocol’s cases give what they say', () => {
  let count = 0
  for (const { original, patch, result } of readCases('merge-patch')) {
    if (patch === undefined) continue
    assert.deepEqual(applyMergePatch(original as never, patch as never), result)
    count++
  }
  assert.ok(count > 10)
})

test('a version at or below the held one is dropped, a deletion’s too', () => {
  const copy = new PageCopy({ '/people/1': { version: 5, state: { id: '1', name: 'Ada' } } })
  const old = { event: 'modified', resource: '/people/1', version: 5, changes: { name: 'Old' }, id } as const
  assert.equal(copy.apply(old), undefined)
  copy.apply({ event: 'deleted', resource: '/people/1', version: 6, id })
  assert.equal(
    copy.apply({ event: 'created', resource: '/people/1', version: 6, state: { id: '1' }, id }),
    undefined,
  )
  assert.equal(copy.get('/people/1'), undefined)
  const change = copy.apply({ event: 'created', resource: '/people/1', version: 7, state: { id: '1' }, id })
  assert.equal(change?.event, 'created')
  assert.deepEqual(copy.get('/people/1'), { id: '1' })
})

test('changes go onto what is held, whichever version it has', () => {
  const copy = new PageCopy({ '/people/1': { version: 5, state: { id: '1', name: 'Ada', age: 1 } } })
  const change = copy.apply({ event: 'modified', resource: '/people/1', version: 9, changes: { age: 2 }, id })
  assert.deepEqual(change?.state, { id: '1', name: 'Ada', age: 2 })
  assert.deepEqual(change?.previous, { id: '1', name: 'Ada', age: 1 })
})

test('what is not held is not made up from a patch', () => {
  const copy = new PageCopy({ '/people/1': { version: 5 } })
  for (const path of ['/people/1', '/people/2']) {
    const change = copy.apply({ event: 'modified', resource: path, version: 6, changes: { age: 2 }, id })
    assert.deepEqual([change?.state, change?.changes], [undefined, { age: 2 }])
    assert.equal(copy.get(path), undefined)
  }
  assert.equal(copy.entries.has('/people/2'), false)
})

test('views read resources by path, and collections in order of their paths without what lies deeper', () => {
  const states = createStates({
    '/people/b': { version: 1, state: { id: 'b' } },
    '/people/a/friends/x': { version: 1, state: { id: 'x' } },
    '/people/a': { version: 1, state: { id: 'a' } },
    '/people/c': { version: 1 },
  })
  assert.deepEqual(states.list('/people'), [{ id: 'a' }, { id: 'b' }])
  assert.deepEqual(states.list('/people/a/friends'), [{ id: 'x' }])
  assert.equal(states.get('/people/c'), undefined)
})
