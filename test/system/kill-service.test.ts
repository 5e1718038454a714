/** `kill -9` of the service under load; `npm run kills` does the same 200 times. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { runKills } from './kills.ts'

test('kill -9 under load: no acknowledged write without its message, no message without its write', async () => {
  const { acknowledged, changes } = await runKills({ kills: 5, seed: 20_26 })
  assert.ok(acknowledged > 500)
  assert.ok(changes > 0)
})
