/** Places in JSON text, against texts that are made with known places. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { findJsonFault, findJsonOffset } from '../../src/cli/json-place.ts'

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

test('a member that is named twice is the last one; what is missing is looked for around it', () => {
  const text = '{"a": 1, "b": [{"c": 2}], "a": 3}'
  assert.equal(findJsonOffset(text, ['a']), 26)
  assert.equal(findJsonOffset(text, ['b', '0', 'x']), 15)
  assert.equal(findJsonOffset(text, ['b', '7']), 9)
  assert.equal(findJsonOffset(text, ['a', 'x']), 26)
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
