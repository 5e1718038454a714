/** What a bridge counts from its start on, for metrics. */
import type { RefreshReason } from './seat.ts'

export interface Counters {
  /** Connections that were taken, and those that were turned away, with the code of why. */
  accepted: number
  refused: Record<string, number>
  /** Ends of connections by the bridge, by code. */
  closed: Record<string, number>
  /** Frames and messages handed to connections, and their bytes. */
  sends: number
  messages: number
  bytes: number
  /** Pages that were behind the backlog, and the reads of the feed that served them and the streams themselves. */
  fills: number
  feedReads: number
  holds: number
  /** Pages that became slow. */
  slow: number
  refreshes: Record<RefreshReason, number>
}

export function createCounters(): Counters {
  return {
    accepted: 0,
    refused: {},
    closed: {},
    sends: 0,
    messages: 0,
    bytes: 0,
    fills: 0,
    feedReads: 0,
    holds: 0,
    slow: 0,
    refreshes: { gone: 0, epoch: 0, 'too-far': 0, ahead: 0, unmarked: 0 },
  }
}

/** Adds one under a code. */
export function count(counts: Record<string, number>, code: string): void {
  counts[code] = (counts[code] ?? 0) + 1
}
