/** Texts in several languages over HTTP: PROTOCOL.md §10, on both logs. */
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import type { Json, JsonObject } from '../../src/contract/index.ts'
import { isLockstepError } from '../../src/contract/index.ts'
import { defineResource, type StateOf } from '../../src/service/resource.ts'
import { assertProblem, logKinds, openTestService, people, type TestService } from '../support/service.ts'

const recipes = defineResource('recipes', {
  languages: ['en', 'fr', 'de-CH'],
  schema: {
    type: 'object',
    required: ['title'],
    additionalProperties: false,
    properties: {
      title: { type: 'string', minLength: 1, maxLength: 20, translatable: true },
      minutes: { type: 'integer' },
      seo: {
        type: 'object',
        properties: { summary: { type: 'string', translatable: true }, rank: { type: 'integer' } },
      },
    },
  },
})
type Recipe = StateOf<typeof recipes>

const title = { en: 'Bread', fr: 'Pain' }

async function openKitchen(logKind: (typeof logKinds)[number] = 'memory'): Promise<TestService> {
  const api = await openTestService({ logKind, resources: [recipes, people] })
  const body: Recipe = { id: 'bread', title, minutes: 90, seo: { summary: { en: 'Soft' } } }
  assert.equal((await api.ask('POST', '/recipes', { body })).status, 201)
  return api
}

const stored = async (api: TestService): Promise<Json> =>
  JSON.parse((await api.log.readResource('/recipes/bread')).resource.stateText!)

for (const logKind of logKinds) {
  suite(`languages on the ${logKind} log`, () => {
    test('10.2 without a wish a text is the map of all its languages', async () => {
      await using api = await openKitchen(logKind)
      const whole = await api.ask('GET', '/recipes/bread')
      assert.deepEqual(whole.json.title, title)
      assert.equal(whole.headers.get('vary'), 'Accept-Language')
      assert.equal(whole.headers.get('content-language'), null)
      assert.equal(whole.headers.get('lockstep-languages'), 'en, fr, de-CH')
      assert.equal(whole.headers.get('lockstep-texts'), 'title, seo/summary')
      for (const field of ['*', '', 'x_y', '*, fr;q=0.5'])
        assert.equal(
          (await api.ask('GET', '/recipes/bread', { headers: { 'accept-language': field } })).text,
          whole.text,
        )
      const forced = await api.ask('GET', '/recipes/bread?lang=*', { headers: { 'accept-language': 'fr' } })
      assert.equal(forced.text, whole.text)
      assert.equal(forced.headers.get('etag'), whole.headers.get('etag'))
      assert.equal(forced.headers.get('vary'), null)
    })

    test('10.2 Accept-Language chooses by lookup, lang wins, and each says what was shown', async () => {
      await using api = await openKitchen(logKind)
      const { epoch } = await api.log.head('recipes')
      for (const [query, field, shown, contentLanguage, variant] of [
        ['', 'fr', 'Pain', 'fr, en', 'fr'],
        ['', 'fr-BE, en;q=0.5', 'Pain', 'fr, en', 'fr'],
        ['', 'en-GB', 'Bread', 'en', 'en'],
        ['', 'es, pt', 'Bread', 'en', 'en'],
        ['', 'es, *;q=0.1', 'Bread', 'en', 'en'],
        ['', 'de-CH, fr', 'Bread', 'en', 'de-CH'],
        ['?lang=fr', 'en', 'Pain', 'fr, en', 'fr'],
        ['?lang=FR-ca', 'en', 'Pain', 'fr, en', 'fr'],
      ] as const) {
        const answer = await api.ask('GET', `/recipes/bread${query}`, {
          headers: { 'accept-language': field },
        })
        const { json, headers } = answer
        assert.deepEqual(json, { id: 'bread', title: shown, minutes: 90, seo: { summary: 'Soft' } }, field)
        assert.equal(headers.get('content-language'), contentLanguage, field)
        assert.equal(headers.get('etag'), `"${epoch}.1;lang=${variant}"`)
        assert.equal(headers.get('vary'), query === '' ? 'Accept-Language' : null)
        const list = await api.ask('GET', `/recipes${query}`, { headers: { 'accept-language': field } })
        assert.deepEqual(list.json, [json])
        assert.equal(list.headers.get('etag'), `"${epoch}.s1;lang=${variant}"`)
        assert.equal(list.headers.get('content-language'), contentLanguage)
      }
      assertProblem(await api.ask('GET', '/recipes/bread?lang=es'), 400, 'invalid-query')
      assertProblem(await api.ask('GET', '/recipes?lang='), 400, 'invalid-query')
    })

    test('10.3 a 304 is only given for the same variant; If-Match takes any variant of the version', async () => {
      await using api = await openKitchen(logKind)
      const tagOf = async (lang: string) =>
        (await api.ask('GET', `/recipes/bread?lang=${lang}`)).headers.get('etag')!
      const [all, en, fr] = [await tagOf('*'), await tagOf('en'), await tagOf('fr')]
      const get = async (lang: string, tag: string) =>
        (await api.ask('GET', `/recipes/bread?lang=${lang}`, { headers: { 'if-none-match': tag } })).status
      for (const [lang, tag] of [
        ['*', all],
        ['en', en],
        ['fr', fr],
      ] as const) {
        assert.equal(await get(lang, tag), 304)
        for (const other of [all, en, fr].filter(each => each !== tag))
          assert.equal(await get(lang, other), 200)
      }
      // None of these writes changes anything, so that each tag stays that of the present version.
      for (const tag of [all, en, fr]) {
        const headers = { 'if-match': tag }
        assert.equal((await api.ask('PATCH', '/recipes/bread', { headers, body: {} })).status, 200)
        assert.equal((await api.ask('PATCH', '/recipes/bread?lang=fr', { headers, body: {} })).status, 200)
        const refused = { headers: { 'if-none-match': tag }, body: { minutes: 1 } }
        assertProblem(await api.ask('PATCH', '/recipes/bread', refused), 412, 'precondition-failed')
      }
      await api.ask('PATCH', '/recipes/bread', { body: { minutes: 1 } })
      for (const tag of [all, en, fr])
        assertProblem(
          await api.ask('DELETE', '/recipes/bread', { headers: { 'if-match': tag } }),
          412,
          'precondition-failed',
        )
      const renewed = await api.ask('PATCH', '/recipes/bread?lang=fr', { body: { title: 'Le pain' } })
      assert.equal(renewed.headers.get('etag'), await tagOf('fr'))
    })

    test('10.4 writing in one language changes that one only; message and store hold all', async () => {
      await using api = await openKitchen(logKind)
      const patched = await api.ask('PATCH', '/recipes/bread?lang=fr', {
        body: { title: 'Le pain', minutes: 80 },
      })
      assert.deepEqual(patched.json, { id: 'bread', title: 'Le pain', minutes: 80, seo: { summary: 'Soft' } })
      assert.equal(patched.headers.get('content-language'), 'fr, en')
      const put = { title: 'Le bon pain', seo: { summary: 'Soft' } }
      assert.equal((await api.ask('PUT', '/recipes/bread?lang=fr', { body: put })).status, 200)
      assert.deepEqual(await stored(api), {
        id: 'bread',
        title: { en: 'Bread', fr: 'Le bon pain' },
        seo: { summary: { en: 'Soft' } },
      })
      const operations = [{ op: 'replace', path: '/title', value: 'Du pain' }]
      const rawBody = JSON.stringify(operations)
      const headers = { 'content-type': 'application/json-patch+json' }
      assert.equal(
        (await api.ask('PATCH', '/recipes/bread?lang=FR', { headers, rawBody })).json.title,
        'Du pain',
      )
      await api.ask('PATCH', '/recipes/bread?lang=en', { body: { seo: { summary: null } } })
      assert.deepEqual(await stored(api), { id: 'bread', title: { en: 'Bread', fr: 'Du pain' }, seo: {} })
      const changes = await api.changes('recipes')
      assert.deepEqual(changes[1]!['changes'], { title: { fr: 'Le pain' }, minutes: 80 })
      assert.deepEqual((changes[2]!['state'] as JsonObject)['title'], { en: 'Bread', fr: 'Le bon pain' })
      assert.deepEqual(changes[3]!['changes'], { title: { fr: 'Du pain' } })
      assert.equal(changes.length, 5)
    })

    test('10.4 a text that is created in one language has that one; the last one to go takes the text along', async () => {
      await using api = await openKitchen(logKind)
      const made = await api.ask('POST', '/recipes?lang=fr', { body: { id: 'cake', title: 'Gâteau' } })
      assert.deepEqual([made.status, made.json], [201, { id: 'cake', title: 'Gâteau' }])
      assert.deepEqual((await api.ask('GET', '/recipes/cake')).json.title, { fr: 'Gâteau' })
      assert.equal((await api.ask('GET', '/recipes/cake?lang=en')).json.title, 'Gâteau')
      const gone = await api.ask('PATCH', '/recipes/cake?lang=fr', { body: { title: null } })
      assert.deepEqual(assertProblem(gone, 422, 'invalid-state')['faults'], [
        { pointer: '/title', detail: 'is required' },
      ])
    })
  })
}

test('10.4 a PUT of what GET showed changes nothing, in any language', async () => {
  await using api = await openKitchen()
  for (const lang of ['en', 'fr', 'de-CH', '*']) {
    const { json, headers } = await api.ask('GET', `/recipes/bread?lang=${lang}`)
    const put = await api.ask('PUT', `/recipes/bread?lang=${lang}`, { body: json })
    assert.deepEqual([put.status, put.headers.get('etag')], [200, headers.get('etag')])
  }
  assert.equal((await api.changes('recipes')).length, 1)
})

test('10.4 what is written without a language is a map, and what is written in one is no map', async () => {
  await using api = await openKitchen()
  for (const [path, body, pointer] of [
    ['/recipes/bread', { title: 'Pain' }, '/title'],
    ['/recipes/bread', { title: { es: 'Pan' } }, '/title/es'],
    ['/recipes/bread', { title: { fr: '' } }, '/title/fr'],
    ['/recipes/bread?lang=fr', { title: { fr: 'Pain' } }, '/title'],
    ['/recipes/bread?lang=fr', { title: 'x'.repeat(21) }, '/title/fr'],
  ] as const) {
    for (const method of ['PATCH', 'PUT']) {
      const problem = assertProblem(await api.ask(method, path, { body }), 422, 'invalid-state')
      assert.equal((problem['faults'] as { pointer: string }[])[0]!.pointer, pointer)
    }
  }
  const { json } = await api.ask('PATCH', '/recipes/bread', { body: { title: 'Pain' } })
  assert.match(
    String(json['detail']),
    /\/title must be a map of languages, {"en": "…"}, or be written with \?lang=en/,
  )
  for (const lang of ['es', 'fr-CH', 'de', ''])
    assertProblem(await api.ask('PATCH', `/recipes/bread?lang=${lang}`, { body: {} }), 400, 'invalid-query')
  assertProblem(await api.ask('DELETE', '/recipes/bread?lang=fr'), 400, 'invalid-query')
  // Accept-Language chooses what is shown, and never what is written.
  const shown = await api.ask('PATCH', '/recipes/bread', {
    headers: { 'accept-language': 'fr' },
    body: { title: { en: 'Loaf' } },
  })
  assert.equal(shown.json.title, 'Pain')
  assert.deepEqual(await stored(api), {
    id: 'bread',
    title: { en: 'Loaf', fr: 'Pain' },
    minutes: 90,
    seo: { summary: { en: 'Soft' } },
  })
})

test('10.4 a retry is the same request only in the same language', async () => {
  await using api = await openKitchen()
  const send = (path: string) =>
    api.ask('PATCH', path, { headers: { 'idempotency-key': 'k1' }, body: { title: 'Brot' } })
  assert.equal((await send('/recipes/bread?lang=fr')).status, 200)
  const replayed = await send('/recipes/bread?lang=fr')
  assert.deepEqual([replayed.headers.get('idempotency-replayed'), replayed.json.title], ['true', 'Brot'])
  assertProblem(await send('/recipes/bread?lang=de-CH'), 422, 'idempotency-key-reused')
})

test('10.4 operations of a bulk have a language each', async () => {
  await using api = await openKitchen()
  const operations = [
    { method: 'PATCH', id: 'bread', lang: 'fr', body: { title: 'Le pain' } },
    { method: 'PUT', id: 'cake', lang: 'de-CH', body: { title: 'Kuchen' } },
    { method: 'PATCH', id: 'bread', lang: 'es', body: {} },
    { method: 'PATCH', id: 'bread', body: { title: { 'de-CH': 'Brot' } } },
  ]
  const { json } = await api.ask('POST', '/recipes/_bulk', { body: { operations } })
  assert.deepEqual(
    json.results.map(({ status, body }: { status: number; body?: JsonObject }) => [status, body?.['title']]),
    [
      [200, { en: 'Bread', fr: 'Le pain' }],
      [201, { 'de-CH': 'Kuchen' }],
      [400, undefined],
      [200, { en: 'Bread', fr: 'Le pain', 'de-CH': 'Brot' }],
    ],
  )
})

test('in-process a text is a typed map of all languages', async () => {
  await using api = await openKitchen()
  await api.service.transaction(async tx => {
    const recipe = await tx.patch(recipes, 'bread', { title: { 'de-CH': 'Brot' } })
    const text: string | undefined = recipe.title['de-CH']
    assert.equal(text, 'Brot')
    assert.deepEqual(recipe.title, { ...title, 'de-CH': 'Brot' })
    // @ts-expect-error a language that was not declared is not there
    assert.equal(recipe.title.es, undefined)
  })
})

test('a text that was stored before it was translatable is one in the default language', async () => {
  await using api = await openKitchen()
  const state = JSON.stringify({ id: 'old', title: 'Toast' })
  await api.log.write(async tx => {
    const { version } = await tx.read('/recipes/old')
    const change = { event: 'created', path: '/recipes/old', topicPath: '/recipes', timeMs: 0 } as const
    await tx.write({ ...change, version: version + 1, stateText: state })
  })
  assert.equal((await api.ask('GET', '/recipes/old?lang=fr')).json.title, 'Toast')
  await api.ask('PATCH', '/recipes/old?lang=fr', { body: { title: 'Pain grillé' } })
  assert.deepEqual((await api.ask('GET', '/recipes/old')).json.title, { en: 'Toast', fr: 'Pain grillé' })
})

test('a resource without translatable texts knows no languages', async () => {
  await using api = await openKitchen()
  await api.ask('PUT', '/people/ann', { body: { name: 'Ann' } })
  const { headers, json } = await api.ask('GET', '/people/ann', { headers: { 'accept-language': 'fr' } })
  assert.deepEqual(json, { id: 'ann', name: 'Ann' })
  for (const name of ['vary', 'content-language', 'lockstep-languages', 'lockstep-texts'])
    assert.equal(headers.get(name), null)
  assertProblem(await api.ask('GET', '/people/ann?lang=fr'), 400, 'invalid-query')
  assertProblem(await api.ask('PUT', '/people/ann?lang=fr', { body: { name: 'Ann' } }), 400, 'invalid-query')
})

test('declarations of texts that cannot be kept apart by language are refused', () => {
  const text = { type: 'string', translatable: true } as const
  const refuses = (languages: readonly string[], properties: object, message: RegExp): void =>
    assert.throws(
      () => defineResource('x', { languages, schema: { type: 'object', properties } }),
      error => isLockstepError(error, 'invalid-option') && message.test(error.message),
    )
  refuses([], { title: text }, /say languages/)
  refuses(['en'], { title: { type: 'string' } }, /no text in them/)
  refuses(['en', 'EN'], { title: text }, /different tags/)
  refuses(['english language'], { title: text }, /different tags/)
  refuses(['en'], { id: text }, /is not the id/)
  refuses(['en'], { steps: { type: 'array', items: text } }, /properties of an object/)
  refuses(['en'], { any: { additionalProperties: text } }, /properties of an object/)
  refuses(['en'], { any: { anyOf: [{ properties: { title: text } }] } }, /properties of an object/)
  const kept = defineResource('x', {
    languages: ['en'],
    schema: {
      type: 'object',
      allOf: [{ properties: { title: text } }],
      properties: { translatable: true, kind: { const: { type: 'string', translatable: true } } },
    },
  })
  assert.deepEqual(kept.texts, { languages: ['en'], places: [['title']] })
  assert.deepEqual(kept.validate({ id: 'a', title: { en: 'x' }, translatable: 1 }), [])
  assert.equal(kept.validate({ id: 'a', title: 'x' }).length > 0, true)
})
