/** The public face: what is declared public, and nothing else, through every channel. PROTOCOL.md §13. */
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import type { JsonObject } from '../../src/contract/index.ts'
import { defineResource } from '../../src/service/resource.ts'
import { openService } from '../../src/service/service.ts'
import {
  type Answer,
  type AskOptions,
  askOver,
  assertProblem,
  logKinds,
  openTestLog,
  openTestService,
  readEvents,
  type TestService,
} from '../support/service.ts'

const articles = defineResource('articles', {
  schema: {
    type: 'object',
    required: ['title'],
    additionalProperties: false,
    properties: {
      title: { type: 'string', maxLength: 20 },
      status: { enum: ['draft', 'published'] },
      views: { type: 'integer' },
      notes: { type: 'string' },
      score: { type: 'integer' },
      author: { type: 'string' },
      secretary: { type: 'string' },
    },
  },
  references: { author: 'users', secretary: 'users' },
  public: {
    operations: ['read', 'create', 'put', 'patch', 'remove'],
    fields: ['title', 'status', 'views', 'author'],
    where: { status: 'published' },
  },
})
const users = defineResource('users', {
  schema: {
    type: 'object',
    properties: {
      name: { type: 'string' },
      salary: { type: 'integer' },
      address: {
        type: 'object',
        properties: { city: { type: 'string' }, street: { type: 'string' } },
      },
      jobs: {
        type: 'array',
        items: { type: 'object', properties: { title: { type: 'string' }, pay: { type: 'integer' } } },
      },
    },
  },
  public: { fields: ['name', 'address/city', 'jobs/title'] },
})
const ledgers = defineResource('ledgers', { schema: { type: 'object' } })
const resources = [articles, users, ledgers]

interface Faced extends TestService {
  /** Asks as the public. */
  see(method: string, path: string, options?: AskOptions): Promise<Answer>
  seen(stream: string, query?: string): Promise<readonly JsonObject[]>
}

async function openFaced(logKind: (typeof logKinds)[number] = 'memory'): Promise<Faced> {
  const api = await openTestService({ logKind, resources })
  const see: Faced['see'] = (method, path, options) =>
    askOver(api.service.public.fetch, `http://service.test${path}`, method, options)
  return {
    ...api,
    see,
    async seen(stream, query = '') {
      const { json, text } = await see('GET', `/${stream}/_changes?limit=10000${query}`)
      assert.equal(json.to, json.head, text)
      return json.changes
    },
    [Symbol.asyncDispose]: () => api[Symbol.asyncDispose](),
  }
}

const shape = ({ event, resource, state, changes }: JsonObject): unknown[] => [
  event,
  resource,
  ...(state === undefined ? [] : [state]),
  ...(changes === undefined ? [] : [changes]),
]

for (const logKind of logKinds) {
  suite(`the public face on the ${logKind} log`, () => {
    test('shows of a resource the public members, where its conditions hold', async () => {
      await using api = await openFaced(logKind)
      await api.ask('PUT', '/articles/a', { body: { title: 'A', status: 'published', notes: 'n' } })
      await api.ask('PUT', '/articles/b', { body: { title: 'B', status: 'draft', notes: 'n' } })
      const a = await api.see('GET', '/articles/a')
      assert.deepEqual(a.json, { id: 'a', title: 'A', status: 'published' })
      const b = await api.see('GET', '/articles/b')
      const never = await api.see('GET', '/articles/c')
      assertProblem(b, 404, 'not-found')
      assert.equal(b.text.replaceAll('/b', '/c'), never.text)
      assert.deepEqual([...b.headers.keys()], [...never.headers.keys()])
      assert.equal(b.headers.get('lockstep-marker'), never.headers.get('lockstep-marker'))
      assert.deepEqual((await api.see('GET', '/articles')).json, [a.json])
      const counted = await api.see('GET', '/articles?count=true&versions=true')
      assert.equal(counted.headers.get('lockstep-count'), '1')
      assert.equal(counted.headers.get('lockstep-versions'), '1')
      await api.ask('DELETE', '/articles/b')
      assert.equal((await api.see('GET', '/articles/b')).text, b.text)
    })

    test('tells in the feed what becomes of what the public sees, and nothing else', async () => {
      await using api = await openFaced(logKind)
      const patch = (body: unknown): Promise<Answer> => api.ask('PATCH', '/articles/a', { body })
      await api.ask('PUT', '/articles/a', { body: { title: 'A', status: 'draft', notes: 'x' } })
      await patch({ notes: 'y', status: 'published' })
      await patch({ notes: 'z' })
      await api.ask('PUT', '/articles/a', { body: { title: 'A', status: 'published', notes: 'w' } })
      await patch({ title: 'A2', notes: 'v' })
      await patch({ status: 'draft' })
      await patch({ title: 'A3' })
      await api.ask('DELETE', '/articles/a')
      await api.ask('PUT', '/articles/a', { body: { title: 'A', status: 'published', notes: 'x' } })
      await api.ask('DELETE', '/articles/a')
      const state = { id: 'a', title: 'A', status: 'published' }
      const seen = await api.seen('articles')
      assert.deepEqual(seen.map(shape), [
        ['created', '/articles/a', state],
        ['modified', '/articles/a', { title: 'A2' }],
        ['deleted', '/articles/a'],
        ['created', '/articles/a', state],
        ['deleted', '/articles/a'],
      ])
      assert.deepEqual(
        seen.map(({ version }) => version),
        [2, 5, 6, 9, 10],
      )
      assert.equal(
        seen.some(message => 'tx' in message || 'public' in message),
        false,
      )
    })

    test('tells in the compact feed what the public has last heard of', async () => {
      await using api = await openFaced(logKind)
      for (const [id, status] of [
        ['a', 'published'],
        ['b', 'draft'],
        ['c', 'published'],
      ] as const)
        await api.ask('PUT', `/articles/${id}`, { body: { title: id, status, notes: 'n' } })
      await api.ask('PATCH', '/articles/a', { body: { title: 'A' } })
      await api.ask('PATCH', '/articles/c', { body: { status: 'draft' } })
      await api.ask('DELETE', '/articles/b')
      const seen = await api.seen('articles', '&compact=true')
      assert.deepEqual(seen.map(shape), [
        ['modified', '/articles/a', { id: 'a', title: 'A', status: 'published' }],
        ['deleted', '/articles/c'],
      ])
    })

    test('writes what it sees, and leaves the rest as it is', async () => {
      await using api = await openFaced(logKind)
      await api.ask('PUT', '/articles/a', { body: { title: 'A', notes: 'n', status: 'published', views: 1 } })
      const put = await api.see('PUT', '/articles/a', { body: { title: 'B', status: 'published' } })
      assert.deepEqual(put.json, { id: 'a', title: 'B', status: 'published' })
      assert.deepEqual((await api.ask('GET', '/articles/a')).json, {
        id: 'a',
        title: 'B',
        notes: 'n',
        status: 'published',
      })
      await api.see('PATCH', '/articles/a', { body: { views: 2 } })
      const last = (await api.changes('articles')).at(-1)!
      assert.deepEqual(last['changes'], { views: 2 })
      assert.deepEqual((await api.ask('GET', '/articles/a')).json, {
        id: 'a',
        title: 'B',
        notes: 'n',
        status: 'published',
        views: 2,
      })
      const made = await api.see('POST', '/articles', { body: { title: 'N', status: 'published' } })
      assert.equal(made.status, 201)
      assert.deepEqual(Object.keys(made.json), ['id', 'title', 'status'])
      assert.equal((await api.see('DELETE', '/articles/a')).status, 204)
      assert.equal((await api.ask('GET', '/articles/a')).status, 410)
    })
  })
}

test('a hidden member is to the public as one that there is not, wherever it is named', async () => {
  await using api = await openFaced()
  await api.ask('PUT', '/articles/a', { body: { title: 'A', notes: 'secret', status: 'published' } })
  const same = async (make: (name: string) => [string, string, AskOptions?]): Promise<void> => {
    const [hidden, unknown] = await Promise.all([make('notes'), make('nonse')].map(args => api.see(...args)))
    assert.equal(hidden!.status, unknown!.status)
    assert.equal(hidden!.text.replaceAll('notes', 'nonse'), unknown!.text)
    assert.ok(hidden!.status >= 400, hidden!.text)
  }
  const json = 'application/json-patch+json'
  await same(name => ['GET', `/articles?${name}=secret`])
  await same(name => ['GET', `/articles?${name}:exists=true`])
  await same(name => ['GET', `/articles?sort=${name}`])
  await same(name => ['GET', `/articles?fields=${name}`])
  await same(name => ['GET', `/articles/a?fields=${name}`])
  await same(name => ['GET', `/articles/a?embed=${name}`])
  await same(name => ['PATCH', '/articles/a', { body: { [name]: 'x' } }])
  await same(name => ['PUT', '/articles/a', { body: { title: 'A', status: 'published', [name]: 'x' } }])
  await same(name => ['POST', '/articles', { body: { title: 'A', [name]: 'x' } }])
  for (const op of ['test', 'replace', 'remove', 'add', 'copy', 'move']) {
    await same(name => [
      'PATCH',
      '/articles/a',
      {
        headers: { 'content-type': json },
        rawBody: JSON.stringify([
          op === 'copy' || op === 'move'
            ? { op, from: `/${name}`, path: '/title' }
            : { op, path: `/${name}`, value: 'secret' },
        ]),
      },
    ])
  }
  assert.equal((await api.see('GET', '/articles?embed=secretary')).status, 400)
  assert.deepEqual((await api.ask('GET', '/articles/a')).json.notes, 'secret')
})

test('a hidden resource answers every method as one that there is not', async () => {
  await using api = await openFaced()
  await api.ask('PUT', '/articles/h', { body: { title: 'H', status: 'draft' } })
  await api.ask('PUT', '/articles/d', { body: { title: 'H', status: 'draft' } })
  await api.ask('DELETE', '/articles/d')
  const { headers } = await api.ask('GET', '/articles/h')
  const tag = headers.get('etag')!
  const tries: [string, AskOptions][] = [
    ['GET', {}],
    ['GET', { headers: { 'if-none-match': tag } }],
    ['HEAD', {}],
    ['PUT', { body: { title: 'X', status: 'published' } }],
    ['PUT', { body: { title: 'X' }, headers: { 'if-none-match': '*' } }],
    ['PUT', { body: { title: 'X' }, headers: { 'if-match': tag } }],
    ['PATCH', { body: { title: 'X' } }],
    ['PATCH', { body: { title: 'X' }, headers: { 'if-match': tag } }],
    ['DELETE', {}],
    ['DELETE', { headers: { 'if-match': '*' } }],
  ]
  for (const [method, options] of tries) {
    const never = await api.see(method, '/articles/n', options)
    for (const id of ['h', 'd']) {
      const answer = await api.see(method, `/articles/${id}`, options)
      assert.equal(answer.status, never.status, `${method} ${id}`)
      assert.equal(answer.text.replaceAll(`/${id}`, '/n'), never.text)
      assert.ok(answer.status >= 400)
    }
  }
  const taken = await api.see('POST', '/articles', { body: { id: 'h', title: 'X' } })
  const free = await api.see('POST', '/articles', { body: { id: 'n', title: 'X' } })
  assertProblem(taken, 422, 'invalid-id')
  assert.equal(taken.text, free.text)
  const bulk = (id: string): Promise<Answer> =>
    api.see('POST', '/articles/_bulk', {
      body: {
        operations: [
          { method: 'PATCH', id, body: { title: 'Y' } },
          { method: 'POST', body: { id, title: 'Z' } },
        ],
      },
    })
  assert.equal((await bulk('h')).text.replaceAll('/h', '/n'), (await bulk('n')).text)
  assert.deepEqual((await api.ask('GET', '/articles/h')).json, { id: 'h', title: 'H', status: 'draft' })
})

test('what is not declared public is not there', async () => {
  await using api = await openFaced()
  await api.ask('PUT', '/ledgers/1', { body: {} })
  for (const path of ['/ledgers', '/ledgers/1', '/ledgers/_changes', '/ledgers/_bulk', '/health', '/nothing'])
    assertProblem(await api.see('GET', path), 404, 'not-found')
  const { text } = await api.see('GET', '/nothing')
  assert.doesNotMatch(text, /ledgers/)
  assert.deepEqual(
    (await api.see('GET', '/')).json.resources.map(({ path }: { path: string }) => path),
    ['/articles', '/users'],
  )
  const post = await api.see('POST', '/users', { body: {} })
  assertProblem(post, 405, 'method-not-allowed')
  assert.equal(post.headers.get('allow'), 'GET, HEAD, OPTIONS')
  assertProblem(await api.see('POST', '/users/_bulk', { body: {} }), 405, 'method-not-allowed')
  assert.equal((await api.see('OPTIONS', '/users/1')).headers.get('accept-patch'), null)
})

test('parts of objects and of items are shown in every form of a change', async () => {
  await using api = await openFaced()
  const full = {
    name: 'U',
    salary: 5,
    address: { city: 'Oslo', street: 's' },
    jobs: [{ title: 'chef', pay: 1 }],
  }
  await api.ask('PUT', '/users/u', { body: full })
  const shown = { id: 'u', name: 'U', address: { city: 'Oslo' }, jobs: [{ title: 'chef' }] }
  assert.deepEqual((await api.see('GET', '/users/u')).json, shown)
  await api.ask('PATCH', '/users/u', { body: { address: { street: 't' } } })
  await api.ask('PATCH', '/users/u', { body: { address: { street: 'v', city: 'Bergen' }, salary: 6 } })
  await api.ask('PATCH', '/users/u', { body: { address: null } })
  await api.ask('PATCH', '/users/u', { body: { jobs: [{ title: 'cook', pay: 2 }] } })
  const seen = await api.seen('users')
  assert.deepEqual(seen.map(shape), [
    ['created', '/users/u', shown],
    ['modified', '/users/u', { address: { city: 'Bergen' } }],
    ['modified', '/users/u', { address: null }],
    ['modified', '/users/u', { jobs: [{ title: 'cook' }] }],
  ])
  assertProblem(await api.see('GET', '/users?address/street=v'), 400, 'invalid-query')
  assertProblem(await api.see('GET', '/users?jobs:has=x'), 400, 'invalid-query')
})

test('an embed shows what the public sees of the other resource', async () => {
  await using api = await openFaced()
  await api.ask('PUT', '/users/u', { body: { name: 'U', salary: 5 } })
  await api.ask('PUT', '/articles/a', {
    body: { title: 'A', status: 'published', author: 'u', secretary: 'u' },
  })
  const { json } = await api.see('GET', '/articles/a?embed=author')
  assert.deepEqual(json._embedded, { author: { id: 'u', name: 'U' } })
})

test('the event stream tells the same as the feed', async () => {
  await using api = await openFaced()
  await api.ask('PUT', '/articles/h', { body: { title: 'H', status: 'draft' } })
  await api.ask('PUT', '/articles/a', { body: { title: 'A', status: 'published', notes: 'n' } })
  const events = readEvents(
    await api.service.public.fetch(
      new Request('http://service.test/articles/_changes?after=earliest', {
        headers: { accept: 'text/event-stream' },
      }),
    ),
  )
  const upToHead = await events.until(({ event }) => event === 'head')
  await events.close()
  const messages = upToHead.filter(({ event }) => event === undefined).map(({ data }) => JSON.parse(data))
  assert.deepEqual(messages, await api.seen('articles'))
})

test('an idempotency key of one face is none of the other', async () => {
  await using api = await openFaced()
  const options = { body: { title: 'A', status: 'published' }, headers: { 'idempotency-key': 'k' } }
  const own = await api.ask('POST', '/articles', options)
  const seen = await api.see('POST', '/articles', options)
  assert.notEqual(own.json.id, seen.json.id)
  const again = await api.see('POST', '/articles', options)
  assert.equal(again.headers.get('idempotency-replayed'), 'true')
  assert.deepEqual(again.json, seen.json)
  assert.equal(again.headers.get('lockstep-marker'), seen.headers.get('lockstep-marker'))
})

test('another declaration is another epoch, so that nobody goes on with what the old one gave', async () => {
  await using log = await openTestLog('memory')
  const declare = (fields: readonly string[], where: Record<string, string>) =>
    defineResource('articles', { schema: articles.schema, public: { fields, where } })
  const open = (resource: ReturnType<typeof declare>) => openService({ resources: [resource], log })
  const old = await open(declare(['title'], { status: 'published' }))
  const ask = (service: typeof old, method: string, path: string, options?: AskOptions) =>
    askOver(service.public.fetch, `http://service.test${path}`, method, options)
  await old
    .transaction(async tx => {
      await tx
        .put(articles.route === 'articles' ? declare(['title'], {}) : articles, 'x', {} as never)
        .catch(() => {})
    })
    .catch(() => {})
  await askOver(old.fetch, 'http://service.test/articles/a', 'PUT', {
    body: { title: 'A', status: 'published', notes: 'n' },
  })
  const before = await ask(old, 'GET', '/articles/a')
  await old.close()
  const next = await open(declare(['title', 'notes'], { status: 'published' }))
  const after = await ask(next, 'GET', '/articles/a', {
    headers: { 'if-none-match': before.headers.get('etag')! },
  })
  assert.equal(after.status, 200)
  const [, epoch, seq] = before.headers.get('lockstep-marker')!.split(':')
  assertProblem(await ask(next, 'GET', `/articles/_changes?after=${epoch}:${seq}`), 410, 'position-gone')
  // What was judged by the old declaration is not told by the new one.
  const feed = await ask(next, 'GET', '/articles/_changes')
  assert.deepEqual(feed.json.changes, [])
  assert.equal(feed.json.first, feed.json.head + 1)
  await next.close()
})

const refusals: [string, () => unknown, RegExp][] = [
  [
    'an unknown member',
    () => defineResource('a', { schema: users.schema, public: { fields: ['nam'] } }),
    /no member "nam"/,
  ],
  [
    'an unknown operation',
    () =>
      defineResource('a', {
        schema: { type: 'object' },
        public: { operations: ['list' as 'read'], fields: true },
      }),
    /no operation "list"/,
  ],
  [
    'no fields',
    () => defineResource('a', { schema: { type: 'object' }, public: {} as { fields: true } }),
    /needs fields/,
  ],
  [
    'parts that are written',
    () =>
      defineResource('a', { schema: users.schema, public: { operations: true, fields: ['address/city'] } }),
    /only a part of "address"/,
  ],
  [
    'a required member that is hidden and created',
    () =>
      defineResource('a', { schema: articles.schema, public: { operations: ['create'], fields: ['views'] } }),
    /does not see "title"/,
  ],
  [
    'a condition on no member',
    () => defineResource('a', { schema: articles.schema, public: { fields: ['views'], where: { foo: 1 } } }),
    /no member "foo"/,
  ],
]
for (const [name, declare, message] of refusals) {
  test(`a declaration is refused for ${name}`, () => {
    assert.throws(declare, { code: 'invalid-option', message })
  })
}

test('a nested resource is public below what is always public only', async () => {
  await using log = await openTestLog('memory')
  const notes = defineResource('articles/{article}/notes', {
    schema: { type: 'object' },
    public: { fields: true },
  })
  await assert.rejects(openService({ resources: [articles, users, notes], log }), {
    message: /only under conditions/,
  })
  const lines = defineResource('ledgers/{ledger}/lines', {
    schema: { type: 'object' },
    public: { fields: true },
  })
  await assert.rejects(openService({ resources: [ledgers, lines], log }), { message: /is not public/ })
})
