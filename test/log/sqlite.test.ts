import assert from 'node:assert/strict'
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { after, test } from 'node:test'
import { isLockstepError, type LockstepError } from '../../src/contract/index.ts'
import type { LogTransaction } from '../../src/log/change-log.ts'
import { openLogIn, openSqliteLog, type SqliteLog, type SqliteLogOptions } from '../../src/log/sqlite.ts'
import { openStore } from '../../src/log/sqlite-store.ts'
import { save, testChangeLog } from '../suites/change-log.ts'

const folder = mkdtempSync(join(tmpdir(), 'lockstep-log-'))
after(() => rmSync(folder, { recursive: true, force: true }))

let files = 0
const newFile = (): string => join(folder, `${files++}`, 'log.db')

testChangeLog('SQLite log', options => openSqliteLog({ file: newFile(), ...options }))

async function openPeople(options: Partial<SqliteLogOptions> = {}): Promise<SqliteLog> {
  const log = await openSqliteLog({ file: newFile(), ...options })
  await log.ensureStreams(['people'])
  return log
}

test('everything is there again after closing and opening, also how far the relay came', async () => {
  const before = await openPeople()
  await before.write(tx => save(tx, '/people/1', { n: 1 }))
  await before.write(tx => save(tx, '/people/2', { n: 1 }))
  const head = await before.head('people')
  await before.setRelayed('people', head.epoch, 2)
  const changes = await before.readChanges('people', { after: 0, limit: 10 })
  await before.close()
  assert.equal(existsSync(`${before.file}-wal`), false)

  await using log = await openSqliteLog({ file: before.file })
  assert.deepEqual(log.renewed, [])
  assert.deepEqual(await log.ensureStreams(['people']), [head])
  assert.deepEqual(await log.readChanges('people', { after: 0, limit: 10 }), changes)
  assert.equal(await log.relayed('people'), 2)
})

test('writes that wait together share one commit', async () => {
  await using log = await openPeople()
  const write = (n: number) => log.write(tx => save(tx, `/people/${n % 8}`, { n }))
  await Promise.all(Array.from({ length: 64 }, (_, n) => write(n)))
  // On a machine that is busy otherwise a batch may be cut short, so a little more than one commit is allowed.
  assert.ok(log.counts.commits <= 3, `${log.counts.commits} commits`)
  for (let n = 0; n < 3; n++) {
    const { commits } = log.counts
    await write(n)
    assert.equal(log.counts.commits, commits + 1)
  }
  const { commits } = log.counts
  await Promise.all(Array.from({ length: 1_000 }, (_, n) => write(n)))
  // More than one batch may hold.
  const more = log.counts.commits - commits
  assert.ok(more >= 2 && more <= 6, `${more} commits`)
  assert.deepEqual([log.counts.works, log.counts.changes], [1_067, 1_067])
})

test('the commits are synchronized to the disk', async () => {
  const store = await openStore(newFile())
  assert.equal(store.database.prepare('PRAGMA synchronous').get()?.['synchronous'], 2)
  assert.equal(store.database.prepare('PRAGMA journal_mode').get()?.['journal_mode'], 'wal')
  store.close()
})

test('while a long log begins a new epoch, reads and writes go on, and each read is of one epoch', async () => {
  await using log = await openPeople()
  const write = (n: number) => log.write(tx => save(tx, `/people/${n % 2_500}`, { n }))
  await Promise.all(Array.from({ length: 5_000 }, (_, n) => write(n)))
  const before = await log.head('people')
  let isDone = false
  const renewing = log.renewEpoch('people').finally(() => {
    isDone = true
  })
  let [reads, writes] = [0, 0]
  while (!isDone) {
    const { first } = await log.head('people')
    const { head, to, changes } = await log.readChanges('people', { after: first - 1, limit: 10_000 })
    assert.equal(changes.length, to - first + 1)
    if (head.epoch === before.epoch) {
      const { latest } = await log.readLatest('people', { after: first - 1, limit: 10_000 })
      assert.equal(latest.length, new Set(changes.map(({ path }) => path)).size)
      if (first > 1) reads++
    }
    await write(writes)
    writes++
  }
  const head = await renewing
  assert.ok(reads >= 3 && writes >= 3, `${reads} reads and ${writes} writes`)
  assert.notEqual(head.epoch, before.epoch)
  const { items } = await log.readCollection('/people', { limit: 10_000 })
  assert.equal(items.length, 2_500)
})

test('a work whose reads fail in the store rejects with log-failed, and the log goes on', async () => {
  const store = await openStore(newFile())
  await using log = await openLogIn(store, { file: store.file, onError: () => {} })
  await log.ensureStreams(['people'])
  const other = new DatabaseSync(store.file)
  const rename = (from: string, to: string): void => other.exec(`ALTER TABLE ${from} RENAME TO ${to}`)
  rename('lockstep_resource', 'lockstep_lost')
  rename('lockstep_receipt', 'lockstep_lost_receipt')
  for (const read of [
    (tx: LogTransaction) => tx.read('/people/1'),
    (tx: LogTransaction) => tx.readPathsUnder('/people/1', 10),
    (tx: LogTransaction) => tx.readReceipt('key'),
  ]) {
    await assert.rejects(
      log.write<unknown>(tx => read(tx)),
      error => isLockstepError(error, 'log-failed'),
    )
  }
  rename('lockstep_lost', 'lockstep_resource')
  rename('lockstep_lost_receipt', 'lockstep_receipt')
  other.close()
  assert.equal((await log.write(tx => save(tx, '/people/1', { n: 1 }))).marker[0]?.seq, 1)
})

test('an onError that throws when a commit fails does not stop the log', async () => {
  const store = await openStore(newFile())
  const onError = (): never => {
    throw new Error('the reporter fails')
  }
  await using log = await openLogIn(store, { file: store.file, onError })
  await log.ensureStreams(['people'])
  const pages = store.database.prepare('PRAGMA page_count').get()?.['page_count'] as number
  store.database.exec(`PRAGMA max_page_count = ${pages + 1}`)
  const writing = log.write(tx => save(tx, '/people/1', { large: 'x'.repeat(100_000) }))
  await assert.rejects(writing, error => isLockstepError(error, 'log-failed'))
  store.database.exec('PRAGMA max_page_count = 1000000')
  assert.equal((await log.write(tx => save(tx, '/people/1', { n: 1 }))).marker[0]?.seq, 1)
})

test('when the disk is full all works of the batch fail, and the log goes on when there is room', async () => {
  const store = await openStore(newFile())
  const errors: unknown[] = []
  await using log = await openLogIn(store, {
    file: store.file,
    onError: (error, { stage }) => {
      assert.equal(stage, 'commit')
      errors.push(error)
    },
  })
  await log.ensureStreams(['people'])
  await log.write(tx => save(tx, '/people/1', { n: 1 }))
  const pages = store.database.prepare('PRAGMA page_count').get()?.['page_count'] as number
  store.database.exec(`PRAGMA max_page_count = ${pages + 1}`)
  const large = 'x'.repeat(100_000)
  const results = await Promise.allSettled([
    log.write(tx => save(tx, '/people/1', { n: 2 })),
    log.write(tx => save(tx, '/people/2', { large })),
    log.write(() => Promise.reject(new Error('a work fails'))),
    log.write(tx => save(tx, '/people/3', { n: 1 })),
  ])
  for (const result of results) {
    const { reason } = result as PromiseRejectedResult
    assert.ok(isLockstepError(reason, 'log-failed'))
    assert.match(String(reason.cause), /full/)
    // What clients are shown says nothing of the inside.
    assert.doesNotMatch(reason.message, /full|sqlite/i)
  }
  assert.equal(errors.length, 1)
  assert.deepEqual((await log.readResource('/people/1')).resource, {
    version: 1,
    stateText: '{"n":1}',
    deleted: false,
  })
  assert.equal((await log.head('people')).seq, 1)
  store.database.exec('PRAGMA max_page_count = 1000000')
  const { marker } = await log.write(tx => save(tx, '/people/2', { large }))
  assert.equal(marker[0]?.seq, 2)
})

test('two logs on one file in one process wait for each other without blocking', async () => {
  await using one = await openPeople()
  await using other = await openSqliteLog({ file: one.file })
  const gate = Promise.withResolvers<void>()
  const begun = Promise.withResolvers<void>()
  const holding = one.write(async tx => {
    await save(tx, '/people/1', { n: 1 })
    begun.resolve()
    await gate.promise
  })
  await begun.promise
  const waiting = other.write(tx => save(tx, '/people/1', { n: 2 }))
  // The other's lock must not keep its readers waiting.
  assert.equal((await other.readResource('/people/1')).resource.version, 0)
  gate.resolve()
  await holding
  await waiting
  assert.equal((await one.readResource('/people/1')).resource.version, 2)
})

test('what another connection commits is heard of, once, as what is committed here is', async () => {
  await using own = await openPeople()
  await using other = await openSqliteLog({ file: own.file })
  const heard: string[] = []
  const { promise, resolve } = Promise.withResolvers<void>()
  own.onCommit(heads => {
    for (const { seq } of heads) heard.push(`people ${seq}`)
    if (heard.length === 3) resolve()
  })
  await own.write(tx => save(tx, '/people/1', { n: 1 }))
  await other.write(tx => save(tx, '/people/2', { n: 1 }))
  while (heard.length < 2) await new Promise(setImmediate)
  await own.write(tx => save(tx, '/people/3', { n: 1 }))
  await promise
  assert.deepEqual(heard, ['people 1', 'people 2', 'people 3'])
})

test('streams that are only made known move no head: a commit elsewhere tells of its own stream alone', async () => {
  await using own = await openPeople()
  await using other = await openSqliteLog({ file: own.file })
  const heard: string[] = []
  const { promise, resolve } = Promise.withResolvers<void>()
  own.onCommit(heads => {
    for (const { stream, seq } of heads) heard.push(`${stream} ${seq}`)
    if (heard.length > 0) resolve()
  })
  await other.ensureStreams(['projects'])
  await promise
  assert.deepEqual(heard, ['projects 0'])
})

test('a long pruning goes in steps, and writes go on between them', async () => {
  await using log = await openPeople()
  const works = Array.from({ length: 50 }, (_, work) =>
    log.write(async tx => {
      for (let n = 0; n < 100; n++) await save(tx, `/people/${work}-${n}`, { n })
      for (let n = 0; n < 100; n += 2) await save(tx, `/people/${work}-${n}`, undefined)
    }),
  )
  await Promise.all(works)
  let pruning = true
  const pruned = log.prune({ maxRows: 10, minRows: 0 }).finally(() => {
    pruning = false
  })
  let during = 0
  while (pruning) {
    await log.write(tx => save(tx, '/people/new', { during }))
    during++
  }
  assert.ok(during > 3, `${during} writes during the pruning`)
  const deleted = await pruned
  const { seq, first } = await log.head('people')
  assert.equal(deleted, first - 1)
  assert.equal(seq, 7_500 + during)
  const { changes } = await log.readChanges('people', { after: first - 1, limit: 100_000 })
  assert.equal(changes.length, seq - first + 1)
  // The 2,500 tombstones went in steps too.
  for (const path of ['/people/0-0', '/people/25-0', '/people/48-98']) {
    assert.equal((await log.readResource(path)).resource.deleted, false, path)
  }
})

test('a database of a newer release is refused', async () => {
  const log = await openPeople()
  await log.close()
  const database = new DatabaseSync(log.file)
  database.exec("UPDATE lockstep_meta SET value = '2' WHERE key = 'schema_version'")
  database.close()
  await rejects(
    openSqliteLog({ file: log.file }),
    'invalid-option',
    /schema version "2", and this release knows 1/,
  )
})

test('a file that is no database, a folder and a file of nothing are refused with the reason', async () => {
  const text = join(folder, 'text.db')
  writeFileSync(text, 'This is a text of more than a hundred bytes. '.repeat(40))
  await rejects(openSqliteLog({ file: text }), 'invalid-option', /is not a SQLite database/)
  const directory = join(folder, 'directory')
  mkdirSync(directory)
  await rejects(openSqliteLog({ file: directory }), 'log-failed', /cannot be opened/)
  await rejects(openSqliteLog({ file: join(text, 'log.db') }), 'log-failed', /cannot be opened/)
  // Node never comes back from making a folder there with `recursive`.
  if (process.platform === 'linux')
    await rejects(
      openSqliteLog({ file: '/proc/lockstep/data/log.db' }),
      'log-failed',
      /cannot be opened: ENOENT/,
    )
  await rejects(openSqliteLog({ file: ':memory:' }), 'invalid-option', /createMemoryLog/)
  await rejects(openSqliteLog({ file: '' }), 'invalid-option', /Give a path/)
  const openAny = openSqliteLog as (options?: unknown) => Promise<unknown>
  await rejects(openAny({}), 'invalid-option', /file of openSqliteLog is undefined\. Give a path/)
  await rejects(openAny(), 'invalid-option', /undefined where its options go/)
  await rejects(openAny({ file: ':memory:', path: 'x' }), 'invalid-option', /no option "path"/)
})

test('the tables may stand in a database that holds others', async () => {
  const file = join(folder, 'app.db')
  const app = new DatabaseSync(file)
  app.exec('CREATE TABLE stream (x); INSERT INTO stream VALUES (1)')
  await using log = await openSqliteLog({ file })
  await log.ensureStreams(['people'])
  await log.write(tx => save(tx, '/people/1', { n: 1 }))
  assert.equal(app.prepare('SELECT x FROM stream').get()?.['x'], 1)
  const names = app.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'").all()
  for (const { name } of names) assert.match(String(name), /^(stream|lockstep_[a-z]+)$/)
  app.close()
})

test('no statement goes through all resources or all changes, and none has to sort them', async t => {
  const prepare = t.mock.method(DatabaseSync.prototype, 'prepare')
  await using log = await openPeople()
  const statements = prepare.mock.calls.map(({ arguments: [sql] }) => sql)
  const reading = statements.filter(
    sql => /lockstep_(resource|change)/.test(sql) && !sql.startsWith('INSERT'),
  )
  assert.ok(reading.length >= 10)
  const database = new DatabaseSync(log.file)
  for (const sql of reading) {
    const steps = database.prepare(`EXPLAIN QUERY PLAN ${sql}`).all()
    const plan = steps.map(({ detail }) => String(detail)).join('; ')
    assert.doesNotMatch(plan, /SCAN|TEMP B-TREE/, sql)
  }
  database.close()
})

async function rejects(
  promise: Promise<unknown>,
  code: LockstepError['code'],
  message: RegExp,
): Promise<void> {
  await assert.rejects(promise, error => {
    assert.ok(isLockstepError(error, code), String(error))
    assert.match(error.message, message)
    return true
  })
}
