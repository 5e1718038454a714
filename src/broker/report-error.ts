/** How a connection tells of what fails in the background, where no call can be rejected. */
import { isLockstepError } from '../contract/index.ts'

/** Is told of an error and of the work it happened in. What it throws itself is lost. */
export type ReportError = (error: unknown, context: { readonly stage: string }) => void

/** Calls `onError`, or writes to standard error where there is none, so that nothing fails in silence. */
export function createErrorReport(onError: ReportError | undefined): ReportError {
  return (error, context) => {
    try {
      if (onError !== undefined) onError(error, context)
      else console.error(`lockstep: ${context.stage}:`, isLockstepError(error) ? error.message : error)
    } catch {
      // Whoever reports must not be harmed by the reporter.
    }
  }
}

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
