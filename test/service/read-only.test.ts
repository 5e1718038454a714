import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { after, test } from 'node:test'
import { record } from '../../src/log/record.ts'
import { openSqliteLog } from '../../src/log/sqlite.ts'
import { assertProblem, openTestService, people } from '../support/service.ts'

const folder = mkdtempSync(join(tmpdir(), 'lockstep-read-only-'))
after(() => rmSync(folder, { recursive: true, force: true }))

test('a read-only service shows what was recorded, and refuses every write', async () => {
  const file = join(folder, 'log.db')
  await using log = await openSqliteLog({ file })
  await using api = await openTestService({ log, readOnly: true })
  using database = new DatabaseSync(file)
  database.exec('BEGIN IMMEDIATE')
  record(database, { path: '/people/ann', state: { name: 'Ann' }, createdBy: 'PUT' })
  database.exec('COMMIT')

  assert.deepEqual((await api.ask('GET', '/people')).json, [{ id: 'ann', name: 'Ann' }])
  const { headers, json } = await api.ask('GET', '/people/ann')
  assert.deepEqual(json, { id: 'ann', name: 'Ann' })
  assert.match(headers.get('etag')!, /^"\w+\.1"$/)
  assert.deepEqual(
    (await api.changes('people')).map(change => change['event']),
    ['created'],
  )
  assert.equal((await api.ask('HEAD', '/people')).status, 200)

  for (const [method, path] of [
    ['POST', '/people'],
    ['PUT', '/people/ann'],
    ['PATCH', '/people/ann'],
    ['DELETE', '/people/ann'],
  ] as const) {
    const answer = await api.ask(method, path, method === 'DELETE' ? {} : { body: { name: 'Bob' } })
    assertProblem(answer, 405, 'method-not-allowed')
    assert.equal(answer.headers.get('allow'), 'GET, HEAD, OPTIONS')
  }
  const options = await api.ask('OPTIONS', '/people/ann')
  assert.deepEqual(
    [options.headers.get('allow'), options.headers.get('accept-patch')],
    ['GET, HEAD, OPTIONS', null],
  )
  assertProblem(await api.ask('POST', '/people/_bulk', { body: { operations: [] } }), 404, 'not-found')
  await assert.rejects(
    api.service.transaction(tx => tx.create(people, { name: 'Bob' })),
    { code: 'invalid-option', message: /read-only/ },
  )
  assert.equal((await log.head('people')).seq, 1)
})
