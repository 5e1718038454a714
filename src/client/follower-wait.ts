/**
 * The calls of the application that wait for the copy: `ready`, `refresh` and `atLeast`.
 *
 * They are part of the machine, so that each ends: with the copy it waits for, with an error, or with its time.
 */
import { LockstepError } from '../contract/index.ts'
import { never, type Step, type Wait } from './follower-data.ts'
import { followerLimits as limits } from './follower-limits.ts'

/** Lets a call wait; refuses it, and gives `false`, where too many do already. */
export function openWait({ m, effects }: Step, wait: Wait): boolean {
  if (m.waits.length >= limits.maxWaits) {
    effects.push({ type: 'settle', token: wait.token, error: tooManyWaits(m.path) })
    return false
  }
  m.waits.push(wait)
  m.deadlines.wait = Math.min(m.deadlines.wait, wait.deadline)
  return true
}

function tooManyWaits(path: string): LockstepError {
  return new LockstepError(
    'overloaded',
    `${limits.maxWaits} calls wait for the follower of ${path} already. Let several callers share one atLeast or refresh, or try again shortly.`,
  )
}

/** Ends the waits for which `isOver` holds, with an error where it gives one. */
function settleWaits(
  { m, effects }: Step,
  isOver: (wait: Wait) => boolean,
  errorOf?: (wait: Wait) => LockstepError,
): void {
  if (!m.waits.some(isOver)) return
  m.deadlines.wait = never
  for (const wait of m.waits.splice(0)) {
    if (isOver(wait)) effects.push({ type: 'settle', token: wait.token, error: errorOf?.(wait) })
    else {
      m.waits.push(wait)
      m.deadlines.wait = Math.min(m.deadlines.wait, wait.deadline)
    }
  }
}

/** A new position serves those who wait for it. */
export function servePosition(step: Step): void {
  const { m } = step
  if (m.waits.length === 0) return
  settleWaits(step, wait => wait.kind === 'marker' && wait.epoch === m.epoch && wait.seq <= m.position)
  if (!isMarkerAwaited(step)) m.vainWaits = 0
}

/** A baseline serves who waits for the first, and those whose refresh came before it was asked for. */
export function serveBaseline(step: Step, serial: number): void {
  settleWaits(step, wait => wait.kind === 'ready' || (wait.kind === 'refresh' && wait.serial <= serial))
}

/** The API refuses: who waits for an answer of it learns why. */
export function refuseWaits(step: Step, error: LockstepError): void {
  settleWaits(
    step,
    wait => wait.kind === 'ready' || wait.kind === 'refresh',
    () => error,
  )
}

/** The epoch was left: its positions are never reached. */
export function dropRetiredWaits(step: Step, epoch: string): void {
  settleWaits(
    step,
    wait => wait.kind === 'marker' && wait.epoch === epoch,
    () => retiredError(step, epoch),
  )
}

export function retiredError({ m }: Step, epoch: string): LockstepError {
  return new LockstepError(
    'position-gone',
    `The epoch ${epoch} of ${m.stream} is over: its positions cannot be reached any more. Look at the state, or take a new baseline with refresh().`,
  )
}

/** Ends those whose time is over. */
export function expireWaits(step: Step): void {
  const { m, now } = step
  if (now < m.deadlines.wait) return
  settleWaits(
    step,
    wait => now >= wait.deadline,
    wait => {
      const within = wait.kind === 'ready' ? '' : ` within ${wait.timeoutMs} ms`
      const what =
        wait.kind === 'marker'
          ? `reach ${m.stream}:${wait.epoch}:${wait.seq}${within}; it is at ${m.epoch === undefined ? 'no position' : `${m.epoch}:${m.position}`}`
          : `get a new baseline${within}`
      return new LockstepError(
        'timeout',
        `The follower of ${m.path} did not ${what}. Try again, or look at its status.`,
      )
    },
  )
}

/** Ends all: the follower is closed. */
export function closeWaits(step: Step): void {
  settleWaits(
    step,
    () => true,
    () => closedError(step),
  )
}

export function closedError({ m }: Step): LockstepError {
  return new LockstepError('closed', `The follower of ${m.path} was closed. Follow again to go on.`)
}

export function isMarkerAwaited({ m }: Step): boolean {
  return m.waits.some(wait => wait.kind === 'marker')
}
