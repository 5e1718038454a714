/**
 * Kills a service under load with SIGKILL, again and again, and with a log in PostgreSQL its server too, and judges what is left: every acknowledged write is in
 * the log and was published, nothing was published that is not in the log, and the log has no hole. PROTOCOL.md 7.1,
 * 7.2, 7.6.
 */
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type EmbeddedBroker, openEmbeddedBroker } from 'lockstep/broker'
import {
  applyMergePatch,
  type JsonObject,
  type Message,
  parseMessage,
  parsePosition,
} from 'lockstep/contract'
import { type PeopleProcess, startPeopleProcess } from '../support/people-process.ts'
import { startPostgres } from '../support/postgres.ts'
import { createRandom, type Random } from '../support/random.ts'

export interface KillOptions {
  readonly kills: number
  readonly seed: number
  /** @default 'sqlite' */
  readonly log?: 'sqlite' | 'postgres'
  readonly onKill?: (count: number) => void
}

export interface KillCounts {
  /** Of the service, and those of the database's server. */
  readonly kills: number
  readonly serverKills: number
  readonly acknowledged: number
  /** Writes without an answer: both outcomes are right. */
  readonly unknown: number
  readonly changes: number
  /** Messages that came again after a kill. */
  readonly repeated: number
}

const writers = 16
const idsPerWriter = 6

interface Acknowledged {
  readonly path: string
  /** `undefined` after a deletion. */
  readonly version: number | undefined
  readonly marker: string
}

/** Runs the kills and throws where a promise is broken. */
export async function runKills({ kills, seed, log = 'sqlite', onKill }: KillOptions): Promise<KillCounts> {
  const folder = await mkdtemp(join(tmpdir(), 'lockstep-kill-'))
  const broker = await openEmbeddedBroker({ port: 0, publishers: { people: 'secret' } })
  const credentials = { username: 'people', password: 'secret' }
  // With fsync, as it is where data counts.
  const postgres = log === 'postgres' ? await startPostgres({ config: 'fsync = on' }) : undefined
  const logFile = postgres?.url() ?? join(folder, 'people.db')
  const service = await startPeopleProcess({ logFile, brokerUrl: broker.url, ...credentials })
  try {
    const random = createRandom(seed)
    let [serviceKills, serverKills] = [0, 0]
    const heard = await hear(broker)
    const load = startLoad(service, random)
    for (let count = 1; count <= kills; count++) {
      await load.reached(100 + random.below(300))
      // The service alone, the server alone, or both at once.
      const dice = postgres === undefined ? 0 : random.below(3)
      if (dice < 2) serviceKills++
      if (dice > 0) serverKills++
      await Promise.all([dice < 2 && service.kill(), dice > 0 && postgres?.kill()])
      onKill?.(count)
      if (dice > 0) await postgres?.start()
      if (dice < 2) await service.start()
    }
    await load.reached(100)
    await load.stop()
    const feed = await readWholeFeed(service.url)
    await heard.until(feed.at(-1)!.id)
    judge(feed, heard.messages, load.acknowledged)
    assert.deepEqual(fold(feed), await readList(service.url))
    const { acknowledged, unknown } = load
    return {
      kills: serviceKills,
      serverKills,
      acknowledged: acknowledged.length,
      unknown: unknown(),
      changes: feed.length,
      repeated: heard.repeated(),
    }
  } finally {
    await service.kill()
    await broker.close()
    await postgres?.stop()
    await rm(folder, { recursive: true })
  }
}

interface Heard {
  readonly messages: ReadonlyMap<string, string>
  repeated(): number
  until(id: string): Promise<void>
}

async function hear(broker: EmbeddedBroker): Promise<Heard> {
  const messages = new Map<string, string>()
  let repeated = 0
  let onMessage: () => void = () => {}
  await broker.subscribe(['people/#'], ({ payload }) => {
    const { id } = JSON.parse(payload) as Message
    const before = messages.get(id)
    if (before !== undefined) repeated++
    // Judged in the end: a text that differs from the log's is found there.
    if (before === undefined || before === payload) messages.set(id, payload)
    else messages.set(id, `${before} and ${payload}`)
    onMessage()
  })
  return {
    messages,
    repeated: () => repeated,
    until: id =>
      new Promise(resolve => {
        onMessage = () => messages.has(id) && resolve()
        onMessage()
      }),
  }
}

interface Load {
  readonly acknowledged: readonly Acknowledged[]
  unknown(): number
  /** Resolves after so many further acknowledged writes. */
  reached(count: number): Promise<void>
  stop(): Promise<void>
}

function startLoad(service: PeopleProcess, random: Random): Load {
  const acknowledged: Acknowledged[] = []
  let unknown = 0
  let isRunning = true
  let goal = Number.POSITIVE_INFINITY
  let onGoal: () => void = () => {}
  const write = async (worker: number): Promise<void> => {
    for (let count = 0; isRunning; count++) {
      const id = `w${worker}-${random.below(idsPerWriter)}`
      const { path, ...request } = chooseWrite(id, `${worker}.${count}`, random.below(10))
      try {
        const response = await fetch(`${service.url}${path}`, request)
        await response.arrayBuffer()
        if (!response.ok) continue
        const tag = response.headers.get('etag')
        const version = tag === null ? undefined : Number(tag.slice(tag.indexOf('.') + 1, -1))
        acknowledged.push({
          path: `/people/${id}`,
          version,
          marker: response.headers.get('lockstep-marker')!,
        })
        if (acknowledged.length >= goal) onGoal()
      } catch {
        unknown++
        await new Promise(resolve => setImmediate(resolve))
      }
    }
  }
  const done = Promise.all(Array.from({ length: writers }, (_, worker) => write(worker)))
  return {
    acknowledged,
    unknown: () => unknown,
    reached(count) {
      goal = acknowledged.length + count
      return new Promise(resolve => {
        onGoal = resolve
      })
    },
    async stop() {
      isRunning = false
      await done
    },
  }
}

function judge(
  feed: readonly Message[],
  messages: ReadonlyMap<string, string>,
  acknowledged: readonly Acknowledged[],
): void {
  const byId = new Map(feed.map(message => [message.id, message]))
  const versions = new Set(
    feed.map(message => `${message.resource} ${(message as { version: number }).version}`),
  )
  assert.equal(versions.size, feed.length, 'a version stands twice in the log')
  for (const { path, version, marker } of acknowledged) {
    if (version !== undefined)
      assert.ok(versions.has(`${path} ${version}`), `the acknowledged ${path} v${version} is not in the log`)
    else assert.deepEqual([byId.get(marker)?.event, byId.get(marker)?.resource], ['deleted', path])
  }
  assert.equal(new Set(feed.map(({ id }) => parsePosition(id).epoch)).size, 1, 'a kill began a new epoch')
  for (const [index, { id }] of feed.entries()) assert.equal(parsePosition(id).seq, index + 1)
  for (const message of feed) {
    assert.deepEqual(
      parseMessage(messages.get(message.id) ?? '{}'),
      message,
      `${message.id} was not published as it is in the log`,
    )
  }
  assert.equal(messages.size, feed.length, 'a message was published that is not in the log')
}

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
