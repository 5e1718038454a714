/**
 * The relay's window ★: which changes of one stream are on their way to the broker, as a pure state machine.
 *
 * It keeps order and loses nothing: changes go out in the order of their numbers, several at a time; what counts
 * as published is only the part without a hole; after any failure everything behind that part goes out again.
 * A change that the broker refuses again and again goes out without its content, so that it cannot stop the
 * stream. No clock, no I/O. PROTOCOL.md §3.
 */

/** How often a change is tried whole before it goes out as `ref`. */
export const maxTries = 3

export interface RelayWindow {
  readonly epoch: string
  /** Everything up to here is acknowledged. */
  readonly acked: number
  /** Everything up to here was given to the broker in this turn. */
  readonly sent: number
  /** Acknowledged out of order: above `acked`, with a hole below. */
  readonly ackedAhead: ReadonlySet<number>
  /** Counts the turns; an answer to an earlier turn says nothing about this one. */
  readonly turn: number
  /** The change that failed last, and how often in a row. */
  readonly failing: { readonly seq: number; readonly times: number } | undefined
}

/** A window that has published everything up to `acked`. */
export function createRelayWindow(epoch: string, acked: number): RelayWindow {
  return { epoch, acked, sent: acked, ackedAhead: new Set(), turn: 0, failing: undefined }
}

/** How many more changes may go out now. */
export function roomIn(window: RelayWindow, size: number): number {
  return Math.max(0, size - (window.sent - window.acked))
}

/** The next change went out. Numbers MUST come without a hole. */
export function noteSent(window: RelayWindow, seq: number): RelayWindow {
  if (seq !== window.sent + 1) throw new Error(`The relay sent ${seq} after ${window.sent}.`)
  return { ...window, sent: seq }
}

/** The broker acknowledged a change of a turn. */
export function noteAcked(window: RelayWindow, turn: number, seq: number): RelayWindow {
  if (turn !== window.turn || seq <= window.acked || seq > window.sent) return window
  if (seq !== window.acked + 1) return { ...window, ackedAhead: new Set(window.ackedAhead).add(seq) }
  const ackedAhead = new Set(window.ackedAhead)
  let acked = seq
  while (ackedAhead.delete(acked + 1)) acked++
  const failing = window.failing !== undefined && window.failing.seq <= acked ? undefined : window.failing
  return { ...window, acked, ackedAhead, failing }
}

/** The connection was lost, or an answer did not come: a new turn begins behind what is acknowledged without a hole. */
export function noteLost(window: RelayWindow, turn: number): RelayWindow {
  if (turn !== window.turn) return window
  return { ...window, sent: window.acked, ackedAhead: new Set(), turn: window.turn + 1 }
}

/** The broker refused this very change: as {@link noteLost}, and its tries are counted. */
export function noteRefused(window: RelayWindow, turn: number, seq: number): RelayWindow {
  if (turn !== window.turn) return window
  const times = window.failing?.seq === seq ? window.failing.times + 1 : 1
  return { ...noteLost(window, turn), failing: { seq, times } }
}

/** Has the change been refused so often that it goes out without its content? And, one more time, not at all? */
export function formOf(window: RelayWindow, seq: number): 'whole' | 'ref' | 'skip' {
  const times = window.failing?.seq === seq ? window.failing.times : 0
  return times < maxTries ? 'whole' : times < 2 * maxTries ? 'ref' : 'skip'
}

/** Jumps over everything up to `seq`: a reset was published instead. */
export function jumpTo(window: RelayWindow, epoch: string, seq: number): RelayWindow {
  return { ...createRelayWindow(epoch, seq), turn: window.turn + 1 }
}
