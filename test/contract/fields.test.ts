/** Fields: the cases of test/cases/fields.json, and their limits. */
import assert from 'node:assert/strict'
import test from 'node:test'
import { formatFields, maxFields, parseFields, selectFields } from '../../src/contract/fields.ts'
import { type JsonObject, parseJson } from '../../src/contract/json.ts'
import { readCases, resultOf, titleOf } from '../support/cases.ts'

for (const entry of readCases('fields')) {
  test(`fields: ${titleOf(entry)}`, () => {
    const {
      fields: text,
      formatted,
      state,
      selected,
      error,
    } = entry as Record<string, string> & {
      state: JsonObject
      selected: JsonObject
    }
    const fields = resultOf(() => parseFields(text!))
    if (!(fields instanceof Map)) return assert.deepEqual(fields, { error })
    assert.equal(formatFields(fields), formatted)
    assert.equal(formatFields(parseFields(formatted!)), formatted)
    assert.equal(JSON.stringify(selectFields(state, fields)), JSON.stringify(selected))
  })
}

test('a member named __proto__ is a member', () => {
  const state = parseJson('{"id":"a","__proto__":{"x":1,"y":2}}') as JsonObject
  assert.equal(
    JSON.stringify(selectFields(state, parseFields('__proto__/x'))),
    '{"id":"a","__proto__":{"x":1}}',
  )
})

test('a hundred fields may be named', () => {
  const names = (count: number): string => Array.from({ length: count }, (_, index) => `f${index}`).join(',')
  assert.equal(parseFields(names(maxFields)).size, maxFields + 1)
  assert.throws(() => parseFields(names(maxFields + 1)), /more than 100 members/)
})
