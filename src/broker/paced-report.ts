/** Reports that come no more often than somebody can read them. */
import type { ReportError } from '../contract/index.ts'

/** Passes on one error of a stage in a while, so that a flood of bad clients is no flood of reports. */
export function createPacedReport(report: ReportError, periodMs: number): ReportError {
  const nextMs = new Map<string, number>()
  return (error, context) => {
    const nowMs = performance.now()
    if (nowMs < (nextMs.get(context.stage) ?? 0)) return
    nextMs.set(context.stage, nowMs + periodMs)
    report(error, context)
  }
}
