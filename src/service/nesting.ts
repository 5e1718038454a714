/**
 * Transactions inside transactions: a log runs one unit of work at a time, so one that waits for another of the same
 * log waits for itself. It is refused at once instead of after the time limit.
 */
import { AsyncLocalStorage } from 'node:async_hooks'
import { LockstepError } from '../contract/index.ts'
import type { ChangeLog } from '../log/change-log.ts'
import { baseOf } from './wrapped-log.ts'

interface Running {
  readonly log: ChangeLog
  readonly outer: Running | undefined
  /** What a work has set going may outlive it, and is then inside of nothing. */
  isOpen: boolean
}

const storage = new AsyncLocalStorage<Running>()

/** Errors: `invalid-option` where the caller is inside a unit of work on this log. */
export function refuseNesting(log: ChangeLog): void {
  const base = baseOf(log)
  for (let running = storage.getStore(); running !== undefined; running = running.outer) {
    if (running.log !== base || !running.isOpen) continue
    throw new LockstepError(
      'invalid-option',
      'A write was begun inside a transaction on the same log, which could only go on after it. Write through the tx of that transaction, or after its end.',
    )
  }
}

/** Runs a unit of work so that {@link refuseNesting} knows of it. */
export async function runInside<T>(log: ChangeLog, work: () => Promise<T>): Promise<T> {
  const running: Running = { log: baseOf(log), outer: storage.getStore(), isOpen: true }
  try {
    return await storage.run(running, work)
  } finally {
    running.isOpen = false
  }
}
