/**
 * One simulation: a service, its broker, writers and followers under faults, all from one seed.
 *
 * For a while everything may fail; then the faults end, and within 15 s every follower must be live and equal to
 * the API. Violations of any promise are collected on the way. See test/sim/README.md.
 */
import { createHash } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { SimBroker } from './broker.ts'
import { injectFaults } from './faults.ts'
import { type FollowerParts, SimFollower } from './followers.ts'
import { Ledger } from './ledger.ts'
import { SimLink } from './network.ts'
import { installRuntime, type Runtime } from './runtime.ts'
import { SimService } from './service.ts'
import { runWriter, type WriteCounts } from './workload.ts'

export interface SimulationResult {
  readonly seed: number
  readonly violations: readonly string[]
  /** How long after the last fault every follower was right. */
  readonly convergenceMs: number
  readonly faults: readonly string[]
  readonly writes: WriteCounts
  readonly changes: number
  readonly steps: number
  readonly deliveries: number
  /** How many followers went on from a copy that they had kept. */
  readonly restored: number
  /** The same for the same seed, to the byte. */
  readonly digest: string
  readonly trace: readonly string[]
}

/** The promise of PROTOCOL.md: so long after the faults every follower equals the API. */
const convergenceMs = 15_000

export async function simulate(seed: number, { keepTrace = false } = {}): Promise<SimulationResult> {
  const hash = createHash('sha256')
  const trace: string[] = []
  const folder = mkdtempSync(join(tmpdir(), 'lockstep-sim-'))
  const runtime = installRuntime(seed)
  const tell = (line: string): void => {
    const text = `${runtime.now().toFixed(1)} ${line}`
    hash.update(text)
    if (keepTrace) trace.push(text)
  }
  try {
    const result = await simulateIn(runtime, folder, tell)
    return { seed, ...result, digest: hash.digest('hex'), trace }
  } finally {
    runtime.uninstall()
    rmSync(folder, { recursive: true, force: true })
  }
}

type Part = Omit<SimulationResult, 'seed' | 'digest' | 'trace'>

async function simulateIn(runtime: Runtime, folder: string, tell: (line: string) => void): Promise<Part> {
  const ledger = new Ledger()
  const broker = new SimBroker(runtime)
  const service = new SimService(runtime, broker, ledger, error => tell(`reported ${String(error)}`))
  const counts: WriteCounts = { acknowledged: 0, refused: 0, unknown: 0 }
  const followers: SimFollower[] = []
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
    const places = ['/people', '/people/hot', '/people/hot/notes', '/projects', '/people/late', '/people']
    for (const [index, path] of places.entries()) {
      await runtime.sleep(runtime.between(0, 400))
      const source = index === 5 || runtime.chance(0.3) ? 'sse' : 'mqtt'
      const name = `f${index}.${source}`
      const replicaFile = runtime.chance(0.7) ? join(folder, `f${index}.db`) : undefined
      const parts: FollowerParts = {
        runtime,
        service,
        broker,
        ledger,
        path,
        source,
        replicaFile,
        tell,
        onRestored,
      }
      followers.push(await SimFollower.start(name, parts))
    }
    const links = [...followers.map(({ link }) => link), ...writers.map(({ link }) => link)]
    await injectFaults({
      runtime,
      service,
      broker,
      followers,
      links,
      tell,
      onFault: fault => faults.push(fault),
    })
    isFaulty = false
    await Promise.all(writers.map(({ done }) => done))
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
  await runtime.run(runtime.now() + 12_000)
  for (const follower of followers) {
    if (follower.difference() !== undefined)
      ledger.violations.push(`${follower.name} left the truth again: ${follower.difference()}`)
  }
  const steps = followers.reduce((sum, follower) => sum + follower.steps, 0)
  void Promise.all([...followers.map(follower => follower.close()), service.close()]).catch(failed)
  await runtime.run(runtime.now() + 120_000)
  if (runtime.waiting > 0) ledger.violations.push(`${runtime.waiting} timers are left after the end`)
  if (broker.connections.size > 0)
    ledger.violations.push(`${broker.connections.size} connections are left after the end`)
  return {
    violations: ledger.violations,
    convergenceMs: converged,
    faults,
    writes: counts,
    changes: ledger.changes,
    steps,
    deliveries: broker.delivered,
    restored,
  }
}
