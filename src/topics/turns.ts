/** Works that share a name are done one after another, in order; others at once; all together up to a number. */
import { LockstepError } from '../contract/index.ts'

export interface Turns {
  /** Errors: `overloaded`, those of the work. */
  take(name: string, work: () => Promise<void>): Promise<void>
  /** Resolves when nothing is left to do. */
  idle(): Promise<void>
}

export function createTurns(maxWaiting: number): Turns {
  const last = new Map<string, Promise<void>>()
  let waiting = 0
  return {
    async take(name, work) {
      if (waiting >= maxWaiting)
        throw new LockstepError(
          'overloaded',
          `${maxWaiting} writes have not been answered yet. Send it again later.`,
        )
      waiting++
      const before = last.get(name) ?? Promise.resolve()
      const done = before.then(work)
      const settled = done.catch(() => {})
      last.set(name, settled)
      try {
        await done
      } finally {
        waiting--
        if (last.get(name) === settled) last.delete(name)
      }
    },
    async idle() {
      while (last.size > 0) await Promise.all(last.values())
    },
  }
}
