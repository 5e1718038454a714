/** How background work tells of what fails, where no call can be rejected. */
import { errorChannel } from './channel.ts'
import { isLockstepError } from './error.ts'

/** Is told of an error and of the work it happened in. What it throws itself is lost. */
export type ReportError = (error: unknown, context: { readonly stage: string }) => void

/**
 * Makes a report that never throws: to `onError`, and to the channel `lockstep:error`. Where neither hears, it goes to
 * standard error, so that nothing fails in silence.
 */
export function createErrorReport(onError: ReportError | undefined): ReportError {
  return (error, context) => {
    try {
      if (onError !== undefined) onError(error, context)
      else if (!errorChannel.hasSubscribers) console.error(`lockstep: ${context.stage}:`, briefly(error))
    } catch {
      // Whoever reports must not be harmed by the reporter.
    }
    if (errorChannel.hasSubscribers) errorChannel.publish({ error, stage: context.stage })
  }
}

/** An error of ours says in its message all there is to know, unless it has a cause; of a network's failure it tells that too. */
function briefly(error: unknown): unknown {
  const isTold = isLockstepError(error) && (error.cause === undefined || /^(broker|api)-/.test(error.code))
  return isTold ? error.message : error
}
