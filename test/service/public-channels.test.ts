/**
 * What the public learns through all channels together is what a GET shows it, and its copies converge. PROTOCOL.md §13.
 *
 * Every value that is written is unique, so that one that got out is found wherever it stands.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { createMemoryHub } from '../../src/broker/memory.ts'
import { connect } from '../../src/client/connection.ts'
import { applyMergePatch, type Json, type JsonObject } from '../../src/contract/index.ts'
import { createAudienceSigner } from '../../src/gateway/access/audience-signer.ts'
import { createPages } from '../../src/live/page.ts'
import { openHttpServer } from '../../src/service/http/node.ts'
import { defineResource } from '../../src/service/resource.ts'
import {
  askOver,
  assertProblem,
  eventually,
  hear,
  openTestService,
  readEvents,
  type TestService,
} from '../support/service.ts'

const names = ['a', 'b', 'c'] as const
const properties = {
  status: { enum: ['open', 'draft'] },
  a: { type: 'string' },
  b: { type: 'string' },
  c: { type: 'string' },
  deep: { type: 'object', properties: { x: { type: 'string' }, y: { type: 'string' } } },
  list: {
    type: 'array',
    items: { type: 'object', properties: { x: { type: 'string' }, y: { type: 'string' } } },
  },
} as const
const paths = ['status', 'a', 'b', 'c', 'deep', 'deep/x', 'deep/y', 'list', 'list/x', 'list/y']

interface Step {
  readonly kind: 'put' | 'patch' | 'delete' | 'bulk'
  readonly id: string
  readonly status: 'open' | 'draft' | undefined
  readonly members: readonly string[]
}
const steps = fc.array(
  fc.record({
    kind: fc.constantFrom<Step['kind']>('put', 'patch', 'patch', 'patch', 'delete', 'bulk'),
    id: fc.constantFrom('i', 'j', 'k'),
    status: fc.constantFrom<Step['status']>('open', 'draft', undefined),
    members: fc.subarray(['a', 'b', 'c', 'x', 'y', 'lx', 'ly', 'none']),
  }),
  { minLength: 3, maxLength: 25 },
)
const declarations = fc.record({
  fields: fc.subarray(paths, { maxLength: 5 }),
  isConditional: fc.boolean(),
})

let count = 0
/** A value that is nowhere else. */
const fresh = (): string => `v${++count}_`

function bodyOf({ status, members }: Step): JsonObject {
  const body: JsonObject = status === undefined ? {} : { status }
  for (const name of names) if (members.includes(name)) body[name] = fresh()
  const deep: JsonObject = {}
  if (members.includes('x')) deep['x'] = fresh()
  if (members.includes('y')) deep['y'] = fresh()
  if (Object.keys(deep).length > 0) body['deep'] = deep
  const item: JsonObject = {}
  if (members.includes('lx')) item['x'] = fresh()
  if (members.includes('ly')) item['y'] = fresh()
  if (Object.keys(item).length > 0) body['list'] = [item]
  return body
}

/** What may be seen of a state, said again in the plainest way. */
function expected(
  state: JsonObject,
  fields: readonly string[],
  isConditional: boolean,
): JsonObject | undefined {
  if (isConditional && state['status'] !== 'open') return undefined
  const shown: JsonObject = { id: state['id']! }
  for (const [name, value] of Object.entries(state)) {
    if (fields.includes(name)) shown[name] = value
    const parts = ['x', 'y'].filter(part => fields.includes(`${name}/${part}`))
    if (fields.includes(name) || parts.length === 0) continue
    const pick = (each: JsonObject): JsonObject =>
      Object.fromEntries(Object.entries(each).filter(([part]) => parts.includes(part)))
    shown[name] = Array.isArray(value) ? (value as JsonObject[]).map(pick) : pick(value as JsonObject)
  }
  return shown
}

const valuesIn = (value: unknown): readonly string[] => JSON.stringify(value ?? '').match(/v\d+_/g) ?? []

async function makeSteps(
  api: TestService,
  all: readonly Step[],
  see: (state: JsonObject) => void,
): Promise<void> {
  for (const step of all) {
    const { kind, id } = step
    const body = bodyOf(step)
    if (kind === 'bulk') {
      const operations = [
        { method: 'PUT', id, body },
        { method: 'PATCH', id: id === 'k' ? 'i' : 'k', body: bodyOf(step) },
      ]
      await api.ask('POST', '/things/_bulk', { body: { operations } })
    } else await api.ask(kind.toUpperCase(), `/things/${id}`, kind === 'delete' ? {} : { body })
    for (const state of (await api.ask('GET', '/things')).json) see(state)
  }
}

/** Applies messages to a copy, as a follower does that has a position. */
function fold(messages: readonly JsonObject[]): ReadonlyMap<string, JsonObject> {
  const copy = new Map<string, JsonObject>()
  for (const { event, resource, state, changes } of messages) {
    const id = String(resource).split('/').at(-1)!
    if (event === 'deleted') assert.ok(copy.delete(id), 'a deletion of what was never told')
    else if (state !== undefined) copy.set(id, state as JsonObject)
    else {
      assert.ok(copy.has(id), 'a change of what was never told')
      copy.set(id, applyMergePatch(copy.get(id)!, changes as Json) as JsonObject)
    }
  }
  return copy
}

test('for any declaration and any writes, no channel shows the public what a GET never did', async () => {
  await fc.assert(
    fc.asyncProperty(declarations, steps, async ({ fields, isConditional }, all) => {
      const things = defineResource('things', {
        schema: { type: 'object', properties },
        public: { fields, ...(isConditional ? { where: { status: 'open' } } : {}) },
      })
      const hub = createMemoryHub()
      await using api = await openTestService({
        resources: [things],
        broker: hub.connect(),
        publicTopicPrefix: 'public/',
      })
      await using heard = await hear(hub.connect(), 'public/#')
      const seen = new Set<string>()
      await makeSteps(api, all, state => {
        for (const value of valuesIn(expected(state, fields, isConditional))) seen.add(value)
      })
      const see = (path: string, headers: Record<string, string> = {}) =>
        askOver(api.service.public.fetch, `http://service.test${path}`, 'GET', { headers })
      const now = ((await api.ask('GET', '/things')).json as JsonObject[]).flatMap((state): JsonObject[] => {
        const shown = expected(state, fields, isConditional)
        return shown === undefined ? [] : [shown]
      })
      const list = await see('/things?versions=true&count=true')
      assert.deepEqual(list.json, now)
      assert.equal(list.headers.get('lockstep-count'), String(now.length))
      const answers = [list]
      for (const id of ['i', 'j', 'k', 'never']) {
        const answer = await see(`/things/${id}`)
        assert.deepEqual(
          answer.status === 200 ? answer.json : undefined,
          now.find(state => state['id'] === id),
        )
        answers.push(
          answer,
          await see(`/things/${id}`, { 'if-none-match': answer.headers.get('etag') ?? '"x"' }),
        )
      }
      for (const path of paths) {
        answers.push(await see(`/things?sort=${path}`), await see(`/things?${path}:exists=true`))
        const filtered = await see(`/things?${path}:exists=false&count=true`)
        const isKnown = filtered.status === 200
        if (!isKnown) assertProblem(filtered, 400, 'invalid-query')
        answers.push(filtered)
      }
      const feed = await see('/things/_changes?limit=10000')
      assert.deepEqual(
        [...fold(feed.json.changes).values()].map(({ id }) => id).sort(),
        now.map(({ id }) => id).sort(),
      )
      assert.deepEqual(
        new Map([...fold(feed.json.changes)].sort()),
        new Map(now.map(state => [String(state['id']), state])),
      )
      const compact = await see('/things/_changes?limit=10000&compact=true')
      assert.deepEqual(
        (compact.json.changes as JsonObject[])
          .flatMap(({ state }) => (state === undefined ? [] : [state as JsonObject]))
          .sort((a, b) => (a['id']! < b['id']! ? -1 : 1)),
        now,
      )
      answers.push(feed, compact)
      const events = readEvents(
        await api.service.public.fetch(
          new Request('http://service.test/things/_changes?after=earliest', {
            headers: { accept: 'text/event-stream' },
          }),
        ),
      )
      const streamed = await events.until(({ event }) => event === 'head')
      await events.close()
      const told = streamed.filter(({ event }) => event === undefined).map(({ data }) => JSON.parse(data))
      assert.deepEqual(told, feed.json.changes)
      const position = `things:${feed.json.epoch}`
      const deliveries = await heard.until(list => {
        const last = (feed.json.changes as JsonObject[]).at(-1)?.['id']
        return last === undefined || list.some(({ payload }) => payload.includes(`"id":"${last}"`))
      })
      const published = deliveries
        .filter(({ topic }) => !topic.includes('/lockstep/'))
        .map(({ payload }) => JSON.parse(payload))
      assert.deepEqual(published, feed.json.changes)
      assert.ok(published.every(({ id }) => id.startsWith(position)))
      const pages = createPages({ sources: [{ api: api.service.public, streams: ['things'] }] })
      const page = await pages.read({ things: '/things' })
      const everything = [
        ...answers.map(({ text, headers }) => `${text} ${JSON.stringify([...headers])}`),
        ...deliveries.map(({ topic, payload }) => `${topic} ${payload}`),
        JSON.stringify(streamed),
        JSON.stringify(page),
      ].join('\n')
      const leaked = valuesIn(everything).filter(value => !seen.has(value))
      assert.deepEqual(leaked, [])
    }),
    { numRuns: 60 },
  )
})

const notes = defineResource('notes', {
  schema: {
    type: 'object',
    properties: {
      text: { type: 'string' },
      status: { enum: ['open', 'draft'] },
      secret: { type: 'integer' },
    },
  },
  public: { operations: true, fields: ['text', 'status'], where: { status: 'open' } },
})
const key = 'a secret of at least 32 bytes, for tests'

for (const kind of ['feed', 'topics'] as const) {
  test(`a follower of the public face converges over the ${kind}`, async () => {
    const hub = createMemoryHub()
    await using api = await openTestService({
      resources: [notes],
      broker: hub.connect(),
      publicTopicPrefix: 'public/',
      audience: { service: 'notes', keys: [key], default: 'internal' },
      relay: { headEveryMs: 200 },
    })
    await using server = await openHttpServer(api.service, { port: 0 })
    const sign = createAudienceSigner(key)
    const headers = (): Record<string, string> => ({
      'lockstep-audience': sign({ service: 'notes', face: 'public', scopes: [], requestId: 'r' }),
    })
    await api.ask('PUT', '/notes/1', { body: { text: 'first', status: 'open', secret: 1 } })
    await api.ask('PUT', '/notes/2', { body: { text: 'second', status: 'draft', secret: 1 } })
    const lockstep = await connect<{ notes: { id: string; text?: string; secret?: number } }>({
      api: server.url,
      headers,
      ...(kind === 'topics' ? { broker: hub.connect() } : {}),
    })
    const follower = lockstep.follow('/notes')
    const shown: unknown[] = []
    follower.on('change', change => shown.push(change))
    await follower.ready
    assert.deepEqual([...follower.state.keys()], ['1'])
    for (let round = 0; round < 5; round++) {
      await api.ask('PATCH', '/notes/1', { body: { secret: round + 10 } })
      await api.ask('PATCH', '/notes/1', { body: { text: `round ${round}`, secret: round + 100 } })
      await api.ask('PATCH', '/notes/2', {
        body: { status: round % 2 === 0 ? 'open' : 'draft', secret: round + 200 },
      })
    }
    const list = async (): Promise<unknown> =>
      (await askOver(fetch, `${server.url}/notes`, 'GET', { headers: headers() })).json
    await eventually(
      async () => JSON.stringify([...follower.state.values()]) === JSON.stringify(await list()),
    )
    assert.equal(follower.state.size, 2)
    assert.doesNotMatch(JSON.stringify(shown), /secret/)
    await lockstep.close()
  })
}

test('a service believes a gateway of its own, and nobody else', async () => {
  const start = Date.parse('2026-01-31T12:00:00Z')
  let nowMs = start
  await using api = await openTestService({
    resources: [notes],
    audience: { service: 'notes', keys: [key, 'another secret of at least 32 bytes, old'] },
    now: () => nowMs,
  })
  await api.service.transaction(async tx => {
    await tx.put(notes, '1', { text: 'x', status: 'open', secret: 1 })
  })
  const facts = { service: 'notes', face: 'internal', scopes: [], requestId: 'r' } as const
  const signer = (secret: string): ReturnType<typeof createAudienceSigner> =>
    createAudienceSigner(secret, () => nowMs)
  const ask = (token?: string) =>
    api.ask('GET', '/notes/1', token === undefined ? {} : { headers: { 'lockstep-audience': token } })
  assert.deepEqual(Object.keys((await ask()).json), ['id', 'text', 'status'])
  const token = signer(key)(facts)
  assert.equal((await ask(token)).json.secret, 1)
  assert.equal((await ask(signer('another secret of at least 32 bytes, old')(facts))).json.secret, 1)
  const [header, payload, signature] = token.split('.') as [string, string, string]
  const claims = JSON.parse(Buffer.from(payload, 'base64url').toString()) as JsonObject
  const encode = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url')
  const forged: Record<string, string> = {
    'another key': signer('a foreign secret of at least 32 bytes!!')(facts),
    'another service': signer(key)({ ...facts, service: 'people' }),
    'no algorithm': `${encode({ alg: 'none', typ: 'lockstep-audience+jwt' })}.${payload}.`,
    'no signature': `${header}.${payload}.`,
    'changed claims': `${header}.${encode({ ...claims, face: 'internal', sub: 'admin' })}.${signature}`,
    'another type': `${encode({ alg: 'HS256', typ: 'JWT' })}.${payload}.${signature}`,
    'two tokens': `${token}, ${token}`,
    nothing: 'x',
    padding: `${token}=`,
  }
  for (const [what, text] of Object.entries(forged)) {
    const answer = await ask(text)
    assertProblem(answer, 401, 'invalid-credentials')
    assert.doesNotMatch(answer.text, /notes\/1/, what)
  }
  nowMs = start + 66_000
  assertProblem(await ask(token), 401, 'invalid-credentials')
  nowMs = start - 10_000
  assertProblem(await ask(token), 401, 'invalid-credentials')
})

test('a service with public resources that cannot verify a token answers none', async () => {
  await using api = await openTestService({ resources: [notes] })
  const headers = {
    'lockstep-audience': createAudienceSigner(key)({
      service: 'notes',
      face: 'public',
      scopes: [],
      requestId: 'r',
    }),
  }
  assertProblem(await api.ask('GET', '/notes', { headers }), 401, 'invalid-credentials')
  assert.equal((await api.ask('GET', '/notes')).status, 200)
})

test('topics of the public are never among those of the service', async () => {
  const broker = createMemoryHub().connect()
  for (const [topicPrefix, publicTopicPrefix] of [
    ['', ''],
    ['a/', 'a/'],
    ['', 'notes/'],
    ['notes/', ''],
    ['a/', 'a/notes/x/'],
  ] as const)
    await assert.rejects(openTestService({ resources: [notes], broker, topicPrefix, publicTopicPrefix }), {
      code: 'invalid-option',
    })
})
