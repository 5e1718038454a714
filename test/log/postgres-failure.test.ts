/** The PostgreSQL log when servers, connections and instances fail. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { after, before, describe, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { openPostgresLog, type PostgresLog, type PostgresLogOptions } from '../../src/log/postgres.ts'
import { openPool } from '../../src/log/postgres-pool.ts'
import { readNames } from '../../src/log/postgres-schema.ts'
import { PostgresSession } from '../../src/log/postgres-session.ts'
import { checkSequence, save } from '../suites/change-log.ts'
import { type Postgres, skipWithoutPostgres, startPostgres } from '../support/postgres.ts'
import { Reports } from '../support/reports.ts'

describe('PostgreSQL log, failures', { skip: skipWithoutPostgres }, () => {
  let postgres: Postgres
  let schemas = 0
  before(async () => {
    postgres = await startPostgres()
  })
  after(() => postgres.stop())

  const openPeople = async (options: Partial<PostgresLogOptions> = {}): Promise<PostgresLog> => {
    const schema = `log_${schemas++}`
    const log = await openPostgresLog({ url: postgres.url(), schema, onError: () => {}, ...options })
    await log.ensureStreams(['people'])
    return log
  }
  const readAll = async (log: PostgresLog) =>
    (await log.readChanges('people', { after: 0, limit: 100_000 })).changes

  test('where the connection of a batch is killed its works fail, and those that come later do not', async () => {
    const reports = new Reports()
    await using log = await openPeople({ onError: reports.onError })
    const begun = Promise.withResolvers<void>()
    const gate = Promise.withResolvers<void>()
    const first = log.write(async tx => {
      await save(tx, '/people/1', { n: 1 })
      begun.resolve()
      await gate.promise
    })
    const second = log.write(tx => save(tx, '/people/2', { n: 1 }))
    await begun.promise
    await postgres.sql(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE state = 'idle in transaction' AND application_name = 'lockstep'`,
    )
    gate.resolve()
    await assert.rejects(first, { code: 'log-failed' })
    await assert.rejects(second, { code: 'log-failed' })
    assert.equal((await reports.stage('commit')).code, 'log-failed')
    const { marker } = await log.write(tx => save(tx, '/people/3', { n: 1 }))
    assert.equal(marker[0]?.seq, 1)
    assert.deepEqual(
      (await readAll(log)).map(({ path }) => path),
      ['/people/3'],
    )
  })

  test('where the answer to a commit is lost, what became of it is found out', async () => {
    await using proxy = await startProxy(postgres.port)
    const url = `postgres://postgres@127.0.0.1:${proxy.port}/postgres`
    await using log = await openPeople({ url })
    proxy.onCommit = 'cut the answer'
    const { marker } = await log.write(tx => save(tx, '/people/1', { n: 1 }))
    assert.equal(marker[0]?.seq, 1)
    proxy.onCommit = 'cut the question'
    await assert.rejects(
      log.write(tx => save(tx, '/people/2', { n: 1 })),
      { code: 'log-failed' },
    )
    await log.write(tx => save(tx, '/people/1', { n: 2 }))
    const changes = await readAll(log)
    checkSequence(changes)
    assert.deepEqual(
      changes.map(({ path, version }) => [path, version]),
      [
        ['/people/1', 1],
        ['/people/1', 2],
      ],
    )
  })

  test('an instance that hangs with the lock in its hands is cut off', async () => {
    const schema = `log_${schemas++}`
    await using log = await openPostgresLog({ url: postgres.url(), schema })
    await log.ensureStreams(['people'])
    const connections = await openPool(postgres.url(), 3)
    const { session } = await PostgresSession.begin(connections, readNames(schema), { idleTimeoutMs: 200 })
    await log.write(tx => save(tx, '/people/1', { n: 1 }))
    await session.rollback()
    await connections.close()
  })

  test('several instances write at once, and the numbers and versions are those of one log', async () => {
    const schema = `log_${schemas++}`
    const open = () => openPostgresLog({ url: postgres.url(), schema, maxConnections: 4 })
    // Opened at once too: one of them makes the tables.
    const logs = await Promise.all([open(), open(), open()])
    await Promise.all(logs.map(log => log.ensureStreams(['people'])))
    const heard = logs.map(log => {
      const told: number[] = []
      log.onCommit(heads => told.push(heads[0]!.seq))
      return told
    })
    const markers = await Promise.all(
      Array.from({ length: 300 }, async (_, n) => {
        const path = n % 2 === 0 ? '/people/shared' : `/people/${n}`
        const { value, marker } = await logs[n % 3]!.write(async tx => {
          await save(tx, path, { n })
          return (await tx.read(path)).version
        })
        return { path, version: value, seq: marker[0]!.seq }
      }),
    )
    const changes = await readAll(logs[0]!)
    assert.equal(changes.length, 300)
    checkSequence(changes)
    for (const { path, version, seq } of markers) {
      assert.deepEqual([changes[seq - 1]?.path, changes[seq - 1]?.version], [path, version])
    }
    for (const [index, told] of heard.entries()) {
      while (told.at(-1) !== 300) await new Promise<void>(resolve => logs[index]!.onCommit(() => resolve()))
      assert.deepEqual(
        told,
        [...new Set(told)].sort((a, b) => a - b),
      )
    }
    await Promise.all(logs.map(log => log.close()))
  })

  test('after kill -9 of the server everything acknowledged is there, in the same epoch, and the log goes on', async () => {
    await using server = await startPostgres()
    const reports = new Reports()
    await using log = await openPostgresLog({ url: server.url(), onError: reports.onError })
    const [head] = await log.ensureStreams(['people'])
    const acknowledged: { readonly path: string; readonly seq: number }[] = []
    let writing = true
    const writers = Array.from({ length: 8 }, async (_, writer) => {
      for (let n = 0; writing; n++) {
        const path = `/people/${writer}-${n % 3}`
        try {
          const { marker } = await log.write(tx => save(tx, path, { n }))
          acknowledged.push({ path, seq: marker[0]!.seq })
        } catch (error) {
          assert.ok(
            ['log-failed', 'outcome-unknown'].includes((error as { code: string }).code),
            String(error),
          )
          await delay(20)
        }
      }
    })
    const written = async (count: number): Promise<void> => {
      while (acknowledged.length < count) await delay(5)
    }
    await written(200)
    await server.kill()
    await reports.find(({ code }) => code === 'log-failed')
    await assert.rejects(log.head('people'), { code: 'log-failed' })
    await server.start()
    await written(acknowledged.length + 200)
    writing = false
    await Promise.all(writers)
    const page = await log.readChanges('people', { after: 0, limit: 100_000 })
    assert.equal(page.head.epoch, head!.epoch)
    checkSequence(page.changes)
    for (const { path, seq } of acknowledged) assert.equal(page.changes[seq - 1]?.path, path)
    assert.equal(reports.all.filter(({ stage }) => stage === 'epoch-guard').length, 0)
  })
})

interface Proxy extends AsyncDisposable {
  readonly port: number
  /** What to do at the next commit, once. */
  onCommit: 'cut the answer' | 'cut the question' | undefined
}

/** Stands between a log and its server, and cuts the connection at a commit. */
async function startProxy(target: number): Promise<Proxy> {
  const sockets = new Set<Socket>()
  const server = createServer(client => {
    const upstream = connect(target, '127.0.0.1')
    let cuts = false
    for (const socket of [client, upstream]) {
      sockets.add(socket)
      socket
        .on('error', () => {})
        .on('close', () => {
          client.destroy()
          upstream.destroy()
        })
    }
    client.on('data', data => {
      if (proxy.onCommit !== undefined && data.includes('COMMIT\0')) {
        cuts = true
        if (proxy.onCommit === 'cut the question') client.destroy()
        else upstream.write(data)
        proxy.onCommit = undefined
      } else upstream.write(data)
    })
    upstream.on('data', data => {
      if (cuts) client.destroy()
      else client.write(data)
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const proxy: Proxy = {
    port: (server.address() as AddressInfo).port,
    onCommit: undefined,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
  return proxy
}
