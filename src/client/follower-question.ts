/**
 * When a follower asks the API, what it asks, and what it takes from having been answered or not.
 *
 * One question is open at a time, and while it is, nothing else changes the copy: so an answer can be compared
 * with the copy as it was asked for, and what is missing in it is missing. PROTOCOL.md §6.4 to §6.8.
 */
import { LockstepError, quote } from '../contract/index.ts'
import { pruneTombstones } from './copy.ts'
import {
  type Ask,
  type FollowerData,
  type FollowerState,
  type FollowerStatus,
  never,
  type Origin,
  type Step,
} from './follower-data.ts'
import { followerLimits as limits } from './follower-limits.ts'
import { isMarkerAwaited, servePosition } from './follower-wait.ts'

export function statusOf({ state }: FollowerData): FollowerStatus {
  return state === 'refreshing' ? 'catching-up' : state
}

export function enter({ m, effects }: Step, state: FollowerState): void {
  const before = statusOf(m)
  if (state === 'live' && m.state !== 'live') {
    m.wasLive = true
    m.sourceFailures = 0
    m.deadlines.ask = never
  }
  m.state = state
  const status = statusOf(m)
  if (status !== before) effects.push({ type: 'status', status })
}

/** Is a question open, or a change waiting for its resource? Then the copy is not touched. */
export function isBusy(m: FollowerData): boolean {
  return m.question !== undefined || m.queue !== undefined || m.incoming !== undefined
}

/** Is the source up and heard of? */
export function isHeard(m: FollowerData): boolean {
  return m.isSourceUp && !m.isSilent
}

/** Asks not later than `at`. After failures the planned wait stands, whatever else is wished for. */
export function plan({ m }: Step, at: number): void {
  const { deadlines } = m
  if (m.attempts > 0 && deadlines.ask !== never) return
  if (at < deadlines.ask) deadlines.ask = at
}

/** Asks now, where the follower has reason to (`evidence`: it knows that it is behind), unless it is waiting after failures. */
export function fill(step: Step, { evidence }: { evidence: boolean }): void {
  const { m } = step
  if (isBusy(m) || (m.attempts > 0 && m.deadlines.ask !== never)) return
  if (evidence && m.state === 'live') enter(step, 'catching-up')
  ask(step)
}

/** Sends the question that is due. */
export function ask(step: Step): void {
  const { m, now } = step
  if (m.question !== undefined || m.state === 'closed') return
  m.deadlines.ask = never
  const next = chooseQuestion(m)
  const isBaseline =
    (next.kind === 'items' && next.next === undefined) || (next.kind === 'resource' && m.kind === 'resource')
  if (isBaseline) m.serial++
  if (next.kind === 'items' && m.epoch !== undefined) enter(step, 'refreshing')
  m.generation++
  m.lastAskedAt = now
  const { generation, serial, claim } = m
  m.question = { generation, ask: next, sentAt: now, certain: m.isSourceUp, claim, serial }
  step.effects.push({ type: 'ask', generation, ask: next })
}

function chooseQuestion(m: FollowerData): Ask {
  if (m.kind === 'resource') {
    const version = m.copy.versions.get(m.id)
    const isKnown = m.epoch !== undefined && version !== undefined && !m.wantsBaseline
    return { kind: 'resource', path: m.path, held: isKnown ? { epoch: m.epoch!, version } : undefined }
  }
  if (m.epoch === undefined || m.wantsBaseline) return { kind: 'items', next: m.incoming?.next }
  const blocked = m.queue?.interval.changes[m.queue.at]
  if (blocked !== undefined) return { kind: 'resource', path: blocked.message.resource, held: undefined }
  // Begun with latest states, it ends with them: changes would miss the versions that were left out.
  const compact = m.cursor > m.position || m.feedHead - m.cursor > m.compactBeyond
  return { kind: 'feed', epoch: m.epoch, after: m.cursor, compact }
}

/** The question was not answered as hoped: asks again later. The copy goes on with what is known. */
export function fail(step: Step, retryAfterMs = 0): void {
  const { m, now, random } = step
  const sentAt = m.question?.sentAt ?? now
  m.question = undefined
  m.attempts++
  const delayMs = Math.max(backoffMs(m.attempts, random), Math.min(retryAfterMs, limits.retryAfterMs))
  // A question that ran into its timeout has waited already.
  m.deadlines.ask = Math.max(now + 50 + random() * 200, sentAt + delayMs)
  // A page of a baseline is asked for again some times before all of it is.
  if (m.incoming !== undefined && m.attempts <= 3) return
  m.incoming = undefined
  if (m.queue !== undefined && m.attempts >= 5) {
    m.queue = undefined
    m.wantsBaseline = true
  }
  if (m.state !== 'connecting') enter(step, 'stale')
}

/**
 * The answer is older than the copy: it is ignored as a whole and asked for again. `false` where the API has
 * insisted for so long that the copy must be wrong.
 */
export function ignoreOlder(step: Step): boolean {
  const { m, now } = step
  if (m.olderSince === never) m.olderSince = now
  if (now - m.olderSince > limits.disbeliefMs) return false
  m.incoming = undefined
  fail(step)
  return true
}

export function backoffMs(attempts: number, random: () => number): number {
  return random() * Math.min(limits.backoffMs.most, limits.backoffMs.first * 2 ** Math.min(attempts, 16))
}

/** The next baseline replaces everything: another epoch, a reset, changes that are gone, or the application's wish. */
export function wantBaseline(step: Step, delayMs: number): void {
  const { m, now } = step
  m.wantsBaseline = true
  if (m.state === 'live') enter(step, 'catching-up')
  plan(step, now + delayMs)
}

/** Someone speaks of another epoch. Only the API can say whether it is so. */
export function suspect(step: Step, epoch: string): void {
  const { m, now, random } = step
  if (now < m.calmUntil || isRetired(step, epoch) || m.epoch === undefined) return
  m.alarm = epoch
  plan(step, now + random() * limits.graceMs)
}

export function isRetired({ m, now }: Step, epoch: string): boolean {
  return m.retired.some(one => one.epoch === epoch && now < one.until)
}

/** Every change up to `seq` is in the copy now. */
export function advance(step: Step, seq: number): void {
  const { m } = step
  if (seq > m.ahead) m.ahead = seq
  if (seq > m.cursor) m.cursor = seq
  if (seq <= m.position) return
  m.position = seq
  if (m.copy.tombstones.size > 0 && m.kind !== 'resource') pruneTombstones(m.copy, seq)
  servePosition(step)
}

/** The API has said that the copy is what it has: the end of connecting, catching up, polling. */
export function reachHead(step: Step, origin: Origin): void {
  const { m } = step
  m.attempts = 0
  m.olderSince = never
  m.confirmedAt = Math.max(m.confirmedAt ?? 0, origin.sentAt)
  endAlarm(step)
  if (m.claim === origin.claim) m.claim = 0
  if (origin.certain && m.isSourceUp && !m.isOrdered) m.isCertain = true
  if (m.isOrdered && !m.isListening) listen(step)
  if (!isHeard(m)) {
    rest(step)
    return
  }
  if (m.isCertain) {
    enter(step, 'live')
    return
  }
  if (m.state !== 'stale') enter(step, 'catching-up')
  // Something may have been published before the source was up: one more answer closes that gap.
  // An ordered source closes it itself, with its first head.
  if (!m.isOrdered) ask(step)
}

/** The API has answered a suspicion. Where it knows nothing of the same epoch twice, the broker is hardly its own. */
function endAlarm({ m, now, effects }: Step): void {
  const { alarm: epoch, foreign } = m
  if (epoch === undefined) return
  m.alarm = undefined
  m.calmUntil = now + limits.alarmMs
  if (epoch === m.epoch) return
  const isAgain = foreign?.epoch === epoch
  m.foreign = { epoch, isTold: isAgain }
  if (!isAgain || foreign.isTold) return
  const error = new LockstepError(
    'invalid-option',
    `The broker tells of the epoch ${quote(epoch)} of ${quote(m.stream)}; the API's is ${quote(m.epoch)}. Is it the API's own broker, and is the topicPrefix right? What it tells is not used, and the follower of ${m.path} cannot stay live.`,
  )
  effects.push({ type: 'report', error })
}

/** There is no source to rely on: at the beginning it gets a moment, else the copy is stale, and polls. */
function rest(step: Step): void {
  const { m, now } = step
  const isAfterBaseline = m.state === 'connecting' || m.state === 'refreshing'
  const isBeginning = isAfterBaseline || m.deadlines.patience !== never
  if (isBeginning && !m.isSourceUp) {
    enter(step, 'catching-up')
    m.deadlines.patience = now + limits.patienceMs
  } else {
    enter(step, 'stale')
    planPoll(step)
  }
}

function planPoll(step: Step): void {
  const { least, most } = limits.pollMs
  plan(step, step.now + least + step.random() * (most - least))
}

/** Opens an ordered source after the position. */
export function listen({ m, effects }: Step): void {
  m.isListening = true
  m.isSourceUp = false
  m.isCertain = false
  m.mustRelisten = false
  m.pushed = undefined
  effects.push({ type: 'listen', after: { epoch: m.epoch!, seq: m.position } })
}

/** Plans what is left to do when an answer has been taken in. */
export function planRest(step: Step, { isVain }: { isVain: boolean }): void {
  const { m, now, random } = step
  if (isBusy(m)) return
  if (m.buffer.size === 0) m.vainFills = 0
  else if (isVain && ++m.vainFills >= 3) {
    // The API knows nothing of what they announce. Should it be true, heads will say so again.
    m.buffer.clear()
    m.vainFills = 0
  } else m.deadlines.hole = Math.min(m.deadlines.hole, now + limits.holeMs * 2 ** m.vainFills)
  if (m.claim > m.position) planHead(step)
  if (m.wantsBaseline) plan(step, now)
  else if (isMarkerAwaited(step)) {
    plan(step, m.vainWaits === 0 ? now : now + backoffMs(m.vainWaits, random))
    m.vainWaits++
  }
  if (m.state === 'stale' && m.deadlines.ask === never) planPoll(step)
  // What was planned is given up for a resource that a change waited for.
  const isForgotten = m.state === 'catching-up' && !m.isOrdered && isHeard(m)
  if (isForgotten || m.alarm !== undefined) plan(step, now)
}

/** Gives the messages below a head their time; who cannot see holes asks more seldom. */
export function planHead({ m, now, random }: Step): void {
  const graceEnd = now + limits.graceMs * (1 + random())
  const nextConfirm = m.lastAskedAt + limits.confirmMs * (0.8 + 0.2 * random())
  const at = m.kind === 'collection' ? graceEnd : Math.max(graceEnd, nextConfirm)
  if (at < m.deadlines.head) m.deadlines.head = at
}
