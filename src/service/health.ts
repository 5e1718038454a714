/**
 * How a service stands, for whoever watches over it: can it answer, does it publish, how far behind is its relay.
 *
 * A broker that is down only delays messages, so the service stays in use: `degraded`, not `failing`. What is told holds
 * no states, no addresses and no texts of errors. PROTOCOL.md §4.17.
 */
import type { Broker } from '../broker/broker.ts'
import { type Head, isLockstepError, LockstepError, type ReportError } from '../contract/index.ts'
import type { ChangeLog } from '../log/change-log.ts'
import type { Relay } from './relay.ts'

export interface Health {
  /** `degraded`: requests are answered, and something needs a look. `failing`: requests cannot be answered. */
  readonly status: 'ok' | 'degraded' | 'failing'
  /** Why it is not `ok`: `relay-stalled`, and codes of docs/errors.md. */
  readonly reasons: readonly string[]
  /** By name; empty while the change log cannot be read. */
  readonly streams: Readonly<Record<string, StreamHealth>>
  /** `undefined` where the service has no broker. */
  readonly broker: { readonly connected: boolean } | undefined
  /** How many event streams are open. */
  readonly eventStreams: number
  /** The last thing that failed in the background or was answered with 5xx; `undefined` where nothing did. */
  readonly lastError: { readonly code: string; readonly stage: string; readonly agoMs: number } | undefined
  readonly uptimeMs: number
}

export interface StreamHealth {
  readonly epoch: string
  /** The last number of the log. */
  readonly head: number
  /** The first number that the log still holds. */
  readonly first: number
  /** The last number that the broker has acknowledged; `undefined` without a broker, as is `lag`. */
  readonly relayed: number | undefined
  /** Changes that the broker has not acknowledged. */
  readonly lag: number | undefined
}

/** The change log must have answered within this time. */
const answerMs = 2_000
/** A relay whose broker is connected, and which came no further for so long, is stalled. */
const stalledMs = 30_000
/** A failure of the change log is a reason to look for so long. */
const failureMs = 60_000

export interface HealthParts {
  readonly streams: readonly string[]
  readonly log: ChangeLog
  readonly broker: Broker | undefined
  readonly relay: Relay | undefined
  readonly errors: ErrorMemory
  readonly closing: AbortSignal
  readonly eventStreams: number
}

/** Looks at the log, the relay and the last error. Does not reject. */
export async function readHealth(parts: HealthParts): Promise<Health> {
  const { broker, errors, closing, eventStreams } = parts
  const failures: string[] = closing.aborted ? ['closed'] : []
  const warnings: string[] = []
  const streams: Record<string, StreamHealth> = {}
  if (broker?.connected === false) warnings.push('broker-unreachable')
  try {
    for (const { head, relayed, waitingMs } of await inTime(readStreams(parts))) {
      const { stream, epoch, seq, first } = head
      const lag = relayed === undefined ? undefined : seq - relayed
      streams[stream] = { epoch, head: seq, first, relayed, lag }
      if (waitingMs > stalledMs && broker?.connected) warnings.push('relay-stalled')
    }
  } catch (error) {
    failures.push(codeOf(error))
  }
  const lastError = errors.last()
  if (lastError?.code.startsWith('log-') && lastError.agoMs < failureMs) warnings.push(lastError.code)
  return {
    status: failures.length > 0 ? 'failing' : warnings.length > 0 ? 'degraded' : 'ok',
    reasons: [...new Set([...failures, ...warnings])],
    streams,
    broker: broker && { connected: broker.connected },
    eventStreams,
    lastError,
    uptimeMs: errors.uptimeMs(),
  }
}

interface StreamProgress {
  readonly head: Head
  readonly relayed: number | undefined
  readonly waitingMs: number
}

function readStreams({ streams, log, relay }: HealthParts): Promise<readonly StreamProgress[]> {
  return Promise.all(
    streams.map(async stream => {
      const head = await log.head(stream)
      const progress = await relay?.progress(head)
      return { head, relayed: progress?.relayed, waitingMs: progress?.waitingMs ?? 0 }
    }),
  )
}

function inTime<T>(reading: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const message = `The change log did not answer within ${answerMs / 1_000} s.`
    const timer = setTimeout(() => reject(new LockstepError('timeout', message)), answerMs)
    reading.then(resolve, reject).finally(() => clearTimeout(timer))
  })
}

/** What was reported last, without its text. */
export interface ErrorMemory {
  /** Reports, and remembers. */
  readonly report: ReportError
  last(): Health['lastError']
  /** For how long it has been remembering. */
  uptimeMs(): number
}

/** Begins to remember the last error that is reported. */
export function createErrorMemory(report: ReportError): ErrorMemory {
  const beginMs = performance.now()
  let last: { code: string; stage: string; atMs: number } | undefined
  return {
    report(error, context) {
      last = { code: codeOf(error), stage: context.stage, atMs: performance.now() }
      report(error, context)
    },
    last() {
      if (last === undefined) return undefined
      const { code, stage, atMs } = last
      return { code, stage, agoMs: Math.round(performance.now() - atMs) }
    },
    uptimeMs: () => Math.round(performance.now() - beginMs),
  }
}

function codeOf(error: unknown): string {
  return isLockstepError(error) ? error.code : 'internal'
}
