/** `kill -9` of the service, and of PostgreSQL, under load; `npm run kills` does the same 200 times. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { skipWithoutPostgres } from '../support/postgres.ts'
import { runKills } from './kills.ts'

test('kill -9 under load: no acknowledged write without its message, no message without its write', async () => {
  const { acknowledged, changes } = await runKills({ kills: 5, seed: 20_26 })
  assert.ok(acknowledged > 500)
  assert.ok(changes > 0)
})

test('the same on PostgreSQL, where its server is killed too', { skip: skipWithoutPostgres }, async () => {
  const { acknowledged, changes, serverKills } = await runKills({ kills: 4, seed: 20_26, log: 'postgres' })
  assert.ok(acknowledged > 400)
  assert.ok(changes > 0)
  assert.ok(serverKills > 0)
})
