/** The feed as an event stream: PROTOCOL.md §5.9, in-process and over real sockets. */
import assert from 'node:assert/strict'
import { getEventListeners, once } from 'node:events'
import { connect } from 'node:net'
import test from 'node:test'
import type { EventSourceMessage } from 'eventsource-parser'
import { openSqliteLog, type SqliteLog } from '../../src/log/sqlite.ts'
import type { HttpHandler } from '../../src/service/http/exchange.ts'
import { openHttpServer } from '../../src/service/http/node.ts'
import type { ServiceOptions } from '../../src/service/service.ts'
import {
  assertProblem,
  type Events,
  eventually,
  logKinds,
  openTestService,
  people,
  readEvents,
  type TestService,
} from '../support/service.ts'

const accept = { accept: 'text/event-stream' }
const often: Partial<ServiceOptions> = { relay: { headEveryMs: 10 } }
const isHead = ({ event }: EventSourceMessage): boolean => event === 'head'
const seqOf = ({ id }: EventSourceMessage): number => Number(id!.split(':')[2])

async function createPeople({ ask }: TestService, ...ids: readonly string[]): Promise<void> {
  for (const id of ids) await ask('PUT', `/people/${id}`, { body: { name: id } })
}

async function follow(
  { service }: TestService,
  query = '',
  headers: Readonly<Record<string, string>> = {},
): Promise<Events> {
  const request = new Request(`http://service.test/people/_changes${query}`, {
    headers: { ...accept, ...headers },
  })
  return readEvents(await service.fetch(request))
}

/** May one more stream be opened? It is closed at once. */
async function hasRoom({ service, errors }: TestService): Promise<boolean> {
  const request = new Request('http://service.test/people/_changes', { headers: accept })
  const { status, body } = await service.fetch(request)
  await body?.cancel()
  if (status !== 200) errors.pop()
  return status === 200
}

for (const logKind of logKinds) {
  test(`5.9 on the ${logKind} log each change is an event with its message and position, and heads cover them`, async () => {
    await using api = await openTestService({ logKind })
    await createPeople(api, 'a', 'b')
    const events = await follow(api, '?after=earliest')
    const { epoch } = await api.log.head('people')
    const first = await events.until(isHead)
    const changes = await api.changes('people')
    assert.deepEqual(
      first.slice(0, 2).map(({ id, event, data }) => ({ id, event, data: JSON.parse(data) })),
      changes.map(change => ({ id: change['id'], event: undefined, data: change })),
    )
    assert.equal(first[2]!.id, `people:${epoch}:2`)
    const { time, ...head } = JSON.parse(first[2]!.data)
    assert.deepEqual(head, { stream: 'people', epoch, seq: 2, first: 1 })
    assert.match(time, /^\d{4}-/)
    await createPeople(api, 'c')
    const next = await events.next()
    assert.deepEqual([next!.id, JSON.parse(next!.data).resource], [`people:${epoch}:3`, '/people/c'])
    await events.close()
  })
}

test('5.4 5.9 without a position the stream begins now, with a head', async () => {
  await using api = await openTestService()
  await createPeople(api, 'a')
  const events = await follow(api)
  const [head] = await events.until(isHead)
  assert.equal(seqOf(head!), 1)
  await createPeople(api, 'b')
  assert.equal(seqOf((await events.next())!), 2)
  await events.close()
})

test('5.9 heads come every headEveryMs, always behind the changes that they cover', async () => {
  await using api = await openTestService(often)
  const events = await follow(api)
  await events.until(isHead)
  await events.until(isHead)
  let position = 0
  for (let round = 0; round < 30; round++) {
    await createPeople(api, `a${round}`)
    if (round % 3 > 0) continue
    for (const event of await events.until(isHead)) {
      if (isHead(event)) assert.equal(JSON.parse(event.data).seq, position)
      else assert.equal(seqOf(event), ++position)
    }
  }
  assert.ok(position > 20)
  await events.close()
})

test('5.9 Last-Event-ID resumes exactly behind it, and wins over after', async () => {
  await using api = await openTestService()
  await createPeople(api, 'a', 'b', 'c', 'd')
  const { epoch } = await api.log.head('people')
  const numbers = async (query: string, headers: Readonly<Record<string, string>>): Promise<number[]> => {
    const events = await follow(api, query, headers)
    const heard = (await events.until(isHead)).slice(0, -1).map(seqOf)
    await events.close()
    return heard
  }
  assert.deepEqual(await numbers('', { 'last-event-id': `people:${epoch}:2` }), [3, 4])
  assert.deepEqual(await numbers('?after=earliest', { 'last-event-id': `people:${epoch}:3` }), [4])
  assert.deepEqual(await numbers('?after=now', { 'last-event-id': `${epoch}:1` }), [2, 3, 4])
  assert.deepEqual(await numbers(`?after=${epoch}:3`, {}), [4])
  assert.deepEqual(await numbers('?after=earliest', { 'last-event-id': '' }), [1, 2, 3, 4])
  const json = await api.ask('GET', '/people/_changes', { headers: { 'last-event-id': `people:${epoch}:3` } })
  assert.equal(json.json.changes.length, 4)
  const bad = await api.ask('GET', '/people/_changes', {
    headers: { ...accept, 'last-event-id': 'nonsense' },
  })
  assertProblem(bad, 400, 'invalid-position')
})

test('5.7 a stream that would begin at a position that is gone is 410 with the marker', async () => {
  await using api = await openTestService()
  await createPeople(api, 'a', 'b', 'c')
  const { epoch } = await api.log.head('people')
  await api.log.prune({ maxRows: 1, minRows: 1 })
  for (const position of [`people:${epoch}:1`, 'people:other:3']) {
    const answer = await api.ask('GET', '/people/_changes', {
      headers: { ...accept, 'last-event-id': position },
    })
    assert.equal(assertProblem(answer, 410, 'position-gone')['marker'], `people:${epoch}:3`)
  }
})

test('5.9 a new epoch ends the stream with gone and the marker', async () => {
  await using api = await openTestService()
  await createPeople(api, 'a')
  const events = await follow(api)
  await events.until(isHead)
  const { epoch } = await api.log.renewEpoch('people')
  const gone = await events.next()
  assert.deepEqual([gone!.event, JSON.parse(gone!.data)], ['gone', { marker: `people:${epoch}:0` }])
  assert.equal(await events.next(), undefined)
})

test('5.9 a reader so slow that its position is pruned hears gone', async () => {
  await using api = await openTestService()
  const events = await follow(api, '?after=earliest&limit=1')
  await createPeople(api, 'a', 'b', 'c', 'd', 'e', 'f')
  await api.log.prune({ maxRows: 1, minRows: 1 })
  const heard = await events.until(({ event }) => event === 'gone')
  assert.ok(heard.length < 4)
  assert.match(JSON.parse(heard.at(-1)!.data).marker, /^people:.*:6$/)
  assert.equal(await events.next(), undefined)
})

test('5.8 a stream that begins ahead waits, then is 503', async () => {
  await using api = await openTestService()
  const { epoch } = await api.log.head('people')
  const waiting = follow(api, `?after=${epoch}:1`)
  await createPeople(api, 'a', 'b')
  const events = await waiting
  const heard = await events.until(event => !isHead(event))
  assert.equal(seqOf(heard.at(-1)!), 2)
  await events.close()
  const answer = await api.ask('GET', `/people/_changes?after=${epoch}:9`, { headers: accept })
  assertProblem(answer, 503, 'position-ahead')
})

test('5.5 5.6 under and compact narrow a stream; heads say how far it was looked at', async () => {
  await using api = await openTestService(often)
  await createPeople(api, 'ann', 'bob')
  await api.ask('PATCH', '/people/ann', { body: { age: 1 } })
  const under = await follow(api, '?after=earliest&under=/people/bob')
  assert.deepEqual((await under.until(isHead)).map(seqOf), [2, 3])
  await api.ask('PATCH', '/people/ann', { body: { age: 2 } })
  await under.until(event => isHead(event) && seqOf(event) === 4)
  await under.close()
  const compact = await follow(api, '?after=earliest&compact=true')
  assert.deepEqual((await compact.until(isHead)).map(seqOf), [2, 4, 4])
  await compact.close()
})

test('streams that wait at one place are given one page, read once', async () => {
  await using api = await openTestService()
  const streams = await Promise.all(Array.from({ length: 20 }, () => follow(api)))
  await Promise.all(streams.map(events => events.until(isHead)))
  let pages = 0
  const readChanges = api.log.readChanges.bind(api.log)
  api.log.readChanges = (stream, options) => {
    pages++
    return readChanges(stream, options)
  }
  await createPeople(api, 'a')
  const heard = await Promise.all(streams.map(events => events.next()))
  assert.deepEqual(new Set(heard.map(event => seqOf(event!))), new Set([1]))
  assert.equal(pages, 1)
  await Promise.all(streams.map(events => events.close()))
})

test('a text with line ends, NUL and what looks like fields is one event with one line of data', async () => {
  await using api = await openTestService()
  const name = 'a\r\n\r\ndata: forged\nid: 9\u0000\u2028\r'
  await api.service.transaction(tx => tx.create(people, { id: 'a', name }))
  const events = await follow(api, '?after=earliest')
  const [event] = await events.until(isHead)
  assert.equal(seqOf(event!), 1)
  assert.equal(JSON.parse(event!.data).state.name, name)
  await events.close()
})

test('5.10 a stream is never cached, and not buffered by proxies', async () => {
  await using api = await openTestService()
  const { epoch } = await api.log.head('people')
  const request = new Request(`http://service.test/people/_changes?after=${epoch}:0`, { headers: accept })
  const { headers, body } = await api.service.fetch(request)
  assert.equal(headers.get('cache-control'), 'no-store')
  assert.equal(headers.get('vary'), 'Accept')
  assert.equal(headers.get('x-accel-buffering'), 'no')
  await body!.cancel()
})

test('of more streams than allowed the last is 503; one that is left makes room at once', async () => {
  await using api = await openTestService({ maxEventStreams: 2 })
  const streams = await Promise.all([follow(api), follow(api)])
  const refused = await api.ask('GET', '/people/_changes', { headers: accept })
  assertProblem(refused, 503, 'too-many-followers')
  assert.equal(refused.headers.get('retry-after'), '1')
  assert.equal(api.errors.splice(0).length, 1)
  assert.equal((await api.ask('HEAD', '/people/_changes', { headers: accept })).status, 200)
  await streams[0]!.close()
  const third = await follow(api)
  await Promise.all([third.close(), streams[1]!.close()])
})

test('of many that come at once exactly as many streams are opened as are allowed', async () => {
  await using api = await openTestService({ maxEventStreams: 5 })
  const request = (): Request => new Request('http://service.test/people/_changes', { headers: accept })
  const responses = await Promise.all(Array.from({ length: 20 }, () => api.service.fetch(request())))
  assert.equal(responses.filter(({ status }) => status === 200).length, 5)
  await Promise.all(responses.map(({ body }) => body?.cancel()))
  api.errors.splice(0)
})

test('a client that aborts its request leaves nothing behind', async () => {
  await using api = await openTestService({ maxEventStreams: 1 })
  for (let round = 0; round < 3; round++) {
    const client = new AbortController()
    const request = new Request('http://service.test/people/_changes', {
      headers: accept,
      signal: client.signal,
    })
    const response = await api.service.fetch(request)
    client.abort()
    await response.body?.cancel()
  }
})

test('closing the service ends the streams', async () => {
  await using api = await openTestService()
  await using server = await openHttpServer(api.service, { port: 0 })
  const overSocket = readEvents(await fetch(`${server.url}/people/_changes`, { headers: accept }))
  const inProcess = await follow(api)
  await Promise.all([overSocket.until(isHead), inProcess.until(isHead)])
  await api.service.close()
  assert.deepEqual([await overSocket.next(), await inProcess.next()], [undefined, undefined])
})

test('a log that fails ends the stream with an error for the client and a report', async () => {
  await using api = await openTestService(often)
  const events = await follow(api)
  await events.until(isHead)
  await api.log.close()
  await assert.rejects(events.until(() => false))
  assert.equal(api.errors.splice(0)[0]?.stage, 'feed')
})

test('no event is lost or doubled between the reading of a page and the waiting for more', async () => {
  await using api = await openTestService({ relay: { headEveryMs: 3_600_000 } })
  const total = 400
  const streams = await Promise.all(Array.from({ length: 5 }, () => follow(api)))
  const heard = streams.map(async events =>
    (await events.until(event => seqOf(event) === total)).filter(e => !isHead(e)),
  )
  const write = async (writer: number): Promise<void> => {
    for (let round = 0; round < total / 4; round++) {
      await api.service.transaction(tx => tx.put(people, `p${writer}`, { name: `N${round}` }))
      // Writes meet the readers at every point of their way: before, in and after their turn.
      for (let pause = round % 4; pause > 0; pause--)
        await (pause % 2 === 0 ? new Promise(resolve => setImmediate(resolve)) : Promise.resolve())
    }
  }
  await Promise.all([write(0), write(1), write(2), write(3)])
  for (const events of await Promise.all(heard))
    assert.deepEqual(
      events.map(seqOf),
      Array.from({ length: total }, (_, index) => index + 1),
    )
  await Promise.all(streams.map(events => events.close()))
})

test('a change is told at once where it comes between the reading of a page and the waiting for more', async () => {
  await using api = await openTestService({ relay: { headEveryMs: 3_600_000 } })
  const client = new AbortController()
  const { body } = await api.service.handle({
    method: 'GET',
    path: '/people/_changes',
    query: '',
    header: name => (name === 'accept' ? 'text/event-stream' : undefined),
    readBody: async () => '',
    signal: client.signal,
  })
  const parts = (body as AsyncIterable<string>)[Symbol.asyncIterator]()
  assert.match((await parts.next()).value!, /event: head/)
  // Before the reader asks for the next part.
  await createPeople(api, 'a')
  assert.match((await parts.next()).value!, /^id: people:\w+:1\n/)
  // After the log has been read, before the page is at hand.
  const readChanges = api.log.readChanges.bind(api.log)
  api.log.readChanges = async (stream, options) => {
    const page = await readChanges(stream, options)
    api.log.readChanges = readChanges
    await createPeople(api, 'c')
    return page
  }
  const next = parts.next()
  await createPeople(api, 'b')
  assert.match((await next).value!, /^id: people:\w+:2\n/)
  assert.match((await parts.next()).value!, /^id: people:\w+:3\n/)
  client.abort()
  assert.equal((await parts.next()).done, true)
})

test('a stream hears with the next head of what another process wrote, and rests meanwhile', async () => {
  await using api = await openTestService({ ...often, logKind: 'sqlite' })
  await using other = await openSqliteLog({ file: (api.log as SqliteLog).file })
  await using writer = await openTestService({ log: other })
  await createPeople(api, 'a')
  const events = await follow(api)
  await events.until(isHead)
  await createPeople(writer, 'b', 'c')
  const heard = await events.until(event => seqOf(event) === 3)
  assert.deepEqual(heard.filter(event => !isHead(event)).map(seqOf), [2, 3])
  await events.close()
  await other.renewEpoch('people')
  const later = await follow(api)
  await later.until(isHead)
  const before = process.cpuUsage()
  for (let round = 0; round < 5; round++) await later.until(isHead)
  const { user, system } = process.cpuUsage(before)
  assert.ok(user + system < 45_000, `it used ${(user + system) / 1_000} ms of 50 ms`)
  await later.close()
})

test('a stream that has ended leaves no listener behind on its signal', async t => {
  const signals: AbortSignal[] = []
  const { any } = AbortSignal
  t.mock.method(AbortSignal, 'any', (parts: AbortSignal[]) => {
    const signal = any.call(AbortSignal, parts)
    signals.push(signal)
    return signal
  })
  await using api = await openTestService(often)
  const events = await follow(api)
  await events.until(isHead)
  await api.log.renewEpoch('people')
  await events.until(({ event }) => event === 'gone')
  assert.equal(await events.next(), undefined)
  assert.ok(signals.length >= 2)
  for (const signal of signals) assert.equal(getEventListeners(signal, 'abort').length, 0)
})

test('over a socket events arrive as they happen, and a client that leaves frees its place', async () => {
  await using api = await openTestService({ maxEventStreams: 1 })
  await using server = await openHttpServer(api.service, { port: 0 })
  for (let round = 1; round <= 3; round++) {
    const client = new AbortController()
    const events = readEvents(
      await fetch(`${server.url}/people/_changes`, { headers: accept, signal: client.signal }),
    )
    await events.until(isHead)
    await createPeople(api, `a${round}`)
    assert.equal(seqOf((await events.next())!), round)
    client.abort()
    await eventually(() => hasRoom(api))
  }
})

test('a reader that does not read is not read for: the log is asked only as fast as it takes', async () => {
  await using api = await openTestService()
  const text = 'x'.repeat(9_000)
  for (let round = 0; round < 30; round++)
    await api.service.transaction(async tx => {
      for (let index = 0; index < 100; index++)
        await tx.put(people, `p${index}`, { name: `${round} ${text}` })
    })
  let pages = 0
  const readChanges = api.log.readChanges.bind(api.log)
  api.log.readChanges = (stream, options) => {
    pages++
    return readChanges(stream, options)
  }
  await using server = await openHttpServer(api.service, { port: 0 })
  const socket = connect(server.port, '127.0.0.1')
  socket.write('GET /people/_changes?after=earliest HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n')
  await once(socket, 'readable')
  let seen = -1
  await eventually(() => {
    const isStill = seen === pages
    seen = pages
    return isStill && pages > 0
  })
  const stalledAt = pages
  assert.ok(stalledAt < 60, `${stalledAt} pages were read for a reader that reads nothing`)
  let length = 0
  let tail = ''
  for await (const part of socket) {
    length += part.length
    tail = (tail + part).slice(-400)
    if (/event: head/.test(tail)) break
  }
  assert.ok(length > 3_000 * text.length)
  assert.ok(pages > stalledAt)
})

test('a client that takes nothing at all is cut, and frees its place', async () => {
  await using api = await openTestService({ maxEventStreams: 1 })
  const text = 'x'.repeat(9_000)
  for (let round = 0; round < 10; round++)
    await api.service.transaction(async tx => {
      for (let index = 0; index < 100; index++)
        await tx.put(people, `p${index}`, { name: `${round} ${text}` })
    })
  await using server = await openHttpServer(api.service, { port: 0, idleTimeoutMs: 40 })
  const socket = connect(server.port, '127.0.0.1').pause()
  socket.on('error', () => {})
  socket.write('GET /people/_changes?after=earliest HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n')
  await once(socket, 'ready')
  await eventually(async () => !(await hasRoom(api)))
  await eventually(() => hasRoom(api))
  socket.destroy()
})

test('of what readers leave untaken only so much is held in all: who has waited longest is cut', async () => {
  await using api = await openTestService({ maxUnreadChars: 600_000 })
  const text = 'x'.repeat(9_000)
  await api.service.transaction(async tx => {
    for (let index = 0; index < 100; index++) await tx.put(people, `p${index}`, { name: text })
  })
  const open = async (): Promise<Response> => {
    const url = 'http://service.test/people/_changes?after=earliest'
    const response = await api.service.fetch(new Request(url, { headers: accept }))
    // Its first part is made ready once it is looked at.
    await new Promise(resolve => setImmediate(resolve))
    return response
  }
  // Each that does not read holds up to 262,144 characters: a third one is too much.
  const unread = [await open(), await open(), await open()]
  await eventually(async () => (await api.service.health()).eventStreams === 2)
  assert.match(
    String(api.errors.splice(0).map(({ error }) => (error as Error).message)),
    /more than 600000 characters/,
  )
  await assert.rejects(unread[0]!.text(), { code: 'overloaded' })
  // One that reads is given everything, however many do not.
  const events = await follow(api, '?after=earliest')
  assert.equal((await events.until(isHead)).length, 101)
  await events.close()
  for (const { body } of unread.slice(1)) await body!.cancel().catch(() => {})
  await eventually(async () => (await api.service.health()).eventStreams === 0)
  api.errors.splice(0)
})

test('a stream that is cut ends its connection', async () => {
  const cutting = new AbortController()
  async function* parts(): AsyncGenerator<string> {
    yield 'x'
    await new Promise(resolve => cutting.signal.addEventListener('abort', resolve))
  }
  const handle: HttpHandler['handle'] = async () => ({
    status: 200,
    headers: {},
    body: parts(),
    cut: cutting.signal,
  })
  await using server = await openHttpServer({ handle, owns: () => true }, { port: 0 })
  const response = await fetch(server.url)
  cutting.abort()
  await assert.rejects(response.text())
})

test('a slow reader that goes on leaves no listeners behind', async () => {
  const warnings: Error[] = []
  const onWarning = (warning: Error): number => warnings.push(warning)
  process.on('warning', onWarning)
  await using api = await openTestService()
  const text = 'x'.repeat(9_000)
  for (let index = 0; index < 1_000; index++)
    await api.service.transaction(tx => tx.put(people, `p${index % 3}`, { name: `${index} ${text}` }))
  await using server = await openHttpServer(api.service, { port: 0 })
  const events = readEvents(
    await fetch(`${server.url}/people/_changes?after=earliest&limit=10`, { headers: accept }),
  )
  assert.equal((await events.until(isHead)).length, 1_001)
  await events.close()
  process.off('warning', onWarning)
  assert.deepEqual(warnings, [])
})
