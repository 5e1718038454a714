/** `lockstep check` before services in processes of their own, which are killed while it writes to them. */
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { openEmbeddedBroker } from 'lockstep/broker'
import { type CheckReport, checkApi, checks, readMessageSchemas, readOpenApiOutline } from 'lockstep/check'
import type { JsonObject } from 'lockstep/contract'
import { startPeopleProcess } from '../support/people-process.ts'
import { skipWithoutPostgres, startPostgres } from '../support/postgres.ts'

async function judgePeople(t: TestContext, logFile: string): Promise<CheckReport> {
  await using broker = await openEmbeddedBroker({ port: 0, publishers: { people: 'secret' } })
  await using service = await startPeopleProcess({
    logFile,
    brokerUrl: broker.url,
    username: 'people',
    password: 'secret',
  })
  const read = async (path: string): Promise<JsonObject> =>
    (await (await fetch(service.url + path)).json()) as JsonObject
  const restart = async (): Promise<void> => {
    await service.kill()
    await service.start()
  }
  const report = await checkApi({
    api: service.url,
    outline: readOpenApiOutline(await read('/_openapi'), '_openapi'),
    schemas: readMessageSchemas(await read('/_asyncapi'), '_asyncapi'),
    broker,
    restart,
    patienceMs: 20_000,
  })
  t.diagnostic(`${report.passed} passed, ${report.skipped} skipped, in ${report.tookMs} ms`)
  return report
}

/** Only people are there, so that nothing is nested. */
function assertKept(report: CheckReport): void {
  const failed = report.results.filter(({ status }) => status === 'failed')
  assert.deepEqual(
    failed.map(({ id, faults }) => [id, faults]),
    [],
  )
  const skipped = report.results.filter(({ status }) => status === 'skipped')
  assert.deepEqual(
    skipped.map(({ id }) => id),
    ['path.nesting'],
  )
  assert.equal(report.results.length, checks.length)
}

test('a service on SQLite keeps every rule, also when it is killed while it is written to', async t => {
  const folder = await mkdtemp(join(tmpdir(), 'lockstep-check-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  assertKept(await judgePeople(t, join(folder, 'people.db')))
})

test('a service on PostgreSQL keeps every rule, also when it is killed', {
  skip: skipWithoutPostgres,
}, async t => {
  await using postgres = await startPostgres()
  assertKept(await judgePeople(t, postgres.url()))
})
