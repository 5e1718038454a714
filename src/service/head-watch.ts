/**
 * Waits for a stream to move: one listener on the log's commits for all who wait (relay, event streams, readers
 * that are ahead). Commits of other processes are not heard, so every wait has an end and its owner looks again.
 */
import type { Head } from '../contract/index.ts'
import type { ChangeLog } from '../log/change-log.ts'

export interface HeadWatch {
  /**
   * Resolves when the stream has moved past the head that the caller has seen (at once where it has by now), after
   * `timeoutMs`, or when the signal aborts: whichever is first.
   */
  moved(seen: Head, timeoutMs: number, signal: AbortSignal): Promise<void>
  close(): void
}

/** Begins to listen to the log's commits. */
export function createHeadWatch(log: ChangeLog): HeadWatch {
  const latest = new Map<string, Head>()
  const waiting = new Map<string, Set<() => void>>()
  const stop = log.onCommit(heads => {
    for (const head of heads) {
      latest.set(head.stream, head)
      for (const wake of waiting.get(head.stream) ?? []) wake()
    }
  })
  return {
    moved(seen, timeoutMs, signal) {
      return new Promise(resolve => {
        const now = latest.get(seen.stream)
        const isPast = now !== undefined && (now.epoch !== seen.epoch || now.seq > seen.seq)
        if (signal.aborted || isPast) {
          resolve()
          return
        }
        const waiters = waiting.get(seen.stream) ?? new Set()
        waiting.set(seen.stream, waiters)
        const wake = (): void => {
          clearTimeout(timer)
          waiters.delete(wake)
          signal.removeEventListener('abort', wake)
          resolve()
        }
        const timer = setTimeout(wake, timeoutMs)
        waiters.add(wake)
        signal.addEventListener('abort', wake)
      })
    },
    close: stop,
  }
}
