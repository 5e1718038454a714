/**
 * One simulation: a service, its broker, writers and followers under faults, all from one seed.
 *
 * For a while everything may fail; then the faults end, and within 15 s every follower must be live and equal to
 * the API. Violations of any promise are collected on the way. See test/sim/README.md.
 */
import { createHash } from 'node:crypto'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { SimBroker } from './broker.ts'
import { injectFaults } from './faults.ts'
import { type FollowerParts, SimFollower } from './followers.ts'
import { Ledger } from './ledger.ts'
import { LiveWorld } from './live-world.ts'
import { SimLink } from './network.ts'
import { SimPostgresService } from './postgres-service.ts'
import { installRuntime, type Runtime } from './runtime.ts'
import { SimService } from './service.ts'
import { runWriter, type WriteCounts } from './workload.ts'

export interface SimulationResult {
  readonly seed: number
  readonly hasPages: boolean
  readonly isPostgres: boolean
  readonly violations: readonly string[]
  /** How long after the last fault every follower was right. */
  readonly convergenceMs: number
  readonly faults: readonly string[]
  readonly writes: WriteCounts
  readonly changes: number
  readonly steps: number
  readonly deliveries: number
  /** What pages took in, and how often they were fetched anew. */
  readonly pageSteps: number
  readonly refreshes: number
  /** How many followers went on from a copy that they had kept. */
  readonly restored: number
  /** The same for the same seed, to the byte. */
  readonly digest: string
  readonly trace: readonly string[]
}

const places = ['/people', '/people/hot', '/people/hot/notes', '/projects', '/people/late', '/people']

/** The promise of PROTOCOL.md: so long after the faults every follower equals the API. */
const convergenceMs = 15_000

/** Every so many seeds there are pages. */
const pagesEvery = 4
/** Every so many, counted from the first, the log is in PostgreSQL. */
const postgresEvery = 4

export interface SimulationOptions {
  /** @default false */
  readonly keepTrace?: boolean
  /** Are there pages and bridges too? @default in every fourth seed */
  readonly hasPages?: boolean
  /** Is the log in a simulated PostgreSQL, with several instances? @default in every fourth seed: never one with pages, half of those without are plain */
  readonly isPostgres?: boolean
}

/** Files in memory where there are such: no power cut is simulated, and waiting for the disk is most of the time. */
const disk = existsSync('/dev/shm') ? '/dev/shm' : tmpdir()

export async function simulate(seed: number, options: SimulationOptions = {}): Promise<SimulationResult> {
  const {
    keepTrace = false,
    hasPages = seed % pagesEvery === 0,
    isPostgres = seed % postgresEvery === 1,
  } = options
  const hash = createHash('sha256')
  const trace: string[] = []
  const folder = mkdtempSync(join(disk, 'lockstep-sim-'))
  const runtime = installRuntime(seed)
  const { stackTraceLimit } = Error
  // Where errors come from is asked when one seed is looked at: there are thousands of them that are no failure.
  if (!keepTrace) Error.stackTraceLimit = 0
  const tell = (line: string): void => {
    const text = `${runtime.now().toFixed(1)} ${line}`
    hash.update(text)
    if (keepTrace) trace.push(text)
  }
  try {
    const result = await simulateIn(runtime, folder, { hasPages, isPostgres }, tell)
    return { seed, hasPages, isPostgres, ...result, digest: hash.digest('hex'), trace }
  } finally {
    runtime.uninstall()
    Error.stackTraceLimit = stackTraceLimit
    rmSync(folder, { recursive: true, force: true })
  }
}

type Part = Omit<SimulationResult, 'seed' | 'hasPages' | 'isPostgres' | 'digest' | 'trace'>

async function simulateIn(
  runtime: Runtime,
  folder: string,
  { hasPages, isPostgres }: { readonly hasPages: boolean; readonly isPostgres: boolean },
  tell: (line: string) => void,
): Promise<Part> {
  const ledger = new Ledger()
  const broker = new SimBroker(runtime)
  const onError = (error: unknown): void => tell(`reported ${String(error)}`)
  const postgres = isPostgres ? new SimPostgresService(runtime, broker, ledger, onError) : undefined
  const service = postgres ?? new SimService(runtime, broker, ledger, onError)
  const counts: WriteCounts = { acknowledged: 0, refused: 0, unknown: 0 }
  const followers: SimFollower[] = []
  const world = hasPages ? new LiveWorld({ runtime, service, broker, ledger, tell }) : undefined
  const faults: string[] = []
  let isFaulty = true
  let restored = 0
  const onRestored = (): void => {
    restored++
  }

  const story = async (): Promise<void> => {
    await service.start()
    const writers = Array.from({ length: 3 }, (_, index) => {
      const link = new SimLink(runtime, service)
      return {
        link,
        done: runWriter({
          runtime,
          service,
          ledger,
          link,
          counts,
          tell,
          name: `w${index}`,
          isRunning: () => isFaulty,
        }),
      }
    })
    await world?.start()
    for (const [index, path] of (world === undefined ? places : places.slice(0, 2)).entries()) {
      await runtime.sleep(runtime.between(0, 400))
      const source = index === 5 || runtime.chance(0.3) ? 'sse' : 'mqtt'
      const name = `f${index}.${source}`
      const replicaFile = runtime.chance(0.5) ? join(folder, `f${index}.db`) : undefined
      const parts: FollowerParts = {
        runtime,
        service,
        broker,
        ledger,
        path,
        source,
        replicaFile,
        tell,
        isRunning: () => isFaulty,
        onRestored,
      }
      followers.push(await SimFollower.start(name, parts))
    }
    const links = [...followers, ...writers].map(({ link }) => link).concat(world?.links ?? [])
    await injectFaults({
      runtime,
      service,
      broker,
      followers,
      links,
      tell,
      onFault: fault => faults.push(fault),
      more: { ...world?.faults, ...postgres?.faults },
    })
    isFaulty = false
    await Promise.all(writers.map(({ done }) => done))
    await Promise.all(followers.map(follower => follower.rest()))
  }
  let isOver = false
  const failed = (error: unknown): void => {
    ledger.violations.push(`the simulation failed: ${error instanceof Error ? error.stack : String(error)}`)
  }
  story()
    .catch(failed)
    .finally(() => {
      isOver = true
    })
  let nextCheck = 0
  const judge = (): void => {
    if (runtime.now() < nextCheck) return
    nextCheck = runtime.now() + 250
    for (const follower of followers) follower.checkClaim()
    world?.check()
  }
  await runtime.run(120_000, () => {
    judge()
    return isOver
  })
  if (!isOver) ledger.violations.push('the simulation did not come to its end')
  const healedAt = runtime.now()
  tell('healed')
  const isRight = (): boolean => followers.every(follower => follower.isRight)
  await runtime.run(healedAt + convergenceMs, isRight)
  const converged = runtime.now() - healedAt
  judge()
  for (const follower of followers) {
    if (follower.isRight) continue
    const { status, marker, path } = follower.follower ?? {}
    ledger.violations.push(
      `${follower.name} of ${path} is ${status} at ${marker}: ${follower.difference() ?? 'equal'}`,
    )
  }
  await world?.settle(healedAt + convergenceMs)
  await runtime.run(runtime.now() + 12_000)
  world?.checkEnd()
  postgres?.checkEnd()
  for (const follower of followers) {
    if (follower.difference() !== undefined)
      ledger.violations.push(`${follower.name} left the truth again: ${follower.difference()}`)
  }
  const steps = followers.reduce((sum, follower) => sum + follower.steps, 0)
  const closed = Promise.all([...followers.map(follower => follower.close()), world?.close()])
  void closed.then(() => service.close()).catch(failed)
  await runtime.run(runtime.now() + 120_000)
  world?.uninstall()
  if (runtime.waiting > 0) ledger.violations.push(`${runtime.waiting} timers are left after the end`)
  if (broker.connections.size > 0)
    ledger.violations.push(`${broker.connections.size} connections are left after the end`)
  return {
    violations: ledger.violations,
    convergenceMs: Math.max(converged, world?.convergenceMs ?? 0),
    faults,
    writes: counts,
    changes: ledger.changes,
    steps,
    pageSteps: world?.steps ?? 0,
    refreshes: world?.refreshes ?? 0,
    deliveries: broker.delivered,
    restored,
  }
}
