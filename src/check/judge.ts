/** A check, and the judge that it tells what it found. */
import { type JsonObject, quote } from '../contract/index.ts'
import { findProblemFault, show } from './answer.ts'
import type { Exchange } from './api.ts'
import type { Context } from './context.ts'

export interface Check {
  /** Two words with a dot, stable: `write.no-op`. */
  readonly id: string
  /** The rules of PROTOCOL.md that it judges: `3.3 7.1`. */
  readonly rule: string
  /** What holds where it passes, as a sentence. */
  readonly title: string
  run(context: Context, judge: Judge): Promise<void> | void
}

export interface Judge {
  /** The first faults, in words. */
  readonly faults: readonly string[]
  /** How many there were. */
  readonly count: number
  /** How much was looked at, in words: "37 messages". */
  readonly note: string
  fail(fault: string): void
  /** Gives back `holds`. */
  expect(holds: boolean, fault: string | (() => string)): boolean
  /** Has the answer one of these statuses? */
  status(exchange: Exchange, ...wanted: readonly number[]): boolean
  /** Is the answer a problem document of one of these statuses, and of this code? */
  problem(exchange: Exchange, wanted: number | readonly number[], code?: string): boolean
  say(note: string): void
  /** Ends the check, which could not be made. */
  skip(reason: string): never
}

/** Thrown by {@link Judge.skip}. */
export class Skipped extends Error {
  override readonly name = 'Skipped'
}

const maxFaults = 8

export function createJudge(): Judge {
  const faults: string[] = []
  let count = 0
  let note = ''
  const fail = (fault: string): void => {
    count++
    if (faults.length < maxFaults) faults.push(fault)
  }
  const expect = (holds: boolean, fault: string | (() => string)): boolean => {
    if (!holds) fail(typeof fault === 'string' ? fault : fault())
    return holds
  }
  return {
    faults,
    get count() {
      return count
    },
    get note() {
      return note
    },
    fail,
    expect,
    status: (exchange, ...wanted) =>
      expect(wanted.includes(exchange.status), () => `${show(exchange)} instead of ${wanted.join(' or ')}`),
    problem(exchange, wanted, code) {
      const statuses = [wanted].flat()
      if (
        !expect(
          statuses.includes(exchange.status),
          () => `${show(exchange)} instead of ${statuses.join(' or ')}`,
        )
      )
        return false
      const fault = findProblemFault(exchange)
      if (fault !== undefined) return expect(false, `${show(exchange)}: ${fault}`)
      const own = (exchange.json as JsonObject)['code']
      return expect(
        code === undefined || own === code,
        () => `${show(exchange)} has the code ${quote(own)} and not ${code}`,
      )
    },
    say(text) {
      note = text
    },
    skip(reason) {
      throw new Skipped(reason)
    },
  }
}
