/**
 * The instances of a service: which one gets the next request, which ones are well, and what happens when they change.
 *
 * The one with the least to do gets it. One that fails its checks, or to which requests fail, gets none for a while.
 */
import { LockstepError, type ReportError } from '../contract/index.ts'
import { checkHealth, type HealthCheck } from './health-check.ts'
import { Instance, type UpstreamLimits } from './instance.ts'
import { RetryBudget } from './retry-budget.ts'

export interface UpstreamOptions extends UpstreamLimits {
  readonly name: string
  readonly instances: readonly string[]
  /** `undefined`: only what happens to requests counts. */
  readonly health: HealthCheck | undefined
  /** How often an idempotent request is sent again. */
  readonly retries: number
}

const sweepEveryMs = 100

export class Upstream {
  readonly name: string
  readonly options: UpstreamOptions
  readonly retryBudget: RetryBudget = new RetryBudget()
  readonly #report: ReportError
  #instances: Instance[] = []
  #next = 0
  readonly #timers: NodeJS.Timeout[] = []

  constructor(options: UpstreamOptions, report: ReportError) {
    this.name = options.name
    this.options = options
    this.#report = report
    this.#instances = options.instances.map(url => new Instance(url, options))
  }

  get instances(): readonly Instance[] {
    return this.#instances
  }

  /** Begins to watch over time limits and health. */
  start(): void {
    if (this.#timers.length > 0) return
    const every = (ms: number, run: () => void): void => void this.#timers.push(setInterval(run, ms).unref())
    every(sweepEveryMs, () => {
      const nowMs = performance.now()
      for (const instance of this.#instances) instance.sweep(nowMs)
    })
    const { health } = this.options
    if (health === undefined) return
    const check = (): void => {
      for (const instance of this.#instances)
        void checkHealth(instance, health, (error, context) => this.#report(error, context))
    }
    every(health.everyMs, check)
    check()
  }

  /** The instance for the next request. Errors: `api-unreachable` where none is well. */
  choose(nowMs: number, notThis?: Instance): Instance {
    const all = this.#instances
    let best: Instance | undefined
    // Another one begins each time, so that equals take turns.
    const first = this.#next++
    for (let index = 0; index < all.length; index++) {
      const instance = all[(first + index) % all.length]!
      if (instance === notThis && all.length > 1) continue
      if (!instance.isHealthy || !instance.breaker.allows(nowMs)) continue
      if (best === undefined || instance.inFlight < best.inFlight) best = instance
    }
    if (best !== undefined) return best
    throw new LockstepError(
      'api-unreachable',
      `No instance of the service ${this.name} is well. Try again shortly.`,
    )
  }

  /** Ends the watching and lets what runs come to its end. */
  async close(graceMs: number): Promise<void> {
    for (const timer of this.#timers.splice(0)) clearInterval(timer)
    const sweep = setInterval(() => {
      const nowMs = performance.now()
      for (const instance of this.#instances) instance.sweep(nowMs)
    }, sweepEveryMs).unref()
    await Promise.all(this.#instances.map(instance => instance.drain(graceMs)))
    clearInterval(sweep)
  }
}
