/** Several processes' mirrors on one log in PostgreSQL. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { connect } from '../../src/client/index.ts'
import { openPostgresLog } from '../../src/log/index.ts'
import { createMirroredListener, openMirror } from '../../src/middleware/index.ts'
import { listen, People, peopleRoutes, send } from '../support/mirrored-app.ts'
import { skipWithoutPostgres, startPostgres } from '../support/postgres.ts'

test('two mirrors on one log follow writes that cross, and a follower of either ends with what is there', {
  skip: skipWithoutPostgres,
}, async t => {
  await using postgres = await startPostgres()
  // One database behind two programs.
  const people = new People()
  const urls: string[] = []
  const mirrors = []
  for (let instance = 0; instance < 2; instance++) {
    const log = await openPostgresLog({ url: postgres.url(), onError: () => {} })
    const routes = peopleRoutes(people)
    const mirror = await openMirror({ resources: { people: {} }, log, listener: routes, shared: true })
    t.after(async () => {
      await mirror.close()
      await log.close()
    })
    urls.push(await listen(t, createMirroredListener(mirror, routes)))
    await mirror.start()
    mirrors.push(mirror)
  }
  await using api = await connect({ api: `${urls[0]}/_mirror` })
  const follower = api.follow('/people')
  await follower.ready
  await Promise.all(
    Array.from({ length: 80 }, (_, n) => {
      const url = `${urls[n % 2]}/people/p${n % 5}`
      return n % 9 === 0 ? send('DELETE', url) : send('PUT', url, { n })
    }),
  )
  for (const mirror of mirrors) await mirror.settled()
  for (const mirror of mirrors) assert.equal(await mirror.scan(), true)
  const last = await send('PUT', `${urls[1]}/people/last`, { n: 'last' })
  await follower.atLeast(last.headers.get('lockstep-marker')!, { timeoutMs: 20_000 })
  assert.deepEqual(Object.fromEntries(follower.state), Object.fromEntries(people.rows))
})
