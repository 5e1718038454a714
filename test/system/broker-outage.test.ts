/** The broker dies, changes are made all the same, it comes back: PROTOCOL.md 6.4, 7.6 and the promise of convergence. */
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { type CollectionFollower, connect, type Follower } from 'lockstep/client'
import type { JsonObject } from 'lockstep/contract'
import { becomes, convergenceMs, hasStatus, readAll } from '../support/follower-checks.ts'
import { skipWithoutMosquitto, startMosquitto } from '../support/mosquitto.ts'
import { startPeopleProcess } from '../support/people-process.ts'

const people = 100
const changes = 1_000
const writers = 16

test('a broker that is down fails no write; followers say stale, and equal the API within 15 s of its return', {
  skip: skipWithoutMosquitto,
}, async t => {
  const folder = await mkdtemp(join(tmpdir(), 'lockstep-outage-'))
  const mosquitto = await startMosquitto()
  const service = await startPeopleProcess({ logFile: join(folder, 'people.db'), brokerUrl: mosquitto.url })
  const connection = await connect({ api: service.url, broker: mosquitto.url, onError: () => {} })
  const feedConnection = await connect({ api: service.url })
  t.after(async () => {
    await connection.close()
    await feedConnection.close()
    await service.kill()
    await mosquitto.stop()
    await rm(folder, { recursive: true })
  })
  for (let id = 0; id < people; id++) await write(service.url, 'PUT', id, 'before')

  const all = connection.follow('/people')
  const one = connection.follow('/people/p7')
  const missing = connection.follow('/people/p100')
  const byFeed = feedConnection.follow('/people')
  const followers: Follower<JsonObject>[] = [all, one, missing, byFeed]
  await Promise.all(followers.map(follower => hasStatus(follower, 'live')))

  await mosquitto.kill()
  await Promise.all([all, one, missing].map(follower => hasStatus(follower, 'stale')))
  assert.equal(byFeed.status, 'live')
  let next = 0
  const load = async (): Promise<void> => {
    while (next < changes) {
      const change = next++
      if (change % 50 === 49) await write(service.url, 'DELETE', change % people)
      else await write(service.url, 'PUT', change % (people + 10), `during ${change}`)
    }
  }
  await Promise.all(Array.from({ length: writers }, load))
  assert.ok(all.staleForMs > 0)

  await mosquitto.restart()
  const inTime = AbortSignal.timeout(convergenceMs)
  await Promise.all(followers.map(follower => hasStatus(follower, 'live', inTime)))
  const byId = await readAll(`${service.url}/people`)
  const equal = (copy: CollectionFollower<JsonObject>): boolean =>
    copy.state.size === byId.size &&
    [...byId].every(([id, person]) => copy.state.get(id)?.['name'] === person['name'])
  await Promise.all([
    becomes(all, () => equal(all), inTime),
    becomes(byFeed, () => equal(byFeed), inTime),
    becomes(one, () => one.state?.['name'] === byId.get('p7')?.['name'], inTime),
    becomes(missing, () => missing.state?.['name'] === byId.get('p100')?.['name'], inTime),
  ])
  assert.deepEqual(new Map(all.state), byId)
  assert.deepEqual(new Map(byFeed.state), byId)
})

async function write(url: string, method: string, id: number, name?: string): Promise<void> {
  const body = name === undefined ? undefined : JSON.stringify({ name })
  const response = await fetch(`${url}/people/p${id}`, {
    method,
    body,
    headers: { 'content-type': 'application/json' },
  })
  await response.arrayBuffer()
  const allowed = method === 'DELETE' ? [204, 404, 410] : [200, 201]
  assert.ok(allowed.includes(response.status), `${method} ${id}: ${response.status}`)
}
