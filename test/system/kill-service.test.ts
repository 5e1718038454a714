/** `kill -9` of the service under load, again and again: PROTOCOL.md 7.1, 7.2 and 7.6 on real processes. */
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { openEmbeddedBroker } from 'lockstep/broker'
import {
  applyMergePatch,
  type JsonObject,
  type Message,
  parseMessage,
  parsePosition,
} from 'lockstep/contract'
import { startPeopleProcess } from '../support/people-process.ts'
import { createRandom } from '../support/random.ts'

const kills = 5
const writers = 16
const idsPerWriter = 6

interface AckedWrite {
  readonly path: string
  readonly version: number
}

test('kill -9 under load: no acknowledged write without its message, no message without its write', async t => {
  const folder = await mkdtemp(join(tmpdir(), 'lockstep-kill-'))
  const broker = await openEmbeddedBroker({ port: 0, publishers: { people: 'secret' } })
  const logFile = join(folder, 'people.db')
  const service = await startPeopleProcess({
    logFile,
    brokerUrl: broker.url,
    username: 'people',
    password: 'secret',
  })
  t.after(async () => {
    await service.kill()
    await broker.close()
    await rm(folder, { recursive: true })
  })
  const random = createRandom(20_26)
  const received = new Map<string, string>()
  let onReceived: () => void = () => {}
  await broker.subscribe(['people/#'], ({ payload }) => {
    const { id } = JSON.parse(payload) as Message
    const before = received.get(id)
    if (before !== undefined) assert.equal(payload, before, `${id} came twice with different content`)
    received.set(id, payload)
    onReceived()
  })

  const acked: AckedWrite[] = []
  const deletions: { path: string; id: string }[] = []
  let killAfter = 0
  let onKillPoint: () => void = () => {}
  let running = true
  const write = async (worker: number): Promise<void> => {
    for (let count = 0; running; count++) {
      const id = `w${worker}-${random.below(idsPerWriter)}`
      const write = chooseWrite(id, `${worker}.${count}`, random.below(10))
      try {
        const response = await fetch(`${service.url}${write.path}`, write)
        await response.arrayBuffer()
        const tag = response.headers.get('etag')
        if (response.status === 204)
          deletions.push({ path: `/people/${id}`, id: response.headers.get('lockstep-marker')! })
        if (response.ok && tag !== null)
          acked.push({ path: `/people/${id}`, version: Number(tag.slice(tag.indexOf('.') + 1, -1)) })
        if (response.ok && --killAfter === 0) onKillPoint()
      } catch {
        // The service is being killed: whether this write was made is unknown, and both are right.
        await new Promise(resolve => setImmediate(resolve))
      }
    }
  }

  killAfter = 100 + random.below(300)
  const load = Array.from({ length: writers }, (_, worker) => write(worker))
  for (let kill = 0; kill < kills; kill++) {
    await new Promise<void>(resolve => {
      onKillPoint = resolve
    })
    await service.kill()
    killAfter = 100 + random.below(300)
    await service.start()
  }
  running = false
  await Promise.all(load)

  const feed = await readWholeFeed(service.url)
  const last = feed.at(-1)!
  await new Promise<void>(resolve => {
    onReceived = () => received.has(last.id) && resolve()
    onReceived()
  })

  const byWrite = new Map(
    feed.map(message => [`${message.resource} ${(message as { version: number }).version}`, message]),
  )
  assert.ok(acked.length > kills * 100)
  for (const { path, version } of acked)
    assert.ok(byWrite.has(`${path} ${version}`), `the acknowledged ${path} v${version} is not in the log`)
  const byId = new Map(feed.map(message => [message.id, message]))
  assert.ok(deletions.length > 0)
  for (const { path, id } of deletions)
    assert.deepEqual([byId.get(id)?.event, byId.get(id)?.resource], ['deleted', path])
  assert.equal(byWrite.size, feed.length, 'a version stands twice in the log')
  assert.equal(new Set(feed.map(({ id }) => parsePosition(id).epoch)).size, 1)
  for (const [index, { id }] of feed.entries()) assert.equal(parsePosition(id).seq, index + 1)
  for (const message of feed)
    assert.deepEqual(
      parseMessage(received.get(message.id) ?? '{}'),
      message,
      `${message.id} was not published as it is in the log`,
    )
  assert.equal(received.size, feed.length, 'a message was published that is not in the log')
  assert.deepEqual(fold(feed), await readList(service.url))
})

function chooseWrite(id: string, value: string, dice: number): RequestInit & { path: string } {
  const headers = { 'content-type': 'application/json' }
  const body = JSON.stringify({ name: value })
  if (dice < 2) return { method: 'POST', path: '/people', headers, body: JSON.stringify({ id, name: value }) }
  if (dice < 4) return { method: 'PUT', path: `/people/${id}`, headers, body }
  if (dice < 5) return { method: 'DELETE', path: `/people/${id}` }
  return { method: 'PATCH', path: `/people/${id}`, headers, body }
}

async function readWholeFeed(url: string): Promise<Message[]> {
  const changes: Message[] = []
  let after = 'earliest'
  for (;;) {
    const page = await (await fetch(`${url}/people/_changes?limit=10000&after=${after}`)).json()
    changes.push(...page.changes)
    if (page.to === page.head) return changes
    after = `${page.epoch}:${page.to}`
  }
}

async function readList(url: string): Promise<Record<string, JsonObject>> {
  const list = (await (await fetch(`${url}/people?limit=1000`)).json()) as JsonObject[]
  return Object.fromEntries(list.map(person => [`/people/${person['id']}`, person]))
}

/** What the log says that there is, checking on the way that each resource's versions follow each other by one. */
function fold(feed: readonly Message[]): Record<string, JsonObject> {
  const states: Record<string, JsonObject> = {}
  const versions = new Map<string, number>()
  for (const message of feed) {
    assert.ok(message.event !== 'reset')
    const { resource, version } = message
    assert.equal(version, (versions.get(resource) ?? 0) + 1)
    versions.set(resource, version)
    if (message.event === 'deleted') delete states[resource]
    else if (message.state !== undefined) states[resource] = message.state
    else
      states[resource] = applyMergePatch(
        states[resource],
        (message as { changes: JsonObject }).changes,
      ) as JsonObject
  }
  return states
}
