/** What a service tells on its channels, and where the cause of a write comes from. PROTOCOL.md §4.11. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createMemoryHub } from '../../src/broker/memory.ts'
import { commitChannel, relayChannel, requestChannel } from '../../src/contract/channel.ts'
import { hearChannel } from '../support/channel.ts'
import { eventually, logKinds, openTestLog, openTestService, projects } from '../support/service.ts'

const traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'
const put = { body: { title: 'Atlas' } }

test('a request is told of by its route, without ids, with status, code and cause', async () => {
  await using api = await openTestService({ root: '/api' })
  using heard = hearChannel(requestChannel)
  const headers = { 'x-request-id': 'r1' }
  await api.ask('PUT', '/api/people/ann', { headers, body: { name: 'Ann' } })
  await api.ask('POST', '/api/people/ann/friends', { body: { id: 'bob' } })
  await api.ask('GET', '/api/people/ann/friends/bob')
  await api.ask('GET', '/api/people')
  await api.ask('GET', '/api/people/_changes')
  await api.ask('POST', '/api/people/_bulk', { body: { operations: [] } })
  await api.ask('GET', '/api/health')
  await api.ask('GET', '/api/')
  await api.ask('GET', '/api/nothing/5')
  await api.ask('DELETE', '/api/people')
  assert.deepEqual(
    heard.messages.map(({ method, route, status, code }) => [method, route, status, code]),
    [
      ['PUT', '/people/{id}', 201, undefined],
      ['POST', '/people/{person}/friends', 201, undefined],
      ['GET', '/people/{person}/friends/{id}', 200, undefined],
      ['GET', '/people', 200, undefined],
      ['GET', '/people/_changes', 200, undefined],
      ['POST', '/people/_bulk', 422, 'invalid-bulk'],
      ['GET', '/health', 200, undefined],
      ['GET', '/', 200, undefined],
      ['GET', '', 404, 'not-found'],
      ['DELETE', '/people', 405, 'method-not-allowed'],
    ],
  )
  const [first] = heard.messages
  assert.deepEqual([first?.path, first?.cause], ['/api/people/ann', 'r1'])
  assert.ok(first!.durationMs > 0)
})

for (const logKind of logKinds) {
  test(`a commit is told of with its works and changes (${logKind})`, async () => {
    await using log = await openTestLog(logKind)
    await using api = await openTestService({ log, resources: [projects] })
    using heard = hearChannel(commitChannel)
    await Promise.all([
      api.ask('PUT', '/projects/a', put),
      api.ask('PUT', '/projects/b', put),
      api.ask('PATCH', '/projects/c', put),
    ])
    const sum = (of: 'works' | 'changes'): number =>
      heard.messages.reduce((total, message) => total + message[of], 0)
    assert.deepEqual([sum('works'), sum('changes')], [3, 2])
    assert.ok(heard.messages.every(({ durationMs }) => durationMs >= 0))
  })
}

test('the relay tells what is published, its connection, its lag, and its end', async () => {
  const hub = createMemoryHub()
  await using broker = hub.connect()
  using heard = hearChannel(relayChannel)
  const events = (): string[] => heard.messages.map(({ event }) => event)
  const api = await openTestService({ broker, resources: [projects] })
  await api.ask('PUT', '/projects/a', put)
  await eventually(() => events().includes('published'))
  hub.stop()
  await api.ask('PUT', '/projects/b', put)
  await eventually(() => heard.messages.some(message => message.event === 'lag' && message.lag === 1))
  hub.start()
  await eventually(() => events().filter(event => event === 'published').length === 2)
  await api[Symbol.asyncDispose]()
  assert.ok(heard.messages.every(({ stream }) => stream === 'projects'))
  assert.deepEqual(
    heard.messages.filter(({ event }) => event !== 'lag'),
    [
      { event: 'published', stream: 'projects', seq: 1 },
      { event: 'connection', stream: 'projects', connected: false },
      { event: 'connection', stream: 'projects', connected: true },
      { event: 'published', stream: 'projects', seq: 2 },
      { event: 'closed', stream: 'projects' },
    ],
  )
})

test('the relay tells of a reset', async () => {
  const hub = createMemoryHub()
  await using broker = hub.connect()
  hub.stop()
  await using api = await openTestService({ broker, resources: [projects], relay: { maxBacklog: 2 } })
  for (const id of ['a', 'b', 'c']) await api.ask('PUT', `/projects/${id}`, put)
  using heard = hearChannel(relayChannel)
  hub.start()
  const reset = { event: 'reset', stream: 'projects', seq: 3 }
  await eventually(() => heard.messages.some(({ event }) => event === 'reset'))
  assert.deepEqual(
    heard.messages.filter(({ event }) => event === 'reset'),
    [reset],
  )
})

test('4.11 the cause is the X-Request-Id, else a valid traceparent, else made', async () => {
  await using api = await openTestService({ resources: [projects] })
  const causeOf = async (headers: Readonly<Record<string, string>>): Promise<string | null> =>
    (await api.ask('POST', '/projects', { ...put, headers })).headers.get('x-request-id')
  assert.equal(await causeOf({ 'x-request-id': 'r1', traceparent }), 'r1')
  assert.equal(await causeOf({ traceparent }), traceparent)
  assert.match((await causeOf({ traceparent: 'nonsense' }))!, /^[0-9a-z]{16}$/)
  assert.match((await causeOf({}))!, /^[0-9a-z]{16}$/)
  const causes = (await api.changes('projects')).map(change => change['cause'])
  assert.deepEqual(causes.slice(0, 2), ['r1', traceparent])
})

test('4.11 the cause that the application gives goes before the traceparent, also in transactions', async () => {
  let cause: string | undefined = 'span-1'
  await using api = await openTestService({ resources: [projects], cause: () => cause })
  await api.ask('POST', '/projects', { ...put, headers: { traceparent } })
  await api.ask('POST', '/projects', { ...put, headers: { 'x-request-id': 'r1' } })
  await api.service.transaction(tx => tx.create(projects, { title: 'B' }))
  await api.service.transaction(tx => tx.create(projects, { title: 'C' }), { cause: 'own' })
  cause = undefined
  await api.ask('POST', '/projects', { ...put, headers: { traceparent } })
  assert.deepEqual(
    (await api.changes('projects')).map(change => change['cause']),
    ['span-1', 'r1', 'span-1', 'own', traceparent],
  )
})

test('an application whose cause cannot be used, or throws, is told, and the write is made', async () => {
  const causes = [
    () => 'two words',
    () => {
      throw new Error('There is no tracer.')
    },
  ]
  await using api = await openTestService({ resources: [projects], cause: () => causes.shift()?.() })
  await assert.rejects(openTestService({ cause: 'r1' as never }), { code: 'invalid-option' })
  for (const _ of [1, 2]) assert.equal((await api.ask('POST', '/projects', put)).status, 201)
  assert.deepEqual(
    api.errors.splice(0).map(({ error, stage }) => [stage, (error as Error).message]),
    [
      [
        'cause',
        'The cause "two words" cannot be used: give 1 to 128 visible ASCII characters, or undefined.',
      ],
      ['cause', 'There is no tracer.'],
    ],
  )
})
