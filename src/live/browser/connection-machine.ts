/**
 * When a page connects, waits, doubts and gives up a connection: pure, with `now` and randomness as inputs.
 *
 * It knows nothing of what travels. A page that is put away (back/forward cache) disconnects and comes back with what it holds in
 * memory; one that slept notices by the clock that its connection may be dead, asks, and does not wait long for an answer.
 */
export type TransportName = 'websocket' | 'sse'

export interface ConnectionState {
  /** `waiting` for the next try; `away` while the browser keeps the page for later; `ended` for good. */
  readonly phase: 'connecting' | 'open' | 'waiting' | 'away' | 'ended'
  readonly transport: TransportName
  /** Tries since the last connection that was of use. */
  readonly failures: number
  /** When `wake` is due. */
  readonly wakeAt: number
  /** When something was heard last. */
  readonly heardAt: number
}

export type ConnectionEvent =
  /**
   * `start` also brings back a page that was away. `heard` comes with each frame, `settled` when one told that the page has everything.
   * `wake` is the timer. `doubt` says that the connection may be dead, `look` that somebody is looking at the page. `leave` puts the page away, `end` ends it.
   * `again` changes the connection for a new one, where nothing is wrong.
   */
  | { readonly type: 'start' | 'again' | 'heard' | 'settled' | 'wake' | 'doubt' | 'look' | 'leave' | 'end' }
  /** It could not be made, or broke. `retryMs` is the bridge's wish for the earliest next try. */
  | { readonly type: 'lost'; readonly retryMs?: number }

/** `ask` says something that the other side has to answer. */
export type ConnectionAction = 'connect' | 'disconnect' | 'ask'

/** How long a connection may take to say its first word. */
const connectMs = 10_000
/** How long the answer to a doubt may take. */
const answerMs = 5_000
/** The next try comes within 0 … min(most, first · 2ⁿ). */
const firstRetryMs = 500
const mostRetryMs = 10_000
/** Each third try in a row is an event stream's turn, where WebSockets may not work; after a success it is a WebSocket's again. */
const triesPerTurn = 3

export const unconnected: ConnectionState = {
  phase: 'waiting',
  transport: 'websocket',
  failures: 0,
  wakeAt: Infinity,
  heardAt: 0,
}

type Step = readonly [ConnectionState, ...ConnectionAction[]]

export interface ConnectionInputs {
  readonly now: number
  /** In [0, 1). */
  readonly random: number
  /** After so long without a word a connection is dead. */
  readonly silenceMs: number
}

/** The state after an event, and what is to be done for it. */
export function stepConnection(
  state: ConnectionState,
  event: ConnectionEvent,
  { now, random, silenceMs }: ConnectionInputs,
): Step {
  const { phase } = state
  const quietMs = now - state.heardAt
  const isUp = phase === 'connecting' || phase === 'open'
  const connecting: ConnectionState = { ...state, phase: 'connecting', wakeAt: now + connectMs }
  const failed = (retryMs = 0): ConnectionState => wait(state, now + retryMs, random)
  if (phase === 'ended') return [state]
  switch (event.type) {
    case 'start':
      return isUp ? [state] : [connecting, 'connect']
    case 'again':
      return [connecting, 'disconnect', 'connect']
    case 'heard':
      return isUp ? [{ ...state, phase: 'open', heardAt: now, wakeAt: now + silenceMs }] : [state]
    case 'settled':
      return [{ ...state, failures: 0 }]
    case 'lost':
      return isUp ? [failed(event.retryMs), 'disconnect'] : [state]
    case 'wake':
      // A timer may come early, or late after a sleep; only the clock counts.
      if (now < state.wakeAt) return [state]
      return isUp ? [failed(), 'disconnect'] : [connecting, 'connect']
    case 'look':
    case 'doubt':
      if (phase === 'waiting') return [connecting, 'connect']
      if (phase !== 'open' || (event.type === 'look' && quietMs < silenceMs / 2)) return [state]
      if (quietMs > silenceMs) return [connecting, 'disconnect', 'connect']
      return [{ ...state, wakeAt: Math.min(state.wakeAt, now + answerMs) }, 'ask']
    case 'leave':
    case 'end':
      return [{ ...state, phase: event.type === 'end' ? 'ended' : 'away', wakeAt: Infinity }, 'disconnect']
  }
}

/** Full jitter, so that thousands of pages do not come back at one moment; never before the bridge wants it. */
function wait(state: ConnectionState, from: number, random: number): ConnectionState {
  const failures = state.failures + 1
  const windowMs = Math.min(mostRetryMs, firstRetryMs * 2 ** (failures - 1))
  const transport = failures % triesPerTurn === triesPerTurn - 1 ? 'sse' : 'websocket'
  return { ...state, phase: 'waiting', failures, transport, wakeAt: from + random * windowMs }
}
