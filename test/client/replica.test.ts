/** Followers that keep their copy in a file: PROTOCOL.md 6.9. */
import assert from 'node:assert/strict'
import { existsSync, linkSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import { systemClock } from '../../src/client/clock.ts'
import type { Conditions } from '../../src/client/conditions.ts'
import type { Connection } from '../../src/client/connection.ts'
import type { CollectionFollower, ResourceFollower } from '../../src/client/follower.ts'
import type { JsonObject } from '../../src/contract/index.ts'
import { createRandom } from '../support/random.ts'
import { people as resource } from '../support/service.ts'
import { fill, folder, follow, live, newFile, open, refusal } from './replica-stage.ts'

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
  const { people } = await follow(stage, { file: newFile(), indexes: ['address/city', 'age', 'active'] })
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
      name: '\ud800',
      active: 1,
      one: true,
      note: null,
      'a/b': { 'c~"d': 'x' },
    }),
  ]
  for (const follower of [people, plain]) await follower.atLeast(markers.at(-1)!)
  for (const [conditions, expected] of [
    [{ 'address/city': 'Oslo' }, ['ann', 'eve']],
    [{ 'address/city': 'Oslo', age: 30 }, ['ann']],
    [{ 'address/city': 'Paris' }, []],
    [{ 'address/city:in': ['Paris', 'Oslo'] }, ['ann', 'eve']],
    [{ 'address/city:ne': 'Oslo' }, ['bob', 'odd', 'zed']],
    [{ active: true }, ['odd']],
    [{ active: 1 }, ['zed']],
    [{ 'active:in': [true, 1, null, 'x'], 'one:in': [1, 2] }, ['odd']],
    [{ note: null }, ['zed']],
    [{ 'age:gte': 30 }, ['ann']],
    [{ age: '30' }, ['ann']],
    [{ gone: '{"at":1}' }, []],
    [{ name: '{"city":"Oslo"}' }, ['odd']],
    [{ 'tags/0': 'x' }, []],
    [{ 'tags:has': 'x' }, ['ann']],
    [{ toString: 'x' }, []],
    [{ id: 'zed' }, ['zed']],
    [{ 'id:in': ['zed', 'ann', 'nobody'] }, ['ann', 'zed']],
    [{ 'id:in': Array.from({ length: 60 }, (_, n) => (n === 0 ? 'zed' : n)) }, ['zed']],
    [{ 'a%2Fb/c~%22d': 'x' }, ['zed']],
    [{ name: '\ud800' }, ['zed']],
    [{}, ['ann', 'bob', 'eve', 'odd', 'zed']],
  ] as const) {
    for (const follower of [people, plain]) {
      const found = [...follower.where(conditions as Conditions)].map(({ id }) => id)
      const ids = follower === people ? found : found.sort()
      assert.deepEqual(ids, expected, JSON.stringify(conditions))
    }
  }
})

test('the file can be read with SQL by way of lockstep_copy, which uses the indexes', async () => {
  await using stage = await open()
  const file = newFile()
  const { people, connection } = await follow(stage, { file, indexes: ['address/city'] })
  await live(people)
  await people.atLeast(await stage.write('PATCH', 'bob', { address: { city: 'Oslo' } }))
  await connection.close()
  const { people: again } = await follow(stage, { file, indexes: ['address/city'] })
  const reader = new DatabaseSync(file, { readOnly: true })
  const sql = `SELECT id, version FROM lockstep_copy WHERE json_extract(state, '$."address"."city"') = 'Oslo' ORDER BY id`
  const rows = reader.prepare(sql).all()
  assert.deepEqual(
    rows.map(({ id, version }) => `${id}@${version}`),
    ['ann@1', 'bob@2', 'eve@1'],
  )
  const plan = reader.prepare(`EXPLAIN QUERY PLAN ${sql}`).all()
  assert.match(JSON.stringify(plan), /USING INDEX lockstep_member address\/city/)
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
  await fill(stage, { file, indexes: ['name', "it's"] })
  assert.deepEqual(names(), ["lockstep_member it's", 'lockstep_member name'])
  await fill(stage, { file, indexes: ['age', 'name'] })
  assert.deepEqual(names(), ['lockstep_member age', 'lockstep_member name'])
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
    [
      '/people',
      { file: newFile(), indexes: ['/city'] },
      'invalid-option',
      /index "\/city" cannot be used: .*names no member/,
    ],
    ['/people', { file: newFile(), indexes: ['a%22b'] }, 'invalid-option', /quotes, backslashes/],
    ['/people', { file: newFile(), indexes: ['x'.repeat(501)] }, 'invalid-option', /over 500 characters/],
  ] as const) {
    const error = refusal(() => connection.follow(path, { replica }))
    assert.deepEqual([error.code, pattern.test(error.message)], [code, true], error.message)
  }
  assert.match(
    refusal(() => connection.follow('/people', { replica: text })).message,
    /not a SQLite database/,
  )
  assert.match(readFileSync(text, 'utf8'), /^a text that somebody needs/)
  assert.equal(existsSync(`${text}-lock`), false)
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

test('links lead to the same file, which has one follower at a time', {
  skip: process.platform === 'win32' && 'links need a right there',
}, async () => {
  await using stage = await open()
  const [file, link, later] = [newFile(), newFile(), newFile()]
  for (const name of [file, link, later]) mkdirSync(dirname(name))
  symlinkSync(file, link)
  const { people, connection } = await follow(stage, link)
  await live(people)
  const other = await stage.connect()
  assert.match(
    refusal(() => other.follow('/people', { replica: file })).message,
    /in use by another follower/,
  )
  assert.deepEqual([existsSync(file), existsSync(`${link}-lock`)], [true, false])
  symlinkSync(dirname(file), `${later}.folder`)
  const throughFolder = join(`${later}.folder`, 'copy.db')
  assert.equal(refusal(() => other.follow('/people', { replica: throughFolder })).code, 'replica-failed')
  await connection.close()
  linkSync(file, later)
  const error = refusal(() => other.follow('/people', { replica: file }))
  assert.deepEqual([error.code, /has 2 names \(hard links\)/.test(error.message)], ['invalid-option', true])
  rmSync(later)
  symlinkSync(later, later)
  assert.equal(refusal(() => other.follow('/people', { replica: later })).code, 'replica-failed')
  const again = other.follow('/people', { replica: throughFolder }) as CollectionFollower<JsonObject>
  assert.equal(again.state.size, 3)
})

test('a new baseline is in the file, also where nothing but the baseline is new', async () => {
  await using stage = await open()
  const file = newFile()
  // What is confirmed at one moment has one place: only the baseline itself is to be written.
  const connection = await stage.connect(undefined, { clock: { ...systemClock, now: () => 5 } })
  const people = connection.follow('/people', { replica: file })
  await live(people)
  const generations = (): unknown => {
    const database = new DatabaseSync(file, { readOnly: true })
    const row = database
      .prepare('SELECT generation, (SELECT max(generation) FROM lockstep_row) AS last FROM lockstep_about')
      .get()!
    database.close()
    return [row['generation'], row['last']]
  }
  await people.refresh()
  await connection.close()
  assert.deepEqual(generations(), [3, 3])
  stage.isDown = true
  const { people: again } = await follow(stage, file)
  assert.equal(again.state.size, 3)
})

test('members whose names differ in case only have an index each', async () => {
  await using stage = await open()
  const file = newFile()
  await stage.write('POST', '', { id: 'odd', name: 'odd', Name: 'Odd' })
  for (const indexes of [['name', 'Name', 'é', 'É'], ['Name'], ['name', 'Name']]) {
    const { people, connection } = await follow(stage, { file, indexes })
    await live(people)
    for (const conditions of [{ name: 'odd' }, { Name: 'Odd' }] as Conditions[])
      assert.deepEqual(
        [...people.where(conditions)].map(({ id }) => id),
        ['odd'],
      )
    assert.equal([...people.where({ Name: 'odd' })].length, 0)
    await connection.close()
    const database = new DatabaseSync(file, { readOnly: true })
    const made = database
      .prepare("SELECT sql FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL")
      .all()
    database.close()
    assert.deepEqual(made.map(({ sql }) => /\$\."(.*)"'/.exec(String(sql))![1]).sort(), indexes.toSorted())
  }
})

test('numbers of every size are found as in memory, with an index and without one', async () => {
  await using stage = await open()
  const random = createRandom(7)
  const bits = new DataView(new ArrayBuffer(8))
  const numbers = [
    0,
    -0,
    1,
    1.5,
    0.1 + 0.2,
    1e15,
    1e21,
    1e22,
    5e-324,
    1e-7,
    2 ** 53,
    2 ** 53 - 1,
    2 ** 60,
    -(2 ** 60),
  ]
  numbers.push(2 ** 62, 2 ** 63 - 1_024, 2 ** 63, 2 ** 64, Number.MAX_VALUE, 1_152_921_504_606_847_000)
  while (numbers.length < 400) {
    bits.setUint32(0, random.below(2 ** 32))
    bits.setUint32(4, random.below(2 ** 32))
    const value = [bits.getFloat64(0), random.below(1e9) / 1e4, random.below(2 ** 31) * 2 ** 31][
      numbers.length % 3
    ]!
    if (Number.isFinite(value)) numbers.push(value)
  }
  const texts = ['\ud800', 'a\udfff', '\ufffd', '1', '']
  await stage.service.service.transaction(async tx => {
    for (const [index, v] of [...numbers, ...texts].entries())
      await tx.put(resource, `n${index}`, { name: 'n', v } as JsonObject as never)
  })
  const { people } = await follow(stage, { file: newFile(), indexes: ['v'] })
  const { people: plain } = await follow(stage, newFile())
  const held = (await stage.connect()).follow('/people') as CollectionFollower<JsonObject>
  await Promise.all([people, plain, held].map(live))
  const find = (follower: CollectionFollower<JsonObject>, v: string | number): unknown =>
    [...follower.where({ v })].map(({ id }) => id).sort()
  for (const v of [...numbers, ...texts]) {
    const expected = find(held, v)
    assert.notDeepEqual(expected, [], String(v))
    assert.deepEqual([find(people, v), find(plain, v)], [expected, expected], String(v))
  }
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
