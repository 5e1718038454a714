import assert from 'node:assert/strict'
import test from 'node:test'
import fc from 'fast-check'
import {
  type EntityTag,
  formatCollectionTag,
  formatResourceTag,
  isSameTagStrong,
  isSameTagWeak,
  parseEntityTag,
  parseTagCondition,
  satisfiesIfMatch,
  satisfiesIfNoneMatch,
} from 'lockstep/contract'
import { readCases, resultOf, titleOf } from '../support/cases.ts'

/** The forms of a case in etags.json, told apart by their members. */
interface TagCase {
  a?: string
  b: string
  strong: boolean
  weak: boolean | null
  opaque: string
  epoch?: string
  version?: number
  seq: number
  variant?: string
  tag: string
  text?: string
  condition: string
  current: string | null
  ifMatch: boolean | string
  ifNoneMatch: boolean | string
}

test('entity tags are written, read, compared and used as conditions as the cases say', () => {
  for (const entry of readCases('etags')) {
    const title = titleOf(entry)
    const { a, b, strong, weak, opaque, epoch, version, seq, variant, tag, text, ...rest } =
      entry as unknown as TagCase
    if (a !== undefined) {
      const tags = [parseEntityTag(a)!, parseEntityTag(b)!] as const
      assert.deepEqual([isSameTagStrong(...tags), isSameTagWeak(...tags)], [strong, weak], title)
    } else if (epoch !== undefined) {
      const isCollection = version === undefined
      const made = isCollection
        ? formatCollectionTag(epoch, seq, variant)
        : formatResourceTag(epoch, version, variant)
      assert.equal(made, tag, title)
      assert.deepEqual(parseEntityTag(made), { weak: false, opaque: made.slice(1, -1) }, title)
    } else if (text !== undefined) {
      assert.deepEqual(parseEntityTag(text), weak === null ? undefined : { weak, opaque }, title)
    } else {
      const { condition, ifMatch, ifNoneMatch } = rest
      const current = rest.current ?? undefined
      const expect = (result: boolean | string) => (typeof result === 'string' ? { error: result } : result)
      assert.deepEqual(
        resultOf(() => satisfiesIfMatch(condition, current)),
        expect(ifMatch),
        title,
      )
      assert.deepEqual(
        resultOf(() => satisfiesIfNoneMatch(condition, current)),
        expect(ifNoneMatch),
        title,
      )
    }
  }
})

test('any list of tags is read as these tags', () => {
  const tags: fc.Arbitrary<EntityTag> = fc.record(
    {
      weak: fc.boolean(),
      opaque: fc.stringMatching(/^[!#-~\x80-\xff]{0,5}$/),
    },
    { noNullPrototype: true },
  )
  const separators = fc.constantFrom(',', ', ', ' ,\t', ',,', ', ,')
  fc.assert(
    fc.property(fc.array(tags, { minLength: 1, maxLength: 5 }), separators, (list, separator) => {
      const text = list.map(({ weak, opaque }) => `${weak ? 'W/' : ''}"${opaque}"`).join(separator)
      assert.deepEqual(parseTagCondition(text), list)
    }),
  )
})

test('any other text is refused, so that a misspelt condition lets no write through', () => {
  const pieces = fc.constantFrom('"a"', '"b', 'W/', '*', ',', ' ', 'a', '"')
  const list = /^[ ,]*(?:(?:W\/)?"[^ "]*" *(?:,[ ,]*|$))+$/
  fc.assert(
    fc.property(fc.array(pieces, { maxLength: 8 }), parts => {
      const text = parts.join('')
      const isCondition = text.trim() === '*' || list.test(text)
      assert.equal('error' in Object(resultOf(() => parseTagCondition(text))), !isCondition, text)
    }),
    { numRuns: 5000 },
  )
})

test('hostile conditions are refused in linear time', () => {
  const start = performance.now()
  for (const text of [
    '"'.repeat(1_000_001),
    `${' '.repeat(1_000_000)}x`,
    'W/'.repeat(500_000),
    `"${',"'.repeat(500_000)}x`,
    ','.repeat(1_000_000),
    '"a" '.repeat(250_000),
  ]) {
    assert.deepEqual(
      resultOf(() => parseTagCondition(text)),
      { error: 'invalid-condition' },
      text.slice(0, 20),
    )
  }
  assert.ok(performance.now() - start < 20_000)
})
