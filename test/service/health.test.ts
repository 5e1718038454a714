/** `/health`: what it says of a service that is well, cut off, behind, or without its log. PROTOCOL.md §4.17. */
import assert from 'node:assert/strict'
import { mock, test } from 'node:test'
import type { Broker } from '../../src/broker/broker.ts'
import { createMemoryHub } from '../../src/broker/memory.ts'
import { LockstepError } from '../../src/contract/index.ts'
import { createMemoryLog } from '../../src/log/memory.ts'
import { defineResource } from '../../src/service/resource.ts'
import { type Answer, assertProblem, eventually, openTestService, projects } from '../support/service.ts'

const put = { body: { title: 'Atlas' } }

/** What the answer says without what differs each time. */
function timeless({ json }: Answer): unknown {
  assert.equal(typeof json.uptimeMs, 'number')
  const { uptimeMs, ...rest } = json
  for (const stream of Object.values<{ epoch?: string }>(rest.streams)) delete stream.epoch
  return rest
}

test('4.17 a service that is well says ok, with head, relayed and lag of each stream', async () => {
  const hub = createMemoryHub()
  await using broker = hub.connect()
  await using api = await openTestService({ broker, resources: [projects], root: '/api/v1' })
  await api.ask('PUT', '/api/v1/projects/atlas', put)
  await eventually(async () => (await api.service.relayLag())['projects'] === 0)
  const answer = await api.ask('GET', '/api/v1/health')
  assert.equal(answer.status, 200)
  assert.equal(answer.headers.get('content-type'), 'application/json; charset=utf-8')
  assert.equal(answer.headers.get('cache-control'), 'no-store')
  assert.match(answer.json.streams.projects.epoch, /^\w+$/)
  assert.deepEqual(timeless(answer), {
    status: 'ok',
    reasons: [],
    streams: { projects: { head: 1, first: 1, relayed: 1, lag: 0 } },
    broker: { connected: true },
    eventStreams: 0,
  })
})

test('4.17 HEAD is answered without a body, OPTIONS with the methods, all else is refused', async () => {
  await using api = await openTestService()
  const head = await api.ask('HEAD', '/health')
  assert.deepEqual([head.status, head.text, head.headers.get('allow')], [200, '', null])
  const options = await api.ask('OPTIONS', '/health')
  assert.deepEqual([options.status, options.headers.get('allow')], [204, 'GET, HEAD, OPTIONS'])
  assertProblem(await api.ask('POST', '/health', { body: {} }), 405, 'method-not-allowed')
  assertProblem(await api.ask('GET', '/health?verbose=true'), 400, 'invalid-query')
  assertProblem(await api.ask('GET', '/health/x'), 404, 'not-found')
})

test('4.17 without the broker it is degraded, still in use, and says how far behind the broker is', async () => {
  const hub = createMemoryHub()
  await using broker = hub.connect()
  await using api = await openTestService({ broker, resources: [projects] })
  hub.stop()
  for (const id of ['a', 'b', 'c']) await api.ask('PUT', `/projects/${id}`, put)
  const answer = await api.ask('GET', '/health')
  assert.equal(answer.status, 200)
  assert.deepEqual(timeless(answer), {
    status: 'degraded',
    reasons: ['broker-unreachable'],
    streams: { projects: { head: 3, first: 1, relayed: 0, lag: 3 } },
    broker: { connected: false },
    eventStreams: 0,
  })
  hub.start()
  await eventually(async () => (await api.service.health()).status === 'ok')
})

test('4.17 a broker that is connected and acknowledges nothing for half a minute stalls the relay', async () => {
  let now = 0
  const clock = mock.method(performance, 'now', () => now)
  try {
    const silent: Broker = {
      connected: true,
      publish: () => new Promise(() => {}),
      subscribe: async () => ({ close: async () => {}, [Symbol.asyncDispose]: async () => {} }),
      onConnection: () => () => {},
      close: async () => {},
      [Symbol.asyncDispose]: async () => {},
    }
    await using api = await openTestService({ broker: silent, resources: [projects] })
    const published = Promise.withResolvers<void>()
    mock.method(silent, 'publish', (topic: string) => {
      if (topic.startsWith('projects')) published.resolve()
      return new Promise(() => {})
    })
    await api.ask('PUT', '/projects/atlas', put)
    await published.promise
    now = 30_000
    assert.equal((await api.service.health()).status, 'ok')
    now = 30_001
    const { status, reasons, streams } = await api.service.health()
    assert.deepEqual([status, reasons, streams['projects']?.lag], ['degraded', ['relay-stalled'], 1])
  } finally {
    clock.mock.restore()
  }
})

test('4.17 without a broker there is neither lag nor broker; open event streams are counted', async () => {
  await using api = await openTestService({ resources: [projects] })
  const leaving = new AbortController()
  const events = new Request('http://service.test/projects/_changes', {
    headers: { accept: 'text/event-stream' },
    signal: leaving.signal,
  })
  await api.service.fetch(events)
  assert.deepEqual(timeless(await api.ask('GET', '/health')), {
    status: 'ok',
    reasons: [],
    streams: { projects: { head: 0, first: 1 } },
    eventStreams: 1,
  })
  leaving.abort()
  assert.equal((await api.service.health()).eventStreams, 0)
})

test('4.17 a change log that cannot be read, or does not answer, is 503, and its failure is told without its text', async () => {
  const log = createMemoryLog()
  const api = await openTestService({ log, resources: [projects] })
  const failing = mock.method(log, 'head', () =>
    Promise.reject(new LockstepError('log-failed', 'secret.db is full.')),
  )
  assertProblem(await api.ask('GET', '/projects/_changes'), 503, 'log-failed')
  api.errors.length = 0
  const answer = await api.ask('GET', '/health')
  assert.deepEqual([answer.status, answer.headers.get('retry-after')], [503, '1'])
  assert.deepEqual([answer.json.status, answer.json.reasons], ['failing', ['log-failed']])
  assert.deepEqual([answer.json.lastError.code, answer.json.lastError.stage], ['log-failed', 'request'])
  assert.doesNotMatch(answer.text, /secret/)
  failing.mock.restore()
  // It reads again, and there was a failure a moment ago.
  const { status, reasons } = await api.service.health()
  assert.deepEqual([status, reasons], ['degraded', ['log-failed']])

  mock.timers.enable({ apis: ['setTimeout'] })
  try {
    mock.method(log, 'head', () => new Promise(() => {}))
    const waiting = api.service.health()
    mock.timers.tick(2_000)
    const late = await waiting
    assert.deepEqual([late.status, late.reasons], ['failing', ['timeout', 'log-failed']])
  } finally {
    mock.timers.reset()
  }
  await api.service.close()
  await log.close()
})

test('4.17 a service that is closed says so; many who ask at once are answered by one look at the log', async () => {
  const log = createMemoryLog()
  const api = await openTestService({ log, resources: [projects] })
  const reads = mock.method(log, 'head')
  const answers = await Promise.all(Array.from({ length: 50 }, () => api.ask('GET', '/health')))
  assert.ok(answers.every(({ status }) => status === 200))
  assert.equal(reads.mock.callCount(), 1)
  await api.service.close()
  const answer = await api.ask('GET', '/health')
  assert.deepEqual([answer.status, answer.json.reasons], [503, ['closed']])
  await log.close()
})

test('4.17 a resource of that name has the path, and health: false leaves it alone', async () => {
  const health = defineResource('health', { schema: { type: 'object' } })
  await using taken = await openTestService({ resources: [health] })
  assert.deepEqual((await taken.ask('GET', '/health')).json, [])
  await using silent = await openTestService({ resources: [projects], health: false })
  assertProblem(await silent.ask('GET', '/health'), 404, 'not-found')
  assert.equal((await silent.service.health()).status, 'ok')
})
