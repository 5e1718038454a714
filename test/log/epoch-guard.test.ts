import assert from 'node:assert/strict'
import {
  copyFileSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { after, describe, test } from 'node:test'
import { type Head, isLockstepError } from '../../src/contract/index.ts'
import { findRewind, type Guard, readGuard, writeGuard } from '../../src/log/epoch-guard.ts'
import { openLogIn, openSqliteLog, type SqliteLog, type SqliteLogOptions } from '../../src/log/sqlite.ts'
import { SqliteGuard } from '../../src/log/sqlite-guard.ts'
import { openStore, type SqliteStore } from '../../src/log/sqlite-store.ts'
import { save } from '../suites/change-log.ts'
import { startLogWriter } from '../support/log-process.ts'

const folder = mkdtempSync(join(tmpdir(), 'lockstep-guard-'))
after(() => rmSync(folder, { recursive: true, force: true }))

let files = 0
const newFile = (): string => join(folder, `${files++}.db`)

describe('judging', () => {
  const guard: Guard = {
    nonces: ['before', 'after'],
    inode: 7,
    heads: [{ stream: 'people', epoch: 'k3f9', seq: 42 }],
  }
  const database = { nonce: 'after', inode: 7, heads: guard.heads }
  const judge = (change: Partial<typeof database>): string[] => findRewind(guard, { ...database, ...change })

  test('a database as it was left may go on, and so may one that went further or has not got the next word', () => {
    assert.deepEqual(judge({}), [])
    assert.deepEqual(judge({ nonce: 'before' }), [])
    assert.deepEqual(judge({ heads: [{ stream: 'people', epoch: 'k3f9', seq: 43 }] }), [])
    assert.deepEqual(judge({ heads: [...guard.heads, { stream: 'orders', epoch: 'x', seq: 0 }] }), [])
  })

  test('a stream that was given a new epoch on purpose may stand below its old head', () => {
    assert.deepEqual(judge({ heads: [{ stream: 'people', epoch: 'new', seq: 0 }] }), [])
  })

  test('a new database may go on whatever a guard file says', () => {
    assert.deepEqual(findRewind(undefined, { nonce: undefined, inode: 1, heads: [] }), [])
    assert.deepEqual(findRewind(guard, { nonce: undefined, inode: 1, heads: [] }), [])
  })

  test('a missing guard, an old word, another file, a lower head and a missing stream each renew the epochs', () => {
    assert.match(findRewind(undefined, database).join(), /missing/)
    assert.match(judge({ nonce: 'older' }).join(), /older copy/)
    assert.match(judge({ inode: 8 }).join(), /another file/)
    assert.match(judge({ heads: [{ stream: 'people', epoch: 'k3f9', seq: 41 }] }).join(), /ends at 41.*to 42/)
    assert.match(judge({ heads: [] }).join(), /people is missing/)
  })
})

describe('the guard file', () => {
  test('is read as it was written, and replaced in one step', () => {
    const file = join(folder, 'one.guard')
    const guard: Guard = { nonces: ['a', 'b'], inode: 9, heads: [{ stream: 'people', epoch: 'k', seq: 1 }] }
    assert.equal(readGuard(file), undefined)
    writeGuard(file, { nonces: [], inode: 1, heads: [] })
    writeGuard(file, guard)
    assert.deepEqual(readGuard(file), guard)
    assert.equal(existsSync(`${file}.tmp`), false)
  })

  test('counts as missing where it is damaged', () => {
    const file = join(folder, 'damaged.guard')
    for (const text of [
      '',
      '{',
      '{}',
      'null',
      '{"nonces":[1],"inode":1,"heads":[]}',
      '{"nonces":[],"inode":1}',
    ]) {
      writeFileSync(file, text)
      assert.equal(readGuard(file), undefined, text)
    }
    writeFileSync(file, '{"nonces":[],"inode":1,"heads":["no position"]}')
    assert.equal(readGuard(file), undefined)
  })
})

describe('what keeps the epoch', () => {
  test('closing and opening', async () => {
    const { log, head } = await openWithChanges(3)
    await log.close()
    await assertKept(log.file, head)
    await assertKept(log.file, head)
  })

  test('a crash, also while another log on the file goes on', async () => {
    const { log, head } = await openWithChanges(3)
    const other = await openSqliteLog({ file: log.file })
    await other.write(tx => save(tx, '/people/other', { n: 1 }))
    await other.close()
    await log.write(tx => save(tx, '/people/1', { n: 4 }))
    await assertKept(log.file, { ...head, seq: 5 })
    await log.close()
    await assertKept(log.file, { ...head, seq: 5 })
  })

  test('a crash between writing the guard file and committing its word', async () => {
    const { log, head } = await openWithChanges(3)
    await log.close()
    await crashWhile(log.file, guard => guard.renew())
    await assertKept(log.file, head)
    await crashWhile(log.file, guard => guard.open(() => assert.fail('nothing to renew')))
    await assertKept(log.file, head)
  })

  test('a crash at the very first opening', async () => {
    const file = newFile()
    await crashWhile(file, guard => guard.open(() => assert.fail('nothing to renew')))
    await using log = await openSqliteLog({ file })
    assert.deepEqual(log.renewed, [])
  })
})

describe('what renews the epoch', () => {
  for (const [how, restore] of [
    ['copied over it', copyFileSync],
    ['moved over it', renameSync],
  ] as const) {
    test(`a backup ${how} that was made before the last opening`, async () => {
      const { log, head } = await openWithChanges(3)
      await log.close()
      const backup = `${log.file}.backup`
      copyFileSync(log.file, backup)
      const later = await openSqliteLog({ file: log.file })
      await later.write(tx => save(tx, '/people/1', { n: 4 }))
      await later.close()
      restore(backup, log.file)
      await assertRenewed(log.file, head, 3)
    })

    test(`a backup ${how} that was made during the run`, async () => {
      const { log, head } = await openWithChanges(3)
      const backup = `${log.file}.backup`
      vacuumInto(log.file, backup)
      await log.write(tx => save(tx, '/people/1', { n: 4 }))
      await log.close()
      restore(backup, log.file)
      await assertRenewed(log.file, head, 3)
    })
  }

  test('a backup with a long log, which is then empty', async () => {
    const { log } = await openWithChanges(1)
    const write = (n: number) => log.write(tx => save(tx, `/people/${n}`, { n }))
    await Promise.all(Array.from({ length: 2_500 }, (_, n) => write(n)))
    const head = await log.head('people')
    await log.close()
    rmSync(`${log.file}.guard`)
    await assertRenewed(log.file, head, 2)
    await using again = await openSqliteLog({ file: log.file })
    const { latest } = await again.readLatest('people', { after: 0, limit: 10_000 })
    assert.ok(latest.length <= 1, `${latest.length} resources have numbers`)
  })

  test('a backup of a run that was killed, also where it has caught up with the numbers', async () => {
    const file = newFile()
    const writer = startLogWriter(file, 8)
    await writer.heard(100)
    const backup = `${file}.backup`
    vacuumInto(file, backup)
    // The word changes at least once more while the writer goes on.
    const { nonces } = readGuard(`${file}.guard`)!
    while (readGuard(`${file}.guard`)!.nonces.some(nonce => nonces.includes(nonce))) {
      await writer.heard(writer.acknowledged.length + 1)
    }
    await writer.kill()
    const { epoch } = writer.acknowledged[0]!
    for (const end of ['', '-wal', '-shm']) rmSync(`${file}${end}`, { force: true })
    copyFileSync(backup, file)
    // The numbers come as far as before the guard looks: only its word and the file's number show it.
    const database = new DatabaseSync(file)
    database.exec('UPDATE lockstep_stream SET head = head + 1000000')
    database.close()
    await using log = await openSqliteLog({ file, onError: () => {} })
    assert.ok(log.renewed.length > 0)
    assert.notEqual((await log.head('people')).epoch, epoch)
  })

  test('a guard file that was deleted or damaged', async () => {
    for (const spoil of [(file: string) => rmSync(file), (file: string) => writeFileSync(file, '{')]) {
      const { log, head } = await openWithChanges(3)
      await log.close()
      spoil(`${log.file}.guard`)
      await assertRenewed(log.file, head, 3)
    }
  })

  test('a database that lost its last commits', async () => {
    const { log, head } = await openWithChanges(3)
    await log.close()
    const database = new DatabaseSync(log.file)
    database.exec(`DELETE FROM lockstep_change WHERE seq = 3; UPDATE lockstep_stream SET head = 2;
      UPDATE lockstep_resource SET version = 2, seq = 2`)
    database.close()
    await assertRenewed(log.file, head, 2)
  })

  test('a backup, even where the opening that noticed it crashed', async () => {
    const { log, head } = await openWithChanges(3)
    await log.close()
    rmSync(`${log.file}.guard`)
    let renewals = 0
    for (let crash = 0; crash < 2; crash++) {
      await crashWhile(log.file, guard => guard.open(() => renewals++))
    }
    assert.equal(renewals, 2)
    await assertRenewed(log.file, head, 3)
  })
})

describe('while the log is open', () => {
  test('writes are refused once another file has taken the place of the database', async () => {
    const { log } = await openWithChanges(3)
    await log.close()
    const backup = `${log.file}.backup`
    copyFileSync(log.file, backup)
    const errors: unknown[] = []
    const open = await openSqliteLog({ file: log.file, onError: error => void errors.push(error) })
    await open.write(tx => save(tx, '/people/1', { n: 4 }))
    renameSync(backup, log.file)
    for (let n = 0; n < 3; n++) {
      const writing = open.write(tx => save(tx, '/people/1', { n }))
      await assert.rejects(writing, error => isLockstepError(error, 'log-replaced'))
    }
    await assert.rejects(open.prune(), error => isLockstepError(error, 'log-replaced'))
    assert.equal(errors.length, 1)
    const bytes = readFileSync(log.file)
    await open.close()
    assert.deepEqual(readFileSync(log.file), bytes)
    assert.equal(statSync(log.file).size, bytes.length)
  })

  test('writes are refused once the database file is gone', async () => {
    const errors: string[] = []
    const { log } = await openWithChanges(
      1,
      (error, { stage }) => void errors.push(`${stage} ${(error as Error).message}`),
    )
    rmSync(log.file)
    const writing = log.write(tx => save(tx, '/people/1', { n: 2 }))
    await assert.rejects(writing, error => isLockstepError(error, 'log-replaced'))
    await log.close()
    assert.equal(existsSync(log.file), false)
    assert.equal(errors.length, 1)
    assert.match(errors[0]!, /^commit The database file was replaced/)
  })

  test('writes are refused once the database was set back in its own file', async () => {
    const store = await openStore(newFile())
    const log = await openLogIn(store, { file: store.file, onError: () => {} })
    await log.ensureStreams(['people'])
    store.database.exec("UPDATE lockstep_meta SET value = 'an older word' WHERE key = 'nonce'")
    const guard = new SqliteGuard(store, () => 'next')
    await assert.rejects(
      store.transact(() => guard.renew()),
      error => isLockstepError(error, 'log-replaced'),
    )
    const writing = log.write(tx => save(tx, '/people/1', { n: 1 }))
    await assert.rejects(writing, error => isLockstepError(error, 'log-replaced'))
    await log.close()
  })

  test('a guard file that was deleted is written again', async () => {
    const { log, head } = await openWithChanges(1)
    rmSync(`${log.file}.guard`)
    await log.close()
    await assertKept(log.file, head)
  })

  test('the guard notes the heads while they move', async () => {
    const file = newFile()
    const writer = startLogWriter(file, 4)
    await writer.heard(1)
    const noted = (): number => readGuard(`${file}.guard`)?.heads[0]?.seq ?? 0
    while (noted() === 0) await writer.heard(writer.acknowledged.length + 1)
    await writer.kill()
    await using log = await openSqliteLog({ file })
    assert.deepEqual(log.renewed, [])
    assert.ok(noted() <= (await log.head('people')).seq)
  })
})

async function openWithChanges(
  count: number,
  onError?: SqliteLogOptions['onError'],
): Promise<{ log: SqliteLog; head: Head }> {
  const log = await openSqliteLog({ file: newFile(), onError })
  await log.ensureStreams(['people'])
  for (let n = 0; n < count; n++) await log.write(tx => save(tx, '/people/1', { n }))
  return { log, head: await log.head('people') }
}

async function assertKept(file: string, head: Head): Promise<void> {
  await using log = await openSqliteLog({ file, onError: error => assert.fail(error as Error) })
  assert.deepEqual(log.renewed, [])
  assert.deepEqual(await log.head('people'), head)
}

/** The epoch is new, is kept from then on, and resource and version are those of the backup. */
async function assertRenewed(file: string, before: Head, version: number): Promise<void> {
  const notices: string[] = []
  const log = await openSqliteLog({
    file,
    onError: (error, { stage }) => void notices.push(`${stage}: ${(error as Error).message}`),
  })
  assert.ok(log.renewed.length > 0)
  assert.equal(notices.length, 1)
  assert.match(notices[0]!, /^epoch-guard: All streams of .* begin a new epoch: /)
  const { head, resource } = await log.readResource('/people/1')
  assert.notEqual(head.epoch, before.epoch)
  assert.deepEqual([head.seq, head.first, resource.version], [0, 1, version])
  await log.close()
  await assertKept(file, head)
}

/** Runs a step of the guard in a transaction that never comes to its commit. */
async function crashWhile(file: string, step: (guard: SqliteGuard) => unknown): Promise<void> {
  const store: SqliteStore = await openStore(file)
  await store.begin()
  step(new SqliteGuard(store, () => `word${Math.random()}`))
  store.rollback()
  store.close()
}

function vacuumInto(file: string, backup: string): void {
  const database = new DatabaseSync(file)
  database.prepare('VACUUM INTO ?').run(backup)
  database.close()
}
