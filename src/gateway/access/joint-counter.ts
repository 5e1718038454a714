/**
 * Counters for several gateways, in Redis or PostgreSQL, by rate-limiter-flexible. Windows are fixed there, so that a burst may come at the end of
 * one and again at the beginning of the next.
 *
 * Where the store fails, each gateway counts by itself, and says so: it lets through at most as often as there are gateways.
 */
import type { RateLimiterAbstract, RateLimiterRes } from 'rate-limiter-flexible'
import { LockstepError, quote, type ReportError } from '../../contract/index.ts'
import { type Counter, createMemoryCounter } from './counter.ts'
import type { Policy, Taken } from './rate.ts'

export interface JointCounterOptions {
  readonly kind: 'redis' | 'postgres'
  readonly url: string
  readonly onError: ReportError
  readonly now: () => number
  /** How long a request waits for the store. @default 500 */
  readonly waitMs?: number
}

interface Store {
  /** Resolves when it can count. */
  ready(): Promise<void>
  limiterOf(policy: Policy): RateLimiterAbstract
  close(): Promise<void>
}

const connectWithinMs = 5_000
/** How often a store that fails is told of. */
const tellEveryMs = 30_000

/** Errors: `missing-dependency`. */
export async function openJointCounter(options: JointCounterOptions): Promise<Counter> {
  const { onError, now, waitMs = 500 } = options
  const store = await (options.kind === 'redis' ? openRedis(options) : openPostgres(options))
  await store.ready().catch(error => onError(error, { stage: 'counting' }))
  const own = createMemoryCounter(now)
  let tellAt = 0
  const limiters = new Map<string, RateLimiterAbstract>()
  const limiterOf = (policy: Policy): RateLimiterAbstract => {
    const name = `${policy.name}:${policy.quota}:${policy.windowMs}`
    const known = limiters.get(name) ?? store.limiterOf(policy)
    limiters.set(name, known)
    return known
  }
  return {
    async take(buckets) {
      try {
        await inTime(store.ready(), waitMs)
        const taken: Taken[] = []
        for (const { key, policy } of buckets) {
          const result = await inTime(consume(limiterOf(policy), key), waitMs)
          taken.push(result)
          if (!result.allowed) return taken
        }
        return taken
      } catch (error) {
        if (now() >= tellAt) onError(error, { stage: 'counting' })
        tellAt = Math.max(tellAt, now() + tellEveryMs)
        return await own.take(buckets)
      }
    },
    close: () => store.close(),
  }
}

async function consume(limiter: RateLimiterAbstract, key: string): Promise<Taken> {
  try {
    return toTaken(await limiter.consume(key), true)
  } catch (error) {
    // What is refused rejects with the numbers, what failed with an error.
    if (error instanceof Error) throw error
    return toTaken(error as RateLimiterRes, false)
  }
}

function toTaken({ remainingPoints, msBeforeNext }: RateLimiterRes, allowed: boolean): Taken {
  return { allowed, remaining: Math.max(0, remainingPoints), resetMs: Math.max(0, msBeforeNext) }
}

function inTime<T>(call: Promise<T>, waitMs: number): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(
      () =>
        reject(new LockstepError('timeout', `The store of the counters did not answer within ${waitMs} ms.`)),
      waitMs,
    )
    call.then(resolve, reject).finally(() => clearTimeout(timer))
  })
}

function settingsOf({ name, quota, windowMs }: Policy): {
  readonly keyPrefix: string
  readonly points: number
  readonly duration: number
} {
  const duration = Math.max(1, Math.ceil(windowMs / 1_000))
  return { keyPrefix: `lockstep:${name}:${quota}:${duration}`, points: quota, duration }
}

async function openRedis({ url, onError }: JointCounterOptions): Promise<Store> {
  const { RateLimiterRedis } = await load('rate-limiter-flexible', () => import('rate-limiter-flexible'))
  const { Redis } = await load('ioredis', () => import('ioredis'))
  const client = new Redis(url, {
    enableOfflineQueue: false,
    maxRetriesPerRequest: 1,
    commandTimeout: connectWithinMs,
  })
  let isTold = false
  client.on('error', error => {
    if (!isTold) onError(error, { stage: 'counting' })
    isTold = true
  })
  client.on('ready', () => {
    isTold = false
  })
  return {
    limiterOf: policy => new RateLimiterRedis({ storeClient: client, ...settingsOf(policy) }),
    async ready() {},
    async close() {
      client.disconnect()
    },
  }
}

/** Two that make it at the same time would be in each other's way, IF NOT EXISTS or not. */
const createTable = `
  BEGIN; SELECT pg_advisory_xact_lock(5141029);
  CREATE TABLE IF NOT EXISTS lockstep_counter (key varchar(255) PRIMARY KEY, points integer NOT NULL DEFAULT 0, expire bigint);
  COMMIT`

async function openPostgres({ url, onError }: JointCounterOptions): Promise<Store> {
  const { RateLimiterPostgres } = await load('rate-limiter-flexible', () => import('rate-limiter-flexible'))
  const { default: pg } = await load('pg', () => import('pg'))
  const pool = new pg.Pool({ connectionString: url, max: 8, connectionTimeoutMillis: connectWithinMs })
  pool.on('error', error => onError(error, { stage: 'counting' }))
  let made: Promise<unknown> | undefined
  return {
    limiterOf: policy =>
      new RateLimiterPostgres({
        storeClient: pool,
        storeType: 'pool',
        tableName: 'lockstep_counter',
        tableCreated: true,
        ...settingsOf(policy),
      }),
    async ready() {
      made ??= pool.query(createTable)
      try {
        await made
      } catch (error) {
        made = undefined
        throw error
      }
    },
    close: () => pool.end(),
  }
}

async function load<T>(name: string, importIt: () => Promise<T>): Promise<T> {
  try {
    return await importIt()
  } catch (cause) {
    throw new LockstepError(
      'missing-dependency',
      `Counting for several gateways needs the package ${quote(name)}. Install it: npm install ${name}.`,
      { cause },
    )
  }
}
