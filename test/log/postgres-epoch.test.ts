/** When a PostgreSQL log begins new epochs: behind failovers, restores and copies, and behind nothing else. */
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import type { Head } from '../../src/contract/index.ts'
import { openPostgresLog } from '../../src/log/postgres.ts'
import { save } from '../suites/change-log.ts'
import { type Postgres, runPostgres, skipWithoutPostgres, startPostgres } from '../support/postgres.ts'
import { Reports } from '../support/reports.ts'

describe('PostgreSQL log, epochs', { skip: skipWithoutPostgres }, () => {
  let postgres: Postgres
  before(async () => {
    postgres = await startPostgres()
  })
  after(() => postgres.stop())

  test('opening again, also as another user, keeps the epoch', async () => {
    await postgres.sql('CREATE ROLE app LOGIN')
    await postgres.sql('CREATE DATABASE app OWNER app')
    const heads: Head[] = []
    for (const user of ['app', 'postgres', 'app', 'app', 'postgres']) {
      await using log = await openPostgresLog({ url: postgres.url('app', user), onError: () => {} })
      assert.deepEqual(log.renewed, [])
      heads.push(...(await log.ensureStreams(['people'])))
    }
    assert.deepEqual(
      heads,
      Array.from({ length: 5 }, () => heads[0]),
    )
  })

  test('a copy of the database begins new epochs, and the original keeps its own', async () => {
    await postgres.sql('CREATE DATABASE original')
    await using log = await openPostgresLog({ url: postgres.url('original') })
    await log.ensureStreams(['people'])
    const { marker } = await log.write(tx => save(tx, '/people/1', { n: 1 }))
    await log.close()
    await postgres.sql('CREATE DATABASE copy TEMPLATE original')
    await using copy = await openPostgresLog({ url: postgres.url('copy'), onError: () => {} })
    assert.match(copy.renewed.join(), /the database is another one, as after a copy/)
    const { head, resource } = await copy.readResource('/people/1')
    assert.notEqual(head.epoch, marker[0]!.epoch)
    assert.deepEqual([head.seq, resource.version, resource.stateText], [0, 1, '{"n":1}'])
    assert.equal(await copy.relayed('people'), -1)
    await using again = await openPostgresLog({ url: postgres.url('original') })
    assert.deepEqual(again.renewed, [])
    assert.equal((await again.head('people')).epoch, marker[0]!.epoch)
  })

  for (const isPromoted of [true, false]) {
    const name = isPromoted
      ? 'a promoted standby that lost commits begins a new epoch'
      : 'a base backup put in the place of the server begins a new epoch'
    test(`${name}, for a service that runs`, async () => {
      await using primary = await startPostgres()
      const reports = new Reports()
      await using log = await openPostgresLog({ url: primary.url(), onError: reports.onError })
      const [first] = await log.ensureStreams(['people', 'orders'])
      await log.write(tx => save(tx, '/people/1', { n: 1 }))
      await using standby = await startPostgres({
        port: primary.port,
        isStarted: false,
        fill: folder => copyServer(primary, folder, isPromoted),
      })
      for (const n of [2, 3, 4]) await log.write(tx => save(tx, '/people/1', { n }))
      const told: Head[] = []
      log.onCommit(heads => told.push(...heads))
      await primary.kill()
      await reports.find(({ code }) => code === 'log-failed')
      await standby.start()
      if (isPromoted) await standby.promote()
      // A write comes as soon as it can, and must not take a number that was given already.
      const { marker } = await eventually(() => log.write(tx => save(tx, '/people/1', { n: 5 })))
      const notice = await reports.stage('epoch-guard')
      assert.match(notice.text, isPromoted ? /on another timeline/ : /went|shorter|ends at 1/)
      const { head, resource } = await log.readResource('/people/1')
      assert.notEqual(head.epoch, first!.epoch)
      assert.deepEqual(marker, [{ stream: 'people', epoch: head.epoch, seq: 1 }])
      assert.deepEqual([head.seq, resource.version, resource.stateText], [1, 2, '{"n":5}'])
      assert.deepEqual(
        told.map(({ stream, seq }) => `${stream} ${seq}`),
        ['orders 0', 'people 0', 'people 1'],
      )
      // Another instance, which was not there, finds all settled, and so does this one when it looks again.
      await using other = await openPostgresLog({ url: primary.url() })
      assert.deepEqual(other.renewed, [])
      assert.deepEqual(await other.head('people'), head)
      assert.equal(reports.all.filter(({ stage }) => stage === 'epoch-guard').length, 1)
    })

    test(`${name}, for a service that was closed meanwhile`, async () => {
      await using primary = await startPostgres()
      const log = await openPostgresLog({ url: primary.url() })
      const [first] = await log.ensureStreams(['people'])
      await using standby = await startPostgres({
        port: primary.port,
        isStarted: false,
        fill: folder => copyServer(primary, folder, isPromoted),
      })
      await log.write(tx => save(tx, '/people/1', { n: 1 }))
      await log.close()
      await primary.kill()
      await standby.start()
      if (isPromoted) {
        await assert.rejects(openPostgresLog({ url: primary.url() }), {
          code: 'log-failed',
          message: /cannot be opened: .*during recovery.*primary/,
        })
        await standby.promote()
      }
      await using opened = await eventually(() => openPostgresLog({ url: primary.url(), onError: () => {} }))
      assert.match(
        opened.renewed.join(),
        isPromoted ? /on another timeline/ : /the files of the server are other ones/,
      )
      assert.notEqual((await opened.head('people')).epoch, first!.epoch)
    })
  }
})

/** Takes a base backup, to be started as a standby or as it is. */
function copyServer(from: Postgres, folder: string, asStandby: boolean): void {
  const source = ['-h', '127.0.0.1', '-p', `${from.port}`, '-U', 'postgres']
  runPostgres('pg_basebackup', ['-D', folder, ...source, '-c', 'fast', '--no-sync'])
  if (asStandby) writeFileSync(join(folder, 'standby.signal'), '')
}

/** Tries again while the server is not up yet. */
async function eventually<T>(action: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await action()
    } catch (error) {
      if ((error as { code?: string }).code !== 'log-failed') throw error
      await new Promise(resolve => setImmediate(resolve))
    }
  }
}
