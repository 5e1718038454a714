import assert from 'node:assert/strict'
import test from 'node:test'
import { formatValue, lookUp, parseBindings } from '../../../src/live/browser/binding.ts'

test('a binding names a path, a member and what shows it', () => {
  assert.deepEqual(parseBindings('/users/johndoe#/name title=/users/johndoe#/email'), [
    { name: '', path: '/users/johndoe', tokens: ['name'] },
    { name: 'title', path: '/users/johndoe', tokens: ['email'] },
  ])
  assert.deepEqual(parseBindings('  aria-valuenow=#/a/0/b ', '/builds/1'), [
    { name: 'aria-valuenow', path: '/builds/1', tokens: ['a', '0', 'b'] },
  ])
})

test('names are decoded as in a URL’s fragment', () => {
  const [binding] = parseBindings('/a/b#/x~1y/m~0n/two%20words')
  assert.deepEqual(binding?.tokens, ['x/y', 'm~n', 'two words'])
})

test('what cannot be read, belongs to no path, or would run, is refused in words', () => {
  for (const text of [
    'name',
    '#/name',
    '/users/1',
    'on=',
    'onclick=/a/b#/x',
    'srcdoc=/a/b#/x',
    'STYLE=/a/b#/x',
    '/a b#/x',
  ]) {
    assert.throws(
      () => parseBindings(text),
      { name: 'LockstepError', code: 'invalid-option', message: /^data-live=/ },
      text,
    )
  }
})

test('a member is found through objects and arrays, and nothing is found in texts or prototypes', () => {
  const state = { name: 'Ada', tags: ['x', 'y'], address: { city: 'Oslo' }, none: null }
  assert.equal(lookUp(state, ['tags', '1']), 'y')
  assert.equal(lookUp(state, ['address', 'city']), 'Oslo')
  assert.equal(lookUp(state, ['name', 'length']), undefined)
  assert.equal(lookUp(state, ['toString']), undefined)
  assert.equal(lookUp(state, ['address', 'zip', 'x']), undefined)
  assert.equal(lookUp(state, ['none', 'x']), null)
  assert.equal(lookUp(undefined, ['x']), undefined)
})

test('values are written as people read them', () => {
  const texts = ['x', 0, false, null, undefined, [1, 2]].map(formatValue)
  assert.deepEqual(texts, ['x', '0', 'false', '', '', '[1,2]'])
})
