/** Changes of an application's own tables, recorded in its own transactions on a real server, by each library. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { sql as drizzleSql } from 'drizzle-orm'
import { drizzle as drizzleOverPg } from 'drizzle-orm/node-postgres'
import { drizzle as drizzleOverPostgres } from 'drizzle-orm/postgres-js'
import { CamelCasePlugin, Kysely, sql as kyselySql, PostgresDialect } from 'kysely'
import { Client, Pool, type PoolClient } from 'pg'
import openPostgresJs, { type Sql } from 'postgres'
import { connect } from '../../src/client/index.ts'
import type { Json, LockstepError } from '../../src/contract/index.ts'
import {
  openPostgresLog,
  type PostgresLog,
  type PostgresTransaction,
  type Recorded,
  type RecordedChange,
  readRecordedHeaders,
  record,
} from '../../src/log/index.ts'
import { defineResource, openHttpServer, openService } from '../../src/service/index.ts'
import { checkSequence, save } from '../suites/change-log.ts'
import { type Postgres, skipWithoutPostgres, startPostgres } from '../support/postgres.ts'

/** What an application does in a transaction of whichever library. */
interface Work {
  readonly tx: PostgresTransaction
  /** Runs a statement without values. */
  run(text: string): Promise<unknown>
}

type Transact = (work: (work: Work) => Promise<void>) => Promise<void>

describe('record in PostgreSQL', { skip: skipWithoutPostgres }, () => {
  let postgres: Postgres
  let log: PostgresLog
  let pool: Pool
  let js: Sql
  let streams = 0
  const libraries: Record<string, Transact> = {
    pg: async work => {
      const tx = await pool.connect()
      try {
        await tx.query('BEGIN')
        await work({ tx, run: text => tx.query(text) })
        await tx.query('COMMIT')
      } catch (error) {
        await tx.query('ROLLBACK')
        throw error
      } finally {
        tx.release()
      }
    },
    postgres: async work => {
      await js.begin(tx => work({ tx, run: text => tx.unsafe(text) }))
    },
    'Drizzle over pg': work =>
      drizzleOverPg(pool).transaction(tx => work({ tx, run: text => tx.execute(drizzleSql.raw(text)) })),
    'Drizzle over postgres': work =>
      drizzleOverPostgres(js).transaction(tx => work({ tx, run: text => tx.execute(drizzleSql.raw(text)) })),
    Kysely: work =>
      new Kysely<object>({ dialect: new PostgresDialect({ pool }), plugins: [new CamelCasePlugin()] })
        .transaction()
        .execute(tx => work({ tx, run: text => kyselySql.raw(text).execute(tx) })),
  }

  before(async () => {
    postgres = await startPostgres()
    await postgres.sql('CREATE TABLE customer_order (id text PRIMARY KEY, total int NOT NULL)')
    log = await openPostgresLog({ url: postgres.url(), pollMs: 5 })
    pool = new Pool({ connectionString: postgres.url(), max: 20 })
    // Its end does not wait for its connections, which the server then ends.
    pool.on('error', () => {})
    js = openPostgresJs(postgres.url(), { max: 4, onnotice: () => {} })
  })
  after(async () => {
    await js.end()
    await pool.end()
    await log.close()
    await postgres.stop()
  })

  const newStream = async (): Promise<string> => {
    const stream = `s${streams++}`
    await log.ensureStreams([stream])
    return stream
  }
  const messages = async (stream: string): Promise<Json[]> => {
    await log.settle()
    const { changes } = await log.readChanges(stream, { after: 0, limit: 100_000 })
    checkSequence(changes)
    return changes.map(({ messageText }) => {
      const { time: _time, id: _id, ...rest } = JSON.parse(messageText)
      return rest
    })
  }
  const inPg = async <T>(work: (tx: PoolClient) => Promise<T>, begin = 'BEGIN'): Promise<T> => {
    const tx = await pool.connect()
    try {
      await tx.query(begin)
      const value = await work(tx)
      await tx.query('COMMIT')
      return value
    } catch (error) {
      await tx.query('ROLLBACK')
      throw error
    } finally {
      tx.release()
    }
  }

  for (const [library, transact] of Object.entries(libraries)) {
    test(`${library}: rows and changes are committed together, or neither is`, async () => {
      const stream = await newStream()
      const path = `/${stream}/1`
      const note = `it's "\\" $1 \n \u2028 \u{1f600} and long enough for a patch to be shorter than all of it`
      const recorded: Recorded[] = []
      const save = (state: object | null, more: Partial<RecordedChange> = {}): Promise<void> =>
        transact(async ({ tx, run }) => {
          await run(
            `INSERT INTO customer_order VALUES ('${stream}', 1) ON CONFLICT (id) DO UPDATE SET total = 2`,
          )
          recorded.push(...(await record(tx, { path, state, ...more })))
        })
      await save({ total: 1, note }, { cause: 'r-1' })
      await save({ total: 2, note })
      await save({ note, total: 2, id: '1' })
      await save(null)
      await save({ total: 3 }, { createdBy: 'PUT' })
      await assert.rejects(
        transact(async ({ tx, run }) => {
          await record(tx, { path, state: { total: 4 } })
          await run(`INSERT INTO customer_order VALUES ('${stream}', 1)`)
        }),
      )
      assert.deepEqual(
        recorded.map(({ event, version, deleted }) => [event, version, deleted]),
        [
          ['created', 1, false],
          ['modified', 2, false],
          [undefined, 2, false],
          ['deleted', 3, true],
          ['created', 4, false],
        ],
      )
      assert.deepEqual(await messages(stream), [
        { event: 'created', state: { id: '1', total: 1, note }, resource: path, version: 1, cause: 'r-1' },
        { event: 'modified', changes: { total: 2 }, resource: path, version: 2 },
        { event: 'deleted', resource: path, version: 3 },
        { event: 'created', state: { id: '1', total: 3 }, resource: path, version: 4 },
      ])
      const { head, resource } = await log.readResource(path)
      assert.deepEqual(
        [head.seq, resource],
        [4, { version: 4, stateText: '{"id":"1","total":3}', deleted: false }],
      )
      const topics = (await log.readChanges(stream, { after: 0, limit: 9 })).changes.map(c => c.topicPath)
      assert.deepEqual(topics, [`/${stream}`, path, path, path])
    })

    test(`${library}: what a savepoint takes back was never recorded, and others need not wait for it`, async () => {
      const stream = await newStream()
      await transact(async ({ tx, run }) => {
        await record(tx, { path: `/${stream}/1`, state: { n: 1 } })
        await run('SAVEPOINT here')
        await record(tx, [
          { path: `/${stream}/1`, state: { n: 2 } },
          { path: `/${stream}/2`, state: { n: 2 } },
        ])
        await run('ROLLBACK TO SAVEPOINT here')
        await inPg(other => record(other, { path: `/${stream}/2`, state: { n: 3 } }))
        await record(tx, { path: `/${stream}/1`, state: { n: 4 } })
      })
      assert.deepEqual(
        (await messages(stream)).map(message => {
          const { resource, version, state, changes } = message as Record<string, Json>
          return [resource, version, state ?? changes]
        }),
        [
          [`/${stream}/2`, 1, { id: '2', n: 3 }],
          [`/${stream}/1`, 1, { id: '1', n: 1 }],
          [`/${stream}/1`, 2, { n: 4 }],
        ],
      )
    })
  }

  test('outside of a transaction nothing is recorded, and it is said why', async () => {
    const stream = await newStream()
    const change = { path: `/${stream}/1`, state: { n: 1 } }
    const single = new Client({ connectionString: postgres.url() })
    await single.connect()
    const places: PostgresTransaction[] = [
      single,
      pool,
      js,
      drizzleOverPg(pool),
      drizzleOverPostgres(js),
      new Kysely<object>({ dialect: new PostgresDialect({ pool }) }),
    ]
    for (const place of places)
      await refuses(record(place, change), 'invalid-option', /outside of a transaction/)
    await single.end()
    assert.deepEqual(await messages(stream), [])
    await inPg(tx => record(tx, change))
    assert.deepEqual(await messages(stream), [
      { event: 'created', state: { id: '1', n: 1 }, resource: `/${stream}/1`, version: 1 },
    ])
  })

  test('what cannot be recorded is refused before anything is written, and the transaction may go on', async () => {
    const stream = await newStream()
    const path = `/${stream}/1`
    await inPg(async tx => {
      const good = { path, state: { n: 1 } }
      const bad: [object, string][] = [
        [{ path: `/${stream}`, state: {} }, 'invalid-path'],
        [{ path: '/strangers/1', state: {} }, 'not-found'],
        [{ path, state: [] }, 'invalid-state'],
        [{ path, state: { id: 1 } }, 'invalid-id'],
        [{ path, state: { n: Number.NaN } }, 'unsafe-number'],
        [{ path, state: {}, cause: 'two words' }, 'invalid-option'],
      ]
      for (const [change, code] of bad) await refuses(record(tx, [good, change as RecordedChange]), code, /./)
      await refuses(record(tx, good, { schema: 'Bad"Name' }), 'invalid-option', /schema/)
      await refuses(
        record(
          tx,
          Array.from({ length: 10_001 }, () => good),
        ),
        'too-many-changes',
        /10001/,
      )
      assert.deepEqual(await record(tx, []), [])
      await record(tx, good)
    })
    assert.equal((await messages(stream)).length, 1)
    await postgres.sql('CREATE SCHEMA empty')
    for (const [library, transact] of Object.entries(libraries)) {
      for (const schema of ['empty', 'nowhere']) {
        const recording = transact(async ({ tx }) => void (await record(tx, { path, state: {} }, { schema })))
        await refuses(
          recording,
          'invalid-option',
          new RegExp(`no change log in the schema "${schema}"`),
          library,
        )
      }
    }
    assert.throws(() => record({} as PostgresTransaction, { path, state: {} }), { code: 'invalid-option' })
  })

  test('several changes in one call have the same tx, each seen by the next, and go into a log of another schema', async () => {
    await using other = await openPostgresLog({ url: postgres.url(), schema: 'other', pollMs: 5 })
    await other.ensureStreams(['orders', 'people'])
    const recorded = await js.begin(tx =>
      record(
        tx,
        [
          { path: '/orders/1', state: { total: 1 } },
          { path: '/people/ann', state: { orders: 1 } },
          { path: '/orders/%31', state: null },
          { path: '/orders/2', state: null },
        ],
        { schema: 'other' },
      ),
    )
    assert.deepEqual(
      recorded.map(({ path, event, version }) => [path, event, version]),
      [
        ['/orders/1', 'created', 1],
        ['/people/ann', 'created', 1],
        ['/orders/1', 'deleted', 2],
        ['/orders/2', undefined, 0],
      ],
    )
    await other.settle()
    const pages = await Promise.all(
      ['orders', 'people'].map(stream => other.readChanges(stream, { after: 0, limit: 10 })),
    )
    const found = pages.flatMap(({ changes }) => changes.map(change => JSON.parse(change.messageText)))
    assert.deepEqual(
      found.map(({ id, tx }) => [id.split(':')[2], tx.n, tx.id === found[0].tx.id]),
      [
        ['1', 3, true],
        ['2', 3, true],
        ['1', 3, true],
      ],
    )
  })

  test('transactions that record the same resources wait for each other, cross, and leave versions one apart', async () => {
    const stream = await newStream()
    const paths = ['a', 'b', 'c'].map(id => `/${stream}/${id}`)
    let left = 150
    let kept = 0
    const writer = async (seed: number): Promise<void> => {
      while (left > 0) {
        const n = left--
        // In any order: within one call they are locked in the same one.
        const changes = paths
          .filter((_, index) => (n >> index) % 3 !== 1)
          .sort(() => ((n * 7 + seed) % 2 === 0 ? 1 : -1))
          .map(path => ({ path, state: { n, seed } }))
        const isKept = n % 6 !== 0
        await inPg(async tx => {
          await record(tx, changes)
          if (!isKept) await tx.query('ROLLBACK; BEGIN')
        })
        if (isKept) kept += changes.length
      }
    }
    await Promise.all(Array.from({ length: 8 }, (_, seed) => writer(seed)))
    const all = (await messages(stream)) as { resource: string; tx?: { id: string; n: number } }[]
    assert.equal(all.length, kept)
    // Each transaction as a whole.
    const runs = all
      .map(({ tx }) => tx?.id)
      .filter((id, index, ids) => id !== undefined && id !== ids[index - 1])
    assert.equal(new Set(runs).size, runs.length)
    for (const path of paths) {
      const { resource } = await log.readResource(path)
      assert.equal(resource.version, all.filter(message => message.resource === path).length)
    }
  })

  test('a transaction with one snapshot records on top of what it sees, or is told to try again', async () => {
    const stream = await newStream()
    const path = `/${stream}/1`
    const begin = 'BEGIN ISOLATION LEVEL REPEATABLE READ'
    await inPg(tx => record(tx, { path, state: { n: 1 } }), begin)
    await assert.rejects(
      inPg(async tx => {
        await tx.query('SELECT 1')
        await inPg(other => record(other, { path, state: { n: 2 } }))
        await record(tx, { path, state: { n: 3 } })
      }, begin),
      { code: '40001' },
    )
    assert.equal((await messages(stream)).length, 2)
  })

  test('versions go on behind a purged deletion, also in a transaction that saw it before', async () => {
    const stream = await newStream()
    const path = `/${stream}/1`
    const forget = async (): Promise<void> => {
      await log.settle()
      await log.prune({ minRows: 0, maxRows: 0, maxAgeMs: 1e14 })
    }
    await inPg(tx => record(tx, { path, state: { n: 1 } }))
    await inPg(tx => record(tx, { path, state: null }))
    await forget()
    assert.deepEqual(await postgres.sql(`SELECT path FROM lockstep.recorded WHERE stream = '${stream}'`), [])
    const [created] = await inPg(tx => record(tx, { path, state: { n: 2 } }))
    assert.deepEqual([created!.event, created!.version], ['created', 3])
    const recordLate = (...before: readonly (object | null)[]): Promise<Recorded[]> =>
      inPg(async tx => {
        await tx.query('SELECT 1')
        for (const state of before) await inPg(other => record(other, { path, state }))
        await forget()
        return await record(tx, { path, state: { n: 3 } })
      }, 'BEGIN ISOLATION LEVEL REPEATABLE READ')
    // Whoever still sees what was purged is told to try again; whoever never saw it goes above it.
    await assert.rejects(recordLate(null), { code: '40001' })
    const [late] = await recordLate({ n: 2 }, null)
    assert.deepEqual([late!.event, late!.version], ['created', 7])
    await log.settle()
    assert.equal((await log.readResource(path)).resource.version, 7)
  })

  test('versions go on behind a deletion that is purged before it has a number', async () => {
    await using still = await openPostgresLog({ url: postgres.url(), schema: 'slow', pollMs: 3_600_000 })
    await still.ensureStreams(['orders'])
    const path = '/orders/1'
    const write = (...states: readonly (object | null)[]): Promise<Recorded[]> =>
      inPg(tx =>
        record(
          tx,
          states.map(state => ({ path, state })),
          { schema: 'slow' },
        ),
      )
    await write({ n: 1 }, null)
    await still.prune()
    const [created] = await write({ n: 2 })
    assert.equal(created!.version, 3)
    await still.settle()
    checkSequence((await still.readChanges('orders', { after: 0, limit: 10 })).changes)
  })

  test('a purge leaves alone what a transaction holds, and neither it nor the log waits', async () => {
    const stream = await newStream()
    const path = `/${stream}/1`
    await inPg(tx => record(tx, { path, state: { n: 1 } }))
    const [deleted] = await inPg(tx => record(tx, { path, state: null }))
    await log.settle()
    await inPg(async tx => {
      await record(tx, { path, state: { n: 2 } })
      await log.prune({ minRows: 0, maxRows: 0, maxAgeMs: 1e14 })
      await log.renewEpoch(stream)
      await log.write(own => save(own, `/${stream}/own`, { n: 1 }))
    })
    await log.settle()
    const { resource } = await log.readResource(path)
    assert.deepEqual([resource.version, resource.stateText], [deleted!.version + 1, '{"id":"1","n":2}'])
  })

  test('a resource that the log held before goes on from there', async () => {
    const stream = await newStream()
    const path = `/${stream}/1`
    const note = 'so long that a patch is shorter than the whole'
    await log.write(tx => save(tx, path, { id: '1', n: 1, note }))
    await inPg(tx => record(tx, { path, state: { n: 2, note } }))
    assert.deepEqual((await messages(stream))[1], {
      event: 'modified',
      changes: { n: 2 },
      resource: path,
      version: 2,
    })
  })

  test('what is recorded is read by the log, and not written', async () => {
    const stream = await newStream()
    const path = `/${stream}/1`
    await inPg(tx => record(tx, { path, state: { n: 1 } }))
    // Whether it has a number or not.
    for (const settle of [async () => {}, () => log.settle()]) {
      await settle()
      await refuses(
        log.write(tx => save(tx, path, { n: 2 })),
        'invalid-option',
        /recorded by transactions of the application/,
      )
    }
    const { value } = await log.write(tx => tx.read(path))
    assert.equal(value.stateText, '{"id":"1","n":1}')
    assert.equal((await messages(stream)).length, 1)
  })

  test('lists and compact pages hold what has a number, and nothing that is ahead of the head', async () => {
    const stream = await newStream()
    await using still = await openPostgresLog({ url: postgres.url(), schema: 'still', pollMs: 3_600_000 })
    await still.ensureStreams([stream])
    const options = { schema: 'still' }
    const states = (ids: readonly string[]): RecordedChange[] =>
      ids.map(id => ({ path: `/${stream}/${id}`, state: { n: id } }))
    await inPg(tx => record(tx, states(['1', '2', '3']), options))
    const before = await still.readCollection(`/${stream}`, { limit: 10 })
    assert.deepEqual([before.head.seq, before.items], [0, []])
    await still.settle()
    await inPg(tx => record(tx, [{ path: `/${stream}/2`, state: null }], options))
    const between = await still.readCollection(`/${stream}`, { limit: 10 })
    assert.deepEqual([between.head.seq, between.items.length], [3, 3])
    await still.settle()
    const { items } = await still.readCollection(`/${stream}`, { limit: 10 })
    assert.deepEqual(
      items.map(({ path, version }) => [path, version]),
      [
        [`/${stream}/1`, 1],
        [`/${stream}/3`, 1],
      ],
    )
    const { latest } = await still.readLatest(stream, { after: 0, limit: 10 })
    assert.deepEqual(
      latest.map(({ path, seq, version, stateText }) => [path, seq, version, stateText === undefined]),
      [
        [`/${stream}/1`, 1, 1, false],
        [`/${stream}/3`, 3, 1, false],
        [`/${stream}/2`, 4, 2, true],
      ],
    )
  })

  test('a follower sees what is recorded, and waits for it by the headers of the answer', async () => {
    const stream = await newStream()
    const resource = defineResource(stream, { schema: { type: 'object' } })
    await using service = await openService({ resources: [resource], log })
    await using server = await openHttpServer(service, { port: 0 })
    await using lockstep = await connect({ api: server.url })
    const follower = lockstep.follow(`/${stream}`)
    await follower.ready
    for (let n = 1; n <= 20; n++) {
      const recorded = await js.begin(tx => record(tx, { path: `/${stream}/1`, state: { n } }))
      const headers = await readRecordedHeaders(log, recorded)
      await follower.atLeast(headers['lockstep-marker']!)
      assert.equal((follower.state.get('1') as { n: number } | undefined)?.n, n)
      assert.equal(follower.etagOf('1'), headers['etag'])
    }
  })
})

async function refuses(promise: Promise<unknown>, code: string, message: RegExp, what = ''): Promise<void> {
  await assert.rejects(promise, (error: LockstepError) => {
    assert.equal(error.code, code, `${what} ${error.stack}`)
    assert.match(error.message, message)
    return true
  })
}
