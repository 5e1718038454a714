/** Orders: the cases of test/cases/sort-orders.json, and the values that a cursor keeps. */
import assert from 'node:assert/strict'
import test from 'node:test'
import type { JsonObject } from '../../src/contract/json.ts'
import {
  compareSortValues,
  formatSort,
  isSortValue,
  maxSortChars,
  parseSort,
  sortValuesOf,
} from '../../src/contract/sort-order.ts'
import { readCases, resultOf, titleOf } from '../support/cases.ts'

for (const entry of readCases('sort-orders')) {
  test(`orders: ${titleOf(entry)}`, () => {
    const { sort, ordered, error } = entry as { sort: string; ordered: JsonObject[]; error?: string }
    const keys = resultOf(() => parseSort(sort))
    if (!Array.isArray(keys)) return assert.deepEqual(keys, { error })
    assert.equal(formatSort(keys), sort)
    const values = ordered.map(state => sortValuesOf(state, keys))
    for (const [i, a] of values.entries()) {
      for (const [j, b] of values.entries())
        assert.equal(Math.sign(compareSortValues(a, b, keys)), Math.sign(i - j), `${i} ${j}`)
    }
    // A cursor keeps the values as JSON.
    assert.deepEqual(JSON.parse(JSON.stringify(values)), values)
    assert.ok(values.flat().every(value => isSortValue(value as never)))
  })
}

test('of a long text the beginning counts, so that a place stays short', () => {
  const keys = parseSort('name')
  const values = (name: string) => sortValuesOf({ name }, keys)
  const start = 'x'.repeat(maxSortChars)
  assert.equal(compareSortValues(values(`${start}a`), values(`${start}b`), keys), 0)
  assert.deepEqual(values(`${start}a`), [start])
})

test('what an object or array holds has no order', () => {
  const keys = parseSort('name')
  const values = [{ name: { a: 1 } }, { name: [] }, { name: [2] }].map(state => sortValuesOf(state, keys))
  for (const a of values) for (const b of values) assert.equal(compareSortValues(a, b, keys), 0)
  assert.ok(!isSortValue([1]) && !isSortValue({ a: 1 }))
})
