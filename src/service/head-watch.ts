/**
 * Waits for a stream to move: one listener on the log's commits for all who wait (relay, event streams, readers
 * that are ahead). Commits of other processes are not heard, so every wait has an end and its owner looks again.
 */
import type { Head } from '../contract/index.ts'
import type { ChangeLog } from '../log/change-log.ts'

export interface HeadWatch {
  /** Calls `listener` at each commit in the stream. Returns a function that ends it. */
  onMoved(stream: string, listener: () => void): () => void
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
  const onMoved = (stream: string, listener: () => void): (() => void) => {
    const listeners = waiting.get(stream) ?? new Set()
    waiting.set(stream, listeners.add(listener))
    return () => listeners.delete(listener)
  }
  return {
    onMoved,
    moved(seen, timeoutMs, signal) {
      return new Promise(resolve => {
        const now = latest.get(seen.stream)
        const isPast = now !== undefined && (now.epoch !== seen.epoch || now.seq > seen.seq)
        if (signal.aborted || isPast) {
          resolve()
          return
        }
        const wake = (): void => {
          clearTimeout(timer)
          stopHearing()
          signal.removeEventListener('abort', wake)
          resolve()
        }
        const timer = setTimeout(wake, timeoutMs)
        const stopHearing = onMoved(seen.stream, wake)
        signal.addEventListener('abort', wake)
      })
    },
    close: stop,
  }
}
