/** How a command that runs until it is told otherwise is told: Ctrl-C, SIGTERM, the terminal closed, or itself. */

export interface Stop {
  /** Resolves when the command is to end. */
  readonly promise: Promise<void>
  readonly signal: AbortSignal
  /** Ends it from within. */
  now(): void
}

/** Listens for signals. A second one ends the process at once. */
export function untilStopped(): Stop {
  const { promise, resolve } = Promise.withResolvers<void>()
  const controller = new AbortController()
  const now = (): void => {
    controller.abort()
    resolve()
  }
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(name, () => {
      if (controller.signal.aborted) process.exit(130)
      now()
    })
  }
  return { promise, signal: controller.signal, now }
}

/** Waits, or ends the wait when stopped. */
export function pause(delayMs: number, signal: AbortSignal): Promise<void> {
  return new Promise(resolve => {
    const end = (): void => {
      clearTimeout(timer)
      signal.removeEventListener('abort', end)
      resolve()
    }
    const timer = setTimeout(end, delayMs)
    signal.addEventListener('abort', end)
    if (signal.aborted) end()
  })
}
