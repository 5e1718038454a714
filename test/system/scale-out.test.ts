/** Three instances, two relays, three nodes of a broker and the database, each killed under load; `npm run scale-out` goes on for minutes. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { skipWithoutNats } from '../support/nats.ts'
import { skipWithoutPostgres } from '../support/postgres.ts'
import { runScaleOut } from './scale-out.ts'

test('3 instances, 2 relays and 3 nodes of a broker on one PostgreSQL: any one may be killed under load, nothing is lost, and every follower converges', {
  skip: skipWithoutPostgres || skipWithoutNats,
}, async () => {
  const { acknowledged, answered, recoveries } = await runScaleOut({
    seed: 20_26,
    writers: 4,
    faults: [
      { kill: ['node 0'] },
      { kill: ['service 0', 'relay 0'] },
      { kill: ['postgres 0'] },
      'rolling restart',
    ],
    judgeEvery: 4,
    untilLive: false,
  })
  assert.ok(acknowledged > 100)
  assert.ok(
    answered.every(count => count > 30),
    'the balancer has gone to each instance',
  )
  assert.equal(recoveries.length, 4)
})
