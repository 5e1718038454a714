/** Faults of the whole system on real processes, each with followers that must be right within 15 s of its end. */
import assert from 'node:assert/strict'
import { copyFile, mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { Aedes } from 'aedes'
import { type CollectionFollower, connect } from 'lockstep/client'
import type { JsonObject } from 'lockstep/contract'
import { converges, hasStatus, readAll } from '../support/follower-checks.ts'
import { skipWithoutMosquitto, startMosquitto } from '../support/mosquitto.ts'
import { type PeopleProcess, startPeopleProcess } from '../support/people-process.ts'

async function temporaryFile(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'lockstep-faults-'))
  t.after(() => rm(folder, { recursive: true }))
  return join(folder, 'people.db')
}

async function put(service: PeopleProcess, id: string, name: string): Promise<number> {
  const headers = { 'content-type': 'application/json' }
  const response = await fetch(`${service.url}/people/${id}`, {
    method: 'PUT',
    headers,
    body: JSON.stringify({ name }),
  })
  await response.arrayBuffer()
  return response.status
}

async function follow(
  t: TestContext,
  service: PeopleProcess,
  broker?: string,
): Promise<CollectionFollower<JsonObject>> {
  const connection = await connect({ api: service.url, broker, onError: () => {} })
  t.after(() => connection.close())
  const follower = connection.follow('/people')
  await hasStatus(follower, 'live')
  return follower
}

test('a broker that acknowledges and drops, repeats, and forgets: followers are right all the same', async t => {
  let dice = 1
  const aedes = await Aedes.createBroker({
    // Every third delivery is dropped after the publisher was told that all is well.
    authorizeForward: (_client, packet) => (++dice % 3 === 0 ? null : packet),
  })
  const server = createServer(aedes.handle).listen(0, '127.0.0.1')
  await new Promise(resolve => server.once('listening', resolve))
  const { port } = server.address() as { port: number }
  const brokerUrl = `mqtt://127.0.0.1:${port}`
  const service = await startPeopleProcess({ logFile: await temporaryFile(t), brokerUrl })
  t.after(async () => {
    await service.kill()
    await new Promise<void>(resolve => aedes.close(() => resolve()))
    await new Promise(resolve => server.close(resolve))
  })
  const follower = await follow(t, service, brokerUrl)
  for (let change = 0; change < 200; change++)
    assert.ok((await put(service, `p${change % 20}`, `${change}`)) < 300)
  await converges(follower, `${service.url}/people`)
})

test('a broker whose queue overflows while a follower hangs: what it dropped is found', {
  skip: skipWithoutMosquitto,
}, async t => {
  const mosquitto = await startMosquitto({
    config: 'allow_anonymous true\nmax_queued_messages 5\nmax_inflight_messages 5',
  })
  const service = await startPeopleProcess({ logFile: await temporaryFile(t), brokerUrl: mosquitto.url })
  t.after(async () => {
    await service.kill()
    await mosquitto.stop()
  })
  const follower = await follow(t, service, mosquitto.url)
  // Nobody reads while this process is busy: the broker's queue for it runs over.
  const writes = Array.from({ length: 300 }, (_, change) => put(service, `p${change % 50}`, `${change}`))
  assert.ok((await Promise.all(writes)).every(status => status < 300))
  await converges(follower, `${service.url}/people`)
})

test('a backup restored under running followers: everyone ends at what the backup holds and goes on from there', async t => {
  const mosquitto = await Aedes.createBroker()
  const server = createServer(mosquitto.handle).listen(0, '127.0.0.1')
  await new Promise(resolve => server.once('listening', resolve))
  const brokerUrl = `mqtt://127.0.0.1:${(server.address() as { port: number }).port}`
  const logFile = await temporaryFile(t)
  const service = await startPeopleProcess({ logFile, brokerUrl })
  t.after(async () => {
    await service.kill()
    await new Promise<void>(resolve => mosquitto.close(() => resolve()))
    await new Promise(resolve => server.close(resolve))
  })
  for (let id = 0; id < 10; id++) await put(service, `p${id}`, 'kept')
  await service.kill()
  await copyFile(logFile, `${logFile}.backup`)
  await copyFile(`${logFile}-wal`, `${logFile}-wal.backup`)
  await copyFile(`${logFile}.guard`, `${logFile}.guard.backup`)
  await service.start()
  const byBroker = await follow(t, service, brokerUrl)
  const byFeed = await follow(t, service)
  for (let id = 0; id < 10; id++) await put(service, `p${id}`, 'lost')
  await put(service, 'new', 'lost')
  await converges(byBroker, `${service.url}/people`)
  await converges(byFeed, `${service.url}/people`)
  assert.equal(byBroker.state.get('p3')?.['name'], 'lost')
  const epoch = byBroker.position?.epoch

  await service.kill()
  await copyFile(`${logFile}.backup`, logFile)
  await copyFile(`${logFile}-wal.backup`, `${logFile}-wal`)
  // The backup of a whole folder brings its own guard file along, which fits.
  await copyFile(`${logFile}.guard.backup`, `${logFile}.guard`)
  await rm(`${logFile}-shm`, { force: true })
  await service.start()
  // The same numbers come again, for other changes.
  for (let id = 0; id < 11; id++) await put(service, `p${id}`, 'after')
  await converges(byBroker, `${service.url}/people`)
  await converges(byFeed, `${service.url}/people`)
  assert.equal(byBroker.state.has('new'), false)
  assert.equal(byBroker.state.get('p3')?.['name'], 'after')
  assert.notEqual(byBroker.position?.epoch, epoch)
})

test('a full disk refuses writes with 503, loses nothing that it acknowledged, and goes on when there is room', async t => {
  const logFile = await temporaryFile(t)
  // The limit of the size of a file stands for the disk's end.
  const service = await startPeopleProcess({ logFile, brokerUrl: 'mqtt://127.0.0.1:9', maxFileKib: 512 })
  t.after(() => service.kill())
  const follower = await follow(t, service)
  const acknowledged = new Map<string, string>()
  let status = 200
  for (let change = 0; status < 300; change++) {
    const name = `${change}`.padEnd(5_000, '.')
    status = await put(service, `p${change % 40}`, name)
    if (status < 300) acknowledged.set(`p${change % 40}`, name)
  }
  assert.equal(status, 503)
  const held = await readAll(`${service.url}/people`)
  assert.deepEqual(new Map([...held].map(([id, person]) => [id, person['name']])), acknowledged)
  await converges(follower, `${service.url}/people`)

  await service.kill()
  service.setMaxFileKib(undefined)
  await service.start()
  assert.equal(await put(service, 'p1', 'there is room'), 200)
  await converges(follower, `${service.url}/people`)
  assert.equal(follower.state.get('p1')?.['name'], 'there is room')
})
