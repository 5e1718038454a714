/** Followers of a real service: over sockets, both sources, both kinds of log, a real broker. */
import assert from 'node:assert/strict'
import test from 'node:test'
import { createMemoryHub } from '../../src/broker/memory.ts'
import { connectMqtt } from '../../src/broker/mqtt.ts'
import { type Connection, connect } from '../../src/client/connection.ts'
import type { CollectionFollower, Follower, ResourceFollower } from '../../src/client/follower.ts'
import type { JsonObject } from '../../src/contract/index.ts'
import { type HttpServer, openHttpServer } from '../../src/service/http/node.ts'
import { defineResource } from '../../src/service/resource.ts'
import { skipWithoutMosquitto, startMosquitto } from '../support/mosquitto.ts'
import { Reports } from '../support/reports.ts'
import { type LogKind, logKinds, openTestService, type TestService } from '../support/service.ts'
import { mulberry32 } from './follower-world.ts'
import { createFastClock } from './manual-clock.ts'

const people = defineResource('people', { schema: { type: 'object' } })
const friends = defineResource('people/{person}/friends', { schema: { type: 'object' } })
const sources = ['mqtt', 'sse'] as const

interface Stage extends AsyncDisposable {
  readonly service: TestService
  readonly hub: ReturnType<typeof createMemoryHub>
  /** The API root. */
  readonly url: string
  readonly lockstep: Connection
  readonly reports: Reports
  /** Paths that the API was asked for. */
  readonly requests: string[]
  /** Closes the port, and opens it again. */
  stop(): Promise<void>
  start(): Promise<void>
  write(
    method: string,
    path: string,
    body?: object,
  ): Promise<{ status: number; marker: string; etag: string }>
}

/** A service over a socket, and a connection to it whose time runs ten times as fast. */
async function open(source: 'mqtt' | 'sse', logKind: LogKind = 'memory', speed = 10): Promise<Stage> {
  const hub = createMemoryHub()
  const service = await openTestService({
    resources: [people, friends],
    broker: hub.connect(),
    logKind,
    topicPrefix: 'acme/test/',
    root: '/api/v1',
    relay: { headEveryMs: 5_000 / speed, maxMessageBytes: 2_000 },
  })
  let server: HttpServer | undefined = await openHttpServer(service.service, { port: 0 })
  const { port } = server
  const url = `${server.url}/api/v1`
  const reports = new Reports()
  const requests: string[] = []
  const lockstep = await connect({
    api: url,
    broker: hub.connect(),
    source,
    clock: createFastClock(speed),
    onError: reports.onError,
    fetch: (input, init) => {
      requests.push(String(input))
      return fetch(input, init)
    },
  })
  return {
    service,
    hub,
    url,
    lockstep,
    reports,
    requests,
    async stop() {
      await server?.close(0)
      server = undefined
    },
    async start() {
      server ??= await openHttpServer(service.service, { port })
    },
    async write(method, path, body) {
      const { status, headers } = await service.ask(method, `/api/v1${path}`, { body })
      return { status, marker: headers.get('lockstep-marker') ?? '', etag: headers.get('etag') ?? '' }
    },
    async [Symbol.asyncDispose]() {
      await lockstep.close()
      await server?.close(0)
      await service[Symbol.asyncDispose]()
    },
  }
}

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

/** What the API has, as the follower should hold it. */
async function listOf({ service }: Stage, path: string): Promise<Map<string, JsonObject>> {
  const all = new Map<string, JsonObject>()
  for (let after = ''; ; ) {
    const query = after === '' ? '' : `&after=${encodeURIComponent(after)}`
    const { status, json } = await service.ask('GET', `/api/v1${path}?limit=1000${query}`)
    if (status !== 200) return all
    for (const state of json) all.set(state.id, state)
    if (json.length < 1_000) return all
    after = json.at(-1).id
  }
}

function isSame(follower: CollectionFollower<JsonObject>, wanted: Map<string, JsonObject>): boolean {
  if (follower.state.size !== wanted.size) return false
  return [...wanted].every(([id, state]) => JSON.stringify(follower.state.get(id)) === JSON.stringify(state))
}

for (const source of sources) {
  test(`over ${source}, each kind of write reaches whoever follows it`, async () => {
    await using stage = await open(source)
    const all = stage.lockstep.follow('/people')
    const john = stage.lockstep.follow('/people/john')
    const nested = stage.lockstep.follow('/people/john/friends')
    await Promise.all([all.ready, john.ready, nested.ready])
    for (const follower of [all, john, nested]) await until(follower, () => follower.status === 'live')
    const told: string[] = []
    for (const [name, follower] of Object.entries({ all, john, nested })) {
      follower.on('change', ({ event, id, version }) => told.push(`${name} ${event} ${id} ${version}`))
    }
    await stage.write('POST', '/people', { id: 'john', name: 'John' })
    await stage.write('PATCH', '/people/john', { email: 'john@example.com' })
    await stage.write('PUT', '/people/john', { name: 'John Doe' })
    await stage.write('PUT', '/people/john/friends/ann', { since: 2020 })
    await until(nested, () => nested.state.size === 1)
    await stage.write('DELETE', '/people/john')
    await until(nested, () => nested.state.size === 0)
    await until(john, () => john.state === undefined && john.status === 'live')
    const { marker, etag } = await stage.write('POST', '/people', { id: 'john', name: 'Johnny' })
    await Promise.all([all.atLeast(marker), john.atLeast(marker)])
    assert.deepEqual(john.state, { id: 'john', name: 'Johnny' })
    assert.deepEqual([john.version, john.etag], [5, etag])
    const expected = [
      'created john 1',
      'modified john 2',
      'modified john 3',
      'deleted john 4',
      'created john 5',
    ]
    for (const name of ['all', 'john']) {
      assert.deepEqual(
        told.filter(line => line.startsWith(name)),
        expected.map(line => `${name} ${line}`),
      )
    }
    assert.deepEqual(
      told.filter(line => line.startsWith('nested')),
      ['nested created ann 1', 'nested deleted ann 2'],
    )
    assert.deepEqual(stage.reports.all, [])
  })

  test(`over ${source}, a message too large for the broker is taken all the same`, async () => {
    await using stage = await open(source)
    const all = stage.lockstep.follow('/people')
    const john = stage.lockstep.follow('/people/john')
    for (const follower of [all, john]) await until(follower, () => follower.status === 'live')
    const text = 'x'.repeat(3_000)
    await stage.write('PUT', '/people/john', { text })
    await until(all, () => all.state.get('john')?.['text'] === text)
    await until(john, () => john.state?.['text'] === text)
  })

  test(`over ${source}, changes that the log no longer holds lead to a new baseline with its differences`, async () => {
    await using stage = await open(source)
    for (const id of ['a', 'b', 'c']) await stage.write('PUT', `/people/${id}`, { n: 1 })
    const all = stage.lockstep.follow('/people')
    await until(all, () => all.status === 'live')
    const told: string[] = []
    all.on('change', ({ event, id }) => told.push(`${event} ${id}`))
    stage.hub.stop()
    await stage.stop()
    await until(all, () => all.status === 'stale')
    await stage.write('DELETE', '/people/a')
    await stage.write('PATCH', '/people/b', { n: 2 })
    await stage.write('PUT', '/people/d', { n: 1 })
    await stage.service.log.prune({ maxRows: 1, minRows: 1 })
    await stage.start()
    stage.hub.start()
    await until(all, () => all.status === 'live')
    assert.deepEqual(told, ['deleted a', 'modified b', 'created d'])
    assert.ok(isSame(all, await listOf(stage, '/people')))
  })

  test(`over ${source}, a new epoch is found and taken up`, async () => {
    await using stage = await open(source)
    await stage.write('PUT', '/people/a', { n: 1 })
    const all = stage.lockstep.follow('/people')
    const one = stage.lockstep.follow('/people/a')
    for (const follower of [all, one]) await until(follower, () => follower.status === 'live')
    const { epoch } = await stage.service.log.renewEpoch('people')
    await stage.write('PATCH', '/people/a', { n: 2 })
    await until(all, () => all.state.get('a')?.['n'] === 2)
    await until(one, () => one.state?.['n'] === 2)
    for (const follower of [all, one]) {
      await until(follower, () => follower.status === 'live')
      assert.equal(follower.position?.epoch, epoch)
    }
  })

  for (const logKind of logKinds) {
    test(`over ${source} and a log in ${logKind}, through outages of broker and API, all followers end with what the API has`, async () => {
      await using stage = await open(source, logKind)
      const random = mulberry32(7)
      const followers = [
        stage.lockstep.follow('/people'),
        stage.lockstep.follow('/people/p1/friends'),
        stage.lockstep.follow('/people/p1'),
        stage.lockstep.follow('/people/p2'),
      ] as [CollectionFollower<JsonObject>, CollectionFollower<JsonObject>, ...ResourceFollower<JsonObject>[]]
      const versions = followers.map(() => new Map<string, number>())
      for (const [index, follower] of (followers as Follower<JsonObject>[]).entries()) {
        follower.on('change', ({ event, id, version }) => {
          if (event === 'refreshed') return
          assert.ok(
            version > (versions[index]!.get(id) ?? 0),
            `${follower.path} ${id} goes from ${versions[index]!.get(id)} to ${version}`,
          )
          versions[index]!.set(id, version)
        })
      }
      for (let round = 0; round < 12; round++) {
        if (round % 4 === 1) stage.hub.stop()
        if (round % 4 === 2) await stage.stop()
        if (round % 4 === 3) {
          stage.hub.start()
          await stage.start()
        }
        const writes = Array.from({ length: 15 }, async () => {
          const person = `p${Math.floor(random() * 4)}`
          const path =
            random() < 0.3 ? `/people/${person}/friends/f${Math.floor(random() * 3)}` : `/people/${person}`
          const method = ['PUT', 'PATCH', 'PATCH', 'DELETE'][Math.floor(random() * 4)]!
          await stage.write(
            method,
            path,
            method === 'DELETE' ? undefined : { n: random(), [`k${round}`]: round },
          )
        })
        await Promise.all(writes)
        await new Promise(done => setTimeout(done, random() * 60))
      }
      const [all, nested, ...ones] = followers
      const wanted = await listOf(stage, '/people')
      const wantedNested = await listOf(stage, '/people/p1/friends')
      await until(all, () => isSame(all, wanted) && all.status === 'live')
      await until(nested, () => isSame(nested, wantedNested) && nested.status === 'live')
      for (const one of ones) {
        const id = one.path.slice('/people/'.length)
        await until(
          one,
          () => JSON.stringify(one.state) === JSON.stringify(wanted.get(id)) && one.status === 'live',
        )
      }
      for (const { stage: where } of stage.reports.all) assert.match(where, /^(baseline|feed|source)$/)
    })
  }
}

test('a list of several pages is one baseline, and only the first response is asked for what it needs', async () => {
  await using stage = await open('mqtt')
  await stage.service.service.transaction(async tx => {
    for (let n = 0; n < 1_000; n++) await tx.create(people, { id: `p${String(n).padStart(5, '0')}` })
  })
  await stage.service.service.transaction(async tx => {
    for (let n = 1_000; n < 1_500; n++) await tx.create(people, { id: `p${String(n).padStart(5, '0')}` })
  })
  const all = stage.lockstep.follow('/people')
  await all.ready
  assert.equal(all.state.size, 1_500)
  assert.equal(stage.requests.filter(url => /people\?/.test(url)).length, 2)
})

test('who is far behind is given latest states', async () => {
  await using stage = await open('mqtt')
  await stage.write('PUT', '/people/a', { n: 0 })
  const all = stage.lockstep.follow('/people')
  await until(all, () => all.status === 'live')
  stage.hub.stop()
  await stage.stop()
  for (let n = 1; n <= 2_500; n++) await stage.write('PATCH', '/people/a', { n })
  stage.requests.length = 0
  await stage.start()
  await until(all, () => all.state.get('a')?.['n'] === 2_500)
  const pages = stage.requests.filter(url => url.includes('_changes'))
  assert.ok(pages.some(url => url.includes('compact=true')))
  assert.equal(all.position?.seq, 2_501)
})

test('the broker of another API is told of once by each follower, with both epochs, and nothing is live for long', async () => {
  await using stage = await open('mqtt', 'memory', 50)
  await using other = await open('mqtt', 'memory', 50)
  for (const one of [stage, other]) await one.write('PUT', '/people/a', { n: 1 })
  const clock = createFastClock(50)
  const [api, onError] = [stage.url, stage.reports.onError]
  await using lockstep = await connect({ api, broker: other.hub.connect(), clock, onError })
  const all = lockstep.follow('/people')
  await until(all, () => all.status === 'live')
  const theirs = other.lockstep.follow('/people')
  await theirs.ready
  const { text } = await stage.reports.stage('source')
  assert.ok(text.includes(all.position!.epoch) && text.includes(theirs.position!.epoch), text)
  await until(all, () => all.status === 'stale')
  assert.equal(stage.reports.all.length, 1)
})

test('over a real broker that is killed and comes back, a follower is stale, polls, and is live again', {
  skip: skipWithoutMosquitto,
}, async () => {
  await using mosquitto = await startMosquitto()
  const reports = new Reports()
  await using relayBroker = await connectMqtt(mosquitto.url, { onError: reports.onError })
  await using service = await openTestService({ resources: [people], broker: relayBroker })
  await using server = await openHttpServer(service.service, { port: 0 })
  await service.ask('PUT', '/people/a', { body: { n: 1 } })
  await using lockstep = await connect({
    api: server.url,
    broker: mosquitto.url,
    clock: createFastClock(10),
    onError: reports.onError,
  })
  const all = lockstep.follow('/people')
  const one = lockstep.follow('/people/a')
  for (const follower of [all, one]) await until(follower, () => follower.status === 'live')
  await service.ask('PATCH', '/people/a', { body: { n: 2 } })
  await until(all, () => all.state.get('a')?.['n'] === 2)
  await mosquitto.kill()
  await until(all, () => all.status === 'stale')
  await service.ask('PATCH', '/people/a', { body: { n: 3 } })
  await until(all, () => all.state.get('a')?.['n'] === 3)
  await until(one, () => one.state?.['n'] === 3)
  await mosquitto.restart()
  for (const follower of [all, one]) await until(follower, () => follower.status === 'live')
  await service.ask('PATCH', '/people/a', { body: { n: 4 } })
  await until(one, () => one.state?.['n'] === 4)
})
