/** Whether a connection is up, and who wants to know when that changes. */
import type { ReportError } from './report-error.ts'

export interface ConnectionState {
  readonly connected: boolean
  /** Tells the listeners, where it is a change. */
  set(connected: boolean): void
  /** Adds a listener; the returned function removes it. */
  listen(listener: (connected: boolean) => void): () => void
}

export function createConnectionState(connected: boolean, reportError: ReportError): ConnectionState {
  const listeners = new Set<{ readonly call: (connected: boolean) => void }>()
  let now = connected
  return {
    get connected() {
      return now
    },

    set(next) {
      if (next === now) return
      now = next
      for (const listener of [...listeners]) {
        if (!listeners.has(listener)) continue
        try {
          listener.call(next)
        } catch (error) {
          reportError(error, { stage: 'broker connection listener' })
        }
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
