/**
 * Waits for a stream to move: one listener on the log's commits for all who wait (relay, event streams, readers
 * that are ahead). Commits of other processes are not heard, so every wait has an end and its owner looks again.
 */
import type { ChangeLog } from '../log/change-log.ts'

export interface HeadWatch {
  /** Calls `listener` at each commit in the stream. Returns a function that ends it. */
  onMoved(stream: string, listener: () => void): () => void
  /** How many commits in the stream were heard. Taken before a read, it tells later whether the read may be old. */
  count(stream: string): number
  /**
   * Resolves when more commits were heard than `count` (at once where they were already), after `timeoutMs`, or
   * when the signal aborts: whichever is first.
   */
  moved(stream: string, count: number, timeoutMs: number, signal: AbortSignal): Promise<void>
  close(): void
}

/** Begins to listen to the log's commits. */
export function createHeadWatch(log: ChangeLog): HeadWatch {
  const counts = new Map<string, number>()
  const listeners = new Map<string, Set<() => void>>()
  const count = (stream: string): number => counts.get(stream) ?? 0
  const stop = log.onCommit(heads => {
    for (const { stream } of heads) {
      counts.set(stream, count(stream) + 1)
      for (const listener of listeners.get(stream) ?? []) listener()
    }
  })
  const onMoved = (stream: string, listener: () => void): (() => void) => {
    const others = listeners.get(stream) ?? new Set()
    listeners.set(stream, others.add(listener))
    return () => others.delete(listener)
  }
  return {
    onMoved,
    count,
    moved(stream, before, timeoutMs, signal) {
      if (signal.aborted || count(stream) !== before) return Promise.resolve()
      return new Promise(resolve => {
        const wake = (): void => {
          clearTimeout(timer)
          stopHearing()
          signal.removeEventListener('abort', wake)
          resolve()
        }
        const timer = setTimeout(wake, timeoutMs)
        const stopHearing = onMoved(stream, wake)
        signal.addEventListener('abort', wake)
      })
    },
    close: stop,
  }
}
