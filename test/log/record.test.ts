import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { after, test } from 'node:test'
import { isLockstepError, type Json } from '../../src/contract/index.ts'
import { record } from '../../src/log/record.ts'
import type { Recorded } from '../../src/log/recorded-change.ts'
import { readRecordedHeaders } from '../../src/log/recorded-headers.ts'
import { openSqliteLog, type SqliteLog } from '../../src/log/sqlite.ts'

const folder = mkdtempSync(join(tmpdir(), 'lockstep-record-'))
after(() => rmSync(folder, { recursive: true, force: true }))

let files = 0

interface Shop extends AsyncDisposable {
  readonly log: SqliteLog
  readonly database: DatabaseSync
  /** Runs `work` in a transaction of the application. */
  inTransaction(work: () => void): void
  /** The messages so far, without time and id. */
  messages(): Promise<Json[]>
}

/** An application with a table of its own, in the file of the log. */
async function openShop(): Promise<Shop> {
  const file = join(folder, `${files++}.db`)
  const log = await openSqliteLog({ file })
  await log.ensureStreams(['orders'])
  const database = new DatabaseSync(file)
  database.exec('CREATE TABLE customer_order (id TEXT PRIMARY KEY, total INTEGER)')
  return {
    log,
    database,
    inTransaction(work) {
      database.exec('BEGIN IMMEDIATE')
      try {
        work()
        database.exec('COMMIT')
      } catch (error) {
        database.exec('ROLLBACK')
        throw error
      }
    },
    async messages() {
      const { changes } = await log.readChanges('orders', { after: 0, limit: 1_000 })
      return changes.map(({ messageText }) => {
        const { time: _time, id: _id, ...rest } = JSON.parse(messageText)
        return rest
      })
    },
    async [Symbol.asyncDispose]() {
      database.close()
      await log.close()
    },
  }
}

function refusal(work: () => unknown): string {
  try {
    work()
  } catch (error) {
    if (isLockstepError(error)) return error.code
    throw error
  }
  return 'none'
}

test('what is recorded has the message that a REST write would have, and versions one apart', async () => {
  await using shop = await openShop()
  const { database } = shop
  const write = (state: object | null, more = {}): void =>
    shop.inTransaction(() => void record(database, { path: '/orders/1', state, ...more }))
  write({ id: '1', total: 5, note: 'by hand, and long enough for a patch to be shorter' }, { cause: 'r-1' })
  write({ id: '1', total: 6, note: 'by hand, and long enough for a patch to be shorter' })
  write(null)
  write({ id: '1', total: 7 }, { createdBy: 'PUT' })
  assert.deepEqual(await shop.messages(), [
    {
      event: 'created',
      state: { id: '1', total: 5, note: 'by hand, and long enough for a patch to be shorter' },
      resource: '/orders/1',
      version: 1,
      cause: 'r-1',
    },
    { event: 'modified', changes: { total: 6 }, resource: '/orders/1', version: 2 },
    { event: 'deleted', resource: '/orders/1', version: 3 },
    { event: 'created', state: { id: '1', total: 7 }, resource: '/orders/1', version: 4 },
  ])
  const { changes } = await shop.log.readChanges('orders', { after: 0, limit: 10 })
  assert.deepEqual(
    changes.map(({ seq, topicPath }) => [seq, topicPath]),
    [
      [1, '/orders'],
      [2, '/orders/1'],
      [3, '/orders/1'],
      [4, '/orders/1'],
    ],
  )
})

test('rows and change are there together or not at all, also behind a savepoint', async () => {
  await using shop = await openShop()
  const { database } = shop
  const insert = database.prepare('INSERT INTO customer_order (id, total) VALUES (?, ?)')
  assert.throws(
    () =>
      shop.inTransaction(() => {
        record(database, { path: '/orders/1', state: { total: 1 } })
        insert.run('1', 1)
        insert.run('1', 1)
      }),
    /UNIQUE/,
  )
  assert.deepEqual(await shop.messages(), [])
  shop.inTransaction(() => {
    insert.run('2', 2)
    record(database, { path: '/orders/2', state: { total: 2 } })
    database.exec('SAVEPOINT here')
    record(database, { path: '/orders/3', state: { total: 3 } })
    database.exec('ROLLBACK TO here')
    record(database, { path: '/orders/4', state: { total: 4 } })
  })
  const { changes } = await shop.log.readChanges('orders', { after: 0, limit: 10 })
  assert.deepEqual(
    changes.map(({ seq, path }) => [seq, path]),
    [
      [1, '/orders/2'],
      [2, '/orders/4'],
    ],
  )
})

test('whoever listens to the log hears of it after the commit, and not before', async () => {
  await using shop = await openShop()
  const { promise, resolve } = Promise.withResolvers<number>()
  shop.log.onCommit(heads => resolve(heads[0]!.seq))
  shop.database.exec('BEGIN IMMEDIATE')
  record(shop.database, { path: '/orders/1', state: { total: 1 } })
  assert.equal((await shop.log.head('orders')).seq, 0)
  shop.database.exec('COMMIT')
  assert.equal(await promise, 1)
})

test('the writes of the log itself and what is recorded follow each other', async () => {
  await using shop = await openShop()
  const path = '/orders/1'
  await shop.log.write(tx =>
    tx.write({ event: 'created', path, topicPath: path, version: 1, stateText: '{"total":1}', timeMs: 0 }),
  )
  shop.inTransaction(() => void record(shop.database, { path, state: { total: 2 } }))
  const { value } = await shop.log.write(tx => tx.read(path))
  assert.deepEqual([value.version, value.stateText], [2, '{"id":"1","total":2}'])
})

test('several changes in one call have the same tx, each seen by the next; one that changes nothing is none', async () => {
  await using shop = await openShop()
  shop.inTransaction(() => {
    const recorded = record(shop.database, [
      { path: '/orders/1', state: { total: 1 } },
      { path: '/orders/1', state: { total: 1 } },
      { path: '/orders/%31', state: null },
      { path: '/orders/2', state: null },
    ])
    assert.deepEqual(recorded, [
      { path: '/orders/1', event: 'created', version: 1, deleted: false },
      { path: '/orders/1', event: undefined, version: 1, deleted: false },
      { path: '/orders/1', event: 'deleted', version: 2, deleted: true },
      { path: '/orders/2', event: undefined, version: 0, deleted: true },
    ])
  })
  const messages = (await shop.messages()) as { tx: { id: string; n: number } }[]
  assert.equal(messages.length, 2)
  assert.equal(messages[0]!.tx.n, 2)
  assert.deepEqual(messages[0]!.tx, messages[1]!.tx)
})

test('what cannot be recorded is refused before anything is written', async () => {
  await using shop = await openShop()
  const { database } = shop
  const good = { path: '/orders/1', state: { total: 1 } }
  assert.equal(
    refusal(() => record(database, good)),
    'invalid-option',
  )
  shop.inTransaction(() => {
    const codeOf = (change: object): string => refusal(() => record(database, [good, change as typeof good]))
    assert.deepEqual(
      [
        codeOf({ path: '/orders', state: {} }),
        codeOf({ path: '/people/1', state: {} }),
        codeOf({ path: '/orders/1', state: [] }),
        codeOf({ path: '/orders/1', state: { id: 1 } }),
        codeOf({ path: '/orders/1', state: { total: Number.NaN } }),
        codeOf({ path: '/orders/1', state: {}, cause: 'two words' }),
      ],
      ['invalid-path', 'not-found', 'invalid-state', 'invalid-id', 'unsafe-number', 'invalid-option'],
    )
  })
  assert.deepEqual(await shop.messages(), [])
  using other = new DatabaseSync(':memory:')
  other.exec('BEGIN')
  assert.equal(
    refusal(() => record(other, good)),
    'invalid-option',
  )
  assert.equal(
    refusal(() => record({} as DatabaseSync, good)),
    'invalid-option',
  )
  const many = Array.from({ length: 10_001 }, () => good)
  assert.equal(
    refusal(() => record(database, many)),
    'too-many-changes',
  )
})

test('the headers of an answer name the version that was recorded, and its place', async () => {
  await using shop = await openShop()
  const headers = async (...changes: { path: string; state: object | null }[]): Promise<object> => {
    shop.database.exec('BEGIN IMMEDIATE')
    const recorded = record(shop.database, changes)
    shop.database.exec('COMMIT')
    return await readRecordedHeaders(shop.log, recorded)
  }
  const { epoch } = await shop.log.head('orders')
  const marker = (seq: number): string => `orders:${epoch}:${seq}`
  assert.deepEqual(await headers({ path: '/orders/1', state: {} }), {
    'lockstep-marker': marker(1),
    etag: `"${epoch}.1"`,
  })
  assert.deepEqual(await headers({ path: '/orders/1', state: {} }), {
    'lockstep-marker': marker(1),
    etag: `"${epoch}.1"`,
  })
  assert.deepEqual(await headers({ path: '/orders/1', state: null }), { 'lockstep-marker': marker(2) })
  const two = [
    { path: '/orders/2', state: {} },
    { path: '/orders/3', state: {} },
  ]
  assert.deepEqual(await headers(...two), { 'lockstep-marker': marker(4) })
  assert.deepEqual(await headers(), {})
})

test('the marker of an answer is not ahead of what was recorded, whatever has become of it since', async () => {
  await using shop = await openShop()
  const write = (...changes: { path: string; state: object | null }[]): Recorded[] => {
    shop.database.exec('BEGIN IMMEDIATE')
    const recorded = record(shop.database, changes)
    shop.database.exec('COMMIT')
    return recorded
  }
  write({ path: '/orders/2', state: {} })
  const changed = write({ path: '/orders/1', state: { n: 0 } }, { path: '/orders/2', state: { n: 0 } })
  const unchanged = write({ path: '/orders/2', state: { n: 0 } })
  for (let n = 1; n <= 200; n++) write({ path: `/orders/${n % 3}`, state: { n } })
  const { epoch } = await shop.log.head('orders')
  const place = { 'lockstep-marker': `orders:${epoch}:3` }
  assert.deepEqual(await readRecordedHeaders(shop.log, changed), place)
  assert.deepEqual(await readRecordedHeaders(shop.log, unchanged), { ...place, etag: `"${epoch}.2"` })
  await shop.log.prune({ minRows: 0, maxRows: 10, maxAgeMs: 1e14 })
  assert.deepEqual(await readRecordedHeaders(shop.log, changed), { 'lockstep-marker': `orders:${epoch}:203` })
})
