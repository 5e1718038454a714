/** Followers that keep their copy in a file: PROTOCOL.md 6.9. */
import assert from 'node:assert/strict'
import { closeSync, existsSync, mkdtempSync, openSync, rmSync, writeFileSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { after, test } from 'node:test'
import { createMemoryHub, type MemoryHub } from '../../src/broker/memory.ts'
import { type Connection, connect } from '../../src/client/connection.ts'
import type { CollectionFollower, Follower, ResourceFollower } from '../../src/client/follower.ts'
import type { ReplicaOptions } from '../../src/client/replica.ts'
import { isLockstepError, type JsonObject } from '../../src/contract/index.ts'
import { Reports } from '../support/reports.ts'
import { openTestService, type TestService } from '../support/service.ts'

const folder = mkdtempSync(join(tmpdir(), 'lockstep-replica-'))
after(() => rmSync(folder, { recursive: true }))
let files = 0
const newFile = (): string => join(folder, `${++files}`, 'copy.db')

interface Stage extends AsyncDisposable {
  readonly service: TestService
  readonly reports: Reports
  readonly requests: string[]
  isDown: boolean
  /** A connection of its own, as of another process. */
  connect(api?: string): Promise<Connection>
  write(method: string, id: string, body?: object): Promise<string>
}

async function open({ logKind = 'memory' as 'memory' | 'sqlite' } = {}): Promise<Stage> {
  const hub: MemoryHub = createMemoryHub()
  const service = await openTestService({ broker: hub.connect(), logKind })
  const reports = new Reports()
  const connections: Connection[] = []
  const stage: Stage = {
    service,
    reports,
    requests: [],
    isDown: false,
    async connect(api = 'http://service.test') {
      const connection = await connect({
        api,
        broker: hub.connect(),
        topicPrefix: '',
        onError: reports.onError,
        fetch: async (input, init) => {
          const request = new Request(input, init)
          stage.requests.push(new URL(request.url).pathname)
          if (stage.isDown) throw new Error('down')
          return await service.service.fetch(request)
        },
      })
      connections.push(connection)
      return connection
    },
    async write(method, id, body) {
      const path = method === 'POST' ? '/people' : `/people/${id}`
      const answer = await service.ask(method, path, { body })
      assert.ok(answer.status < 300, answer.text)
      return answer.headers.get('lockstep-marker')!
    },
    async [Symbol.asyncDispose]() {
      for (const connection of connections) await connection.close()
      await service[Symbol.asyncDispose]()
    },
  }
  for (const [id, city] of Object.entries({ ann: 'Oslo', bob: 'Rome', eve: 'Oslo' })) {
    await stage.write('POST', id, { id, name: id, address: { city } })
  }
  return stage
}

async function follow(
  stage: Stage,
  replica: string | ReplicaOptions,
): Promise<{ people: CollectionFollower<JsonObject>; connection: Connection; changes: string[] }> {
  const connection = await stage.connect()
  const people = connection.follow('/people', { replica }) as CollectionFollower<JsonObject>
  const changes: string[] = []
  people.on('change', ({ event, id, version }) => changes.push(`${event} ${id}@${version}`))
  return { people, connection, changes }
}

/** Follows until live, and closes. */
async function fill(stage: Stage, replica: string | ReplicaOptions): Promise<void> {
  const { people, connection } = await follow(stage, replica)
  await live(people)
  await connection.close()
}

async function live<T>(follower: Follower<T>): Promise<void> {
  if (follower.status === 'live') return
  await new Promise<void>(resolve => {
    const off = follower.on('status', status => {
      if (status !== 'live') return
      off()
      resolve()
    })
  })
}

function refusal(action: () => unknown): { code: string; message: string } {
  try {
    action()
  } catch (error) {
    assert.ok(isLockstepError(error), String(error))
    return error
  }
  throw new Error('It was not refused.')
}

test('after a restart the copy is there at once with its age, and only what was missed is asked for', async () => {
  await using stage = await open()
  const file = newFile()
  await fill(stage, file)
  await stage.write('PATCH', 'ann', { age: 30 })
  await stage.write('DELETE', 'bob')
  await stage.write('POST', 'new', { id: 'new', name: 'New' })
  stage.requests.length = 0
  const { people, changes } = await follow(stage, file)
  assert.deepEqual([...people.state.keys()], ['ann', 'bob', 'eve'])
  assert.deepEqual([people.status, people.versionOf('ann')], ['catching-up', 1])
  assert.ok(people.staleForMs > 0 && people.staleForMs < 60_000)
  await people.ready
  await live(people)
  assert.deepEqual(changes, ['refreshed @0', 'modified ann@2', 'deleted bob@2', 'created new@1'])
  assert.deepEqual([...people.state.keys()], ['ann', 'eve', 'new'])
  assert.deepEqual([...new Set(stage.requests)], ['/people/_changes'])
  assert.equal(people.staleForMs, 0)
})

test('where the API is down the copy is shown as stale', async () => {
  await using stage = await open()
  const file = newFile()
  await fill(stage, file)
  stage.isDown = true
  const { people } = await follow(stage, file)
  await new Promise<void>(resolve => people.on('status', status => status === 'stale' && resolve()))
  assert.equal(people.state.size, 3)
  assert.equal((await stage.reports.stage('feed')).code, 'api-unreachable')
})

test('changes that the log does not have any more are made up for by a new baseline', async () => {
  await using stage = await open({ logKind: 'sqlite' })
  const file = newFile()
  await fill(stage, file)
  await stage.write('DELETE', 'bob')
  for (let age = 0; age < 20; age++) await stage.write('PATCH', 'ann', { age })
  await stage.service.log.prune({ maxRows: 5, minRows: 3 })
  const { people, changes } = await follow(stage, file)
  await live(people)
  assert.deepEqual(changes, ['refreshed @0', 'deleted bob@2', 'modified ann@21'])
  assert.deepEqual([...people.state.keys()], ['ann', 'eve'])
})

test('the age is that of the last confirmation; a wall clock that went back tells none', async () => {
  await using stage = await open()
  const file = newFile()
  await fill(stage, file)
  for (const [confirmed, isRight] of [
    [Date.now() - 3_600_000, (ms: number) => ms >= 3_600_000 && ms < 3_660_000],
    [Date.now() + 3_600_000, (ms: number) => ms === Number.POSITIVE_INFINITY],
  ] as const) {
    const database = new DatabaseSync(file)
    database.prepare('UPDATE lockstep_about SET confirmed_ms = ?').run(confirmed)
    database.close()
    const { people, connection } = await follow(stage, file)
    assert.ok(isRight(people.staleForMs), String(people.staleForMs))
    await live(people)
    assert.equal(people.staleForMs, 0)
    await connection.close()
  }
})

test('a resource is kept too, also that there is none', async () => {
  await using stage = await open()
  const [annFile, nobodyFile] = [newFile(), newFile()]
  const start = async (): Promise<
    [ResourceFollower<JsonObject>, ResourceFollower<JsonObject>, Connection]
  > => {
    const connection = await stage.connect()
    const of = (path: string, replica: string): ResourceFollower<JsonObject> =>
      connection.follow(path, { replica }) as ResourceFollower<JsonObject>
    return [of('/people/ann', annFile), of('/people/nobody', nobodyFile), connection]
  }
  const [ann, nobody, first] = await start()
  await Promise.all([live(ann), live(nobody)])
  await ann.atLeast(await stage.write('PATCH', 'ann', { age: 1 }))
  await first.close()
  stage.isDown = true
  const [annAgain, nobodyAgain] = await start()
  await Promise.all([annAgain.ready, nobodyAgain.ready])
  assert.deepEqual([annAgain.version, annAgain.state?.['age']], [2, 1])
  assert.deepEqual([nobodyAgain.version, nobodyAgain.state], [0, undefined])
})

test('where finds by members, the same with an index, without one, and in memory', async () => {
  await using stage = await open()
  const { people } = await follow(stage, { file: newFile(), indexes: ['/address/city', '/age'] })
  const plain = (await stage.connect()).follow('/people') as CollectionFollower<JsonObject>
  const markers = [
    await stage.write('PATCH', 'ann', { age: 30, tags: ['x'] }),
    await stage.write('POST', '', {
      id: 'odd',
      name: '{"city":"Oslo"}',
      active: true,
      one: 1,
      gone: { at: 1 },
    }),
    await stage.write('PUT', 'zed', {
      name: 'Zed',
      active: 1,
      one: true,
      note: null,
      'a/b': { 'c~"d': 'x' },
    }),
  ]
  for (const follower of [people, plain]) await follower.atLeast(markers.at(-1)!)
  for (const [conditions, expected] of [
    [{ '/address/city': 'Oslo' }, ['ann', 'eve']],
    [{ '/address/city': 'Oslo', '/age': 30 }, ['ann']],
    [{ '/address/city': 'Paris' }, []],
    [{ '/active': true }, ['odd']],
    [{ '/active': 1 }, ['zed']],
    [{ '/note': null }, ['zed']],
    [{ '/gone': '{"at":1}' }, []],
    [{ '/name': '{"city":"Oslo"}' }, ['odd']],
    [{ '/tags/0': 'x' }, []],
    [{ '/toString': 'x' }, []],
    [{}, ['ann', 'bob', 'eve', 'odd', 'zed']],
  ] as const) {
    for (const follower of [people, plain]) {
      const found = [...follower.where(conditions)].map(({ id }) => id)
      assert.deepEqual(found.sort(), expected, JSON.stringify(conditions))
    }
  }
  for (const follower of [people, plain]) {
    for (const pointer of ['address', '/a~2', '', '/a"b', '/a\\b', `/${'x'.repeat(600)}`]) {
      assert.equal(refusal(() => follower.where({ [pointer]: 1 })).code, 'invalid-option', pointer)
    }
    assert.match(refusal(() => follower.where({ '/a': [] as never })).message, /is an array/)
  }
})

test('the file can be read with SQL by way of lockstep_copy, which uses the indexes', async () => {
  await using stage = await open()
  const file = newFile()
  const { people, connection } = await follow(stage, { file, indexes: ['/address/city'] })
  await live(people)
  await people.atLeast(await stage.write('PATCH', 'bob', { address: { city: 'Oslo' } }))
  await connection.close()
  const { people: again } = await follow(stage, { file, indexes: ['/address/city'] })
  const reader = new DatabaseSync(file, { readOnly: true })
  const sql = `SELECT id, version FROM lockstep_copy WHERE json_extract(state, '$."address"."city"') = 'Oslo' ORDER BY id`
  const rows = reader.prepare(sql).all()
  assert.deepEqual(
    rows.map(({ id, version }) => `${id}@${version}`),
    ['ann@1', 'bob@2', 'eve@1'],
  )
  const plan = reader.prepare(`EXPLAIN QUERY PLAN ${sql}`).all()
  assert.match(JSON.stringify(plan), /USING INDEX lockstep_member \/address\/city/)
  reader.close()
  await live(again)
})

test('indexes come and go with the option', async () => {
  await using stage = await open()
  const file = newFile()
  const names = (): unknown[] => {
    const database = new DatabaseSync(file, { readOnly: true })
    const rows = database
      .prepare("SELECT name FROM sqlite_schema WHERE name LIKE 'lockstep_member%' ORDER BY name")
      .all()
    database.close()
    return rows.map(({ name }) => name)
  }
  await fill(stage, { file, indexes: ['/name', "/it's"] })
  assert.deepEqual(names(), ["lockstep_member /it's", 'lockstep_member /name'])
  await fill(stage, { file, indexes: ['/age', '/name'] })
  assert.deepEqual(names(), ['lockstep_member /age', 'lockstep_member /name'])
  await fill(stage, file)
  assert.deepEqual(names(), [])
})

test('a file that cannot be the replica is refused with what to do, and left as it is', async () => {
  await using stage = await open()
  const connection = await stage.connect()
  const file = newFile()
  await fill(stage, file)
  const [text, other, newer] = [join(folder, 'text'), join(folder, 'other.db'), newFile()]
  writeFileSync(text, 'a text that somebody needs, longer than the head of a database '.repeat(20))
  const database = new DatabaseSync(other)
  database.exec('CREATE TABLE mine (a)')
  database.close()
  await fill(stage, newer)
  const changed = new DatabaseSync(newer)
  changed.exec('PRAGMA user_version = 99')
  changed.close()
  for (const [path, replica, code, pattern] of [
    ['/projects', file, 'invalid-option', /holds "\/people" of .*Give another file, or delete/],
    ['/people', text, 'invalid-option', /not a SQLite database/],
    ['/people', other, 'invalid-option', /database of something else/],
    ['/people', newer, 'invalid-option', /another version of Lockstep .*Delete it/],
    ['/people', '', 'invalid-option', /no name of a file/],
    ['/people', ':memory:', 'invalid-option', /no name of a file/],
    ['/people', folder, 'replica-failed', /cannot be opened/],
    ['/people', join(text, 'below.db'), 'replica-failed', /cannot be opened/],
    ['/people', { file: newFile(), indexes: ['city'] }, 'invalid-option', /no JSON Pointer/],
  ] as const) {
    const error = refusal(() => connection.follow(path, { replica }))
    assert.deepEqual([error.code, pattern.test(error.message)], [code, true], error.message)
  }
  const elsewhere = await stage.connect('http://other.test/v1')
  assert.match(refusal(() => elsewhere.follow('/people', { replica: file })).message, /holds "\/people" of/)
  const again = connection.follow('/people', { replica: file }) as CollectionFollower<JsonObject>
  assert.equal(again.state.size, 3)
})

test('a file has one follower at a time', async () => {
  await using stage = await open()
  const file = newFile()
  const { people, connection } = await follow(stage, file)
  const other = await stage.connect()
  const error = refusal(() => other.follow('/people', { replica: file }))
  assert.equal(error.code, 'replica-failed')
  assert.match(error.message, /in use by another follower/)
  await live(people)
  await connection.close()
  other.follow('/people', { replica: file }).close()
})

test('a damaged file is put aside and reported, and the follower begins anew', async () => {
  await using stage = await open()
  const file = newFile()
  await fill(stage, file)
  const handle = openSync(file, 'r+')
  writeSync(handle, Buffer.alloc(3_000, 0xff), 0, 3_000, 100)
  closeSync(handle)
  const { people } = await follow(stage, file)
  await live(people)
  assert.equal(people.state.size, 3)
  assert.equal(existsSync(`${file}.damaged`), true)
  const report = await stage.reports.stage('replica')
  assert.deepEqual([report.code, /was damaged/.test(report.text)], ['replica-failed', true])
})

test('a file that is found damaged while in use ends the follower; the next one begins anew', async () => {
  await using stage = await open()
  const file = newFile()
  for (let index = 0; index < 60; index++) {
    await stage.write('POST', '', { id: `p${index}`, name: 'x'.repeat(2_000) })
  }
  await fill(stage, file)
  const reader = new DatabaseSync(file)
  const { page } = reader
    .prepare("SELECT rootpage AS page FROM sqlite_schema WHERE name = 'lockstep_row'")
    .get()!
  reader.close()
  const handle = openSync(file, 'r+')
  writeSync(handle, Buffer.alloc(4_096, 0xff), 0, 4_096, (Number(page) - 1) * 4_096)
  closeSync(handle)
  const { people } = await follow(stage, file)
  const closed = new Promise<void>(resolve => people.on('status', status => status === 'closed' && resolve()))
  await stage.write('PATCH', 'p3', { age: 3 })
  await closed
  assert.equal((await stage.reports.stage('replica')).code, 'replica-failed')
  const { people: next } = await follow(stage, file)
  await live(next)
  assert.equal(next.state.get('p3')?.['age'], 3)
})

test('a file that cannot be written for a while is reported once and written later; the copy goes on', async () => {
  await using stage = await open()
  const file = newFile()
  const { people, connection } = await follow(stage, file)
  await live(people)
  const blocker = new DatabaseSync(file)
  blocker.exec('BEGIN IMMEDIATE')
  await people.atLeast(await stage.write('PATCH', 'ann', { age: 1 }))
  assert.equal((await stage.reports.stage('replica')).code, 'replica-failed')
  await people.atLeast(await stage.write('PATCH', 'ann', { age: 2 }))
  assert.equal(people.state.get('ann')?.['age'], 2)
  blocker.exec('ROLLBACK')
  await connection.close()
  assert.equal(stage.reports.all.filter(({ stage: name }) => name === 'replica').length, 1)
  const row = blocker.prepare("SELECT version FROM lockstep_copy WHERE id = 'ann'").get()
  assert.equal(row?.['version'], 3)
  blocker.close()
})

test('a copy in a file cannot be read after its follower is closed', async () => {
  await using stage = await open()
  const { people } = await follow(stage, newFile())
  await live(people)
  people.close()
  assert.equal(refusal(() => people.state.get('nobody')).code, 'closed')
  assert.equal(refusal(() => [...people.state]).code, 'closed')
})

test('a runtime without node:sqlite says so, and needs none without the option', async () => {
  await using stage = await open()
  const connection = await stage.connect()
  const { getBuiltinModule } = process
  Object.defineProperty(process, 'getBuiltinModule', { value: undefined, configurable: true, writable: true })
  try {
    const error = refusal(() => connection.follow('/people', { replica: newFile() }))
    assert.equal(error.code, 'missing-dependency')
    assert.match(error.message, /no browser does/)
    await connection.follow('/people').ready
  } finally {
    Object.defineProperty(process, 'getBuiltinModule', {
      value: getBuiltinModule,
      configurable: true,
      writable: true,
    })
  }
})
