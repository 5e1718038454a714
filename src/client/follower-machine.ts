/**
 * The follower ★: what it does in each state at each event.
 *
 * Events and the time go in, effects come out. There are no promises, timers, clocks or sockets in here; the same
 * data, events, times and random numbers always give the same effects. The data is changed in place, since a copy
 * of a large collection per message would be the end of it. PROTOCOL.md §6.
 */
import { formatPosition } from '../contract/index.ts'
import { takeFailure, takeGone, takeItems, takePage, takeResource } from './follower-answer.ts'
import {
  type Effect,
  type FollowerData,
  type FollowerEvent,
  type FollowerState,
  never,
  type Step,
} from './follower-data.ts'
import { hearHead, hearInterval, hearMessage, keepMessage, tellRefreshed } from './follower-intake.ts'
import { followerLimits as limits } from './follower-limits.ts'
import { ask, backoffMs, enter, fill, isBusy, isHeard, isRetired, plan } from './follower-question.ts'
import {
  closedError,
  closeWaits,
  expireWaits,
  isMarkerAwaited,
  openWait,
  retiredError,
} from './follower-wait.ts'

type EventType = FollowerEvent['type']
type EventOf<T extends EventType> = Extract<FollowerEvent, { type: T }>
type Handler<T extends EventType> = (step: Step, event: EventOf<T>) => void

/** What happens at an event in a state. An event that is forgotten does not compile. */
type Row = { readonly [T in EventType]: Handler<T> }

/** These say the same in each state that is not the end. */
const always: Pick<Row, 'page' | 'items' | 'resource' | 'failed' | 'refresh' | 'lost' | 'close'> = {
  page: (step, { generation, interval }) => takePage(step, generation, interval),
  items: takeItems,
  resource: (step, { generation, answer }) => takeResource(step, generation, answer),
  failed: takeFailure,
  refresh: beginRefresh,
  lost: beginAnew,
  close,
}

const table: Readonly<Record<FollowerState, Row>> = {
  connecting: {
    ...always,
    start: begin,
    'source-up': beginWithSource,
    'source-down': loseSource,
    message: (step, { message }) => keepMessage(step, message),
    head: ignore,
    interval: ignore,
    gone: ignore,
    ready: awaitBaseline,
    'at-least': awaitMarker,
    tick: wake,
  },
  refreshing: {
    ...always,
    start: ignore,
    'source-up': hearSource,
    'source-down': loseSource,
    message: (step, { message }) => keepMessage(step, message),
    head: hear,
    interval: (step, { interval }) => hearInterval(step, interval),
    gone: loseSource,
    ready: serveReady,
    'at-least': awaitMarker,
    tick: wake,
  },
  'catching-up': {
    ...always,
    start: goOn,
    'source-up': confirmSource,
    'source-down': goStale,
    message: (step, { message }) => hearMessage(step, message),
    head: hear,
    interval: (step, { interval }) => hearInterval(step, interval),
    gone: leavePosition,
    ready: serveReady,
    'at-least': pursueMarker,
    tick: wake,
  },
  live: {
    ...always,
    start: ignore,
    'source-up': confirmSource,
    'source-down': goStale,
    message: (step, { message }) => hearMessage(step, message),
    head: hear,
    interval: (step, { interval }) => hearInterval(step, interval),
    gone: leavePosition,
    ready: serveReady,
    'at-least': pursueMarker,
    tick: wake,
  },
  stale: {
    ...always,
    start: ignore,
    'source-up': confirmSource,
    'source-down': goStale,
    message: (step, { message }) => hearMessage(step, message),
    head: hear,
    interval: (step, { interval }) => hearInterval(step, interval),
    gone: leavePosition,
    ready: serveReady,
    'at-least': pursueMarker,
    tick: wake,
  },
  closed: {
    start: ignore,
    'source-up': ignore,
    'source-down': ignore,
    message: ignore,
    head: ignore,
    interval: ignore,
    gone: ignore,
    page: ignore,
    items: ignore,
    resource: ignore,
    failed: ignore,
    ready: refuseClosed,
    refresh: refuseClosed,
    'at-least': refuseClosed,
    tick: ignore,
    lost: ignore,
    close: ignore,
  },
}

/**
 * Lets an event happen at `now`; gives what is to be done, in order. `random` gives numbers in [0, 1). A copy that
 * cannot be read throws; `effects` then has what is to be done all the same.
 */
export function stepFollower(
  m: FollowerData,
  event: FollowerEvent,
  { now, random, effects = [] }: { now: number; random: () => number; effects?: Effect[] },
): readonly Effect[] {
  const handler = table[m.state][event.type] as Handler<EventType>
  handler({ m, now, random, effects }, event)
  return effects
}

/** When the follower wants its next `tick`; `Infinity` where there is nothing to wait for. */
export function nextTick(m: FollowerData): number {
  const { ask: toAsk, hole, head, silence, patience, wait } = m.deadlines
  return Math.min(toAsk, hole, head, silence, patience, wait)
}

function ignore(): void {}

function begin(step: Step, { listenFirst }: EventOf<'start'>): void {
  const { m, now, effects } = step
  if (!m.isOrdered) effects.push({ type: 'listen', after: undefined })
  if (listenFirst && !m.isOrdered) m.deadlines.patience = now + limits.patienceMs
  else ask(step)
}

/** A copy was kept: it is shown as it is, and brought up to date from where it ends. */
function goOn(step: Step): void {
  const { m, now, effects } = step
  tellRefreshed(step, formatPosition({ stream: m.stream, epoch: m.epoch!, seq: m.position }))
  if (!m.isOrdered) {
    effects.push({ type: 'listen', after: undefined })
    m.deadlines.patience = now + limits.patienceMs
  }
  ask(step)
}

function hearSource({ m, now }: Step): void {
  m.isSourceUp = true
  m.isSilent = false
  m.deadlines.silence = now + limits.silenceMs
}

/** The source is there: now the first baseline misses nothing. */
function beginWithSource(step: Step): void {
  const { m } = step
  hearSource(step)
  if (m.deadlines.patience === never) return
  m.deadlines.patience = never
  if (m.attempts === 0) ask(step)
}

/** The source is there (again): what it did not tell meanwhile is asked for. An ordered one tells it itself. */
function confirmSource(step: Step): void {
  const { m, now, random } = step
  hearSource(step)
  m.deadlines.patience = never
  if (m.isOrdered) return
  m.isCertain = false
  if (m.state === 'live') enter(step, 'catching-up')
  if (m.wasLive) plan(step, now + (random() * limits.spreadMs) / 2)
  else fill(step, { evidence: false })
}

function loseSource({ m }: Step): void {
  m.isSourceUp = false
  m.isCertain = false
  m.isListening = false
  m.pushed = undefined
  m.deadlines.silence = never
  for (const origin of [m.question, m.incoming, m.queue?.origin]) if (origin) origin.certain = false
}

function goStale(step: Step): void {
  const { m, now, random } = step
  loseSource(step)
  m.deadlines.patience = never
  if (m.state !== 'stale') enter(step, 'stale')
  const delayMs = m.isOrdered
    ? Math.min(backoffMs(++m.sourceFailures, random), limits.pollMs.most)
    : random() * limits.pollMs.least
  plan(step, now + delayMs)
}

/** An ordered source cannot go on from the position: as when the feed says so. */
function leavePosition(step: Step): void {
  const { m } = step
  loseSource(step)
  if (m.question?.ask.kind === 'items' || m.incoming !== undefined) return
  takeGone(step)
}

function hear(step: Step, { head, retained }: EventOf<'head'>): void {
  hearHead(step, head, retained)
}

function awaitBaseline(step: Step, { token }: EventOf<'ready'>): void {
  openWait(step, { kind: 'ready', token, deadline: never })
}

function serveReady({ effects }: Step, { token }: EventOf<'ready'>): void {
  effects.push({ type: 'settle', token, error: undefined })
}

/** A refresh is served by a baseline that is asked for after it. */
function beginRefresh(step: Step, { token, timeoutMs }: EventOf<'refresh'>): void {
  const { m, now, effects } = step
  const deadline = now + timeoutMs
  if (!openWait(step, { kind: 'refresh', token, timeoutMs, deadline, serial: m.serial + 1 })) return
  m.wantsBaseline = true
  if (m.question?.ask.kind === 'items' || m.incoming !== undefined || m.deadlines.patience !== never) return
  if (m.question !== undefined && m.kind === 'resource') return
  if (m.question !== undefined) effects.push({ type: 'abort' })
  m.question = undefined
  m.queue = undefined
  if (m.state === 'live') enter(step, 'catching-up')
  if (m.attempts === 0 || m.deadlines.ask === never) ask(step)
}

/** Waits for a marker; served at once where the copy is there. */
function awaitMarker(step: Step, event: EventOf<'at-least'>): void {
  const { m, now, effects } = step
  const { token, epoch, seq, timeoutMs } = event
  if (epoch === m.epoch && seq <= m.position) effects.push({ type: 'settle', token, error: undefined })
  else if (epoch !== m.epoch && isRetired(step, epoch)) {
    effects.push({ type: 'settle', token, error: retiredError(step, epoch) })
  } else openWait(step, { kind: 'marker', token, epoch, seq, timeoutMs, deadline: now + timeoutMs })
}

/** Waits for a marker, and goes to get it. */
function pursueMarker(step: Step, event: EventOf<'at-least'>): void {
  awaitMarker(step, event)
  if (!isMarkerAwaited(step) || isBusy(step.m)) return
  fill(step, { evidence: true })
}

function wake(step: Step): void {
  const { m, now } = step
  const { deadlines } = m
  if (now >= deadlines.patience) {
    deadlines.patience = never
    if (m.state === 'connecting') ask(step)
    else if (m.state === 'catching-up' && !isHeard(m)) giveUpWaiting(step)
  }
  if (now >= deadlines.silence) fallSilent(step)
  if (now >= deadlines.hole) {
    deadlines.hole = never
    if (m.buffer.size > 0) fill(step, { evidence: true })
  }
  if (now >= deadlines.head) {
    deadlines.head = never
    if (m.claim > m.position) fill(step, { evidence: m.kind === 'collection' })
  }
  if (now >= deadlines.ask) {
    deadlines.ask = never
    if (m.state === 'live' && isMarkerAwaited(step)) enter(step, 'catching-up')
    ask(step)
  }
  expireWaits(step)
}

/** The source takes too long to come up: the copy goes on by polling. */
function giveUpWaiting(step: Step): void {
  enter(step, 'stale')
  plan(step, step.now + step.random() * limits.pollMs.least)
}

/** Nothing was heard for the time of three heads. */
function fallSilent(step: Step): void {
  const { m, now, random, effects } = step
  m.deadlines.silence = never
  if (m.isOrdered) {
    effects.push({ type: 'unlisten' })
    loseSource(step)
  } else m.isSilent = true
  if (m.state === 'connecting' || m.state === 'refreshing') return
  enter(step, 'stale')
  plan(step, now + (random() * limits.spreadMs) / 2)
}

/** The copy is lost, whatever was being done with it: as at first, but the source stays, and who waits goes on waiting. */
function beginAnew(step: Step): void {
  const { m, effects } = step
  m.copy.clear()
  const lostEpoch = m.epoch ?? m.lostEpoch
  Object.assign(m, { epoch: undefined, lostEpoch, position: 0, cursor: 0, confirmedAt: undefined })
  m.question = m.incoming = m.queue = m.pushed = undefined
  m.attempts = m.claim = m.feedHead = 0
  m.isCertain = m.mustRelisten = m.wantsBaseline = false
  m.deadlines.hole = m.deadlines.head = m.deadlines.patience = never
  effects.push({ type: 'abort' })
  if (m.isOrdered) {
    effects.push({ type: 'unlisten' })
    loseSource(step)
  } else if (!m.isSourceUp) {
    // It may be that it was never opened.
    effects.push({ type: 'listen', after: undefined })
  }
  enter(step, 'connecting')
  ask(step)
}

function close(step: Step): void {
  const { m, effects } = step
  m.question = undefined
  m.incoming = undefined
  m.queue = undefined
  m.buffer.clear()
  m.deadlines.ask = m.deadlines.hole = m.deadlines.head = never
  m.deadlines.silence = m.deadlines.patience = never
  effects.push({ type: 'abort' }, { type: 'unlisten' })
  enter(step, 'closed')
  closeWaits(step)
}

function refuseClosed(step: Step, { token }: { readonly token: number }): void {
  step.effects.push({ type: 'settle', token, error: closedError(step) })
}
