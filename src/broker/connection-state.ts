/** Whether a connection is up, and who wants to know when that changes. */
import type { ReportError } from '../contract/index.ts'

export interface ConnectionState {
  readonly connected: boolean
  /** Tells the listeners, where it is a change, each change to all of them before the next. */
  set(connected: boolean): void
  /** Adds a listener; the returned function removes it. */
  listen(listener: (connected: boolean) => void): () => void
}

export function createConnectionState(connected: boolean, reportError: ReportError): ConnectionState {
  const listeners = new Set<{ readonly call: (connected: boolean) => void }>()
  /** Changes that are to be told; a listener may cause the next while it hears of one. */
  const changes: boolean[] = []
  let now = connected

  function tell(change: boolean): void {
    for (const listener of [...listeners]) {
      if (!listeners.has(listener)) continue
      try {
        listener.call(change)
      } catch (error) {
        reportError(error, { stage: 'broker connection listener' })
      }
    }
  }

  return {
    get connected() {
      return now
    },

    set(next) {
      if (next === now) return
      now = next
      changes.push(next)
      if (changes.length > 1) return
      while (changes.length > 0) {
        tell(changes[0]!)
        changes.shift()
      }
    },

    listen(listener) {
      const entry = { call: listener }
      listeners.add(entry)
      return () => {
        listeners.delete(entry)
      }
    },
  }
}
