/** Kills of sidecar, API and broker under load; `npm run sidecar-kills` does the same with 10,000 writes. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { skipWithoutPackage } from '../support/mirrored-program.ts'
import { skipWithoutMosquitto } from '../support/mosquitto.ts'
import { runSidecarKills } from './sidecar-kills.ts'

const skip = skipWithoutMosquitto || skipWithoutPackage('json-server')

test('every follower comes to what the API has, whatever is killed, and never shows what it cannot have had', {
  skip,
}, async () => {
  const { answered, shown, round } = await runSidecarKills({ writes: 800, kills: 1, seed: 20_26 })
  assert.ok(answered > 200)
  assert.ok(shown > 200)
  assert.ok(round > 10)
})
