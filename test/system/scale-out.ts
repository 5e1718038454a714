/**
 * A whole system on one machine: three instances of a service and two relays on one PostgreSQL, a broker of three nodes, a balancer, and
 * followers at each node and by the feed. Parts of it are killed under load and started again; every promise is judged.
 */
import assert from 'node:assert/strict'
import { setTimeout as delay } from 'node:timers/promises'
import type { JsonObject } from 'lockstep/contract'
import { startBalancer } from '../support/balancer.ts'
import { readAll } from '../support/follower-checks.ts'
import { startNatsCluster } from '../support/nats.ts'
import { type Postgres, startPostgres } from '../support/postgres.ts'
import { createRandom } from '../support/random.ts'
import { type RestartableProcess, startRestartable } from '../support/restartable-process.ts'
import { type Followers, startFollowers } from './scale-out-followers.ts'
import { Judge } from './scale-out-judge.ts'
import { type Load, startLoad } from './scale-out-load.ts'

export type Kind = 'service' | 'relay' | 'node' | 'postgres'

/** What is killed at once, by kind and number; or the instances ended and started again in turn. */
export type Fault = { readonly kill: readonly `${Kind} ${number}`[] } | 'rolling restart'

export interface ScaleOutOptions {
  readonly seed: number
  readonly faults: Iterable<Fault>
  /** Stop the load and judge everything after so many faults; in the end that is done in any case. */
  readonly judgeEvery: number
  /** How many writes are on their way at once. */
  readonly writers: number
  /** Wait after each fault until all followers are live, for which the broker has to be well again. */
  readonly untilLive: boolean
  readonly onFault?: (fault: Fault, recovery: Recovery) => void
}

/** How long after the end of a fault, when all that was killed takes connections again. */
export interface Recovery {
  /** All followers have what the API had at the end of the fault. */
  readonly equalMs: number
  /** They are live, too; `undefined` where they were not within a minute, or that was not waited for. */
  readonly liveMs: number | undefined
}

export interface ScaleOutTotals {
  readonly acknowledged: number
  /** Writes without a key that got no answer: both outcomes are right. */
  readonly unknown: number
  /** Requests that got no answer, most of which were sent again. */
  readonly unanswered: number
  /** Of these, during rolling restarts. */
  readonly unansweredRolling: number
  readonly changes: number
  /** How many requests each instance has answered. */
  readonly answered: readonly number[]
  readonly recoveries: readonly Recovery[]
}

export const size = { service: 3, relay: 2, node: 3, postgres: 1 } as const

interface Part {
  kill(): Promise<void>
  start(): Promise<void>
}

interface World {
  readonly url: string
  readonly answered: readonly number[]
  readonly parts: ReadonlyMap<string, Part>
  readonly instances: readonly RestartableProcess[]
  readonly followers: Followers
  readonly postgres: Postgres
}

/** Runs the faults and throws where a promise is broken. */
export async function runScaleOut(options: ScaleOutOptions): Promise<ScaleOutTotals> {
  await using stack = new AsyncDisposableStack()
  const world = await openWorld(stack)
  const load = startLoad(world.url, options.writers, createRandom(options.seed))
  const judge = new Judge(world.url)
  const recoveries: Recovery[] = []
  let unansweredRolling = 0
  assert.ok(await world.followers.live(), 'the followers are not live at the beginning')
  for (const fault of options.faults) {
    const before = load.unanswered
    await suffer(world, load, fault)
    if (fault === 'rolling restart') unansweredRolling += load.unanswered - before
    const recovery = await recover(world, options.untilLive)
    recoveries.push(recovery)
    options.onFault?.(fault, recovery)
    if (recoveries.length % options.judgeEvery > 0) continue
    await judgeAll(world, load, judge)
    load.resume()
  }
  await judgeAll(world, load, judge)
  const results = load.outcomes.map(({ result }) => result)
  return {
    acknowledged: results.filter(result => result === 'acknowledged').length,
    unknown: results.filter(result => result === 'unknown').length,
    unanswered: load.unanswered,
    unansweredRolling,
    changes: judge.changes,
    answered: world.answered,
    recoveries,
  }
}

async function openWorld(stack: AsyncDisposableStack): Promise<World> {
  const [postgres, nodes] = await Promise.all([startPostgres(), startNatsCluster(size.node)])
  stack.use(postgres)
  for (const node of nodes) stack.use(node)
  const urls = nodes.map(({ url }) => url)
  /** The same nodes, beginning with another one. */
  const urlsFrom = (first: number): string[] => urls.map((_, index) => urls[(first + index) % urls.length]!)
  const program = new URL('../../examples/scale-out/service.ts', import.meta.url)
  const env = { LOG_URL: postgres.url() }
  const start = async (ownEnv: Readonly<Record<string, string>>): Promise<RestartableProcess> =>
    stack.use(await startRestartable(program, ownEnv))
  const services = Array.from({ length: size.service }, () => start({ ...env, PORT: '0' }))
  const relays = Array.from({ length: size.relay }, (_, relay) =>
    start({ ...env, BROKER_URLS: urlsFrom(relay).join(' ') }),
  )
  const processes = await Promise.all([...services, ...relays])
  const instances = processes.slice(0, size.service)
  const addresses = instances.map(({ port }) => `http://127.0.0.1:${port}`)
  const balancer = stack.use(await startBalancer(addresses))
  const followers = stack.use(
    await startFollowers(
      balancer.url,
      urls.map((_, node) => urlsFrom(node)),
    ),
  )
  const parts = new Map<string, Part>([
    ...processes.map((each, index): [string, Part] => [
      index < size.service ? `service ${index}` : `relay ${index - size.service}`,
      each,
    ]),
    ...nodes.map((each, node): [string, Part] => [`node ${node}`, { kill: each.kill, start: each.restart }]),
    ['postgres 0', postgres],
  ])
  return { url: balancer.url, answered: balancer.answered, parts, instances, followers, postgres }
}

/** Resolves when everything runs again. */
async function suffer(world: World, load: Load, fault: Fault): Promise<void> {
  if (fault === 'rolling restart') {
    for (const each of world.instances) {
      await each.end()
      await load.asked(10)
      await each.start()
      await load.acknowledged(10)
    }
    return
  }
  const parts = fault.kill.map(name => world.parts.get(name)!)
  await Promise.all(parts.map(part => part.kill()))
  // Without the database all writers may wait for its return, to learn what became of a commit.
  await Promise.race([load.asked(50), delay(1_000)])
  // What needs another part that was killed too comes up behind it.
  await Promise.all(parts.map(part => persist(() => part.start())))
}

/** Under load: what comes meanwhile does not count. */
async function recover({ url, followers }: World, untilLive: boolean): Promise<Recovery> {
  const startMs = performance.now()
  await followers.reached(await readMarker(url))
  const equalMs = performance.now() - startMs
  const isLive = untilLive && (await followers.live())
  return { equalMs, liveMs: isLive ? performance.now() - startMs : undefined }
}

/** A supervisor that starts again what does not come up. */
async function persist(start: () => Promise<void>): Promise<void> {
  for (let tries = 0; ; tries++) {
    try {
      return await start()
    } catch (error) {
      if (tries === 50) throw error
      await delay(200)
    }
  }
}

/** With the load stopped: GET = SELECT = the fold of the log = every follower, and the relays have published it all. */
async function judgeAll(world: World, load: Load, judge: Judge): Promise<void> {
  await load.pause()
  await world.followers.reached(await readMarker(world.url))
  await judge.readOn()
  judge.judgeWrites(load.outcomes)
  const byId = await readAll(`${world.url}/people`)
  const states = new Map([...byId].map(([id, state]) => [`/people/${id}`, state]))
  assert.deepEqual(states, judge.states, 'GET is not the fold of the log')
  const rows = await world.postgres.sql('SELECT path, state FROM lockstep.resource WHERE state IS NOT NULL')
  const selected = new Map(rows.map(row => [row['path'], JSON.parse(String(row['state'])) as JsonObject]))
  assert.deepEqual(selected, states, 'GET is not SELECT')
  world.followers.judge(judge, states)
  const query = `SELECT count(*) AS changes, count(DISTINCT seq) AS numbers FROM lockstep.change`
  const [log] = await world.postgres.sql(query)
  assert.deepEqual(log, { changes: String(judge.changes), numbers: String(judge.changes) })
  const isRelayed = `SELECT relayed = head AS done FROM lockstep.stream`
  for (const endMs = performance.now() + 60_000; !(await world.postgres.sql(isRelayed))[0]?.['done']; ) {
    assert.ok(performance.now() < endMs, 'the relays have not published everything')
    await delay(50)
  }
}

/** As soon as an instance answers, which may take it a moment after the database is back. */
async function readMarker(url: string): Promise<string> {
  for (const endMs = performance.now() + 60_000; ; await delay(10)) {
    const response = await fetch(`${url}/people?limit=1`)
    await response.arrayBuffer()
    if (response.ok) return response.headers.get('lockstep-marker')!
    assert.ok(performance.now() < endMs, `the API answers ${response.status}`)
  }
}
