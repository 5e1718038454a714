/** Views of real services: over sockets and both sources, what followers show is what the API shows. */
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { isDeepStrictEqual } from 'node:util'
import { createMemoryHub } from '../../src/broker/memory.ts'
import { type Connection, type ConnectOptions, connect } from '../../src/client/connection.ts'
import type { Follower } from '../../src/client/follower.ts'
import { openHttpServer } from '../../src/service/http/node.ts'
import { type ApiOf, defineResource } from '../../src/service/resource.ts'
import { Reports } from '../support/reports.ts'
import { eventually, openTestService, type TestService } from '../support/service.ts'
import { mulberry32 } from './follower-world.ts'
import { createFastClock } from './manual-clock.ts'

const projects = defineResource('projects', {
  languages: ['en', 'fr'],
  schema: {
    type: 'object',
    properties: {
      title: { type: 'string', translatable: true },
      status: { enum: ['open', 'closed'] },
      priority: { type: 'integer' },
      place: { type: 'object', properties: { city: { type: 'string' } } },
    },
    additionalProperties: false,
  },
})
type Api = ApiOf<[typeof projects]>
const sources = ['mqtt', 'sse'] as const
const bread = { id: 'bread', title: { en: 'Bread', fr: 'Pain' }, status: 'open', priority: 2 }

interface Stage extends AsyncDisposable {
  readonly service: TestService
  readonly hub: ReturnType<typeof createMemoryHub>
  readonly lockstep: Connection<Api>
  readonly reports: Reports
  connect(options?: Partial<ConnectOptions>): Promise<Connection<Api>>
  write(method: string, path: string, body?: object, headers?: Record<string, string>): Promise<string>
  /** What the API shows. */
  get(path: string): Promise<unknown>
}

async function open(source: 'mqtt' | 'sse'): Promise<Stage> {
  const hub = createMemoryHub()
  const service = await openTestService({ resources: [projects], broker: hub.connect() })
  const server = await openHttpServer(service.service, { port: 0 })
  const reports = new Reports()
  const connections: Connection<Api>[] = []
  const connectTo = async (options: Partial<ConnectOptions> = {}): Promise<Connection<Api>> => {
    const connection = await connect<Api>({
      api: server.url,
      broker: hub.connect(),
      source,
      clock: createFastClock(10),
      onError: reports.onError,
      // As browsers send it.
      headers: { 'Accept-Language': 'fr-CH, fr;q=0.9' },
      ...options,
    })
    connections.push(connection)
    return connection
  }
  return {
    service,
    hub,
    lockstep: await connectTo(),
    reports,
    connect: connectTo,
    async write(method, path, body, headers = {}) {
      const answer = await service.ask(method, path, { body, headers })
      assert.ok(answer.status < 300, answer.text)
      return answer.headers.get('lockstep-marker')!
    },
    async get(path) {
      return (await service.ask('GET', path)).json
    },
    async [Symbol.asyncDispose]() {
      for (const connection of connections) await connection.close()
      await server.close(0)
      await service[Symbol.asyncDispose]()
      assert.deepEqual(reports.all, [])
    },
  }
}

/** Notes what a follower tells. */
function note<T>(follower: Follower<T>): unknown[][] {
  const told: unknown[][] = []
  follower.on('change', ({ event, id, changes, previous }) =>
    told.push(event === 'deleted' ? [event, id, previous] : [event, id, changes]),
  )
  return told
}

for (const source of sources) {
  test(`over ${source}, a language, some members and some resources are followed`, async () => {
    await using stage = await open(source)
    await stage.write('PUT', '/projects/bread', bread)
    await stage.write('PUT', '/projects/wine', { title: { en: 'Wine' }, status: 'closed', priority: 1 })
    const follower = stage.lockstep.follow('/projects', {
      lang: 'fr-CH',
      fields: 'title,priority',
      where: { status: 'open', 'priority:lte': 3 },
    })
    await follower.ready
    const shown = { id: 'bread', title: 'Pain', priority: 2 }
    assert.deepEqual(new Map(follower.state), new Map([['bread', shown]]))
    assert.deepEqual([follower.versionOf('bread'), follower.versionOf('wine')], [1, undefined])
    const told = note(follower)

    await stage.write('PATCH', '/projects/bread?lang=en', { title: 'A loaf' })
    await stage.write('PATCH', '/projects/bread', { place: { city: 'Oslo' } })
    await stage.write('PATCH', '/projects/wine', { priority: 2 })
    let marker = await stage.write('PATCH', '/projects/bread?lang=fr', { title: 'Un pain' })
    await follower.atLeast(marker)
    assert.deepEqual(told.splice(0), [['modified', 'bread', { title: 'Un pain' }]])

    await stage.write('PATCH', '/projects/wine', { status: 'open' })
    await stage.write('PATCH', '/projects/bread', { priority: 4 })
    await stage.write('POST', '/projects', { id: 'tea', status: 'closed' })
    marker = await stage.write('DELETE', '/projects/tea')
    await follower.atLeast(marker)
    assert.deepEqual(told.splice(0), [
      ['created', 'wine', undefined],
      ['deleted', 'bread', { id: 'bread', title: 'Un pain', priority: 2 }],
    ])
    assert.equal(follower.state.size, 1)
    const query = 'lang=fr&fields=title,priority&status=open&priority:lte=3'
    assert.deepEqual([...follower.state.values()], await stage.get(`/projects?${query}`))
  })

  test(`over ${source}, the ETag of what is shown in part is good for If-Match`, async () => {
    await using stage = await open(source)
    await stage.write('PUT', '/projects/bread', bread)
    const one = stage.lockstep.follow('/projects/bread', { fields: ['title'], lang: 'en' })
    const all = stage.lockstep.follow('/projects', { fields: ['id'] })
    await Promise.all([one.ready, all.ready])
    assert.deepEqual(one.state, { id: 'bread', title: 'Bread' })
    assert.equal(all.etagOf('bread'), one.etag)
    const headers = { 'if-match': one.etag! }
    const marker = await stage.write('PATCH', '/projects/bread', { priority: 9 }, headers)
    await Promise.all([one.atLeast(marker), all.atLeast(marker)])
    assert.deepEqual([one.version, all.versionOf('bread')], [2, 2])
  })

  test(`over ${source}, a resource is there while it is in the view`, async () => {
    await using stage = await open(source)
    const follower = stage.lockstep.follow('/projects/bread', { where: { status: 'open' }, lang: 'fr' })
    await follower.ready
    const told = note(follower)
    await follower.atLeast(await stage.write('PUT', '/projects/bread', bread))
    assert.deepEqual(follower.state, { ...bread, title: 'Pain' })
    await follower.atLeast(await stage.write('PATCH', '/projects/bread', { status: 'closed' }))
    assert.deepEqual([follower.state, follower.version, follower.etag], [undefined, 0, undefined])
    assert.deepEqual(told, [
      ['created', 'bread', undefined],
      ['deleted', 'bread', { ...bread, title: 'Pain' }],
    ])
  })

  test(`over ${source}, without a view texts are whole, whatever language a browser asks for`, async () => {
    await using stage = await open(source)
    await stage.write('PUT', '/projects/bread', bread)
    const all = stage.lockstep.follow('/projects')
    const one = stage.lockstep.follow('/projects/bread')
    await Promise.all([all.ready, one.ready])
    assert.deepEqual([all.state.get('bread'), one.state], [bread, bread])
    const marker = await stage.write('PATCH', '/projects/bread?lang=fr', { title: 'Un pain' })
    await Promise.all([all.atLeast(marker), one.atLeast(marker)])
    assert.deepEqual(one.state?.title, { en: 'Bread', fr: 'Un pain' })
  })
}

for (const source of sources) {
  test(`over ${source}, through outages, nothing outside of the view is ever shown, and it ends as the API shows it`, async () => {
    await using stage = await open(source)
    const random = mulberry32(source.length)
    const pick = <T>(values: readonly T[]): T => values[Math.floor(random() * values.length)]!
    const options = {
      lang: 'fr',
      fields: 'title,status',
      where: { status: 'open', 'priority:gte': 2 },
    } as const
    const follower = stage.lockstep.follow('/projects', options)
    await follower.ready
    const outside: unknown[] = []
    follower.on('change', ({ state, previous }) => {
      for (const shown of [state, previous, ...follower.state.values()]) {
        const { title, status, ...rest } = { ...shown }
        const isIn = typeof (title ?? '') === 'string' && (shown === undefined || status === 'open')
        if (!isIn || Object.keys(rest).some(name => name !== 'id')) outside.push(shown)
      }
    })
    for (let round = 0; round < 6; round++) {
      if (round % 2 === 1) stage.hub.stop()
      for (let count = 0; count < 30; count++) {
        const path = `/projects/${pick(['a', 'b', 'c', 'd', 'e'])}`
        const title = pick([{ en: 'b' }, { fr: `${random()}` }, { en: 'b', fr: 'p' }])
        const body = { title, status: pick(['open', 'closed']), priority: pick([1, 2, 3]) }
        const method = pick(['PUT', 'PUT', 'PATCH', 'DELETE'])
        await stage.service.ask(method, path, method === 'DELETE' ? {} : { body })
      }
      if (round === 3) await stage.service.log.prune({ maxRows: 1, minRows: 1 })
      stage.hub.start()
    }
    await stage.write('PUT', '/projects/last', { ...bread, id: 'last' })
    const list = '/projects?lang=fr&fields=title,status&status=open&priority:gte=2'
    const sorted = (): unknown[] => [...follower.state.values()].sort((a, b) => (a.id < b.id ? -1 : 1))
    await eventually(
      async () => follower.status === 'live' && isDeepStrictEqual(sorted(), await stage.get(list)),
    )
    assert.deepEqual(outside, [])
    assert.equal(follower.state.get('last')?.title, 'Pain')
  })
}

test('with a replica the view is there at once after a restart, in its language, and uses the indexes', async t => {
  const folder = await mkdtemp(join(tmpdir(), 'lockstep-views-'))
  t.after(() => rm(folder, { recursive: true }))
  await using stage = await open('mqtt')
  for (const [id, status] of Object.entries({ bread: 'open', tea: 'closed', wine: 'open' })) {
    await stage.write('PUT', `/projects/${id}`, { ...bread, id, status })
  }
  const view = {
    lang: 'fr',
    fields: 'title',
    where: { status: 'open' },
    replica: { file: join(folder, 'projects.db'), indexes: ['status', 'priority'] },
  } as const
  const first = await stage.connect()
  await first.follow('/projects', { replica: view.replica }).ready
  await first.close()
  const away = await stage.connect({ fetch: () => Promise.reject(new Error('away')), onError: () => {} })
  const early = away.follow('/projects', view)
  const shown = ['bread', 'wine'].map(id => ({ id, title: 'Pain' }))
  assert.deepEqual([...early.state.values()], shown)
  assert.deepEqual([early.state.size, early.state.has('tea'), early.versionOf('tea')], [2, false, undefined])
  assert.deepEqual([...early.where({ 'priority:gte': 2, id: 'wine' })], [shown[1]])
  await away.close()

  const again = stage.lockstep.follow('/projects', view)
  const told = note(again)
  await again.atLeast(await stage.write('PATCH', '/projects/tea', { status: 'open' }))
  await again.atLeast(await stage.write('PATCH', '/projects/wine?lang=fr', { title: 'Vin' }))
  assert.deepEqual(told.slice(1), [
    ['created', 'tea', undefined],
    ['modified', 'wine', { title: 'Vin' }],
  ])
  assert.equal(told[0]?.[0], 'refreshed')
  assert.deepEqual([again.state.size, [...again.state.keys()]], [3, ['bread', 'tea', 'wine']])
})

test('what is shown has the type that the options say', async () => {
  await using stage = await open('sse')
  await stage.write('PUT', '/projects/bread', { ...bread, place: { city: 'Oslo' } })
  const { lockstep } = stage
  const narrow = lockstep.follow('/projects', { lang: 'fr', fields: 'title,place/city' })
  await narrow.ready
  const state = narrow.state.get('bread')!
  const title: string | undefined = state.title
  const city: string | undefined = state.place?.city
  assert.deepEqual([title, city], ['Pain', 'Oslo'])
  // @ts-expect-error: it is not among the fields
  assert.equal(state.priority, undefined)
  const fields: string[] = ['priority']
  const wide = lockstep.follow('/projects', { fields })
  await wide.ready
  const priority: number | undefined = wide.state.get('bread')!.priority
  assert.equal(priority, 2)
  assert.throws(
    // @ts-expect-error: an option that is not known
    () => lockstep.follow('/projects', { field: 'id' }),
    /no option "field"/,
  )
  // @ts-expect-error: a member that there is not
  lockstep.follow('/projects', { where: { state: 'open' } })
  lockstep.follow('/projects', { where: { 'status:in': ['open'], 'place/city:starts': 'O' } })
})
