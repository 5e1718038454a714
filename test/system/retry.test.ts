/** `kill -9` between a commit and its answer, and what the retry gets: PROTOCOL.md 4.13 on real processes. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { openEmbeddedBroker } from 'lockstep/broker'
import type { Message } from 'lockstep/contract'
import { type PeopleProcess, startPeopleProcess } from '../support/people-process.ts'
import { createRandom } from '../support/random.ts'

interface World extends AsyncDisposable {
  readonly service: PeopleProcess
  readonly received: Map<string, Message>
  /** Resolves when a message fulfils the condition. */
  until(condition: (message: Message) => boolean): Promise<Message>
}

async function openWorld(): Promise<World> {
  const folder = await mkdtemp(join(tmpdir(), 'lockstep-retry-'))
  const broker = await openEmbeddedBroker({ port: 0, publishers: { people: 'secret' } })
  const service = await startPeopleProcess({
    logFile: join(folder, 'people.db'),
    brokerUrl: broker.url,
    username: 'people',
    password: 'secret',
  })
  const received = new Map<string, Message>()
  const checks = new Set<(message: Message) => void>()
  await broker.subscribe(['people/#'], ({ payload }) => {
    const message = JSON.parse(payload) as Message
    received.set(message.id, message)
    for (const check of checks) check(message)
  })
  const until: World['until'] = condition =>
    new Promise(resolve => {
      const check = (message: Message): void => {
        if (!condition(message)) return
        checks.delete(check)
        resolve(message)
      }
      checks.add(check)
      for (const message of received.values()) check(message)
    })
  const dispose = async (): Promise<void> => {
    await service.kill()
    await broker.close()
    await rm(folder, { recursive: true })
  }
  return { service, received, until, [Symbol.asyncDispose]: dispose }
}

async function readFeed(url: string): Promise<Message[]> {
  return (await (await fetch(`${url}/people/_changes?limit=10000`)).json()).changes
}

test('4.13 a POST whose answer was lost with the service is answered by the retry, with one resource and one message', async () => {
  await using world = await openWorld()
  const { service, until, received } = world
  const body = '{"name":"Ann"}'
  const socket = connect(Number(new URL(service.url).port), '127.0.0.1').pause()
  socket.on('error', () => {})
  await once(socket, 'connect')
  const fields = `host: x\r\nidempotency-key: once\r\ncontent-type: application/json\r\ncontent-length: ${body.length}`
  socket.write(`POST /people HTTP/1.1\r\n${fields}\r\n\r\n${body}`)
  // The message proves that the write is committed; its answer is never read.
  const message = await until(({ event }) => event === 'created')
  socket.destroy()
  await service.kill()
  await service.start()

  const headers = { 'idempotency-key': 'once', 'content-type': 'application/json' }
  const retry = await fetch(`${service.url}/people`, { method: 'POST', headers, body })
  assert.equal(retry.status, 201)
  assert.equal(retry.headers.get('idempotency-replayed'), 'true')
  assert.equal(retry.headers.get('location'), message.resource)
  assert.equal(retry.headers.get('lockstep-marker'), message.id)
  assert.deepEqual(await retry.json(), (message as { state?: unknown }).state)
  assert.deepEqual(await readFeed(service.url), [message])
  assert.deepEqual([...received.values()], [message])
})

test('4.13 4.15 a bulk that the service did not survive is finished by the retry, with one message per operation', async () => {
  await using world = await openWorld()
  const { service, until } = world
  const operations = Array.from({ length: 1_000 }, (_, index) => ({
    method: 'POST',
    body: { name: String(index) },
  }))
  const send = (): Promise<Response> =>
    fetch(`${service.url}/people/_bulk`, {
      method: 'POST',
      headers: { 'idempotency-key': 'once', 'content-type': 'application/json' },
      body: JSON.stringify({ operations }),
    })
  const lost = send().then(
    response => response.arrayBuffer(),
    () => undefined,
  )
  await until(({ event }) => event === 'created')
  await service.kill()
  await lost
  await service.start()

  const { results } = (await (await send()).json()) as {
    results: { status: number; path: string; replayed?: boolean }[]
  }
  assert.ok(results.every(({ status }) => status === 201))
  assert.ok(results.some(({ replayed }) => replayed))
  const feed = await readFeed(service.url)
  assert.deepEqual(
    feed.map(({ resource }) => resource),
    results.map(({ path }) => path),
  )
})

test('4.13 under kill -9 at any moment, each key gives exactly one resource and one message', async () => {
  await using world = await openWorld()
  const { service, received, until } = world
  const random = createRandom(4_13)
  const writers = 8
  const kills = 4
  const acked = new Map<string, string>()
  let killAfter = 0
  let onKillPoint: () => void = () => {}
  let replays = 0
  let running = true
  const post = async (key: string): Promise<void> => {
    const headers = { 'idempotency-key': key, 'content-type': 'application/json' }
    const body = JSON.stringify({ name: key })
    for (;;) {
      try {
        const response = await fetch(`${service.url}/people`, { method: 'POST', headers, body })
        const { id } = (await response.json()) as { id: string }
        if (response.status === 409) continue
        assert.equal(response.status, 201)
        if (response.headers.has('idempotency-replayed')) replays++
        acked.set(key, id)
        if (--killAfter === 0) onKillPoint()
        return
      } catch (error) {
        if (error instanceof assert.AssertionError) throw error
        // The service is down or went down: sent again under the same key until it is answered.
        await new Promise(resolve => setImmediate(resolve))
      }
    }
  }
  const write = async (writer: number): Promise<void> => {
    for (let count = 0; running; count++) await post(`${writer}.${count}`)
  }
  killAfter = 50 + random.below(100)
  const load = Promise.all(Array.from({ length: writers }, (_, writer) => write(writer)))
  for (let kill = 0; kill < kills; kill++) {
    await new Promise<void>(resolve => {
      onKillPoint = resolve
    })
    await service.kill()
    killAfter = 50 + random.below(100)
    await service.start()
  }
  running = false
  await load
  for (const key of [...acked.keys()].slice(0, 50)) await post(key)
  assert.ok(replays >= 50)

  const feed = await readFeed(service.url)
  assert.deepEqual(
    feed.map(({ resource }) => resource).toSorted(),
    [...acked.values()].map(id => `/people/${id}`).toSorted(),
  )
  await until(({ id }) => id === feed.at(-1)!.id)
  assert.equal(received.size, acked.size)
})
