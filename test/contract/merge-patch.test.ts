import assert from 'node:assert/strict'
import test from 'node:test'
import fc from 'fast-check'
import {
  applyMergePatch,
  diffMergePatch,
  isEqualJson,
  isJsonObject,
  type Json,
  type JsonObject,
} from 'lockstep/contract'
import { readCases, titleOf } from '../support/cases.ts'

const names = fc.constantFrom('a', 'b', 'c', '', '0', '__proto__', 'constructor', 'toString')
const { value: values, state: states } = fc.letrec<{ value: Json; state: JsonObject }>(tie => ({
  value: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    fc.constantFrom<Json>(null, true, 0, 1, '', 'text'),
    fc.array(tie('value'), { maxLength: 3 }),
    tie('state'),
  ),
  state: fc.dictionary(names, tie('value'), { maxKeys: 4 }) as fc.Arbitrary<JsonObject>,
}))

/** RFC 7396 §2, word by word, on maps instead of objects so that no name is special. */
function applyByTheBook(target: Json | undefined, patch: Json): Json {
  if (!isJsonObject(patch)) return patch
  const result = new Map<string, Json>(isJsonObject(target) ? Object.entries(target) : [])
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) result.delete(name)
    else result.set(name, applyByTheBook(result.get(name), value))
  }
  return Object.fromEntries(result)
}

function hasNull(value: Json): boolean {
  return value === null || (isJsonObject(value) && Object.values(value).some(hasNull))
}

test('patches are applied and found as the cases say', () => {
  for (const entry of readCases('merge-patch')) {
    const { original, patch, result, before, after, changes } = entry as Record<string, Json>
    if (patch !== undefined) {
      assert.deepEqual(applyMergePatch(original, patch), result, titleOf(entry))
    } else {
      const found = diffMergePatch(before as JsonObject, after as JsonObject)
      assert.deepEqual(found ?? null, changes, titleOf(entry))
      if (found !== undefined) assert.ok(isEqualJson(applyMergePatch(before, found), after), titleOf(entry))
    }
  }
})

test('applying agrees with the text of RFC 7396 and leaves both arguments alone', () => {
  fc.assert(
    fc.property(fc.option(values, { nil: undefined }), values, (target, patch) => {
      const texts = [JSON.stringify(target), JSON.stringify(patch)]
      const result = applyMergePatch(target, patch)
      assert.ok(isEqualJson(result, applyByTheBook(target, patch)))
      assert.deepEqual([JSON.stringify(target), JSON.stringify(patch)], texts)
      assert.equal(Object.getOwnPropertyNames(Object.prototype).includes('polluted'), false)
    }),
    { numRuns: 5000 },
  )
})

test('a patch that is found gives exactly the state after, also once it was sent as text', () => {
  fc.assert(
    fc.property(states, states, (before, after) => {
      const changes = diffMergePatch(before, after)
      if (changes === undefined) return
      const sent = JSON.parse(JSON.stringify(changes)) as Json
      assert.ok(isEqualJson(applyMergePatch(before, sent), after))
      assert.equal(Object.keys(changes).length === 0, isEqualJson(before, after))
    }),
    { numRuns: 10_000 },
  )
})

test('a patch is found wherever there is one: always where no null is in the state after', () => {
  fc.assert(
    fc.property(states, states, (before, after) => {
      if (!hasNull(after)) assert.notEqual(diffMergePatch(before, after), undefined)
    }),
    { numRuns: 5000 },
  )
  // A state that some patch made can be said by a patch: by that one, if by no other.
  fc.assert(
    fc.property(states, states, (before, patch) => {
      assert.notEqual(diffMergePatch(before, applyMergePatch(before, patch) as JsonObject), undefined)
    }),
    { numRuns: 5000 },
  )
})

test('a found patch names nothing that did not change', () => {
  fc.assert(
    fc.property(states, states, (before, after) => {
      for (const name of Object.keys(diffMergePatch(before, after) ?? {})) {
        const [old, now] = [before, after].map(state =>
          Object.hasOwn(state, name) ? state[name] : undefined,
        )
        assert.equal(isEqualJson(old, now), false, name)
      }
    }),
    { numRuns: 5000 },
  )
})

test('a hundred thousand members are compared and patched in linear time', () => {
  const before: JsonObject = {}
  const after: JsonObject = {}
  for (let index = 0; index < 100_000; index++) {
    before[`k${index}`] = index
    if (index % 3 !== 0) after[`k${index}`] = index % 2 === 0 ? index : `${index}`
  }
  const start = performance.now()
  const changes = diffMergePatch(before, after)!
  assert.equal(Object.keys(changes).length, 66_667)
  assert.ok(isEqualJson(applyMergePatch(before, changes), after))
  assert.ok(performance.now() - start < 20_000)
})
