import assert from 'node:assert/strict'
import test from 'node:test'
import { type Api, type ApiOptions, createApi } from '../../src/client/api.ts'
import type { Ask } from '../../src/client/follower-data.ts'
import { isLockstepError, type LockstepError, parsePath } from '../../src/contract/index.ts'
import { type FakeAnswer, type FakeApi, mirrorHeaders, openFakeApi } from '../support/fake-api.ts'

const people = parsePath('/people')
const john = parsePath('/people/johndoe')
const friends = parsePath('/people/1/friends')
const items: Ask = { kind: 'items', next: undefined }
const get: Ask = { kind: 'resource', path: john.path, held: undefined }
const feed: Ask = { kind: 'feed', epoch: 'k3f9', after: 7, compact: false }
const never = new AbortController().signal

function apiAt({ url }: FakeApi, options: Partial<ApiOptions> = {}): Api {
  const root = new URL(`${url}/`)
  return createApi({
    root,
    fetch,
    headers: () => ({}),
    timeoutMs: 10_000,
    topicPrefix: undefined,
    ...options,
  })
}

async function failure(promise: Promise<unknown>): Promise<LockstepError> {
  const error = await promise.then(
    () => assert.fail('it does not fail'),
    reason => reason,
  )
  assert.ok(isLockstepError(error), String(error))
  return error
}

/** Asks an API that gives one answer. */
async function refusal(answer: FakeAnswer, ask: Ask = items, target = people): Promise<LockstepError> {
  await using server = await openFakeApi(() => answer)
  return await failure(apiAt(server).answer(target, ask, never))
}

test('a list is read page by page, with versions, and the marker of each page', async () => {
  await using server = await openFakeApi(({ url }) => {
    const isFirst = !url.includes('after=')
    const next = '</people?limit=1000&versions=true&after=b>; rel="next"'
    return {
      headers: mirrorHeaders('/people', 'people:k3f9:7', {
        'lockstep-versions': isFirst ? '3,1' : '2',
        link: `</people/_changes>; rel="changes"${isFirst ? `, ${next}` : ''}`,
      }),
      body: isFirst ? [{ id: 'a' }, { id: 'b' }] : [{ id: 'c' }],
    }
  })
  const api = apiAt(server)
  const first = await api.answer(people, items, never)
  assert.deepEqual(first, {
    type: 'items',
    epoch: 'k3f9',
    seq: 7,
    items: [
      { id: 'a', version: 3, state: { id: 'a' } },
      { id: 'b', version: 1, state: { id: 'b' } },
    ],
    next: `${server.url}/people?limit=1000&versions=true&after=b`,
  })
  const second = await api.answer(people, { kind: 'items', next: first.next }, never)
  assert.deepEqual(second.type === 'items' && [second.items.length, second.next], [1, undefined])
  assert.equal(server.requests[0]?.url, '/people?limit=1000&versions=true')
  assert.equal(server.requests[0]?.headers['cache-control'], 'no-cache')
})

test('an empty list is a list', async () => {
  await using server = await openFakeApi(() => ({
    headers: mirrorHeaders('/people', 'people:k3f9:0'),
    body: [],
  }))
  assert.deepEqual(await apiAt(server).answer(people, items, never), {
    type: 'items',
    epoch: 'k3f9',
    seq: 0,
    items: [],
    next: undefined,
  })
})

test('a list below a resource that is not there is empty', async () => {
  await using server = await openFakeApi(() => ({
    status: 410,
    headers: mirrorHeaders(friends.path, 'people:k3f9:9'),
    body: { status: 410, code: 'gone' },
  }))
  const answer = await apiAt(server).answer(friends, items, never)
  assert.deepEqual(answer.type === 'items' && [answer.seq, answer.items], [9, []])
})

test('a resource is asked for with the version that is held, and 304 says that it is the same', async () => {
  await using server = await openFakeApi(({ headers }) => ({
    status: headers['if-none-match'] === '"k3f9.17"' ? 304 : 200,
    headers: mirrorHeaders(john.path, 'people:k3f9:20', { etag: '"k3f9.17"' }),
    body: headers['if-none-match'] ? undefined : { id: 'johndoe' },
  }))
  const api = apiAt(server)
  assert.deepEqual(await api.answer(john, get, never), {
    type: 'resource',
    answer: { found: 'whole', epoch: 'k3f9', seq: 20, version: 17, state: { id: 'johndoe' } },
  })
  const again = { ...get, held: { epoch: 'k3f9', version: 17 } }
  assert.deepEqual(await api.answer(john, again, never), {
    type: 'resource',
    answer: { found: 'same', epoch: 'k3f9', seq: 20 },
  })
})

for (const status of [404, 410]) {
  test(`${status} with a marker says that a resource is not there; without one it is no Lockstep service`, async () => {
    const headers = mirrorHeaders(john.path, 'orders:zz:1,people:k3f9:20')
    await using server = await openFakeApi(() => ({ status, headers, body: {} }))
    assert.deepEqual(await apiAt(server).answer(john, get, never), {
      type: 'resource',
      answer: { found: 'absent', epoch: 'k3f9', seq: 20 },
    })
    const error = await refusal({ status, body: { detail: 'There is nothing here.' } }, get, john)
    assert.equal(error.code, 'api-refused')
    assert.match(error.message, /There is nothing here/)
  })
}

test('a page of the feed is read, and events of a later protocol are left out', async () => {
  const message = {
    event: 'created',
    id: 'people:k3f9:8',
    resource: '/people/a',
    version: 1,
    state: { id: 'a' },
  }
  await using server = await openFakeApi(() => ({
    headers: mirrorHeaders('/people', 'people:k3f9:20'),
    body: {
      stream: 'people',
      epoch: 'k3f9',
      after: 7,
      to: 9,
      head: 20,
      first: 1,
      changes: [message, { event: 'archived', id: 'people:k3f9:9' }],
    },
  }))
  assert.deepEqual(await apiAt(server).answer(people, feed, never), {
    type: 'page',
    interval: {
      epoch: 'k3f9',
      after: 7,
      to: 9,
      head: 20,
      compact: false,
      changes: [{ epoch: 'k3f9', seq: 8, message }],
    },
  })
  assert.equal(server.requests[0]?.url, '/people/_changes?after=k3f9%3A7&limit=1000')
})

test('what is below a collection is asked for with under, latest states with compact', async () => {
  const body = { stream: 'people', epoch: 'k3f9', after: 7, to: 7, head: 7, first: 1, changes: [] }
  await using server = await openFakeApi(() => ({ body }))
  await apiAt(server).answer(friends, { ...feed, compact: true }, never)
  const query = new URL(server.requests[0]!.url, server.url).searchParams
  assert.deepEqual(Object.fromEntries(query), {
    after: 'k3f9:7',
    limit: '1000',
    compact: 'true',
    under: '/people/1/friends',
  })
})

test('the feed is where the first response says, below whatever root', async () => {
  const link = '</v2/people/_changes>; rel="changes"'
  const body = { stream: 'people', epoch: 'k3f9', after: 7, to: 7, head: 7, first: 1, changes: [] }
  await using server = await openFakeApi(({ url }) =>
    url.includes('_changes')
      ? { body }
      : { headers: mirrorHeaders('/people', 'people:k3f9:7', { link }), body: [] },
  )
  const api = apiAt(server, { root: new URL(`${server.url}/v1/`) })
  await api.answer(people, items, never)
  await api.answer(people, feed, never)
  assert.deepEqual(
    server.requests.map(({ url }) => url.split('?')[0]),
    ['/v1/people', '/v2/people/_changes'],
  )
})

test('links to another origin are not followed', async () => {
  const link =
    '<https://elsewhere.example/people?after=b>; rel="next", <//elsewhere.example/x>; rel="changes"'
  await using server = await openFakeApi(() => ({
    headers: mirrorHeaders('/people', 'people:k3f9:7', { link }),
    body: [],
  }))
  const api = apiAt(server)
  const answer = await api.answer(people, items, never)
  assert.equal(answer.type === 'items' && answer.next, undefined)
  await assert.rejects(api.answer(people, feed, never))
  assert.match(server.requests[1]!.url, /^\/people\/_changes/)
})

test('the prefix of the topics is what stands before the path in Lockstep-Topic', async () => {
  await using server = await openFakeApi(() => ({
    headers: mirrorHeaders('/people', 'people:k3f9:7', { 'lockstep-topic': 'acme/prod/people' }),
    body: [],
  }))
  const api = apiAt(server)
  assert.equal(api.isTopicPrefixKnown, false)
  await api.answer(people, items, never)
  assert.equal(api.isTopicPrefixKnown, true)
  assert.equal(await api.topicPrefix, 'acme/prod/')
  assert.equal(await apiAt(server, { topicPrefix: 'given/' }).topicPrefix, 'given/')
})

test('the feed of what is nested tells the prefix too: it is that of the stream', async () => {
  await using server = await openFakeApi(() => ({
    headers: mirrorHeaders('/people', 'people:k3f9:7', { 'lockstep-topic': 'acme/prod/people' }),
    body: { stream: 'people', epoch: 'k3f9', after: 7, to: 7, head: 7, first: 1, changes: [] },
  }))
  const api = apiAt(server)
  await api.answer(parsePath('/people/a/friends'), feed, never)
  assert.equal(await api.topicPrefix, 'acme/prod/')
})

test('headers are asked for anew for each request', async () => {
  await using server = await openFakeApi(() => ({
    headers: mirrorHeaders('/people', 'people:k3f9:7'),
    body: [],
  }))
  let count = 0
  const api = apiAt(server, { headers: () => ({ authorization: `Bearer ${++count}` }) })
  await api.answer(people, items, never)
  await api.answer(people, items, never)
  assert.deepEqual(
    server.requests.map(({ headers }) => headers.authorization),
    ['Bearer 1', 'Bearer 2'],
  )
})

test('all languages are asked for, whatever the headers of the application say, and the answer tells which members are texts', async () => {
  await using server = await openFakeApi(() => ({
    headers: mirrorHeaders('/people', 'people:k3f9:7', {
      'lockstep-languages': 'en, fr',
      'lockstep-texts': 'title, seo/short%20text',
    }),
    body: [],
  }))
  const api = apiAt(server, { headers: () => ({ 'Accept-Language': 'fr', Accept: 'text/html' }) })
  const { texts } = await api.answer(people, items, never)
  assert.deepEqual(texts, { languages: ['en', 'fr'], places: [['title'], ['seo', 'short text']] })
  const { headers } = server.requests[0]!
  assert.deepEqual([headers['accept-language'], headers.accept], ['*', 'application/json'])
})

test('what only needs time is unreachable, with the time that the server names', async () => {
  for (const status of [408, 429, 500, 502, 503, 504]) {
    const error = await refusal({ status, headers: { 'retry-after': '3' }, body: { detail: 'busy' } })
    assert.equal(error.code, 'api-unreachable')
    assert.equal(error.extra['retryAfterMs'], 3_000)
    assert.match(error.message, new RegExp(`${status}: "busy"`))
  }
})

test('what more time does not help is refused, with advice', async () => {
  for (const [status, advice] of [
    [400, /API root/],
    [401, /credentials/],
    [403, /do not allow/],
    [404, /path and the API root/],
    [405, /cannot be followed/],
  ] as const) {
    const error = await refusal({ status, body: 'no' })
    assert.equal(error.code, 'api-refused')
    assert.match(error.message, advice)
    assert.match(error.message, /GET http:/)
  }
})

test('a feed that cannot go on says so by its code', async () => {
  const gone = await refusal({ status: 410, body: { code: 'position-gone', detail: 'pruned' } }, feed)
  assert.equal(gone.code, 'position-gone')
  const body = { code: 'position-ahead', detail: 'later' }
  const ahead = await refusal({ status: 503, headers: { 'retry-after': '1' }, body }, feed)
  assert.deepEqual([ahead.code, ahead.extra['retryAfterMs']], ['position-ahead', 1_000])
})

test('an answer that is not what the protocol says is refused, and the message says what is wrong', async () => {
  const good = mirrorHeaders('/people', 'people:k3f9:7', { 'lockstep-versions': '1' })
  const page = { stream: 'people', epoch: 'k3f9', after: 7, to: 8, head: 8, first: 1 }
  const message = { event: 'created', resource: '/people/a', version: 1, state: {} }
  const cases: [FakeAnswer, RegExp, Ask?][] = [
    [{ headers: good, body: '<html>' }, /not JSON/],
    [{ headers: good, body: { id: 'a' } }, /JSON array/],
    [
      { headers: { ...good, 'lockstep-versions': '' }, body: [{ id: 'a' }] },
      /0 versions for 1 items.*Expose-Headers/,
    ],
    [{ headers: good, body: [{ name: 'no id' }] }, /no id/],
    [{ headers: { ...good, 'lockstep-versions': 'x' }, body: [{ id: 'a' }] }, /no version/],
    [{ headers: { 'lockstep-versions': '1' }, body: [{ id: 'a' }] }, /no Lockstep-Marker/],
    [{ headers: good, body: [] }, /1 versions for 0 items/],
    [{ headers: mirrorHeaders('/people', 'orders:k3f9:7'), body: [] }, /no Lockstep-Marker/],
    [{ headers: { ...good, etag: '"zz.1"' }, body: { id: 'a' } }, /ETag "\\"zz.1\\"" does not/, get],
    [{ headers: { ...good, etag: 'W/"k3f9.1"' }, body: { id: 'a' } }, /ETag/, get],
    [{ headers: { ...good, etag: '"k3f9.1;lang=fr"' }, body: { id: 'a' } }, /whole representation/, get],
    [{ headers: { ...good, etag: '"k3f9.1"' }, body: '[]' }, /JSON object/, get],
    [{ body: {} }, /no page of a feed/, feed],
    [{ body: { ...page, to: -1, changes: [] } }, /no page of this feed/, feed],
    [{ body: { ...page, stream: 'orders', changes: [] } }, /no page of this feed/, feed],
    [
      { body: { ...page, changes: [{ ...message, id: 'orders:k3f9:8', resource: '/orders/a' }] } },
      /another stream/,
      feed,
    ],
    [{ body: { ...page, changes: [7] } }, /no JSON object/, feed],
    [{ headers: { 'lockstep-marker': 'people' }, body: [] }, /position "people" cannot be read/],
    [{ body: { ...page, changes: [{ ...message, id: 'people:zz:8' }] } }, /another stream or epoch/, feed],
  ]
  for (const [answer, pattern, ask = items] of cases) {
    const error = await refusal(answer, ask)
    assert.equal(error.code, 'api-refused', error.message)
    assert.match(error.message, pattern)
  }
})

test('an API that is not there is unreachable, and the message says why', async () => {
  const server = await openFakeApi(() => ({}))
  await server[Symbol.asyncDispose]()
  const error = await failure(apiAt(server).answer(people, items, never))
  assert.equal(error.code, 'api-unreachable')
  assert.match(error.message, /ECONNREFUSED/)
})

test('a connection that breaks in the middle of an answer is unreachable', async () => {
  const error = await refusal(response => {
    response.writeHead(200, { ...mirrorHeaders('/people', 'people:k3f9:7'), 'content-length': '1000' })
    response.write('[', () => response.destroy())
  })
  assert.equal(error.code, 'api-unreachable')
})

test('an answer that does not come, or does not end, fails with timeout', async () => {
  await using server = await openFakeApi(() => () => {})
  const api = apiAt(server, { timeoutMs: 20 })
  assert.equal((await failure(api.answer(people, items, never))).code, 'timeout')
  server.answer = () => response => {
    response.writeHead(200, mirrorHeaders('/people', 'people:k3f9:7'))
    response.write('[')
  }
  assert.equal((await failure(api.answer(people, items, never))).code, 'timeout')
})

test('a question can be taken back', async () => {
  const asked = Promise.withResolvers<void>()
  await using server = await openFakeApi(() => () => asked.resolve())
  const abort = new AbortController()
  const answer = apiAt(server).answer(people, items, abort.signal)
  await asked.promise
  abort.abort()
  await assert.rejects(answer)
})

test('an event stream is opened after a position, and gives its text as it comes', async () => {
  const opened = Promise.withResolvers<import('node:http').ServerResponse>()
  await using server = await openFakeApi(() => response => {
    response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8' })
    response.write('first')
    opened.resolve(response)
  })
  const chunks = await apiAt(server).openEvents(john, { epoch: 'k3f9', seq: 7 }, never)
  const reader = chunks[Symbol.asyncIterator]()
  assert.equal((await reader.next()).value, 'first')
  const response = await opened.promise
  // A character of several bytes may be cut anywhere.
  response.write(Buffer.from('ä').subarray(0, 1))
  response.write(Buffer.from('ä').subarray(1))
  response.end()
  let rest = ''
  for await (const chunk of { [Symbol.asyncIterator]: () => reader }) rest += chunk
  assert.equal(rest, 'ä')
  const [request] = server.requests
  assert.equal(request?.headers.accept, 'text/event-stream')
  assert.equal(request?.url, '/people/_changes?after=k3f9%3A7&under=%2Fpeople%2Fjohndoe')
})

test('an event stream that breaks fails, one that is closed by its reader does not', async () => {
  await using server = await openFakeApi(() => response => {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    response.write('first', () => response.destroy())
  })
  const chunks = await apiAt(server).openEvents(people, { epoch: 'k3f9', seq: 7 }, never)
  const error = await failure(
    (async () => {
      for await (const _ of chunks) {
      }
    })(),
  )
  assert.equal(error.code, 'api-unreachable')
})

test('an event stream that is left is closed at the server too', async () => {
  const closed = Promise.withResolvers<void>()
  await using server = await openFakeApi(() => response => {
    response.on('close', () => closed.resolve())
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    response.write('first')
  })
  const chunks = await apiAt(server).openEvents(people, { epoch: 'k3f9', seq: 7 }, never)
  for await (const _ of chunks) break
  await closed.promise
})

test('an event stream that the server does not open fails with the reason', async () => {
  await using server = await openFakeApi(() => ({ status: 410, body: { code: 'position-gone' } }))
  const api = apiAt(server)
  const open = (): Promise<unknown> => api.openEvents(people, { epoch: 'k3f9', seq: 7 }, never)
  assert.equal((await failure(open())).code, 'position-gone')
  server.answer = () => ({ status: 503, body: { code: 'too-many-followers' } })
  assert.equal((await failure(open())).code, 'api-unreachable')
  server.answer = () => ({ body: {} })
  const error = await failure(open())
  assert.equal(error.code, 'api-refused')
  assert.match(error.message, /application\/json.*instead of an event stream/)
})

test('after an aborted event stream no request is left open', async () => {
  await using server = await openFakeApi(() => response => {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    response.write('first')
  })
  const abort = new AbortController()
  const chunks = await apiAt(server).openEvents(people, { epoch: 'k3f9', seq: 7 }, abort.signal)
  const reader = chunks[Symbol.asyncIterator]()
  await reader.next()
  const next = reader.next()
  abort.abort()
  await assert.rejects(next)
})
