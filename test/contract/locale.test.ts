/** Languages: the cases of test/cases/languages.json, and what is a tag at all. */
import assert from 'node:assert/strict'
import test from 'node:test'
import { isLanguageTag, lookupLanguage, parseLanguageRanges } from '../../src/contract/locale.ts'
import { readCases, titleOf } from '../support/cases.ts'

for (const entry of readCases('languages')) {
  test(`languages: ${titleOf(entry)}`, () => {
    const { acceptLanguage, ranges, available, language } = entry as {
      acceptLanguage?: string
      ranges: string[]
      available: string[]
      language: string | null
    }
    if (acceptLanguage !== undefined) assert.deepEqual(parseLanguageRanges(acceptLanguage), ranges)
    else assert.equal(lookupLanguage(ranges, available) ?? null, language)
  })
}

test('a list of ten thousand ranges costs as much as its first 32', () => {
  const field = Array.from({ length: 10_000 }, () => 'en;q=0.5').join(',')
  assert.equal(parseLanguageRanges(`${field},fr`).length, 32)
})

test('a tag of a language has subtags of letters and digits', () => {
  for (const tag of ['en', 'fr-CH', 'zh-Hant', 'de-1996', 'es-419', 'sl-rozaj-biske'])
    assert.ok(isLanguageTag(tag), tag)
  for (const text of ['', '*', 'e', 'en-', '-en', 'en_US', 'en-GB ', 'en\n', '42', 'abcdefghi', '__proto__'])
    assert.ok(!isLanguageTag(text), text)
})

test('a range that is longer than any language is no range, so that looking it up costs nothing', () => {
  assert.deepEqual(parseLanguageRanges(`en${'-a'.repeat(8_000)}, fr;q=0.1`), ['fr'])
  assert.equal(parseLanguageRanges(`en${'-a'.repeat(15)}`).length, 1)
})
