/** The port to what counts requests, and the counter in memory: for one gateway. */
import { createLevel, type Level, look, type Policy, type Taken, take } from './rate.ts'

/** One thing that is counted. */
export interface Bucket {
  /** Whose it is. */
  readonly key: string
  readonly policy: Policy
}

export interface Counter {
  /**
   * Takes one of each, or none where one of them has none left; gives what became of each up to the first that refused. MUST answer without
   * a promise where it counts in memory.
   */
  take(buckets: readonly Bucket[]): readonly Taken[] | Promise<readonly Taken[]>
  close(): Promise<void>
}

/** How many levels are remembered; past it, those that were not used for longest are forgotten. */
const maxLevels = 200_000

export function createMemoryCounter(now: () => number = Date.now): Counter {
  // Two generations: what is used moves to the young one, and the old one is dropped as a whole.
  let young = new Map<string, Level>()
  let old = new Map<string, Level>()
  const levelOf = (key: string): Level => {
    const known = young.get(key)
    if (known !== undefined) return known
    const level = old.get(key) ?? createLevel()
    if (young.size >= maxLevels / 2) {
      old = young
      young = new Map()
    }
    young.set(key, level)
    return level
  }
  return {
    take(buckets) {
      const nowMs = now()
      const taken: Taken[] = []
      const levels: Level[] = []
      for (const { key, policy } of buckets) {
        const level = levelOf(`${policy.name} ${key}`)
        const result = look(policy, level, nowMs)
        taken.push(result)
        if (!result.allowed) return taken
        levels.push(level)
      }
      for (const [index, level] of levels.entries()) take(buckets[index]!.policy, level, nowMs)
      return taken
    },
    async close() {},
  }
}
