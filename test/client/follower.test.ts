import assert from 'node:assert/strict'
import test from 'node:test'
import { createMemoryHub, type MemoryHub } from '../../src/broker/memory.ts'
import type { Change } from '../../src/client/change.ts'
import { type Connection, type ConnectOptions, connect } from '../../src/client/connection.ts'
import type { CollectionFollower, Follower, ResourceFollower } from '../../src/client/follower.ts'
import { isLockstepError, type JsonObject } from '../../src/contract/index.ts'
import { Reports } from '../support/reports.ts'
import { openTestService, type TestService } from '../support/service.ts'
import { ManualClock } from './manual-clock.ts'

interface Person {
  readonly id: string
  readonly name: string
  readonly age?: number
}
type Api = { people: Person; 'people/{person}/friends': { readonly id: string } }

interface Stage extends AsyncDisposable {
  readonly service: TestService
  readonly hub: MemoryHub
  readonly clock: ManualClock
  readonly reports: Reports
  readonly lockstep: Connection<Api>
  /** Answers in place of the service, as long as it is set. */
  intercept: ((request: Request) => Response | undefined) | undefined
  readonly requests: string[]
}

/** A service with ann and bob, asked in-process, and a connection to it. */
async function open(options: Partial<ConnectOptions> = {}): Promise<Stage> {
  const hub = createMemoryHub()
  const service = await openTestService({ broker: hub.connect() })
  await service.ask('POST', '/people', { body: { id: 'ann', name: 'Ann' } })
  await service.ask('POST', '/people', { body: { id: 'bob', name: 'Bob' } })
  const clock = new ManualClock()
  const reports = new Reports()
  const requests: string[] = []
  const stage = { service, hub, clock, reports, intercept: undefined, requests } as unknown as {
    -readonly [Key in keyof Stage]: Stage[Key]
  }
  stage.lockstep = await connect<Api>({
    api: 'http://service.test',
    broker: hub.connect(),
    clock,
    onError: reports.onError,
    random: () => 0.5,
    topicPrefix: '',
    fetch: async (input, init) => {
      const request = new Request(input, init)
      requests.push(`${request.method} ${new URL(request.url).pathname}`)
      return stage.intercept?.(request) ?? (await service.service.fetch(request))
    },
    ...options,
  })
  stage[Symbol.asyncDispose] = async () => {
    await stage.lockstep.close()
    assert.equal(clock.pending, 0, 'no timer is left')
    await service[Symbol.asyncDispose]()
  }
  return stage
}

/** Resolves when it holds, looked at after each change and status. */
async function until<T>(follower: Follower<T>, holds: () => boolean): Promise<void> {
  if (holds()) return
  await new Promise<void>(resolve => {
    const look = (): void => {
      if (!holds()) return
      for (const off of offs) off()
      resolve()
    }
    const offs = [follower.on('change', look), follower.on('status', look)]
  })
}

async function codeOf(promise: Promise<unknown>): Promise<string> {
  const reason = await promise.then(
    () => undefined,
    error => error,
  )
  return isLockstepError(reason) ? reason.code : String(reason)
}

test('a collection is a map of states by id, which stays the same map', async () => {
  await using stage = await open()
  const people: CollectionFollower<Person> = stage.lockstep.follow('/people')
  const { state } = people
  assert.deepEqual(
    [people.status, people.marker, people.position, state.size],
    ['connecting', '', undefined, 0],
  )
  await people.ready
  assert.deepEqual([...state.keys()], ['ann', 'bob'])
  const answer = await stage.service.ask('PATCH', '/people/ann', { body: { age: 30 } })
  await people.atLeast(answer.headers.get('lockstep-marker')!)
  assert.deepEqual(people.state.get('ann'), { id: 'ann', name: 'Ann', age: 30 })
  assert.equal(people.state, state)
  assert.equal(people.versionOf('ann'), 2)
  assert.equal(people.etagOf('ann'), answer.headers.get('etag'))
  assert.equal(people.versionOf('eve'), undefined)
  assert.equal(people.etagOf('eve'), undefined)
  assert.equal(people.marker, answer.headers.get('lockstep-marker'))
  assert.equal(people.position?.seq, 3)
})

test('a resource has a state, a version and an entity tag, or none of them', async () => {
  await using stage = await open()
  const ann: ResourceFollower<Person> = stage.lockstep.follow('/people/ann')
  const eve = stage.lockstep.follow('/people/eve')
  await Promise.all([ann.ready, eve.ready])
  assert.deepEqual([ann.state?.name, ann.version, ann.path], ['Ann', 1, '/people/ann'])
  assert.equal(ann.etag, (await stage.service.ask('GET', '/people/ann')).headers.get('etag'))
  assert.deepEqual([eve.state, eve.version, eve.etag], [undefined, 0, undefined])
})

test('the path is brought to its canonical form', async () => {
  await using stage = await open()
  await stage.service.ask('POST', '/people', { body: { id: 'john@home', name: 'John' } })
  const john = stage.lockstep.follow('/people/john@home')
  await john.ready
  assert.deepEqual([john.path, john.state?.name], ['/people/john%40home', 'John'])
})

test('listeners hear changes in order, after the copy has changed, until they end it', async () => {
  await using stage = await open()
  const people = stage.lockstep.follow('/people')
  const heard: string[] = []
  const off = people.on('change', ({ event, id, version, cause }) => {
    heard.push(`${event} ${id} ${version} ${cause ?? '-'} ${people.state.size}`)
  })
  await people.ready
  await until(people, () => people.status === 'live')
  const headers = { 'x-request-id': 'r1' }
  await stage.service.ask('POST', '/people', { body: { id: 'eve', name: 'Eve' }, headers })
  await stage.service.ask('DELETE', '/people/ann', { headers })
  await until(people, () => people.position?.seq === 4)
  off()
  await stage.service.ask('DELETE', '/people/bob')
  await until(people, () => people.position?.seq === 5)
  assert.deepEqual(heard, ['refreshed  0 - 2', 'created eve 1 r1 3', 'deleted ann 2 r1 2'])
})

test('a listener that throws is reported, and harms no other', async () => {
  await using stage = await open()
  const people = stage.lockstep.follow('/people')
  const heard: string[] = []
  people.on('change', () => {
    throw new Error('mine')
  })
  people.on('change', ({ event }) => heard.push(event))
  await people.ready
  assert.deepEqual(heard, ['refreshed'])
  assert.deepEqual(stage.reports.all, [{ stage: 'listener', code: '', text: 'mine' }])
})

test('a listener may close the follower it listens to', async () => {
  await using stage = await open()
  const people = stage.lockstep.follow('/people')
  people.on('change', () => people.close())
  await people.ready.catch(() => {})
  assert.equal(people.status, 'closed')
})

test('an event that a follower does not have is refused', async () => {
  await using stage = await open()
  const people = stage.lockstep.follow('/people')
  assert.throws(() => people.on('changes' as 'change', () => {}), { code: 'invalid-option' })
})

test('iterating gives the changes from then on, to several loops, until the follower is closed', async () => {
  await using stage = await open()
  const people = stage.lockstep.follow('/people')
  await people.ready
  const collect = async (): Promise<Change<Person>[]> => {
    const all = []
    for await (const change of people) all.push(change)
    return all
  }
  const loops = [collect(), collect()]
  for (const id of ['x', 'y']) await stage.service.ask('PUT', `/people/${id}`, { body: { name: id } })
  await until(people, () => people.state.size === 4)
  people.close()
  for (const changes of await Promise.all(loops)) {
    assert.deepEqual(
      changes.map(({ event, id }) => `${event} ${id}`),
      ['created x', 'created y'],
    )
  }
  assert.deepEqual(await collect(), [])
})

test('a loop that is too slow is told to look at the state', async () => {
  await using stage = await open()
  const people = stage.lockstep.follow('/people', { maxWaitingChanges: 4 })
  await people.ready
  const changes = people[Symbol.asyncIterator]()
  for (let n = 0; n < 20; n++) await stage.service.ask('PUT', '/people/n', { body: { name: `${n}` } })
  await until(people, () => people.versionOf('n') === 20)
  const { value } = await changes.next()
  assert.equal(value.event, 'refreshed')
})

test('staleForMs is 0 while live, and grows from the last moment of certainty', async () => {
  await using stage = await open()
  const people = stage.lockstep.follow('/people')
  assert.equal(people.staleForMs, Number.POSITIVE_INFINITY)
  await until(people, () => people.status === 'live')
  stage.clock.advance(1_000)
  assert.equal(people.staleForMs, 0)
  stage.hub.stop()
  assert.equal(people.status, 'stale')
  assert.equal(people.staleForMs, 1_000)
  stage.clock.advance(500)
  assert.equal(people.staleForMs, 1_500)
})

test('a broker that is down does not keep a follower from being ready and from converging', async () => {
  await using stage = await open()
  stage.hub.stop()
  const people = stage.lockstep.follow('/people')
  stage.clock.advance(1_000)
  await people.ready
  stage.clock.advance(1_000)
  assert.equal(people.status, 'stale')
  await stage.service.ask('DELETE', '/people/bob')
  const changed = until(people, () => people.state.size === 1)
  stage.clock.advance(5_000)
  await changed
  stage.hub.start()
  const live = until(people, () => people.status === 'live')
  stage.clock.advance(500)
  await live
})

test('an API that is down does not keep a follower from being ready when it comes', async () => {
  await using stage = await open()
  stage.intercept = () => {
    throw new TypeError('fetch failed', { cause: new Error('connect ECONNREFUSED') })
  }
  const people = stage.lockstep.follow('/people')
  const report = await stage.reports.stage('baseline')
  assert.equal(report.code, 'api-unreachable')
  assert.match(report.text, /GET http:\/\/service.test\/people.* failed: connect ECONNREFUSED/)
  stage.intercept = undefined
  stage.clock.advance(1_000)
  await people.ready
  assert.equal(people.state.size, 2)
})

test('ready fails where the API refuses; the follower asks again all the same', async () => {
  await using stage = await open()
  stage.intercept = () => Response.json({ detail: 'No token.' }, { status: 401 })
  const people = stage.lockstep.follow('/people')
  assert.equal(await codeOf(people.ready), 'api-refused')
  stage.intercept = undefined
  stage.clock.advance(1_000)
  await until(people, () => people.status === 'live')
  assert.equal(people.state.size, 2)
})

test('the same failure is reported once, until something succeeds', async () => {
  await using stage = await open()
  stage.intercept = () => Response.json({ detail: 'No token.' }, { status: 401 })
  const people = stage.lockstep.follow('/people')
  await codeOf(people.ready)
  for (let count = stage.requests.length; stage.requests.length < count + 3; ) {
    stage.clock.advance(8_000)
    await new Promise(done => setImmediate(done))
  }
  assert.equal(stage.reports.all.length, 1)
  assert.match(stage.reports.all[0]!.text, /401: "No token\."\. Give credentials/)
})

test('atLeast asks the API rather than waiting for the broker', async () => {
  await using stage = await open()
  const people = stage.lockstep.follow('/people')
  const ann = stage.lockstep.follow('/people/ann')
  await until(people, () => people.status === 'live')
  await until(ann, () => ann.status === 'live')
  // The broker's messages come later than the answers of the API.
  stage.hub.stop()
  const answer = await stage.service.ask('PATCH', '/people/ann', { body: { age: 31 } })
  const marker = answer.headers.get('lockstep-marker')!
  await Promise.all([people.atLeast(marker), ann.atLeast([people.position!])])
  await ann.atLeast(marker)
  assert.deepEqual([people.state.get('ann')?.age, ann.state?.age], [31, 31])
  await people.atLeast('')
  assert.equal(await codeOf(people.atLeast('people')), 'invalid-position')
})

test('a marker that does not come fails with timeout', async () => {
  await using stage = await open()
  const people = stage.lockstep.follow('/people')
  await until(people, () => people.status === 'live')
  const { stream, epoch } = people.position!
  const wait = codeOf(people.atLeast([{ stream, epoch, seq: 99 }], { timeoutMs: 1_000 }))
  stage.clock.advance(1_000)
  assert.equal(await wait, 'timeout')
})

test('refresh takes a new baseline past all caches', async () => {
  await using stage = await open()
  const people = stage.lockstep.follow('/people')
  await until(people, () => people.status === 'live')
  const before = stage.requests.length
  await people.refresh()
  assert.deepEqual(stage.requests.slice(before), ['GET /people'])
})

test('closing ends everything: calls, timers, subscriptions; twice is once', async () => {
  await using stage = await open()
  const people = stage.lockstep.follow('/people')
  await until(people, () => people.status === 'live')
  const statuses: string[] = []
  people.on('status', status => statuses.push(status))
  stage.intercept = () => new Response('{}', { status: 503 })
  const refresh = codeOf(people.refresh())
  people.close()
  people.close()
  assert.equal(await refresh, 'closed')
  assert.equal(await codeOf(people.refresh()), 'closed')
  assert.equal(await codeOf(people.atLeast('people:abc:1')), 'closed')
  assert.deepEqual(statuses, ['catching-up', 'closed'])
  assert.equal(people.state.size, 2)
  stage.intercept = undefined
  await stage.service.ask('DELETE', '/people/ann')
  assert.equal(people.state.size, 2)
})

test('a connection closes all its followers, and then gives no more', async () => {
  await using stage = await open()
  const people = stage.lockstep.follow('/people')
  {
    await using ann = stage.lockstep.follow('/people/ann')
    await ann.ready
  }
  await stage.lockstep.close()
  await stage.lockstep.close()
  assert.equal(people.status, 'closed')
  assert.equal(await codeOf(people.refresh()), 'closed')
  assert.throws(() => stage.lockstep.follow('/people'), { code: 'closed' })
})

test('a path that cannot be is refused', async () => {
  await using stage = await open()
  const follow = stage.lockstep.follow as (path: string) => unknown
  for (const path of ['people', '/people/', '/people/_changes', '/people/..']) {
    assert.throws(() => follow(path), { code: 'invalid-path' }, path)
  }
})

test('options that cannot be used are refused, with what to give instead', async () => {
  for (const [options, pattern] of [
    [{ api: 'no url' }, /no URL/],
    [{ api: 'ftp://example.com' }, /no URL/],
    [{ api: 'http://a', source: 'mqtt' }, /needs a broker/],
    [{ api: 'http://a', source: 'carrier pigeon' }, /Give mqtt, sse or auto/],
    [{ api: 'http://a', topicPrefix: 'x' }, /topic prefix/],
    [{ api: 'http://a', broker: 'http://b' }, /mqtt/],
    [{ api: 'http://a/api/?token=1' }, /query or fragment.*headers/],
    [{ api: 'http://a', broker: Promise.resolve() }, /did you forget await/],
    [{ api: 'http://a', url: 'http://b' }, /no option "url"/],
    [undefined, /undefined where its options go/],
  ] as const) {
    await assert.rejects(connect(options as unknown as ConnectOptions), (error: Error) => {
      assert.ok(isLockstepError(error, 'invalid-option'), error.message)
      assert.match(error.message, pattern)
      return true
    })
  }
})

test('without a broker it follows over event streams', async () => {
  await using stage = await open({ broker: undefined })
  const people = stage.lockstep.follow('/people')
  const nested = stage.lockstep.follow('/people/ann/friends')
  const eve = stage.lockstep.follow('/people/eve')
  await until(people, () => people.status === 'live')
  await until(nested, () => nested.status === 'live')
  await until(eve, () => eve.status === 'live')
  await stage.service.ask('POST', '/people', { body: { id: 'eve', name: 'Eve' } })
  await stage.service.ask('POST', '/people/ann/friends', { body: { id: 'bob' } })
  await until(people, () => people.position?.seq === 4)
  await until(nested, () => nested.state.size === 1)
  await until(eve, () => eve.state !== undefined)
  assert.deepEqual(eve.state, { id: 'eve', name: 'Eve' })
  assert.equal(stage.requests.filter(request => request === 'GET /people').length, 1)
})

test('what is given to the application is typed, and plain JSON', async () => {
  await using stage = await open()
  const untyped: Connection = stage.lockstep as unknown as Connection
  const people = untyped.follow('/people')
  await people.ready
  const state: JsonObject | undefined = people.state.get('ann')
  assert.deepEqual(state, { id: 'ann', name: 'Ann' })
})
