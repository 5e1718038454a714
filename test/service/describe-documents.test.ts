/** The documents of a service are valid for independent parsers, and true: what it answers and publishes fits them. */
import assert from 'node:assert/strict'
import test from 'node:test'
import { Parser } from '@asyncapi/parser'
import { createConfig, lintFromString } from '@redocly/openapi-core'
import { Compile, type XSchema } from 'typebox/schema'
import { createMemoryHub } from '../../src/broker/memory.ts'
import type { Json, JsonObject } from '../../src/contract/index.ts'
import { describeAsyncApi } from '../../src/service/describe/async-api.ts'
import { describeOpenApi } from '../../src/service/describe/open-api.ts'
import { defineResource } from '../../src/service/resource.ts'
import {
  type Answer,
  type AskOptions,
  friends,
  hear,
  likes,
  openTestService,
  people,
  readEvents,
} from '../support/service.ts'

const articles = defineResource('articles', {
  languages: ['en', 'fr'],
  references: { author: 'people', readers: 'people' },
  requirePreconditions: true,
  public: { operations: ['read', 'patch'], fields: ['title', 'kind', 'part'] },
  schema: {
    type: 'object',
    required: ['title', 'kind'],
    additionalProperties: false,
    $defs: {
      part: {
        type: 'object',
        required: ['text'],
        properties: { text: { type: 'string' }, part: { $ref: '#/$defs/part' } },
      },
    },
    properties: {
      title: { type: 'string', maxLength: 50, translatable: true, description: 'What it is called' },
      kind: { enum: ['news', 'essay'] },
      author: { type: 'string' },
      readers: { type: 'array', items: { type: 'string' } },
      rating: { type: 'number', exclusiveMinimum: 0 },
      part: { $ref: '#/$defs/part' },
      seen: { type: 'string', format: 'date-time' },
    },
  },
})
const resources = [people, friends, likes, articles]
const about = {
  title: 'People',
  version: '2.1.0',
  description: 'Who is who.',
  broker: 'mqtt://u:p@broker.example:1883',
  live: '/live',
}

test('both documents are valid for parsers of others', async () => {
  const config = await createConfig({ extends: ['recommended'] })
  for (const options of [
    { resources, about },
    { resources, about, readOnly: true, health: false, root: '/api/v1', topicPrefix: 'acme/' },
  ]) {
    for (const document of [describeOpenApi(options), describeAsyncApi(options)]) {
      const problems = await lintFromString({ source: JSON.stringify(document), config })
      const errors = problems.filter(({ severity }) => severity === 'error')
      assert.deepEqual(
        errors.map(({ message, location }) => `${location[0]?.pointer}: ${message}`),
        [],
      )
    }
    const { document, diagnostics } = await new Parser().parse(JSON.stringify(describeAsyncApi(options)))
    const errors = diagnostics.filter(({ severity }) => severity === 0)
    assert.deepEqual(
      errors.map(({ message, path }) => `${path.join('/')}: ${message}`),
      [],
    )
    assert.ok(document)
  }
})

test('the example of a change is a text that one can read', () => {
  const { paths } = describeOpenApi({ resources: [people] }) as unknown as {
    paths: Record<string, JsonObject>
  }
  assert.match(JSON.stringify(paths['/people/{id}']!['patch']), /"name":"another name"/)
})

test('examples fit their schemas', () => {
  const openApi = describeOpenApi({ resources, about })
  let count = 0
  const visit = (value: Json): void => {
    if (Array.isArray(value)) for (const each of value) visit(each)
    if (typeof value !== 'object' || value === null) return
    if (!Array.isArray(value) && value['schema'] !== undefined && value['example'] !== undefined) {
      count++
      assertFits(openApi, value['schema'], value['example'])
    }
    if (!Array.isArray(value)) for (const each of Object.values(value)) visit(each)
  }
  visit(openApi)
  assert.ok(count > 30)
  const asyncApi = describeAsyncApi({ resources, about })
  const messages = memberOf(asyncApi, 'components', 'messages')
  for (const [name, message] of Object.entries(messages)) {
    const { payload, examples = [] } = message as { payload: Json; examples?: { payload: Json }[] }
    assert.ok(examples.length > 0, name)
    for (const example of examples) assertFits(asyncApi, payload, example.payload)
  }
})

test('a broker is named without who may use it', () => {
  assert.doesNotMatch(JSON.stringify(describeAsyncApi({ resources, about })), /u:p@/)
})

test('whatever the service answers is in its OpenAPI document, and what it publishes in its AsyncAPI document', async () => {
  await using connection = createMemoryHub().connect()
  await using api = await openTestService({ resources, about, broker: connection, topicPrefix: 'acme/' })
  await using heard = await hear(connection, '#')
  const openApi = (await api.ask('GET', '/_openapi')).json as JsonObject
  const asyncApi = (await api.ask('GET', '/_asyncapi')).json as JsonObject
  const seen = new Set<string>()
  const ask = async (method: string, path: string, options: AskOptions = {}): Promise<Answer> => {
    const answer = await api.ask(method, path, options)
    seen.add(`${checkAnswer(openApi, method, path, answer)} ${answer.status}`)
    return answer
  }
  await askEverything(ask)
  for (const operation of listOperations(openApi)) {
    assert.ok(
      [...seen].some(each => each.startsWith(`${operation} `)),
      `${operation} was not asked`,
    )
  }
  assert.ok(seen.size > 60, `${seen.size}`)

  const { json } = await ask('GET', '/articles/_changes?limit=100')
  await heard.until(
    all => all.filter(({ topic }) => topic.startsWith('acme/articles')).length >= json.changes.length,
  )
  const told = new Set<string>()
  for (const { topic, payload } of heard.deliveries) {
    told.add(checkMessage(asyncApi, topic, JSON.parse(payload) as JsonObject))
  }
  for (const name of [
    'ArticlesCreated',
    'ArticlesModified',
    'ArticlesDeleted',
    'PeopleFriendsDeleted',
    'Head',
  ]) {
    assert.ok(told.has(name), `${name} was not told: ${[...told]}`)
  }
  const events = readEvents(
    await api.service.fetch(
      new Request('http://service.test/articles/_changes?after=earliest', {
        headers: { accept: 'text/event-stream' },
      }),
    ),
  )
  for (const { event, data } of await events.until(({ event }) => event === 'head')) {
    const message = JSON.parse(data) as JsonObject
    checkMessage(asyncApi, '/articles/_changes', message)
    assert.equal(event === 'head', message['stream'] !== undefined)
  }
  await events.close()
})

test('each operation names the messages that it causes, and each message the operations', () => {
  const openApi = describeOpenApi({ resources })
  const asyncApi = describeAsyncApi({ resources })
  const operationIds = new Set<string>()
  for (const item of Object.values(openApi['paths'] as JsonObject)) {
    for (const operation of Object.values(item as JsonObject)) {
      const { operationId, 'x-lockstep-messages': messages = [] } = operation as JsonObject
      if (typeof operationId !== 'string') continue
      operationIds.add(operationId)
      for (const { message, channel } of messages as { message: string; channel: string }[]) {
        const found = resolve(asyncApi, channel) as { messages: JsonObject }
        assert.ok(resolve(asyncApi, message), message)
        assert.ok(
          Object.values(found.messages).some(each => (each as JsonObject)['$ref'] === message),
          `${channel} ${message}`,
        )
      }
    }
  }
  for (const operation of Object.values(asyncApi['operations'] as JsonObject)) {
    for (const id of ((operation as JsonObject)['x-lockstep-operations'] ?? []) as string[])
      assert.ok(operationIds.has(id), id)
  }
  const patch = memberOf(openApi, 'paths', '/people/{person}', 'patch')
  assert.deepEqual(patch['x-lockstep-messages'], [
    { message: '#/components/messages/PeopleModified', channel: '#/channels/people.item' },
  ])
})

test('documents are kept by their ETag, and a service may have none', async () => {
  await using api = await openTestService({ about })
  const { headers, json } = await api.ask('GET', '/_openapi')
  assert.equal(json.info.title, 'People')
  const again = await api.ask('GET', '/_openapi', { headers: { 'if-none-match': headers.get('etag')! } })
  assert.equal(again.status, 304)
  assert.equal((await api.ask('DELETE', '/_asyncapi')).headers.get('allow'), 'GET, HEAD, OPTIONS')
  await using silent = await openTestService({ about: false })
  assert.equal((await silent.ask('GET', '/_openapi')).status, 404)
})

test('the public has only what is declared public, in documents of its own', async () => {
  await using api = await openTestService({ resources, about })
  const whole = (await api.ask('GET', '/_openapi')).json as JsonObject
  assert.equal(memberOf(whole, 'paths', '/articles', 'get')['x-lockstep-audience'], 'public')
  assert.equal(memberOf(whole, 'paths', '/articles', 'post')['x-lockstep-audience'], 'internal')
  assert.equal(memberOf(whole, 'paths', '/people', 'get')['x-lockstep-audience'], 'internal')
  const members = memberOf(whole, 'components', 'schemas', 'Articles', 'properties')
  assert.equal(memberOf(members, 'title')['x-lockstep-audience'], 'public')
  assert.equal(memberOf(members, 'rating')['x-lockstep-audience'], 'internal')
  const seen = (await api.ask('GET', '/_openapi?audience=public')).json as JsonObject
  assert.deepEqual(Object.keys(seen['paths'] as JsonObject), [
    '/articles',
    '/articles/{id}',
    '/articles/_changes',
  ])
  assert.deepEqual(Object.keys(memberOf(seen, 'paths', '/articles/{id}')), [
    'parameters',
    'get',
    'head',
    'patch',
    'options',
  ])
  assert.deepEqual(Object.keys(memberOf(seen, 'components', 'schemas', 'Articles', 'properties')), [
    'title',
    'kind',
    'part',
    'id',
  ])
  const told = (await api.ask('GET', '/_asyncapi?audience=public')).json as JsonObject
  // It hears no topics unless there is a prefix for them.
  assert.deepEqual(Object.keys(told['channels'] as JsonObject), ['articles.changes'])
  const [message] = memberOf(seen, 'paths', '/articles/{id}', 'patch')['x-lockstep-messages'] as JsonObject[]
  assert.equal(message!['channel'], '#/channels/articles.changes')
  const heard = describeAsyncApi({
    resources,
    audience: 'public',
    topicPrefix: 'all/',
    publicTopicPrefix: 'public/',
  })
  assert.deepEqual(
    Object.values(heard['channels'] as JsonObject).map(channel => (channel as JsonObject)['address']),
    ['public/articles', 'public/articles/{id}', 'public/lockstep/head/articles', '/articles/_changes'],
  )
  for (const document of [told, heard]) {
    const { diagnostics } = await new Parser().parse(JSON.stringify(document))
    assert.deepEqual(
      diagnostics.filter(({ severity }) => severity === 0),
      [],
    )
  }
  assert.doesNotMatch(JSON.stringify([seen, told]), /rating|author|readers|seen/)
  assert.equal((await api.ask('GET', '/_openapi?audience=all')).status, 400)
})

test('what is said about a service is checked', async () => {
  for (const [wrong, message] of [
    [{ titel: 'x' }, /titel/],
    [{ broker: 'nowhere' }, /about\.broker is no URL/],
    [{ title: 7 }, /about\.title is/],
  ] as const) {
    await assert.rejects(openTestService({ about: wrong as object }), message)
  }
})

/** Asks for every operation, in ways that succeed and in ways that are refused. */
async function askEverything(
  ask: (method: string, path: string, options?: AskOptions) => Promise<Answer>,
): Promise<void> {
  const ann = { id: 'ann', name: 'Ann', email: 'ann@example.com', tags: ['a'], address: { city: 'Oslo' } }
  await ask('POST', '/people', { body: ann, headers: { 'idempotency-key': 'k1', 'x-request-id': 'r1' } })
  await ask('POST', '/people', { body: ann, headers: { 'idempotency-key': 'k1' } })
  await ask('POST', '/people', { body: { name: 'Bo' }, headers: { 'idempotency-key': 'k1' } })
  await ask('POST', '/people', { body: ann })
  await ask('POST', '/people', { body: { name: 3 } })
  await ask('POST', '/people', { rawBody: '{', headers: { 'content-type': 'application/json' } })
  await ask('POST', '/people', {
    rawBody: 'name=x',
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
  })
  await ask('POST', '/people', { body: { name: 'x'.repeat(20_000) } })
  await ask('POST', '/people', { body: ann, headers: { 'if-none-match': '"a.1"' } })
  const { headers } = await ask('PUT', '/people/bo', { body: { name: 'Bo' } })
  await ask('PUT', '/people/bo', { body: { name: 'Bo', age: 3 } })
  await ask('PATCH', '/people/bo', {
    body: { age: 4 },
    headers: { 'content-type': 'application/merge-patch+json' },
  })
  await ask('PATCH', '/people/bo', {
    rawBody: '[{"op":"replace","path":"/age","value":5}]',
    headers: { 'content-type': 'application/json-patch+json' },
  })
  await ask('PATCH', '/people/bo', {
    rawBody: '[{"op":"test","path":"/age","value":1}]',
    headers: { 'content-type': 'application/json-patch+json' },
  })
  await ask('PATCH', '/people/bo', {
    rawBody: '{}',
    headers: { 'content-type': 'application/json-patch+json' },
  })
  await ask('PATCH', '/people/bo', { body: { age: 1 }, headers: { 'if-match': headers.get('etag')! } })
  await ask('PATCH', '/people/bo', { body: { age: 1 }, headers: { 'if-match': 'nonsense' } })
  for (const path of [
    '/people',
    '/people/bo',
    '/people/_changes',
    '/people/_bulk',
    '/people/ann/friends',
    '/articles',
    '/articles/a',
  ])
    await ask('OPTIONS', path)
  for (const query of [
    '',
    '?limit=1',
    '?fields=id,address/city',
    '?age:gte=4&count=true&versions=true',
    '?sort=-name',
    '?limit=0',
    '?nmae=x',
  ]) {
    await ask('GET', `/people${query}`)
    await ask('HEAD', `/people${query}`)
  }
  await ask('GET', '/people/bo?fields=age')
  await ask('HEAD', '/people/bo')
  await ask('GET', '/people/bo', { headers: { accept: 'text/html' } })
  const list = await ask('GET', '/people')
  await ask('GET', '/people', { headers: { 'if-none-match': list.headers.get('etag')! } })
  await ask('GET', '/people/nobody')
  for (const [path, body] of [
    ['/people/ann/friends', {}],
    ['/people/ann/friends/1/likes', {}],
  ] as const) {
    await ask('POST', path, { body: { id: '1', ...body } })
    await ask('GET', path)
    await ask('HEAD', path)
    await ask('OPTIONS', path)
    for (const method of ['GET', 'HEAD', 'OPTIONS']) await ask(method, `${path}/1`)
    await ask('PUT', `${path}/1`, { body: { since: 1 } })
    await ask('PATCH', `${path}/1`, { body: { since: 2 } })
    await ask('POST', `${path}/_bulk`, {
      body: {
        operations: [
          { method: 'DELETE', id: 'none' },
          { method: 'PUT', id: '2', body: { since: 4 } },
        ],
      },
    })
    await ask('OPTIONS', `${path}/_bulk`)
    await ask('DELETE', `${path}/2`)
  }
  const article = {
    id: 'a',
    title: { en: 'Bread', fr: 'Pain' },
    kind: 'news',
    author: 'ann',
    readers: ['ann', 'nobody'],
    part: { text: 'x' },
    rating: 2,
  }
  const made = await ask('POST', '/articles', { body: article })
  await ask('POST', '/articles?lang=fr', { body: { id: 'b', title: 'Vin', kind: 'essay' } })
  for (const query of [
    '',
    '?lang=fr',
    '?embed=author,readers',
    '?lang=en&embed=author&fields=id,_embedded/author/name',
    '?lang=de',
    '?fields=part/text',
  ]) {
    await ask('GET', `/articles/a${query}`)
    await ask('HEAD', `/articles/a${query}`)
    await ask('GET', `/articles${query}`)
    await ask('HEAD', `/articles${query}`)
  }
  await ask('GET', '/articles/a', { headers: { 'accept-language': 'fr-CH' } })
  await ask('PATCH', '/articles/a', { body: { rating: 3 } })
  const etag = made.headers.get('etag')!
  await ask('PATCH', '/articles/a?lang=fr', { body: { title: 'Du pain' }, headers: { 'if-match': etag } })
  await ask('PATCH', '/articles/a', { body: { author: null }, headers: { 'if-match': '*' } })
  await ask('PUT', '/articles/b', {
    body: { title: { en: 'Wine' }, kind: 'news' },
    headers: { 'if-match': '*' },
  })
  await ask('DELETE', '/articles/a', { headers: { 'if-match': '*' } })
  await ask('GET', '/articles/a')
  await ask('DELETE', '/articles/a', { headers: { 'if-match': '*' } })
  await ask('DELETE', '/people/ann')
  await ask('GET', '/people/ann/friends')
  for (const stream of ['people', 'articles']) {
    await ask('GET', `/${stream}/_changes`)
    await ask('HEAD', `/${stream}/_changes`)
    await ask('OPTIONS', `/${stream}/_changes`)
    await ask('GET', `/${stream}/_changes?compact=true&limit=2`)
    await ask('GET', `/${stream}/_changes?after=nonsense`)
    await ask('GET', `/${stream}/_changes?after=other:1`)
    await ask('POST', `/${stream}/_bulk`, {
      body: {
        atomic: true,
        operations: [{ method: 'POST', body: { name: 'Cy', title: { en: 'x' }, kind: 'news' } }],
      },
    })
    await ask('POST', `/${stream}/_bulk`, { body: { operations: [] } })
    await ask('OPTIONS', `/${stream}/_bulk`)
  }
  for (const path of ['/', '/health', '/_openapi', '/_asyncapi'])
    for (const method of ['GET', 'HEAD', 'OPTIONS']) await ask(method, path)
}

/** Asserts that the answer is one that the document has, and gives the operation's id. */
function checkAnswer(
  document: JsonObject,
  method: string,
  target: string,
  { status, headers, text, json }: Answer,
): string {
  const path = target.split('?', 1)[0]!
  const found = findPath(document, path)
  assert.ok(found, `${path} is not in the document`)
  const operation = found[method.toLowerCase()] as { operationId: string; responses: JsonObject } | undefined
  assert.ok(operation, `${method} ${path}`)
  const what = `${operation.operationId} ${target} ${status} ${text}`
  assert.ok(operation.responses[status], `${what} is not in the document`)
  const response = follow(document, operation.responses[status]!) as {
    headers?: JsonObject
    content?: JsonObject
  }
  const documented = new Set(Object.keys(response.headers ?? {}).map(name => name.toLowerCase()))
  for (const [name] of headers) {
    if (name === 'content-type') continue
    assert.ok(documented.has(name), `${what}: the header ${name} is not in the document`)
  }
  const type = headers.get('content-type')?.replace(/;.*/, '')
  if (text === '') return operation.operationId
  const content = response.content?.[type!] as { schema: Json } | undefined
  assert.ok(content, `${what}: ${type} is not in the document`)
  assertFits(document, content.schema, json, what)
  return operation.operationId
}

/** Asserts that a message is one that the document has at this address, and gives its name. */
function checkMessage(document: JsonObject, address: string, message: JsonObject): string {
  const channels = Object.values(document['channels'] as JsonObject) as {
    address: string
    messages: JsonObject
  }[]
  const channel = channels.filter(each =>
    new RegExp(`^${each.address.replace(/\{\w+\}/g, '[^/]+')}$`).test(address),
  )
  assert.equal(channel.length, 1, address)
  for (const [name, each] of Object.entries(channel[0]!.messages)) {
    const { payload } = follow(document, each) as { payload: Json }
    if (fits(document, payload, message)) return name
  }
  assert.fail(`No message of ${address} is ${JSON.stringify(message)}`)
}

function listOperations(document: JsonObject): string[] {
  return Object.values(document['paths'] as JsonObject).flatMap(item =>
    Object.values(item as JsonObject).flatMap(
      each => ((each as JsonObject)['operationId'] as string | undefined) ?? [],
    ),
  )
}

function findPath(document: JsonObject, path: string): JsonObject | undefined {
  const templates = Object.keys(document['paths'] as JsonObject).sort(
    (a, b) => a.split('{').length - b.split('{').length,
  )
  const template = templates.find(each => new RegExp(`^${each.replace(/\{\w+\}/g, '[^/]+')}$`).test(path))
  return template === undefined ? undefined : ((document['paths'] as JsonObject)[template] as JsonObject)
}

function memberOf(document: JsonObject, ...path: readonly string[]): JsonObject {
  return path.reduce<JsonObject>((value, name) => value[name] as JsonObject, document)
}

function follow(document: JsonObject, value: Json): Json {
  const reference = (value as JsonObject)['$ref']
  return typeof reference === 'string' ? resolve(document, reference) : value
}

function resolve(document: JsonObject, reference: string): Json {
  const parts = reference
    .slice(2)
    .split('/')
    .map(part => part.replaceAll('~1', '/').replaceAll('~0', '~'))
  return parts.reduce<Json>((value, part) => (value as JsonObject)[part]!, document)
}

const compiled = new WeakMap<object, Map<string, ReturnType<typeof Compile>>>()

function fits(document: JsonObject, schema: Json, value: Json): boolean {
  const cache = compiled.get(document) ?? new Map<string, ReturnType<typeof Compile>>()
  compiled.set(document, cache)
  const key = JSON.stringify(schema)
  const validator =
    cache.get(key) ?? Compile({ allOf: [schema], components: document['components'] } as unknown as XSchema)
  cache.set(key, validator)
  return validator.Check(value)
}

function assertFits(document: JsonObject, schema: Json, value: Json, what = ''): void {
  assert.ok(
    fits(document, schema, value),
    `${what} ${JSON.stringify(value)} does not fit ${JSON.stringify(schema)}`,
  )
}
