/** Texts in several languages: showing one, and writing one without touching the others. */
import assert from 'node:assert/strict'
import test from 'node:test'
import { isLockstepError } from '../../src/contract/error.ts'
import type { JsonObject } from '../../src/contract/json.ts'
import { applyMergePatch } from '../../src/contract/merge-patch.ts'
import {
  dropEmptyTexts,
  liftTexts,
  showLanguage,
  type Texts,
  translatePatch,
  writeLanguage,
} from '../../src/contract/translation.ts'

const texts: Texts = { languages: ['en', 'fr', 'de'], places: [['title'], ['seo', 'summary']] }
const state: JsonObject = {
  id: 'a',
  title: { en: 'Bread', fr: 'Pain' },
  seo: { summary: { fr: 'Du pain' }, rank: 1 },
}
const frozen = structuredClone(state)

test('a text is shown in the chosen language, else in the default one, else in the first that it has', () => {
  assert.deepEqual(showLanguage(state, texts, 'fr'), {
    state: { id: 'a', title: 'Pain', seo: { summary: 'Du pain', rank: 1 } },
    languages: ['fr'],
  })
  assert.deepEqual(showLanguage(state, texts, 'de'), {
    state: { id: 'a', title: 'Bread', seo: { summary: 'Du pain', rank: 1 } },
    languages: ['en', 'fr'],
  })
  assert.deepEqual(showLanguage({ id: 'a', title: { de: 'Brot', fr: 'Pain' } }, texts, 'en').state, {
    id: 'a',
    title: 'Pain',
  })
  assert.deepEqual(state, frozen)
})

test('what is no map of languages is shown as it is', () => {
  for (const title of ['Bread', 7, null, ['x'], {}] as const) {
    const odd = { id: 'a', title, seo: 3 } as unknown as JsonObject
    assert.deepEqual(showLanguage(odd, texts, 'fr').state, odd)
  }
  assert.deepEqual(showLanguage({ id: 'a' }, texts, 'fr'), { state: { id: 'a' }, languages: ['fr'] })
  const inherited = { id: 'a', title: { it: 'Pane' } }
  const odd: Texts = { languages: ['constructor', 'en'], places: [['title']] }
  assert.equal(showLanguage(inherited, odd, 'constructor').state['title'], 'Pane')
})

test('a whole state in one language changes that language only', () => {
  const write = (given: JsonObject, language = 'fr') => writeLanguage(state, given, texts, language)
  assert.deepEqual(write({ title: 'Le pain', seo: { summary: 'Du pain' } }), {
    title: { en: 'Bread', fr: 'Le pain' },
    seo: { summary: { fr: 'Du pain' } },
  })
  // What was shown from another language is not taken over into this one.
  assert.deepEqual(write({ title: 'Bread', seo: { summary: 'Du pain', rank: 2 } }, 'de'), {
    title: { en: 'Bread', fr: 'Pain' },
    seo: { summary: { fr: 'Du pain' }, rank: 2 },
  })
  // A text that is left out is removed in this language, and as a whole where it had no other.
  assert.deepEqual(write({ seo: {} }), { title: { en: 'Bread' }, seo: {} })
  assert.deepEqual(write({ title: 'Pain' }), { title: { en: 'Bread', fr: 'Pain' } })
  assert.deepEqual(state, frozen)
})

test('a whole state in one language where nothing was', () => {
  assert.deepEqual(writeLanguage(undefined, { title: 'Brot', n: 1 }, texts, 'de'), {
    title: { de: 'Brot' },
    n: 1,
  })
})

test('showing and writing back changes nothing, whatever the language', () => {
  for (const language of texts.languages) {
    const { state: shown } = showLanguage(state, texts, language)
    assert.deepEqual(writeLanguage(state, shown, texts, language), state)
  }
})

test('a merge patch in one language sets and removes that language only', () => {
  const patch = (given: JsonObject, language = 'fr') =>
    dropEmptyTexts(applyMergePatch(state, translatePatch(given, texts, language)) as JsonObject, texts)
  assert.deepEqual(patch({ title: 'Le pain', n: 1 })['title'], { en: 'Bread', fr: 'Le pain' })
  assert.deepEqual(patch({ title: null })['title'], { en: 'Bread' })
  assert.deepEqual(patch({ title: 'Bread' }, 'de')['title'], { en: 'Bread', fr: 'Pain', de: 'Bread' })
  assert.deepEqual(patch({ seo: { summary: null } })['seo'], { rank: 1 })
  assert.deepEqual(patch({ seo: null }), { id: 'a', title: { en: 'Bread', fr: 'Pain' } })
})

test('in one language a text is a string: a map is refused with its place', () => {
  for (const write of [
    () => writeLanguage(state, { title: { fr: 'Pain' }, seo: { summary: 1 } }, texts, 'fr'),
    () => translatePatch({ title: { fr: 'Pain' }, seo: { summary: [] } }, texts, 'fr'),
  ]) {
    assert.throws(write, error => {
      assert.ok(isLockstepError(error, 'invalid-state'))
      assert.deepEqual(
        error.faults.map(({ pointer }) => pointer),
        ['/title', '/seo/summary'],
      )
      return true
    })
  }
  assert.throws(() => writeLanguage(state, { title: null }, texts, 'fr'), /a text in fr/)
})

test('a plain text from before counts as one in the default language', () => {
  const old = { id: 'a', title: 'Bread', seo: { summary: 'Soft' } }
  assert.deepEqual(liftTexts(old, texts), {
    id: 'a',
    title: { en: 'Bread' },
    seo: { summary: { en: 'Soft' } },
  })
  assert.deepEqual(writeLanguage(old, { title: 'Pain', seo: { summary: 'Soft' } }, texts, 'fr'), {
    title: { en: 'Bread', fr: 'Pain' },
    seo: { summary: { en: 'Soft' } },
  })
  assert.equal(liftTexts(state, texts), state)
})
