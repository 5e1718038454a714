/**
 * The relay's window ★: which changes of one stream are on their way to the broker, as a pure state machine.
 *
 * It keeps order and loses nothing: changes go out in the order of their numbers, several at a time; what counts
 * as published is only the part without a hole; after any failure everything behind that part goes out again.
 * A change that the broker cannot take goes out without its content, so that it cannot stop the stream. No
 * clock, no I/O. PROTOCOL.md §3.
 */

/** How often a change is tried whole before it goes out as `ref`, and as `ref` before it is left out. */
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
  /** Has this turn moved `acked`? */
  readonly progressed: boolean
  /** Changes up to here go one at a time: one of them may be what breaks the connection. */
  readonly singleUpTo: number
  /** How often each change above `acked` failed by its own fault. */
  readonly failures: ReadonlyMap<number, number>
}

/** A window that has published everything up to `acked`. */
export function createRelayWindow(epoch: string, acked: number): RelayWindow {
  return {
    epoch,
    acked,
    sent: acked,
    ackedAhead: new Set(),
    turn: 0,
    progressed: false,
    singleUpTo: acked,
    failures: new Map(),
  }
}

/** How many more changes may go out now. */
export function roomIn(window: RelayWindow, size: number): number {
  const onTheirWay = window.sent - window.acked
  return Math.max(0, (window.acked < window.singleUpTo ? 1 : size) - onTheirWay)
}

/** The next change went out. Numbers MUST come without a hole. */
export function noteSent(window: RelayWindow, seq: number): RelayWindow {
  if (seq !== window.sent + 1) throw new Error(`The relay sent ${seq} after ${window.sent}.`)
  return { ...window, sent: seq }
}

/** The broker acknowledged a change of a turn. */
export function noteAcked(window: RelayWindow, turn: number, seq: number): RelayWindow {
  if (turn !== window.turn || seq <= window.acked || seq > window.sent) return window
  const ackedAhead = new Set(window.ackedAhead)
  if (seq !== window.acked + 1) return { ...window, ackedAhead: ackedAhead.add(seq) }
  let acked = seq
  while (ackedAhead.delete(acked + 1)) acked++
  const failures = new Map([...window.failures].filter(([failed]) => failed > acked))
  return { ...window, acked, ackedAhead, failures, progressed: true }
}

/**
 * The connection was lost, or an answer did not come: a new turn begins behind what is acknowledged without a hole.
 * Where a turn ends so without any progress, what was on its way goes one at a time, which shows whose fault it
 * is; a loss alone never leaves a change out.
 */
export function noteLost(window: RelayWindow, turn: number): RelayWindow {
  if (turn !== window.turn) return window
  const { acked, sent, progressed } = window
  const isSuspect = sent === acked + 1 && window.singleUpTo >= sent
  const times = window.failures.get(sent) ?? 0
  return {
    ...beginTurn(window),
    singleUpTo: progressed ? window.singleUpTo : Math.max(window.singleUpTo, sent),
    failures: isSuspect && times < maxTries ? new Map(window.failures).set(sent, times + 1) : window.failures,
  }
}

/** The broker refused this very change: a new turn begins, and its tries are counted. `isFinal` where trying again is of no use. */
export function noteRefused(window: RelayWindow, turn: number, seq: number, isFinal = false): RelayWindow {
  if (turn !== window.turn) return window
  const before = window.failures.get(seq) ?? 0
  const times = isFinal ? (before < maxTries ? maxTries : 2 * maxTries) : before + 1
  return { ...beginTurn(window), failures: new Map(window.failures).set(seq, times) }
}

/** In which form the change goes out: after some refusals without its content, after some more not at all. */
export function formOf(window: RelayWindow, seq: number): 'whole' | 'ref' | 'skip' {
  const times = window.failures.get(seq) ?? 0
  return times < maxTries ? 'whole' : times < 2 * maxTries ? 'ref' : 'skip'
}

/** Jumps over everything up to `seq`: a reset was published instead. */
export function jumpTo(window: RelayWindow, epoch: string, seq: number): RelayWindow {
  return { ...createRelayWindow(epoch, seq), turn: window.turn + 1 }
}

function beginTurn(window: RelayWindow): RelayWindow {
  return { ...window, sent: window.acked, ackedAhead: new Set(), turn: window.turn + 1, progressed: false }
}
