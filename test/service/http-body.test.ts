/** Bodies: what is refused, with which code and where, and that what is taken comes back as it was sent. */
import assert from 'node:assert/strict'
import test from 'node:test'
import { defineResource } from '../../src/service/resource.ts'
import { acceptPatch, assertProblem, openTestService, type TestService } from '../support/service.ts'

const json = { 'content-type': 'application/json' }
const documents = defineResource('documents', { schema: { type: 'object' }, maxBodyBytes: 5_000_000 })
const post = ({ ask }: TestService, rawBody: BodyInit, headers: Record<string, string> = json) =>
  ask('POST', '/people', { rawBody, headers })

test('4.9 a body that is not JSON is refused with the parser’s reason', async () => {
  await using api = await openTestService()
  for (const text of [
    '',
    ' ',
    '{',
    '{"name":}',
    "{'name':'A'}",
    '{"name":"A"}}',
    'null,',
    '{"a":1,}',
    '\ufeff{"name":"A"}',
    'NaN',
    '{"a":01}',
    '{"a":"\n"}',
  ]) {
    const problem = assertProblem(await post(api, text), 400, 'invalid-json')
    assert.match(String(problem['detail']), /^The body is not JSON: /)
  }
  assert.deepEqual(await api.changes('people'), [])
})

test('a body that is not UTF-8 is refused', async () => {
  await using api = await openTestService()
  const bodies = [
    Buffer.from('{"name":"é"}', 'latin1'),
    Buffer.from('{"name":"A"}', 'utf16le'),
    Buffer.from([...Buffer.from('{"name":"'), 0xc0, 0xaf, ...Buffer.from('"}')]),
    Buffer.from([...Buffer.from('{"name":"'), 0xed, 0xa0, 0x80, ...Buffer.from('"}')]),
    Buffer.from('{"name":"é').subarray(0, -1),
  ]
  for (const body of bodies) {
    const problem = assertProblem(await post(api, body), 400, 'invalid-json')
    assert.match(String(problem['detail']), /not (UTF-8 text|JSON)/)
  }
})

test('a body that is JSON but no object is refused', async () => {
  await using api = await openTestService()
  await api.ask('PUT', '/people/a', { body: { name: 'A' } })
  for (const text of ['null', '[]', '5', '"text"', 'true', '[{"name":"A"}]']) {
    for (const [method, path] of [
      ['POST', '/people'],
      ['PUT', '/people/a'],
      ['PATCH', '/people/a'],
    ] as const) {
      const problem = assertProblem(
        await api.ask(method, path, { rawBody: text, headers: json }),
        422,
        'invalid-state',
      )
      assert.deepEqual(problem['faults'], [{ pointer: '', detail: 'must be an object' }])
    }
  }
})

test('4.9 a body that does not fit the schema is refused with a pointer to each fault', async () => {
  await using api = await openTestService()
  const body = { email: 'nobody', age: -1.5, address: { city: 5 }, tags: ['a', 5] }
  const answer = await api.ask('POST', '/people', { body })
  const problem = assertProblem(answer, 422, 'invalid-state')
  const pointers = (problem['faults'] as { pointer: string; detail: string }[]).map(({ pointer }) => pointer)
  assert.deepEqual([...new Set(pointers)].sort(), ['/address/city', '/age', '/email', '/name', '/tags/1'])
  assert.match(String(problem['detail']), /does not fit its schema: \/name is required \(and \d more\)\.$/)
  await api.ask('PUT', '/people/a', { body: { name: 'A', age: 1 } })
  assertProblem(await api.ask('PATCH', '/people/a', { body: { name: null } }), 422, 'invalid-state')
  assertProblem(await api.ask('PUT', '/people/a', { body: { age: 1 } }), 422, 'invalid-state')
  assert.deepEqual((await api.ask('GET', '/people/a')).json, { id: 'a', name: 'A', age: 1 })
})

test('unknown members are kept or refused as the schema says', async () => {
  await using api = await openTestService()
  const kept = await api.ask('POST', '/people', { body: { name: 'A', 'x-y': { z: [] } } })
  assert.deepEqual(kept.json['x-y'], { z: [] })
  const refused = await api.ask('POST', '/projects', { body: { title: 'T', 'a/b': 1 } })
  assert.deepEqual(assertProblem(refused, 422, 'invalid-state')['faults'], [
    { pointer: '/a~1b', detail: 'is not a known member' },
  ])
})

test('415 names the type that is taken, also for what curl -d sends', async () => {
  await using api = await openTestService()
  const form = { 'content-type': 'application/x-www-form-urlencoded' }
  const detail = String(
    assertProblem(await post(api, '{"name":"A"}', form), 415, 'unsupported-media-type')['detail'],
  )
  assert.match(
    detail,
    /POST takes application\/json\. Send it with the header Content-Type: application\/json\.$/,
  )
  for (const type of [
    'text/plain',
    'application/merge-patch+json',
    'application/jsonx',
    'application/json+x',
    'json',
    ';',
  ])
    assertProblem(await post(api, '{"name":"A"}', { 'content-type': type }), 415, 'unsupported-media-type')
  await api.ask('PUT', '/people/a', { body: { name: 'A' } })
  const patch = { rawBody: '[]', headers: { 'content-type': 'application/json-seq' } }
  const refused = await api.ask('PATCH', '/people/a', patch)
  assertProblem(refused, 415, 'unsupported-media-type')
  assert.equal(refused.headers.get('accept-patch'), acceptPatch)
  for (const encoding of ['gzip', 'br'])
    assertProblem(
      await post(api, '{}', { ...json, 'content-encoding': encoding }),
      415,
      'unsupported-media-type',
    )
})

test('a body needs a Content-Type, which may have parameters and be in another case', async () => {
  await using api = await openTestService()
  const bytes = (): Uint8Array<ArrayBuffer> => new TextEncoder().encode('{"name":"A"}')
  for (const [method, path] of [
    ['POST', '/people'],
    ['PUT', '/people/a'],
    ['PATCH', '/people/a'],
    ['POST', '/people/_bulk'],
  ] as const) {
    const answer = await api.ask(method, path, { rawBody: bytes() })
    assert.match(
      String(assertProblem(answer, 415, 'unsupported-media-type')['detail']),
      /^The body has no Content-Type; .* Send it with the header Content-Type: /,
    )
  }
  assert.equal((await post(api, bytes(), { 'content-type': 'Application/JSON ; charset=UTF-8' })).status, 201)
  assert.equal((await post(api, bytes(), { ...json, 'content-encoding': 'identity' })).status, 201)
})

test('413 for what is over the limit, declared or not; exactly the limit is taken', async () => {
  await using api = await openTestService()
  const fill = (bytes: number): string => `{"name":"${'x'.repeat(bytes - 11)}"}`
  assert.equal((await post(api, fill(10_000))).status, 201)
  const problem = assertProblem(await post(api, fill(10_001)), 413, 'body-too-large')
  assert.match(String(problem['detail']), /over 10000 bytes/)
  assertProblem(await post(api, `{"name":"${'é'.repeat(5_000)}"}`), 413, 'body-too-large')
  let pulled = 0
  const endless = new ReadableStream({
    pull(controller) {
      pulled++
      controller.enqueue(new Uint8Array(1_000).fill(0x20))
    },
  })
  assertProblem(await post(api, endless), 413, 'body-too-large')
  assert.ok(pulled < 20, `it read ${pulled} KB`)
  assertProblem(
    await post(api, '{"name":"A"}', { ...json, 'content-length': '100000000' }),
    413,
    'body-too-large',
  )
})

test('members named __proto__, constructor and the like are data, and change nobody’s prototype', async () => {
  await using api = await openTestService()
  const text =
    '{"name":"A","__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}},"toString":5}'
  const { json: created } = await post(api, text)
  const { id } = created
  const path = `/people/${id}`
  const patch =
    '{"address":{"__proto__":{"polluted":2},"city":"Bern"},"__proto__":{"more":null,"deep":{"polluted":3}}}'
  const { status, text: patched } = await api.ask('PATCH', path, { rawBody: patch, headers: json })
  assert.equal(status, 200)
  assert.equal(({} as Record<string, unknown>)['polluted'], undefined)
  assert.equal(
    patched,
    `{"id":"${id}","name":"A","__proto__":{"polluted":1,"deep":{"polluted":3}},"constructor":{"prototype":{"polluted":1}},"toString":5,"address":{"__proto__":{"polluted":2},"city":"Bern"}}\n`,
  )
  assert.equal((await api.ask('GET', path)).text, patched)
  const [, modified] = await api.changes('people')
  assert.ok(JSON.stringify(modified).includes('"__proto__":{"deep":{"polluted":3}}'))
  await api.ask('PATCH', path, { rawBody: '{"__proto__":null,"toString":null}', headers: json })
  assert.doesNotMatch(
    (await api.ask('GET', path)).text.replace('"address":{"__proto__"', ''),
    /__proto__|toString/,
  )
})

test('4.10 JSON that cannot be stored unchanged is refused', async () => {
  await using api = await openTestService()
  for (const number of ['1e400', '-1e999', '12345678901234567890', '9007199254740993', '1e-400'])
    assertProblem(await post(api, `{"name":"A","n":${number}}`), 422, 'unsafe-number')
  const { json: state } = await post(api, '{"name":"A","n":[9007199254740991,0.1,1e3,-0.0,1.5e300]}')
  assert.deepEqual(state.n, [9007199254740991, 0.1, 1000, 0, 1.5e300])
  const twice = await post(api, '{"name":"A","name":"B","id":"x","id":"y"}')
  assert.deepEqual(twice.json, { id: 'y', name: 'B' })
})

test('4.10 a JSON bomb is refused or stored, and the service goes on', async () => {
  await using api = await openTestService({ resources: [documents] })
  const send = (rawBody: string, method = 'PUT') =>
    api.ask(method, '/documents/a', { rawBody, headers: json })
  for (const depth of [61, 65, 1_000, 100_000]) {
    assertProblem(await send(`{"a":${'['.repeat(depth)}${']'.repeat(depth)}}`), 422, 'json-too-deep')
    assertProblem(await send(`${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}`), 422, 'json-too-deep')
  }
  assert.equal((await send(`{"a":${'['.repeat(59)}${']'.repeat(59)}}`)).status, 201)
  const keys = Array.from({ length: 100_000 }, (_, index) => `"key${index}":${index}`).join(',')
  assert.equal((await send(`{${keys}}`)).status, 200)
  assert.equal((await send('{"key5":null,"new":1}', 'PATCH')).status, 200)
  const { json: whole } = await api.ask('GET', '/documents/a')
  assert.equal(Object.keys(whole).length, 100_001)
  assert.deepEqual((await api.changes('documents')).at(-1)!['changes'], { key5: null, new: 1 })
})

test('4.10 two bodies within the limits cannot add up to a state beyond them', async () => {
  await using api = await openTestService({ resources: [documents] })
  const nest = (depth: number): string => `${'{"a":'.repeat(depth)}{}${'}'.repeat(depth)}`
  assert.equal((await api.ask('PUT', '/documents/a', { rawBody: nest(59), headers: json })).status, 201)
  assertProblem(
    await api.ask('PATCH', '/documents/a', { rawBody: nest(60), headers: json }),
    422,
    'json-too-deep',
  )
})

test('texts come back exactly: escapes, line separators, NUL, lone surrogates, astral characters', async () => {
  await using api = await openTestService()
  const name = '\u0000\u2028\u2029\ufeff\\"/\b\f\n\r\t\u{1f600}e\u0301'
  const { json: state } = await api.ask('POST', '/people', { body: { id: 'a', name, lone: '\ud800x' } })
  assert.deepEqual(state, { id: 'a', name, lone: '\ud800x' })
  assert.deepEqual((await api.ask('GET', '/people/a')).json, state)
  assert.deepEqual((await api.changes('people'))[0]!['state'], state)
})
