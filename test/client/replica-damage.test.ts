/** Replicas whose file is damaged or cannot be written: the follower goes on, and says so once. PROTOCOL.md 6.9. */
import assert from 'node:assert/strict'
import {
  chmodSync,
  closeSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs'
import { dirname } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import type { CollectionFollower } from '../../src/client/follower.ts'
import type { JsonObject } from '../../src/contract/index.ts'
import { createRandom } from '../support/random.ts'
import { people as resource } from '../support/service.ts'
import { fill, folder, follow, live, newFile, open, refusal, type Stage } from './replica-stage.ts'

const pageBytes = 4_096

/** A page, as numbered by `dd seek=`, becomes noise or zeros. */
function damage(file: string, page: number, noise: 'random' | 'zeros' = 'random', pages = 1): void {
  const random = createRandom(page)
  const bytes = Buffer.alloc(pages * pageBytes)
  if (noise === 'random') for (let at = 0; at < bytes.length; at++) bytes[at] = random.below(256)
  const handle = openSync(file, 'r+')
  writeSync(handle, bytes, 0, bytes.length, page * pageBytes)
  closeSync(handle)
}

async function addPeople(stage: Stage, count: number, chars: number): Promise<void> {
  await stage.service.service.transaction(async tx => {
    for (let n = 0; n < count; n++) {
      const id = `p${String(n).padStart(5, '0')}`
      await tx.create(resource, { id, name: id.padEnd(chars, 'x') })
    }
  })
}

/** Looks at everything; a damage that shows is told, and the next look is answered. */
async function readAll(people: CollectionFollower<JsonObject>): Promise<number> {
  for (let times = 0; times < 2; times++) {
    try {
      const names = [...people.where({})].map(({ name }) => name)
      for (const [id, { name }] of people.state) assert.ok(String(name).startsWith(id))
      return names.length
    } catch (error) {
      assert.equal(refusal(() => assert.fail(error as Error)).code, 'replica-failed')
      await new Promise(resolve => setImmediate(resolve))
      await live(people)
    }
  }
  return Number.NaN
}

function damageReports(stage: Stage): readonly string[] {
  return stage.reports.all.filter(report => report.stage === 'replica').map(({ text }) => text)
}

for (const [kind, count, chars] of [
  ['small', 400, 3_000],
  ['large, which is not looked through when it is opened', 2_100, 9_000],
] as const) {
  test(`a damaged file is put aside wherever the damage is and whenever it shows: ${kind}`, async () => {
    await using stage = await open()
    await addPeople(stage, count, chars)
    const clean = newFile()
    await fill(stage, clean)
    const pages = statSync(clean).size / pageBytes
    assert.equal(existsSync(`${clean}-wal`), false)
    let found = 0
    for (const page of [0, 1, 2, 3, 4, 5, 6, 10, 50, 100, Math.floor(pages / 2), pages - 2]) {
      const file = `${clean}.${page}`
      copyFileSync(clean, file)
      copyFileSync(`${clean}-lock`, `${file}-lock`)
      damage(file, page, 'random', page === 100 ? 10 : 1)
      stage.reports.all.length = 0
      const { people, connection } = await follow(stage, file)
      await people.ready
      await people.atLeast(await stage.write('PATCH', 'p00003', { age: page }))
      await live(people)
      assert.equal(await readAll(people), count + 3, `page ${page}`)
      assert.equal(people.state.get('p00003')?.['age'], page)
      await connection.close()
      const reports = damageReports(stage)
      const isFound = existsSync(`${file}.damaged`)
      assert.equal(reports.length, isFound ? 1 : 0, `page ${page}: ${reports.join('\n')}`)
      if (isFound) assert.match(reports[0]!, /was damaged\. It lies in .*\.damaged" now/)
      found += isFound ? 1 : 0
      // What is there now is whole.
      const { people: again, connection: next } = await follow(stage, file)
      assert.equal(again.state.size, count + 3)
      await live(again)
      assert.deepEqual([await readAll(again), damageReports(stage).length], [count + 3, reports.length])
      await next.close()
      for (const part of ['', '-lock', '.damaged']) rmSync(file + part, { force: true })
    }
    assert.ok(found >= 8, `${found} were found`)
  })
}

test('a row that cannot be read is damage, whoever meets it first: a look of the application, or a change', async () => {
  await using stage = await open()
  const rows: readonly [column: string, value: string | bigint | Uint8Array][] = [
    ['state', '{"id":"bob"'],
    ['state', '[1]'],
    ['state', 'null'],
    ['state', new Uint8Array([1, 2])],
    ['version', 'one'],
    ['version', 2n ** 60n],
  ]
  const looks: readonly ((people: CollectionFollower<JsonObject>) => unknown)[] = [
    people => people.state.get('bob'),
    people => [...people.state.values()],
    people => [...people.where({ name: 'bob' })],
    people => people.versionOf('bob') === 1 && people.state.get('bob'),
    () => {},
  ]
  let age = 0
  for (const [column, value] of rows) {
    for (const look of looks) {
      const file = newFile()
      await fill(stage, file)
      const database = new DatabaseSync(file)
      database.prepare(`UPDATE lockstep_row SET ${column} = ? WHERE id = 'bob'`).run(value)
      database.close()
      stage.reports.all.length = 0
      const { people, connection } = await follow(stage, file)
      await live(people)
      try {
        await look(people)
      } catch (error) {
        assert.equal(refusal(() => assert.fail(error as Error)).code, 'replica-failed')
      }
      await people.atLeast(await stage.write('PATCH', 'bob', { age: ++age }))
      await stage.reports.stage('replica')
      await live(people)
      assert.deepEqual([...people.state.keys()], ['ann', 'bob', 'eve'])
      assert.equal(people.state.get('bob')?.['name'], 'bob')
      await connection.close()
      assert.equal(damageReports(stage).length, 1, `${column} ${value}: ${damageReports(stage).join('\n')}`)
    }
  }
})

test('damage that comes while the follower is live begins the copy anew, and no call is lost', async () => {
  await using stage = await open()
  await addPeople(stage, 2_100, 9_000)
  const file = newFile()
  await fill(stage, file)
  const { people, connection } = await follow(stage, file)
  await live(people)
  const statuses: string[] = []
  people.on('status', status => statuses.push(status))
  damage(file, 50, 'random', statSync(file).size / pageBytes - 60)
  const marker = await stage.write('PATCH', 'p01000', { age: 1 })
  await Promise.all([people.atLeast(marker), stage.reports.stage('replica')])
  await people.atLeast(await stage.write('PATCH', 'p01000', { age: 2 }))
  await people.refresh()
  await live(people)
  assert.deepEqual([people.state.size, people.state.get('p01000')?.['age']], [2_103, 2])
  assert.equal(damageReports(stage).length, 1, damageReports(stage).join('\n'))
  assert.ok(statuses.includes('connecting'), statuses.join())
  await connection.close()
  const { people: again } = await follow(stage, file)
  assert.equal(again.state.get('p01000')?.['age'], 2)
  await live(again)
})

test('a file whose beginning is lost is put aside where it was ours; else it is left, and the message says what to do', async () => {
  await using stage = await open()
  const spoilt = async (spoil: (file: string) => void): Promise<string> => {
    const file = newFile()
    await fill(stage, file)
    spoil(file)
    return file
  }
  const ours = [
    await spoilt(file => {
      damage(file, 0, 'zeros')
      rmSync(`${file}-lock`)
    }),
    await spoilt(file => damage(file, 0)),
    await spoilt(file => {
      const handle = openSync(file, 'r+')
      writeSync(handle, 'no database', 0)
      closeSync(handle)
      rmSync(`${file}-lock`)
    }),
  ]
  for (const file of ours) {
    const { people } = await follow(stage, file)
    await live(people)
    assert.equal(people.state.size, 3)
    assert.ok(existsSync(`${file}.damaged`))
  }
  assert.equal(damageReports(stage).length, ours.length)
  const theirs = await spoilt(file => {
    damage(file, 0)
    rmSync(`${file}-lock`)
  })
  const connection = await stage.connect()
  for (let times = 0; times < 2; times++) {
    const error = refusal(() => connection.follow('/people', { replica: theirs }))
    assert.match(error.message, /not a SQLite database\. .*delete it where it was a replica/)
    assert.equal(error.code, 'invalid-option')
  }
  assert.equal(existsSync(`${theirs}.damaged`), false)
})

/** Calls as a user who owns nothing, where the tests run as one who may do everything. */
function withoutRights<T>(action: () => T): T {
  const isAlmighty = process.geteuid!() === 0
  if (isAlmighty) process.seteuid!(65_534)
  try {
    return action()
  } finally {
    if (isAlmighty) process.seteuid!(0)
  }
}

test('a file that cannot be written is read into memory, where everything goes on, and is left as it is', {
  skip: process.platform === 'win32' && 'rights are other ones there',
}, async () => {
  await using stage = await open()
  chmodSync(folder, 0o755)
  for (const folderMode of [0o777, 0o555]) {
    const file = newFile()
    await fill(stage, file)
    const before = readFileSync(file)
    chmodSync(file, 0o444)
    chmodSync(dirname(file), folderMode)
    stage.reports.all.length = 0
    const connection = await stage.connect()
    const people = withoutRights(
      () =>
        connection.follow('/people', {
          replica: { file, indexes: ['address/city'] },
        }) as CollectionFollower<JsonObject>,
    )
    assert.deepEqual([...people.state.keys()], ['ann', 'bob', 'eve'])
    assert.ok(people.staleForMs < 60_000)
    const statuses: string[] = []
    people.on('status', status => statuses.push(status))
    await live(people)
    await people.atLeast(await stage.write('PATCH', 'bob', { address: { city: 'Oslo' }, age: folderMode }))
    assert.equal([...people.where({ 'address/city': 'Oslo', age: folderMode })].length, 1)
    assert.equal([...people.state].length, 3)
    assert.equal(statuses.includes('stale'), false)
    await people.refresh()
    await connection.close()
    const [report, ...more] = damageReports(stage)
    assert.match(report!, /cannot be written: .*\. The follower goes on in memory/)
    assert.deepEqual(more, [])
    assert.deepEqual(readFileSync(file), before)
    chmodSync(dirname(file), 0o755)
    chmodSync(file, 0o644)
    await stage.write('PATCH', 'bob', { address: { city: 'Rome' } })
  }
})

test('a folder in which nothing can be made is refused', {
  skip: process.platform === 'win32' && 'rights are other ones there',
}, async () => {
  await using stage = await open()
  const file = newFile()
  mkdirSync(dirname(file), { mode: 0o555 })
  const connection = await stage.connect()
  const error = withoutRights(() => refusal(() => connection.follow('/people', { replica: file })))
  assert.deepEqual([error.code, /cannot be opened/.test(error.message)], ['replica-failed', true])
})

test('while the file cannot be written, what is in memory is found as well, and refresh says why it cannot be', async () => {
  await using stage = await open()
  const file = newFile()
  const { people } = await follow(stage, { file, indexes: ['address/city'] })
  await live(people)
  const blocker = new DatabaseSync(file)
  blocker.exec('BEGIN IMMEDIATE')
  const statuses: string[] = []
  people.on('status', status => statuses.push(status))
  await stage.write('PATCH', 'bob', { address: { city: 'Oslo' } })
  await stage.write('PATCH', 'ann', { address: { city: 'Rome' } })
  await stage.write('DELETE', 'eve')
  await people.atLeast(await stage.write('POST', '', { id: 'aaa', name: 'A', address: { city: 'Oslo' } }))
  await stage.reports.stage('replica')
  const inOslo = [...people.where({ 'address/city': 'Oslo' })].map(({ id }) => id)
  assert.deepEqual(
    [inOslo, [...people.state.keys()]],
    [
      ['aaa', 'bob'],
      ['aaa', 'ann', 'bob'],
    ],
  )
  const refused = await people.refresh().then(
    () => assert.fail('refreshed'),
    (error: unknown) => error as Error & { code: string },
  )
  assert.deepEqual(
    [refused.code, /cannot be written: .*locked/.test(refused.message)],
    ['replica-failed', true],
  )
  assert.deepEqual([people.status, statuses.filter(status => status === 'stale')], ['live', []])
  blocker.exec('ROLLBACK')
  blocker.close()
  await people.refresh()
  assert.equal(people.state.size, 3)
  assert.equal(damageReports(stage).length, 1)
})

test('a baseline that cannot be kept is asked for again, and the first one tells why', async () => {
  await using stage = await open()
  const file = newFile()
  const { people } = await follow(stage, file)
  const blocker = new DatabaseSync(file)
  blocker.exec('BEGIN IMMEDIATE')
  await assert.rejects(people.ready, /cannot be written: .*locked/)
  assert.equal(people.status, 'connecting')
  blocker.exec('ROLLBACK')
  blocker.close()
  await live(people)
  assert.equal(people.state.size, 3)
})
