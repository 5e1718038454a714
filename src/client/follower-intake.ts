/**
 * How changes get into the copy: hints of a broker, which may be late, repeated or missing, and intervals of
 * the feed, which prove what they say.
 *
 * A follower of a whole collection goes by the numbers of the stream; the others, who hear a part of it, go by
 * the versions of each resource. PROTOCOL.md §6.2, §6.3.
 */
import { decodeSegment, encodeSegment, type Head, type JsonObject } from '../contract/index.ts'
import type { Change } from './change.ts'
import { applyMessage, type Difference, type Outcome } from './copy.ts'
import type { FollowerData, Interval, NumberedMessage, Origin, Step } from './follower-data.ts'
import { followerLimits as limits } from './follower-limits.ts'
import {
  advance,
  ask,
  enter,
  isBusy,
  listen,
  plan,
  planHead,
  planRest,
  reachHead,
  suspect,
  wantBaseline,
} from './follower-question.ts'

/** Takes a hint, or keeps it for later. */
export function hearMessage(step: Step, hint: NumberedMessage): void {
  const { m, now, random } = step
  if (hint.epoch !== m.epoch) {
    suspect(step, hint.epoch)
    return
  }
  if (hint.seq <= m.position) return
  if (isBusy(m)) {
    keepMessage(step, hint)
    return
  }
  if (takeHint(step, hint)) {
    if (m.buffer.size > 0) drain(step)
    return
  }
  keepMessage(step, hint)
  const isRef = 'ref' in hint.message && m.kind !== 'collection'
  const isFull = m.buffer.size >= limits.maxBuffered
  const at = isFull ? now : now + limits.holeMs * (isRef ? random() : 1)
  if (at < m.deadlines.hole) m.deadlines.hole = at
}

/** Keeps a hint: the first baseline, an answer or a missing message must come first. */
export function keepMessage({ m }: Step, hint: NumberedMessage): void {
  m.buffer.set(hint.message.id, hint)
  if (m.buffer.size <= limits.maxBuffered) return
  const [oldest] = m.buffer.keys()
  m.buffer.delete(oldest!)
}

/** Takes in what was kept, as far as it fits. */
export function drain(step: Step): void {
  const { m } = step
  const kept = [...m.buffer.values()].sort((a, b) => a.seq - b.seq)
  for (const hint of kept) {
    if (isBusy(m)) return
    if (hint.epoch !== m.epoch) suspect(step, hint.epoch)
    else if (hint.seq > m.position && !takeHint(step, hint)) {
      if (m.kind === 'collection') return
      continue
    }
    m.buffer.delete(hint.message.id)
  }
}

/** Takes a hint in where it fits now; `false` where something is missing before it. */
function takeHint(step: Step, hint: NumberedMessage): boolean {
  const { m, now, random } = step
  const { message, seq, epoch } = hint
  if (message.event === 'reset') {
    wantBaseline(step, random() * limits.spreadMs)
    return true
  }
  if (m.kind === 'collection') {
    if (seq !== m.position + 1) return false
    const outcome = takeChange(step, hint, false)
    if (outcome !== 'fetch') advance(step, seq)
    else takeInterval(step, { epoch, after: m.position, to: seq, compact: false, changes: [hint] }, undefined)
    return true
  }
  const outcome = takeChange(step, hint, false)
  if (outcome === 'fetch') return false
  if (outcome !== 'old') m.ahead = Math.max(m.ahead, seq)
  // All changes of one resource up to this one are of lower versions, so they are in.
  if (m.kind === 'resource' && message.resource === m.path) {
    advance(step, seq)
    if (outcome !== 'old') m.confirmedAt = Math.max(m.confirmedAt ?? 0, now)
  }
  return true
}

/** Takes an interval in, which the caller has seen to begin at or below the position. */
export function takeInterval(step: Step, interval: Interval, origin: Origin | undefined): void {
  const { m } = step
  const isClaimable = !interval.compact && m.cursor === m.position
  m.queue = { interval, at: 0, origin, isClaimable }
  runQueue(step)
}

/** Goes on with the queue; stops where a resource must be fetched first. */
export function runQueue(step: Step): void {
  const { m, random } = step
  const queue = m.queue!
  const { changes, compact, to, head, after } = queue.interval
  for (; queue.at < changes.length; queue.at++) {
    const change = changes[queue.at]!
    if (change.seq <= m.position) continue
    if (change.message.event === 'reset') {
      m.queue = undefined
      wantBaseline(step, random() * limits.spreadMs)
      return
    }
    if (takeChange(step, change, compact) !== 'fetch') continue
    if (queue.isClaimable) advance(step, change.seq - 1)
    m.ahead = Math.max(m.ahead, change.seq - 1)
    ask(step)
    return
  }
  m.queue = undefined
  m.cursor = Math.max(m.cursor, to)
  m.ahead = Math.max(m.ahead, to, compact && head !== undefined ? head : 0)
  const isAtHead = head !== undefined && to >= head
  if (queue.isClaimable || isAtHead) advance(step, to)
  if (queue.origin !== undefined) finishPage(step, { origin: queue.origin, isAtHead, isEmpty: to <= after })
  else finishPush(step, isAtHead)
}

function finishPage(
  step: Step,
  { origin, isAtHead, isEmpty }: { origin: Origin; isAtHead: boolean; isEmpty: boolean },
): void {
  const { m, now, random } = step
  m.attempts = 0
  if (isAtHead) {
    reachHead(step, origin)
    release(step, { isVain: true })
    return
  }
  if (m.state === 'live') enter(step, 'catching-up')
  // A page that covers nothing although there is more is no reason to ask without a pause.
  if (isEmpty) plan(step, now + limits.spreadMs * (1 + random()))
  else ask(step)
}

function finishPush(step: Step, isAtHead: boolean): void {
  const { m, now } = step
  if (isAtHead && m.isOrdered && m.isSourceUp && !m.wantsBaseline) {
    m.isCertain = true
    m.confirmedAt = now
    enter(step, 'live')
  }
  release(step, { isVain: false })
}

/** After an answer: takes in what waited for it, and plans what is left to do. */
export function release(step: Step, { isVain }: { isVain: boolean }): void {
  const { m } = step
  if (isBusy(m)) return
  if (m.mustRelisten && m.epoch !== undefined) listen(step)
  const { pushed } = m
  m.pushed = undefined
  if (pushed !== undefined && takePushed(step, { ...pushed, compact: false })) return
  if (m.buffer.size > 0) drain(step)
  planRest(step, { isVain })
}

/** Takes what an ordered source says, or keeps it for later. */
export function hearInterval(step: Step, interval: Interval): void {
  const { m, now } = step
  if (!m.isListening) return
  m.deadlines.silence = now + limits.silenceMs
  if (isBusy(m) || m.epoch === undefined) keepInterval(m, interval)
  else takePushed(step, interval)
}

/** Takes in what an ordered source said; `false` where it does not go on from the copy. */
function takePushed(step: Step, interval: Interval): boolean {
  const { m } = step
  if (interval.epoch !== m.epoch) {
    suspect(step, interval.epoch)
    return false
  }
  if (interval.after <= m.position) {
    takeInterval(step, interval, undefined)
    return true
  }
  // A hole in an ordered source: open it anew where the copy ends.
  if (m.state === 'live') enter(step, 'catching-up')
  listen(step)
  return false
}

/** Keeps what an ordered source says, joined to what is kept already. */
export function keepInterval(m: FollowerData, interval: Interval): void {
  const { pushed } = m
  const { epoch, after, to, head, changes } = interval
  if (m.mustRelisten) return
  if (pushed === undefined) m.pushed = { epoch, after, to, head, changes: [...changes] }
  else if (epoch === pushed.epoch && after <= pushed.to) {
    pushed.to = Math.max(pushed.to, to)
    pushed.head = head
    for (const change of changes) pushed.changes.push(change)
  } else m.mustRelisten = true
  if (m.pushed!.changes.length > limits.maxPushed) m.mustRelisten = true
  if (m.mustRelisten) m.pushed = undefined
}

/** Hears a head: it may prove that the copy is behind, never that it is not. */
export function hearHead(step: Step, head: Head, retained: boolean): void {
  const { m, now, random } = step
  if (head.epoch !== m.epoch) {
    suspect(step, head.epoch)
    return
  }
  if (!retained) {
    // A head that stands still below the position comes from someone who is behind: no sign of life.
    const isFresh = head.seq >= m.position || head.seq > m.lastHeadSeq
    m.lastHeadSeq = head.seq
    if (isFresh) {
      m.deadlines.silence = now + limits.silenceMs
      m.isSilent = false
      if (head.seq <= m.position && m.isCertain) m.confirmedAt = now
      if (m.state === 'stale' && m.isSourceUp) plan(step, now + random() * limits.graceMs)
    }
  }
  if (head.seq <= m.position) return
  if (head.seq > m.claim) m.claim = head.seq
  planHead(step)
}

/** Applies one change, where it is about what is followed, and tells the application. */
function takeChange(step: Step, { message, seq }: NumberedMessage, isLatest: boolean): Outcome {
  const { m } = step
  if (message.event === 'reset') return 'old'
  const id = idOf(m, message.resource)
  if (id === undefined) return 'old'
  const outcome = applyMessage(m.copy, id, message, { seq, isLatest })
  if (typeof outcome === 'object') tell(step, outcome, message.id, message.cause)
  return outcome
}

/** The id under which the copy holds a resource; `undefined` where it is not in what is followed. */
export function idOf({ kind, path, id }: FollowerData, resource: string): string | undefined {
  if (kind === 'resource') return resource === path ? id : undefined
  const start = path.length + 1
  if (!resource.startsWith(path) || resource.charCodeAt(path.length) !== slash) return undefined
  if (resource.indexOf('/', start) !== -1) return undefined
  try {
    return decodeSegment(resource.slice(start))
  } catch {
    // Not a path of this protocol: nothing that is followed.
    return undefined
  }
}

const slash = 0x2f

/** Gives the application a change of the copy; a resource that comes or goes is heard of on another topic. */
export function tell(step: Step, difference: Difference, position: string, cause?: string): void {
  const { m, effects } = step
  const path = m.kind === 'resource' ? m.path : `${m.path}/${encodeSegment(difference.id)}`
  const change = { path, cause, position, ...difference }
  effects.push({ type: 'change', change: change as unknown as Change<JsonObject> })
  if (m.kind === 'resource') hearCreations(step)
}

/** Tells the application to look at the whole copy. */
export function tellRefreshed({ m, effects }: Step, position: string): void {
  const { path, id } = m
  const nothing = { state: undefined, previous: undefined, changes: undefined, cause: undefined }
  effects.push({ type: 'change', change: { event: 'refreshed', path, id, version: 0, position, ...nothing } })
}

/** A resource that does not exist is created on its collection's topic. */
export function hearCreations({ m, effects }: Step): void {
  const wanted = !m.copy.states.has(m.id)
  if (m.isOrdered || wanted === m.hearsCreations) return
  m.hearsCreations = wanted
  effects.push({ type: 'creations', wanted })
}
