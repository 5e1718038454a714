import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { Pool } from 'pg'
import { openPostgresLog, type PostgresLog, type PostgresLogOptions } from '../../src/log/postgres.ts'
import { formatChangeInsert } from '../../src/log/postgres-change.ts'
import { save, testChangeLog } from '../suites/change-log.ts'
import { type Pgbouncer, skipWithoutPgbouncer, startPgbouncer } from '../support/pgbouncer.ts'
import { type Postgres, skipWithoutPostgres, startPostgres } from '../support/postgres.ts'

describe('PostgreSQL', { skip: skipWithoutPostgres }, () => {
  let postgres: Postgres
  let schemas = 0
  const newSchema = (): string => `log_${schemas++}`
  before(async () => {
    postgres = await startPostgres()
  })
  after(() => postgres.stop())

  testChangeLog('PostgreSQL log', options =>
    openPostgresLog({ url: postgres.url(), schema: newSchema(), maxConnections: 4, ...options }),
  )

  describe('behind PgBouncer', { skip: skipWithoutPgbouncer }, () => {
    let pgbouncer: Pgbouncer
    before(async () => {
      pgbouncer = await startPgbouncer(postgres.port)
    })
    after(() => pgbouncer.stop())

    testChangeLog('PostgreSQL log behind PgBouncer in transaction mode', options =>
      openPostgresLog({ url: pgbouncer.url, schema: newSchema(), maxConnections: 6, ...options }),
    )

    test('instances behind a pooler with fewer connections than they have write at once', async () => {
      const schema = newSchema()
      const logs = await Promise.all([0, 1, 2, 3].map(() => openPostgresLog({ url: pgbouncer.url, schema })))
      await logs[0]!.ensureStreams(['people'])
      await Promise.all(
        Array.from({ length: 200 }, (_, n) => logs[n % 4]!.write(tx => save(tx, `/people/${n % 5}`, { n }))),
      )
      assert.equal((await logs[3]!.head('people')).seq, 200)
      await Promise.all(logs.map(log => log.close()))
    })
  })

  test('everything is there again after closing and opening, also how far the relay came', async () => {
    const options = { url: postgres.url(), schema: newSchema() }
    const before = await openPostgresLog(options)
    await before.ensureStreams(['people'])
    await before.write(tx => save(tx, '/people/1', { n: 1 }))
    await before.write(tx => save(tx, '/people/2', { n: 'ø "\\ \u0000 😀 {,}' }))
    const head = await before.head('people')
    await before.setRelayed('people', head.epoch, 2)
    const changes = await before.readChanges('people', { after: 0, limit: 10 })
    await before.close()

    await using log = await openPostgresLog(options)
    assert.deepEqual(log.renewed, [])
    assert.deepEqual(await log.ensureStreams(['people']), [head])
    assert.deepEqual(await log.readChanges('people', { after: 0, limit: 10 }), changes)
    assert.equal(await log.relayed('people'), 2)
  })

  test('writes that wait together share one commit, and what they read first is fetched together', async () => {
    await using log = await openPostgresLog({ url: postgres.url(), schema: newSchema() })
    await log.ensureStreams(['people'])
    await Promise.all(Array.from({ length: 64 }, (_, n) => log.write(tx => save(tx, `/people/${n}`, { n }))))
    assert.ok(log.counts.commits <= 2, `${log.counts.commits} commits`)
    assert.equal(log.counts.changes, 64)
  })

  test('a pool of the application is used, whatever it does with values, and stays open', async () => {
    const types = { getTypeParser: () => () => 'not what it was' }
    const pool = new Pool({ connectionString: postgres.url(), max: 3, types })
    const log = await openPostgresLog({ pool, schema: newSchema() })
    await log.ensureStreams(['people'])
    const { marker } = await log.write(tx => save(tx, '/people/1', { n: 1 }))
    assert.equal(marker[0]?.seq, 1)
    await log.close()
    assert.equal((await pool.query('SELECT 1')).rowCount, 1)
    await pool.end()
  })

  test('the defaults of a user that are weaker or stricter than what the log needs do not matter', async () => {
    await postgres.sql(`CREATE ROLE strange LOGIN; GRANT CREATE ON DATABASE postgres TO strange;
      ALTER ROLE strange SET default_transaction_isolation = 'serializable';
      ALTER ROLE strange SET default_transaction_read_only = on;
      ALTER ROLE strange SET synchronous_commit = off;
      ALTER ROLE strange SET search_path = ''`)
    await using log = await openPostgresLog({
      url: postgres.url('postgres', 'strange'),
      schema: newSchema(),
    })
    await log.ensureStreams(['people'])
    await Promise.all([1, 2, 3].map(n => log.write(tx => save(tx, '/people/1', { n }))))
    const { epoch } = await log.head('people')
    await log.setRelayed('people', epoch, 2)
  })

  test('a user who may only read and write the rows is enough once the tables are there', async () => {
    const schema = newSchema()
    await (await openPostgresLog({ url: postgres.url(), schema })).close()
    await postgres.sql(`CREATE ROLE least LOGIN; GRANT USAGE ON SCHEMA ${schema} TO least;
      GRANT USAGE, SELECT, UPDATE ON ALL SEQUENCES IN SCHEMA ${schema} TO least;
      GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA ${schema} TO least`)
    await using log = await openPostgresLog({ url: postgres.url('postgres', 'least'), schema })
    assert.deepEqual(log.renewed, [])
    await log.ensureStreams(['people'])
    await log.write(tx => save(tx, '/people/1', { n: 1 }))
    await log.prune({ maxRows: 0, minRows: 0 })
    await log.renewEpoch('people')
    assert.equal((await log.readResource('/people/1')).resource.version, 1)
  })

  test('what cannot be used is refused with the reason, and no password is told', async () => {
    const refused = (options: object, code: string, message: RegExp): Promise<void> =>
      assert.rejects(openPostgresLog(options as PostgresLogOptions), (error: Error & { code: string }) => {
        assert.equal(error.code, code)
        assert.match(error.message, message)
        assert.doesNotMatch(error.message, /secret/)
        return true
      })
    const url = postgres.url()
    await refused({}, 'invalid-option', /either a url or a pool/)
    await refused(
      { url: 'mysql://root:secret@127.0.0.1/db' },
      'invalid-option',
      /begins with "mysql:\/\/roo…?".* postgres:\/\//,
    )
    await refused({ url, schema: 'Bad"Name' }, 'invalid-option', /schema .* is "Bad\\"Name"/)
    await refused({ url, schema: 'pg_own' }, 'invalid-option', /does not begin with pg_/)
    await refused({ url, pollMs: 0 }, 'invalid-option', /pollMs/)
    await refused({ url, maxConnections: 2 }, 'invalid-option', /maxConnections/)
    await refused({ pool: {} }, 'invalid-option', /Give a Pool/)
    await refused(
      { url: 'postgres://u:secret@127.0.0.1:1/db' },
      'log-failed',
      /cannot be opened: .*ECONNREFUSED/,
    )
    await refused({ url: postgres.url('none') }, 'log-failed', /database "none" does not exist/)
    await postgres.sql('CREATE ROLE stranger LOGIN')
    await refused(
      { url: postgres.url('postgres', 'stranger'), schema: 'strange' },
      'log-failed',
      /permission denied/,
    )
    const schema = newSchema()
    await (await openPostgresLog({ url, schema })).close()
    await postgres.sql(`UPDATE ${schema}.meta SET value = '99' WHERE key = 'schema_version'`)
    await refused({ url, schema }, 'invalid-option', /version "99", and this release knows 2/)
  })

  test('no statement goes through all resources or all changes', async () => {
    const schema = newSchema()
    const options: PostgresLogOptions = { url: postgres.url(), schema, pollMs: 5 }
    const filling = await openPostgresLog(options)
    await filling.ensureStreams(['people'])
    await filling.close()
    await postgres.sql(`
      INSERT INTO ${schema}.resource SELECT '/people/' || n, 'people', '/people', 1, n, '{}' FROM generate_series(1, 20000) n;
      INSERT INTO ${schema}.change (stream, seq, event, path, version, time_ms, open_text)
        SELECT 'people', n, 'created', '/people/' || n, 1, 0, '{"event":"created"' FROM generate_series(1, 20000) n;
      UPDATE ${schema}.stream SET head = 20000`)
    await postgres.sql(`VACUUM ANALYZE ${schema}.change, ${schema}.resource`)
    await postgres.sql('SELECT pg_stat_reset()')

    const log = await openPostgresLog(options)
    await useAll(log)
    const { text, value } = formatChangeInsert(schema, [
      {
        ...{ event: 'created', path: '/people/new', topicPath: '/people', version: 1 },
        ...{ stateText: '{}', timeMs: 0 },
      },
    ])
    const pool = new Pool({ connectionString: postgres.url() })
    const numbered = new Promise<void>(resolve => log.onCommit(() => resolve()))
    await pool.query(text, [value])
    await numbered
    await pool.end()
    await log.close()
    const scans = await postgres.sql(`SELECT relname, seq_scan, idx_scan::int FROM pg_stat_user_tables
      WHERE schemaname = '${schema}' AND relname IN ('change', 'resource') ORDER BY relname`)
    assert.deepEqual(
      scans.map(({ relname, seq_scan: count }) => [relname, count]),
      [
        ['change', '0'],
        ['resource', '0'],
      ],
    )
    assert.ok(scans.every(({ idx_scan: count }) => (count as number) > 3))
  })
})

/** Does everything once. */
async function useAll(log: PostgresLog): Promise<void> {
  await log.readResource('/people/7')
  await log.readCollection('/people', { afterPath: '/people/5', limit: 10 })
  for (const under of [undefined, '/people/7']) {
    await log.readChanges('people', { after: 10_000, limit: 100, under })
    await log.readLatest('people', { after: 10_000, limit: 100, under })
  }
  await log.write(async tx => {
    await tx.readPathsUnder('/people/7', 10)
    await save(tx, '/people/7', { n: 1 })
    await save(tx, '/people/8', undefined)
    await tx.readReceipt('key')
    await tx.writeReceipt('key', 'text', 0)
  })
  await log.prune({ maxRows: 19_000, minRows: 0, maxAgeMs: 1e14 })
}
