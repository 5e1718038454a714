import assert from 'node:assert/strict'
import test from 'node:test'
import fc from 'fast-check'
import {
  checkDepth,
  isEqualJson,
  isJsonObject,
  type Json,
  type JsonObject,
  maxJsonDepth,
  maxStateDepth,
  parseJson,
  setMember,
} from 'lockstep/contract'
import { readCases, resultOf, titleOf } from '../support/cases.ts'

const values = fc.jsonValue({ maxDepth: 5 }) as fc.Arbitrary<Json>

test('JSON texts are read without loss or refused, as the cases say', () => {
  for (const entry of readCases('json-numbers')) {
    const { text, written, error } = entry as { text: string; written: string; error?: string }
    const result = resultOf(() => JSON.stringify(parseJson(text)))
    assert.deepEqual(result, error === undefined ? written : { error }, titleOf(entry))
  }
})

test('whatever JavaScript writes is read back as it was, any number included', () => {
  const numbers = fc.oneof(
    fc.double({ noNaN: true, noDefaultInfinity: true }),
    fc.double({ noNaN: true, min: 2 ** 52, max: 2 ** 80 }).map(Math.round),
    fc.maxSafeInteger(),
  )
  fc.assert(fc.property(values, value => assert.ok(isEqualJson(parseJson(JSON.stringify(value)), value))))
  fc.assert(
    fc.property(numbers, number => assert.ok(isEqualJson(parseJson(JSON.stringify([number])), [number]))),
    { numRuns: 5000 },
  )
})

test('an integer is read exactly when it would be written as the same integer', () => {
  const limit = 10n ** 21n - 1n // Above, JavaScript writes an exponent; json-numbers.json has such cases.
  const integers = fc.oneof(
    fc.bigInt({ min: -limit, max: limit }),
    fc.bigInt({ min: 2n ** 53n - 9n, max: 2n ** 53n + 9n }),
  )
  fc.assert(
    fc.property(integers, fc.constantFrom('', '.0', '.000'), (integer, fraction) => {
      const isSame = String(Number(integer)) === `${integer}`
      const result = resultOf(() => parseJson(`${integer}${fraction}`))
      assert.deepEqual(result, isSame ? Number(integer) : { error: 'unsafe-number' })
    }),
    { numRuns: 5000 },
  )
})

test('a number that is not an integer is refused only where it becomes infinite or 0', () => {
  const digits = fc.stringMatching(/^[1-9][0-9]{0,30}$/)
  fc.assert(
    fc.property(digits, digits, fc.integer({ min: -700, max: 700 }), (whole, part, exponent) => {
      const text = `-${whole}.${part}e${exponent}`
      const number = Number(text)
      const isLost = !Number.isFinite(number) || number === 0
      assert.deepEqual(
        resultOf(() => parseJson(text)),
        isLost ? { error: 'unsafe-number' } : number,
      )
    }),
    { numRuns: 2000 },
  )
})

test('any text at all is read as JSON.parse reads it or refused with a code', () => {
  const pieces = fc.constantFrom(
    '{',
    '}',
    '[',
    ']',
    '"a"',
    '"__proto__"',
    ':',
    ',',
    '1',
    '1e400',
    '9007199254740993',
    'null',
    ' ',
    '\\',
    '"',
  )
  fc.assert(
    fc.property(fc.array(pieces, { maxLength: 12 }), list => {
      const text = list.join('')
      const result = resultOf(() => parseJson(text)) as { error?: string } | null
      if (result?.error === 'invalid-json') assert.throws(() => JSON.parse(text))
      else if (result?.error !== 'unsafe-number') assert.ok(isEqualJson(result as Json, JSON.parse(text)))
    }),
    { numRuns: 5000 },
  )
})

test('a JSON bomb is refused at once: a million levels, ten thousand objects, long runs of digits', () => {
  const start = performance.now()
  assert.deepEqual(
    resultOf(() => parseJson('['.repeat(1_000_000) + ']'.repeat(1_000_000))),
    { error: 'json-too-deep' },
  )
  assert.deepEqual(
    resultOf(() => parseJson(`${'{"a":'.repeat(10_000)}1${'}'.repeat(10_000)}`)),
    { error: 'json-too-deep' },
  )
  assert.deepEqual(
    resultOf(() => parseJson('['.repeat(1_000_000))),
    { error: 'invalid-json' },
  )
  assert.deepEqual(
    resultOf(() => parseJson('9'.repeat(1_000_000))),
    { error: 'unsafe-number' },
  )
  assert.equal(parseJson(`0.${'9'.repeat(1_000_000)}`), 1)
  assert.equal(parseJson(`1.${'0'.repeat(1_000_000)}`), 1)
  assert.equal(parseJson(`9007199254740992.${'0'.repeat(1_000_000)}`), 2 ** 53)
  assert.deepEqual(
    resultOf(() => parseJson(`1e${'9'.repeat(1_000_000)}`)),
    { error: 'unsafe-number' },
  )
  assert.equal((parseJson(`"${'1e9 '.repeat(1_000_000)}"`) as string).length, 4_000_000)
  assert.ok(performance.now() - start < 20_000, 'some step is not linear')
})

test('a state may be nested a little less deeply than a text, so that its message can be read', () => {
  const nested = (levels: number): Json => JSON.parse('['.repeat(levels) + ']'.repeat(levels))
  assert.ok(maxStateDepth + 3 <= maxJsonDepth)
  checkDepth(5)
  checkDepth(nested(maxStateDepth))
  assert.deepEqual(
    resultOf(() => checkDepth(nested(maxStateDepth + 1))),
    { error: 'json-too-deep' },
  )
  checkDepth(nested(maxJsonDepth), maxJsonDepth)
  parseJson(`{"changes":[{"state":{"a":${JSON.stringify(nested(maxStateDepth - 1))}}}]}`)
})

test('the parser gives the reason and what is shown of a foreign number is short', () => {
  assert.throws(() => parseJson('{"a":}'), /The body is not JSON: Unexpected token/)
  assert.throws(
    () => parseJson('1'.repeat(100_000)),
    error => (error as Error).message.length < 200,
  )
})

test('two values are equal exactly when they are written the same with sorted names', () => {
  const sorted = (value: Json): Json => {
    if (Array.isArray(value)) return value.map(sorted)
    if (!isJsonObject(value)) return value
    const result: JsonObject = {}
    for (const name of Object.keys(value).sort()) setMember(result, name, sorted(value[name]!))
    return result
  }
  const small = fc.letrec<{ value: Json }>(tie => ({
    value: fc.oneof(
      { maxDepth: 3 },
      fc.constantFrom<Json>(null, true, false, 0, -0, 1, '', 'a'),
      fc.array(tie('value'), { maxLength: 2 }),
      fc.dictionary(fc.constantFrom('a', 'b', '__proto__', 'constructor', 'toString', '0'), tie('value'), {
        maxKeys: 3,
      }) as fc.Arbitrary<Json>,
    ),
  })).value
  fc.assert(
    fc.property(small, small, (a, b) => {
      assert.equal(isEqualJson(a, b), JSON.stringify(sorted(a)) === JSON.stringify(sorted(b)))
      assert.equal(isEqualJson(a, JSON.parse(JSON.stringify(sorted(a)))), true)
    }),
    { numRuns: 5000 },
  )
})

test('members of the prototype are not members', () => {
  assert.equal(isEqualJson(JSON.parse('{"__proto__":{}}'), {}), false)
  assert.equal(isEqualJson({}, JSON.parse('{"__proto__":{}}')), false)
  assert.equal(isEqualJson(JSON.parse('{"__proto__":{}}'), { a: {} }), false)
  assert.equal(isEqualJson({ toString: 1 }, { valueOf: 1 }), false)
  assert.equal(isEqualJson([], {}), false)
  assert.equal(isEqualJson({}, []), false)
  assert.equal(isEqualJson(undefined, null), false)
  assert.equal(isEqualJson(['a'], { 0: 'a' }), false)
})

test('a member named __proto__ is set as data and changes no prototype', () => {
  const target: JsonObject = {}
  setMember(target, '__proto__', { polluted: true })
  assert.equal(Object.getPrototypeOf(target), Object.prototype)
  assert.equal(JSON.stringify(target), '{"__proto__":{"polluted":true}}')
  setMember(target, '__proto__', 2)
  assert.equal(JSON.stringify(target), '{"__proto__":2}')
})
