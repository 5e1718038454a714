/** Places in JSON text, against texts that are made with known places. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { findJsonFault, findJsonOffset, findRepeatedNames } from '../../src/cli/json-place.ts'

/** All pointers into a value, as lists of names, with the value there. */
function* placesIn(value: unknown, names: readonly string[] = []): Generator<[readonly string[], unknown]> {
  yield [names, value]
  if (typeof value !== 'object' || value === null) return
  for (const [name, inner] of Object.entries(value)) yield* placesIn(inner, [...names, name])
}

test('the offset of every pointer is where its name or item begins', () => {
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 4 }), fc.constantFrom(undefined, 1, '\t'), (value, indent) => {
      const text = JSON.stringify(value, null, indent)
      const known: unknown = JSON.parse(text)
      for (const [names, inner] of placesIn(known)) {
        const rest = text.slice(findJsonOffset(text, names))
        const parent = names
          .slice(0, -1)
          .reduce<unknown>((at, name) => (at as Record<string, unknown>)[name], known)
        const isMember = names.length > 0 && !Array.isArray(parent)
        const begin = isMember ? JSON.stringify(names.at(-1)) : JSON.stringify(inner).slice(0, 1)
        assert.ok(rest.startsWith(begin), `${JSON.stringify(names)} in ${text}: ${rest}`)
      }
    }),
  )
})

test('what is missing is looked for around it', () => {
  const text = '{"b": [{"c": 2}], "a": 3}'
  assert.equal(findJsonOffset(text, ['b', '0', 'x']), 7)
  assert.equal(findJsonOffset(text, ['b', '7']), 1)
  assert.equal(findJsonOffset(text, ['a', 'x']), 18)
})

test('every name that is repeated in its object is found, however it is written, and no other', () => {
  const text = '{"a": [{"b": 1, "c": "b\\"}", "\\u0062": {"b": 2}}], "c": {}, "a": [], "a": 1}'
  assert.deepEqual(findRepeatedNames(text), [
    { offset: text.indexOf('"\\u0062"'), names: ['a', '0', 'b'] },
    { offset: text.indexOf('"a": []'), names: ['a'] },
    { offset: text.indexOf('"a": 1'), names: ['a'] },
  ])
  fc.assert(
    fc.property(fc.jsonValue(), fc.constantFrom(undefined, 1, '\t'), (value, indent) => {
      assert.deepEqual(findRepeatedNames(JSON.stringify(value, null, indent)), [])
    }),
  )
})

test('a character that no JSON has is found where it stands, however long the text before it', () => {
  fc.assert(
    fc.property(fc.array(fc.jsonValue(), { minLength: 1, maxLength: 20 }), values => {
      const text = JSON.stringify(values, null, 1)
      const broken = `${text.slice(0, -1)},@]`
      assert.equal(findJsonFault(broken).offset, broken.length - 2)
    }),
  )
})
