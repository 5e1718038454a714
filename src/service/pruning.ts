/** Retention in the background: the log is pruned every minute, never twice at a time. PROTOCOL.md §7.4. */
import { checkOptions, LockstepError, quote, type ReportError } from '../contract/index.ts'
import type { ChangeLog, Retention } from '../log/change-log.ts'

const pruneEveryMs = 60_000

export interface Pruning {
  /** Waits for the pruning that runs. */
  stop(): Promise<void>
}

/** Finds at the start what the first pruning would refuse. Errors: `invalid-option`. */
export function checkRetention(retention: Retention = {}): void {
  checkOptions('retention of openService', retention, {
    maxAgeMs: true,
    maxRows: true,
    minRows: true,
    maxReceiptAgeMs: true,
    maxReceipts: true,
  })
  for (const [name, value] of Object.entries(retention)) {
    if (value === undefined || (typeof value === 'number' && value >= 0)) continue
    throw new LockstepError('invalid-option', `retention.${name} is ${quote(value)}. Give 0 or more.`)
  }
}

export function startPruning(log: ChangeLog, retention: Retention | undefined, report: ReportError): Pruning {
  let running: Promise<unknown> | undefined
  const timer = setInterval(() => {
    running ??= log
      .prune(retention)
      .catch(error => report(error, { stage: 'retention' }))
      .finally(() => {
        running = undefined
      })
  }, pruneEveryMs)
  timer.unref()
  return {
    async stop() {
      clearInterval(timer)
      await running
    },
  }
}
