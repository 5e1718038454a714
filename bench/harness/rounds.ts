/**
 * Measures the variants of a question in rounds, each variant once per round and each round in another order, so
 * that what the machine does meanwhile hits all of them alike.
 */
import { measureBusy } from './machine.ts'
import type { Figures, Prepared, Round } from './question.ts'

export interface Measured {
  readonly rounds: readonly Round[]
  /** The shares of the processors that others used, looked at before each measurement. */
  readonly busy: readonly number[]
}

const lookMs = 200

/** Measures the rounds that end before the deadline, the first one in any case. Errors: those of a variant that fails twice in a row. */
export async function measureRounds(
  prepared: Prepared,
  progress: (text: string) => void,
  deadlineMs: number,
): Promise<Measured> {
  const { variants, rounds } = prepared
  const busy: number[] = []
  const measured: Round[] = []
  let longestMs = 0
  for (let number = 0; number < rounds; number++) {
    const startMs = performance.now()
    if (number > 0 && startMs + longestMs > deadlineMs) {
      progress(`the time is up after ${number} of ${rounds} rounds`)
      break
    }
    const round: Record<string, Figures> = {}
    for (let index = 0; index < variants.length; index++) {
      const variant = variants[(index + number) % variants.length]!
      progress(`round ${number + 1} of ${rounds}: ${variant.name}`)
      busy.push(await measureBusy(lookMs))
      round[variant.name] = await measureTwice(variant.measure, progress)
    }
    measured.push(round)
    longestMs = Math.max(longestMs, performance.now() - startMs)
  }
  return { rounds: measured, busy }
}

/** Once more where it failed: one lost connection should not cost the whole run. */
async function measureTwice(
  measure: () => Promise<Figures>,
  progress: (text: string) => void,
): Promise<Figures> {
  try {
    return await measure()
  } catch (error) {
    progress(`failed, once more: ${error instanceof Error ? error.message : String(error)}`)
    return await measure()
  }
}
