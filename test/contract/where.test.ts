/** Filters: the cases of test/cases/filters.json, and what their limits are. */
import assert from 'node:assert/strict'
import test from 'node:test'
import type { JsonObject } from '../../src/contract/json.ts'
import { formatCondition, matchesWhere, maxOperands, parseCondition } from '../../src/contract/where.ts'
import { readCases, resultOf, titleOf } from '../support/cases.ts'

for (const entry of readCases('filters')) {
  test(`filters: ${titleOf(entry)}`, () => {
    const { where, state, matches, error } = entry as {
      where: [string, string][]
      state: JsonObject
      matches?: boolean
      error?: string
    }
    const parsed = resultOf(() => where.map(([name, value]) => parseCondition(name, value)))
    if (!Array.isArray(parsed)) return assert.deepEqual(parsed, { error })
    assert.equal(matchesWhere(state, parsed), matches)
    const written = parsed.map(formatCondition)
    assert.deepEqual(
      written.map(([name, value]) => parseCondition(name, value)),
      parsed,
    )
  })
}

test('an in takes two hundred values', () => {
  const values = (count: number): string => Array.from({ length: count }, (_, index) => index).join(',')
  assert.equal(parseCondition('age:in', values(maxOperands)).operands.length, maxOperands)
  assert.throws(() => parseCondition('age:in', values(maxOperands + 1)), /1 to 200 values/)
})
