/**
 * What a follower makes of the API's answers: pages of the feed, pages of a baseline, single resources, failures.
 *
 * An answer to another question than the open one is ignored, and so is one that is older than the copy.
 * PROTOCOL.md §6.5, §6.8.
 */
import { formatPosition, isLockstepError, type LockstepError } from '../contract/index.ts'
import { buryResource, type Difference, heldVersion, putState, replaceContent } from './copy.ts'
import type {
  FollowerData,
  Incoming,
  Interval,
  Item,
  OpenQuestion,
  Origin,
  ResourceAnswer,
  Step,
} from './follower-data.ts'
import {
  hearCreations,
  idOf,
  keepInterval,
  release,
  runQueue,
  takeInterval,
  tell,
  tellRefreshed,
} from './follower-intake.ts'
import { followerLimits as limits } from './follower-limits.ts'
import { advance, ask, fail, ignoreOlder, isRetired, reachHead, wantBaseline } from './follower-question.ts'
import { dropRetiredWaits, refuseWaits, serveBaseline, servePosition } from './follower-wait.ts'

/** Takes a page of the feed. */
export function takePage(step: Step, generation: number, interval: Interval): void {
  const { m } = step
  const question = openQuestion(m, generation)
  if (question?.ask.kind !== 'feed') return
  const { epoch, after, compact } = question.ask
  if (interval.epoch !== epoch || epoch !== m.epoch) {
    takeGone(step)
    return
  }
  if (interval.after !== after || interval.to < after) {
    retry(step)
    return
  }
  const { head = interval.to } = interval
  if (head < m.ahead) {
    // From before what the copy may hold. Where that does not change, a new baseline is believed.
    if (!ignoreOlder(step)) {
      m.question = undefined
      wantBaseline(step, 0)
    }
    release(step, { isVain: false })
    return
  }
  m.question = undefined
  m.feedHead = head
  takeInterval(step, { ...interval, compact }, question)
}

/** The feed cannot go on from the position. All who follow learn it at once, so the new baselines are spread. */
export function takeGone(step: Step): void {
  const { m, random } = step
  m.question = undefined
  m.queue = undefined
  m.attempts = 0
  wantBaseline(step, random() * limits.spreadMs)
}

/** Takes a page of a baseline. */
export function takeItems(
  step: Step,
  page: {
    generation: number
    epoch: string
    seq: number
    items: readonly Item[]
    next: string | undefined
  },
): void {
  const { m } = step
  const question = openQuestion(m, page.generation)
  if (question?.ask.kind !== 'items') return
  const begun = m.incoming
  if (begun !== undefined && begun.epoch !== page.epoch) {
    // The epoch changed between two pages: all begins again.
    m.incoming = undefined
    retry(step)
    return
  }
  if (begun !== undefined && page.seq < begun.seq) {
    // What was changed before the first page was read may be missing in this one.
    retry(step)
    return
  }
  const isOld = begun === undefined && isOlder(step, page)
  if (isOld && ignoreOlder(step)) {
    release(step, { isVain: false })
    return
  }
  m.question = undefined
  m.attempts = 0
  const incoming = begun ?? beginContent(m, page, question, isOld)
  m.incoming = incoming
  // A later page is of a later moment, and may hold what the position does not claim.
  incoming.ahead = Math.max(incoming.ahead, page.seq)
  const failure = incoming.content.add(page.items)
  if (failure !== undefined) {
    m.incoming = undefined
    refuseWaits(step, failure)
    retry(step)
    return
  }
  incoming.next = page.next
  if (page.next === undefined) install(step, incoming)
  else ask(step)
}

function beginContent(
  { copy }: FollowerData,
  { epoch, seq }: { epoch: string; seq: number },
  { sentAt, certain, claim, serial }: OpenQuestion,
  isOld: boolean,
): Incoming {
  const content = copy.beginContent()
  return { epoch, seq, isOld, ahead: seq, sentAt, certain, claim, serial, next: undefined, content }
}

/** The baseline is whole: it becomes the copy. */
function install(step: Step, incoming: Incoming): void {
  const { m } = step
  m.incoming = undefined
  m.queue = undefined
  adopt(step, incoming, isSameEpoch => incoming.content.install(incoming.seq, isSameEpoch))
  m.ahead = Math.max(m.ahead, incoming.ahead)
  finishBaseline(step, incoming)
}

function finishBaseline(step: Step, baseline: Origin & { readonly serial: number }): void {
  const { m } = step
  serveBaseline(step, baseline.serial)
  m.wantsBaseline = m.waits.some(wait => wait.kind === 'refresh')
  reachHead(step, baseline)
  release(step, { isVain: true })
}

/** Takes up epoch and position of a baseline, and tells how the copy changed. */
function adopt(
  step: Step,
  { epoch, seq, isOld }: { epoch: string; seq: number; isOld: boolean },
  replace: (isSameEpoch: boolean) => readonly Difference[] | 'many',
): void {
  const { m } = step
  const isFirst = m.epoch === undefined
  // An API that insists on being older is taken like another epoch: its numbers and versions count anew.
  const isSameEpoch = m.epoch === epoch && !isOld
  const differences = replace(isSameEpoch)
  const position = formatPosition({ stream: m.stream, epoch, seq })
  if (!isSameEpoch) {
    const left = m.epoch ?? m.lostEpoch
    if (left !== undefined && left !== epoch) retire(step, left)
    Object.assign(m, { epoch, position: 0, cursor: 0, ahead: 0, claim: 0, lastHeadSeq: 0, feedHead: 0 })
    // An ordered source goes on in numbers that are over.
    m.isListening = false
    if (m.isOrdered) m.isSourceUp = false
  }
  if (isFirst || differences === 'many') tellRefreshed(step, position)
  else for (const difference of differences) tell(step, difference, position)
  advance(step, seq)
  servePosition(step)
}

function retire(step: Step, epoch: string): void {
  const { m, now } = step
  m.retired = [{ epoch, until: now + limits.retiredMs }, ...m.retired].slice(0, 8)
  dropRetiredWaits(step, epoch)
}

/** Takes the answer about one resource: the one that is followed, or one that a change waits for. */
export function takeResource(step: Step, generation: number, answer: ResourceAnswer): void {
  const { m } = step
  const question = openQuestion(m, generation)
  if (question?.ask.kind !== 'resource') return
  if (m.kind !== 'resource') {
    takeBlocked(step, answer)
    return
  }
  if (answer.found === 'same' && answer.epoch !== m.epoch) {
    // "Not modified", but of another epoch: only a whole answer says what is there.
    m.wantsBaseline = true
    retry(step)
    return
  }
  const isOld = isOlder(step, answer) || (answer.epoch === m.epoch && isBehindCopy(m, answer))
  if (isOld && ignoreOlder(step)) {
    release(step, { isVain: false })
    return
  }
  if (!isOld && fallsShort(m, answer)) {
    retry(step)
    return
  }
  m.question = undefined
  adopt(step, { ...answer, isOld }, isSameEpoch => compareResource(step, answer, isSameEpoch))
  hearCreations(step)
  requeue(m)
  finishBaseline(step, question)
}

/** Is the answer from before the change that waits for it? */
function fallsShort({ queue }: FollowerData, answer: ResourceAnswer): boolean {
  const blocked = queue?.interval.changes[queue.at]
  if (blocked === undefined || blocked.epoch !== answer.epoch) return false
  const { message, seq } = blocked
  return answer.found === 'whole' && 'version' in message
    ? answer.version < message.version
    : answer.seq < seq
}

/** What waited for the followed resource itself comes after it. */
function requeue(m: FollowerData): void {
  const { queue, pushed } = m
  if (queue === undefined) return
  m.queue = undefined
  m.pushed = undefined
  keepInterval(m, queue.interval)
  if (pushed !== undefined) keepInterval(m, { ...pushed, compact: false })
}

/** Is the answer's version one that the copy has left behind? */
function isBehindCopy({ copy, id }: FollowerData, answer: ResourceAnswer): boolean {
  if (answer.found !== 'whole') return false
  const held = heldVersion(copy, id)
  return answer.version < held || (answer.version === held && !copy.states.has(id))
}

function compareResource({ m }: Step, answer: ResourceAnswer, isSameEpoch: boolean): readonly Difference[] {
  const { copy, id } = m
  if (answer.found === 'same') return []
  if (answer.found === 'absent' && isSameEpoch && !copy.states.has(id)) return []
  const isWhole = answer.found === 'whole'
  const states = new Map(isWhole ? [[id, answer.state]] : [])
  const versions = new Map(isWhole ? [[id, answer.version]] : [])
  return replaceContent(copy, { states, versions, seq: answer.seq }, isSameEpoch)
}

/** Takes the resource for which the queue waits, and goes on. */
function takeBlocked(step: Step, answer: ResourceAnswer): void {
  const { m, random } = step
  const { message } = m.queue!.interval.changes[m.queue!.at]!
  if (answer.epoch !== m.epoch) {
    m.question = undefined
    m.queue = undefined
    wantBaseline(step, random() * limits.spreadMs)
    return
  }
  const id = idOf(m, message.resource)!
  const version = 'version' in message ? message.version : 0
  if (fallsShort(m, answer)) {
    retry(step)
    return
  }
  m.question = undefined
  m.attempts = 0
  m.ahead = Math.max(m.ahead, answer.seq)
  const difference =
    answer.found === 'whole'
      ? putState(m.copy, id, answer.version, answer.state)
      : buryResource(m.copy, id, {
          version: Math.max(heldVersion(m.copy, id), version) + 1,
          seq: answer.seq,
          exact: false,
        })
  const isItself = answer.found === 'whole' && answer.version === version
  if (difference !== 'hidden') tell(step, difference, message.id, isItself ? message.cause : undefined)
  m.queue!.at++
  runQueue(step)
}

/** Takes a failure: asks again later, or anew from the start. */
export function takeFailure(
  step: Step,
  { generation, error, retryAfterMs }: { generation: number; error: LockstepError; retryAfterMs?: number },
): void {
  const { m, now } = step
  if (openQuestion(m, generation) === undefined) return
  if (isLockstepError(error, 'position-gone')) {
    takeGone(step)
    return
  }
  if (isLockstepError(error, 'api-refused') || isLockstepError(error, 'replica-failed')) {
    refuseWaits(step, error)
  }
  if (isLockstepError(error, 'position-ahead')) {
    m.olderSince = Math.min(m.olderSince, now)
    if (now - m.olderSince > limits.disbeliefMs) m.wantsBaseline = true
  }
  retry(step, retryAfterMs)
}

function retry(step: Step, afterMs?: number): void {
  fail(step, afterMs)
  release(step, { isVain: false })
}

function openQuestion(m: FollowerData, generation: number): OpenQuestion | undefined {
  return m.question?.generation === generation ? m.question : undefined
}

/** Of the same epoch and before what the copy may hold, or of an epoch that was left. */
function isOlder(step: Step, { epoch, seq }: { epoch: string; seq: number }): boolean {
  const { m } = step
  return epoch === (m.epoch ?? m.lostEpoch) ? seq < m.ahead : isRetired(step, epoch)
}
