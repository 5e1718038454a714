/** Followers that show what their resources refer to: two services over sockets, both sources; what is shown is what the API shows. */
import assert from 'node:assert/strict'
import test from 'node:test'
import { isDeepStrictEqual } from 'node:util'
import { createMemoryHub } from '../../src/broker/memory.ts'
import { type Connection, type ConnectOptions, connect } from '../../src/client/connection.ts'
import { maxEmbedded } from '../../src/client/embedding.ts'
import type { CollectionFollower, Follower } from '../../src/client/follower.ts'
import type { JsonObject } from '../../src/contract/index.ts'
import { type HttpServer, openHttpServer } from '../../src/service/http/node.ts'
import { defineResource } from '../../src/service/resource.ts'
import { Reports } from '../support/reports.ts'
import { eventually, openTestService, type TestService } from '../support/service.ts'
import { mulberry32 } from './follower-world.ts'
import { createFastClock } from './manual-clock.ts'

const sources = ['mqtt', 'sse'] as const
const users = defineResource('users', {
  languages: ['en', 'fr'],
  schema: {
    type: 'object',
    properties: { name: { type: 'string' }, role: { type: 'string', translatable: true } },
  },
})
const teams = defineResource('teams', {
  schema: { type: 'object', properties: { name: { type: 'string' } } },
})

interface Stage extends AsyncDisposable {
  readonly projects: TestService
  readonly users: TestService
  readonly hub: ReturnType<typeof createMemoryHub>
  readonly lockstep: Connection
  readonly reports: Reports
  readonly asked: { readonly url: string; readonly headers: Headers }[]
  /** Writes to the service that has the collection. */
  write(method: string, path: string, body?: object): Promise<string>
  get(path: string): Promise<unknown>
  stopUsers(): Promise<void>
  startUsers(): Promise<void>
}

async function open(source: 'mqtt' | 'sse', options: Partial<ConnectOptions> = {}): Promise<Stage> {
  const speed = 10
  const hub = createMemoryHub()
  const relay = { headEveryMs: 5_000 / speed }
  const other = await openTestService({
    resources: [users],
    broker: hub.connect(),
    topicPrefix: 'other/',
    root: '/v2',
    relay,
  })
  let otherServer: HttpServer | undefined = await openHttpServer(other.service, { port: 0 })
  const { port, url } = otherServer
  const projects = defineResource('projects', {
    references: { team: 'teams', owner: `${url}/v2/users`, members: `${url}/v2/users` },
    schema: {
      type: 'object',
      properties: {
        title: { type: 'string' },
        team: { type: 'string' },
        owner: { type: ['string', 'null'] },
        members: { type: 'array' },
      },
    },
  })
  const own = await openTestService({
    resources: [projects, teams],
    broker: hub.connect(),
    root: '/api',
    relay,
  })
  const server = await openHttpServer(own.service, { port: 0 })
  const reports = new Reports()
  const asked: Stage['asked'] = []
  const lockstep = await connect({
    api: `${server.url}/api`,
    broker: hub.connect(),
    source,
    clock: createFastClock(speed),
    onError: reports.onError,
    headers: { authorization: 'Bearer secret' },
    fetch: (input, init) => {
      asked.push({ url: String(input), headers: new Headers(init?.headers) })
      return fetch(input, init)
    },
    ...options,
  })
  return {
    projects: own,
    users: other,
    hub,
    lockstep,
    reports,
    asked,
    async write(method, path, body) {
      const [service, root] = path.startsWith('/users') ? [other, '/v2'] : [own, '/api']
      const { status, headers, text } = await service.ask(method, root + path, { body })
      assert.ok(status < 300, text)
      return headers.get('lockstep-marker')!
    },
    async get(path) {
      return (await own.ask('GET', `/api${path}`)).json
    },
    async stopUsers() {
      await otherServer?.close(0)
      otherServer = undefined
    },
    async startUsers() {
      otherServer ??= await openHttpServer(other.service, { port })
    },
    async [Symbol.asyncDispose]() {
      await lockstep.close()
      await server.close(0)
      await otherServer?.close(0)
      await own[Symbol.asyncDispose]()
      await other.service.close()
      await other.log.close()
    },
  }
}

/** Whether it was deleted or never was, a service that is asked for several at once does not say. */
function plain(states: unknown): unknown {
  return JSON.parse(
    JSON.stringify(states)
      .replaceAll('"code":"gone","status":410', '"code":"not-found","status":404')
      .replaceAll('The resource was deleted.', 'There is no such resource.'),
  )
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

async function fill({ write }: Stage): Promise<void> {
  await write('PUT', '/users/ann', { name: 'Ann', role: { en: 'baker', fr: 'boulangère' } })
  await write('PUT', '/users/bob', { name: 'Bob' })
  await write('PUT', '/teams/red', { name: 'Red' })
  await write('PUT', '/projects/bread', {
    title: 'Bread',
    team: 'red',
    owner: 'ann',
    members: ['bob', 'zoe', 5],
  })
  await write('PUT', '/projects/wine', { title: 'Wine', owner: null })
}

for (const source of sources) {
  test(`over ${source}, what is embedded is followed, in this service and another`, async () => {
    await using stage = await open(source)
    await fill(stage)
    const query = 'embed=team,owner,members&lang=fr&fields=title,_embedded/owner,_embedded/members/name'
    const options = {
      embed: 'team,owner,members',
      lang: 'fr',
      fields: ['title', '_embedded/owner', '_embedded/members/name'],
    }
    const all = stage.lockstep.follow('/projects', options) as CollectionFollower<JsonObject>
    await all.ready
    const same = async (): Promise<void> =>
      assert.deepEqual(plain([...all.state.values()]), plain(await stage.get(`/projects?${query}`)))
    await same()
    await until(all, () => all.status === 'live')
    assert.equal(all.staleForMs, 0)

    const told: unknown[][] = []
    all.on('change', ({ event, id, version, position, changes }) =>
      told.push([event, id, version, position, changes]),
    )
    const marker = await stage.write('PATCH', '/users/ann', { role: { fr: 'pâtissière' } })
    await all.atLeast(marker)
    assert.deepEqual(told.splice(0), [
      ['modified', 'bread', 1, marker, { _embedded: { owner: { role: 'pâtissière' } } }],
    ])
    await same()

    // What is not shown is not told, and what nobody refers to is not held.
    await all.atLeast(await stage.write('PUT', '/users/eve', { name: 'Eve' }))
    await all.atLeast(await stage.write('PATCH', '/users/bob', { role: { en: 'x' } }))
    await all.atLeast(await stage.write('PATCH', '/teams/red', { name: 'Rouge' }))
    assert.deepEqual(told, [])

    // One that was missing comes, one goes.
    await all.atLeast(await stage.write('PUT', '/users/zoe', { name: 'Zoe' }))
    await same()
    await all.atLeast(await stage.write('DELETE', '/users/ann'))
    await same()
    // Another one is referred to; it is asked for.
    await stage.write('PATCH', '/projects/wine', { owner: 'eve' })
    await until(all, () => JSON.stringify(all.state.get('wine')).includes('Eve'))
    await same()
    await until(all, () => all.status === 'live')
    await all.atLeast(await stage.write('PATCH', '/users/eve', { name: 'Eva' }))
    await same()
    await all.atLeast(await stage.write('DELETE', '/projects/bread'))
    await same()
    assert.match(all.marker, /^projects:\w+:\d+,teams:\w+:\d+,users:\w+:\d+$/)
    await all.refresh()
    assert.deepEqual(stage.reports.all, [])
  })

  test(`over ${source}, a service that is down costs its own part, and comes back`, async () => {
    await using stage = await open(source)
    await fill(stage)
    await stage.stopUsers()
    const one = stage.lockstep.follow('/projects/bread', { embed: ['team', 'owner'] })
    await one.ready
    const state = one.state as JsonObject
    assert.deepEqual(state['_embedded'], { team: { id: 'red', name: 'Red' }, owner: null })
    assert.deepEqual(
      (state['_problems'] as JsonObject[]).map(({ pointer, code }) => [pointer, code]),
      [['/_embedded/owner', 'api-unreachable']],
    )
    assert.equal(one.status, 'stale')
    await stage.startUsers()
    await until(one, () => one.status === 'live')
    assert.deepEqual(one.state, await stage.get('/projects/bread?embed=team,owner&lang=*'))
    assert.ok(stage.reports.all.length > 0)
  })
}

test('what may not be read is missing, and the rest is shown', async () => {
  await using stage = await open('mqtt', {
    fetch: async (input, init) =>
      String(input).includes('/v2/') ? new Response('{}', { status: 403 }) : await fetch(input, init),
  })
  await fill(stage)
  const one = stage.lockstep.follow('/projects/bread', { embed: 'team,owner' })
  await one.ready
  assert.deepEqual(one.state?._embedded, { team: { id: 'red', name: 'Red' }, owner: null })
  assert.deepEqual(
    one.state?._problems?.map(({ pointer, code, status }) => [pointer, code, status]),
    [['/_embedded/owner', 'api-refused', 502]],
  )
  assert.equal(one.status, 'stale')
  await assert.rejects(one.refresh(), { code: 'api-refused' })
  // What it may read goes on to be followed.
  await one.atLeast(await stage.write('PATCH', '/teams/red', { name: 'Rouge' }))
  assert.deepEqual(one.state?._embedded.team, { id: 'red', name: 'Rouge' })
  await assert.rejects(one.atLeast('orders:x:1'), { code: 'invalid-position' })
})

test('credentials go to another origin only where it is trusted', async () => {
  for (const isTrusted of [false, true]) {
    const trustedOrigins: string[] = []
    await using stage = await open('mqtt', { trustedOrigins })
    await fill(stage)
    const { projects } = stage
    const { headers } = await projects.ask('GET', '/api/projects?embed=owner')
    const [, otherUrl] = /<(http[^>]*)>; rel="embedded"/.exec(headers.get('link')!)!
    const { origin } = new URL(otherUrl!)
    const lockstep = await connect({
      api: 'http://own.test/api',
      source: 'sse',
      headers: { authorization: 'Bearer secret' },
      trustedOrigins: isTrusted ? [origin] : [],
      onError: () => {},
      fetch: (input, init) => {
        stage.asked.push({ url: String(input), headers: new Headers(init?.headers) })
        return String(input).startsWith('http://own.test')
          ? projects.service.fetch(new Request(String(input), init))
          : fetch(input, init)
      },
    })
    await lockstep.follow('/projects', { embed: 'owner' }).ready
    await lockstep.close()
    const elsewhere = stage.asked.filter(({ url }) => url.startsWith(origin))
    assert.ok(elsewhere.length > 0)
    for (const { headers: sent } of elsewhere)
      assert.equal(sent.get('authorization'), isTrusted ? 'Bearer secret' : null)
  }
})

test('what refers to nothing is refused by the API, and a mistake in the options at once', async () => {
  await using stage = await open('mqtt')
  const follower = stage.lockstep.follow('/projects', { embed: 'title' })
  await assert.rejects(follower.ready, { code: 'api-refused', message: /refers to nothing.*Known: team/ })
  assert.equal(follower.status, 'connecting')
  await assert.rejects(
    async () => {
      const closed = stage.lockstep.follow('/projects', { embed: 'team' })
      closed.close()
      await closed.ready
    },
    { code: 'closed' },
  )
  for (const [options, message] of [
    [{ embed: '' }, /embed is the text ""/],
    [{ embed: [5] as never }, /embed is an array/],
    [{ embed: 'a/%' }, /embed cannot be used/],
    [{ embed: 'team', replica: 'a.db' }, /Leave out embed or replica/],
  ] as const) {
    assert.throws(() => stage.lockstep.follow('/projects', options), { code: 'invalid-option', message })
  }
})

test('more than may be embedded is missing, and said once', async () => {
  await using stage = await open('sse')
  const members = Array.from({ length: maxEmbedded + 2 }, (_, index) => `u${index}`)
  for (let from = 0; from < 500; from += 100) {
    const operations = members.slice(from, from + 100).map(id => ({ method: 'PUT', id, body: { name: id } }))
    await stage.write('POST', '/users/_bulk', { operations })
  }
  await stage.write('PUT', '/projects/big', { members })
  const all = stage.lockstep.follow('/projects', { embed: 'members' })
  await all.ready
  const state = all.state.get('big')!
  const embedded = state._embedded.members as (JsonObject | null)[]
  assert.deepEqual([embedded.length, embedded.filter(each => each !== null).length], [maxEmbedded + 2, 500])
  const codes = state._problems!.map(({ code }) => code)
  assert.equal(codes.filter(code => code === 'list-too-large').length, 2)
  assert.equal(codes.filter(code => code === 'not-found').length, 500)
  assert.equal((await stage.reports.stage('embed')).code, 'list-too-large')
  assert.equal(stage.reports.all.length, 1)
})

for (const source of sources) {
  test(`over ${source}, through outages of broker and services, what is shown with embeds ends as the API shows it`, async () => {
    await using stage = await open(source)
    const random = mulberry32(source.length)
    const pick = <T>(values: readonly T[]): T => values[Math.floor(random() * values.length)]!
    const ids = ['a', 'b', 'c', 'd', 'e', 'f']
    const follower = stage.lockstep.follow('/projects', {
      embed: 'team,owner,members',
      where: { 'title:ne': 'x' },
    })
    await follower.ready
    let shown = new Map(follower.state)
    follower.on('change', ({ event, id, state, previous }) => {
      if (event === 'refreshed') {
        shown = new Map(follower.state)
        return
      }
      assert.deepEqual(previous, shown.get(id))
      if (state === undefined) shown.delete(id)
      else shown.set(id, state)
      assert.notEqual(state?.['title'], 'x')
    })
    const writeSome = async (count: number): Promise<void> => {
      for (let index = 0; index < count; index++) {
        const path = `/${pick(['users', 'users', 'teams', 'projects', 'projects'])}/${pick(ids)}`
        const project = {
          title: pick(['x', 'y', 'z']),
          team: pick(ids),
          owner: pick([...ids, null]),
          members: [pick(ids), pick(ids)],
        }
        const body = path.startsWith('/projects') ? project : { name: `${random()}` }
        if (random() < 0.8) await stage.write('PUT', path, body)
        else await stage.write('DELETE', path).catch(() => {})
      }
    }
    for (let round = 0; round < 4; round++) {
      await writeSome(30)
      if (round % 2 === 0) stage.hub.stop()
      else await stage.stopUsers()
      await writeSome(30)
      stage.hub.start()
      await stage.startUsers()
      await writeSome(5)
    }
    const list = `/projects?embed=team,owner,members&lang=*&title:ne=x`
    const isRight = async (): Promise<boolean> =>
      isDeepStrictEqual(
        plain(byId([...follower.state.values()])),
        plain(byId((await stage.get(list)) as object[])),
      )
    await eventually(async () => follower.status === 'live' && (await isRight()))
    assert.deepEqual(shown, new Map(follower.state))
    assert.deepEqual(
      stage.reports.all.filter(({ stage: name }) => name === 'listener'),
      [],
    )
  })
}

function byId(states: readonly object[]): unknown[] {
  const idOf = (state: object): string => ('id' in state ? String(state.id) : '')
  return states.toSorted((a, b) => (idOf(a) < idOf(b) ? -1 : 1))
}
