/**
 * Runs a follower's machine: brings it events, the time and answers, and does what it wants done.
 *
 * It decides nothing. Events that come while effects are being carried out wait for their turn. Whatever throws in a
 * step or an effect leaves a machine that cannot be relied on: it begins anew, and closes where that does not help.
 * PROTOCOL.md §6.
 */
import {
  followerChannel,
  isLockstepError,
  type JsonObject,
  LockstepError,
  type ParsedPath,
  type ReportError,
} from '../contract/index.ts'
import type { Api } from './api.ts'
import type { Change } from './change.ts'
import type { Clock } from './clock.ts'
import {
  type Ask,
  createFollowerData,
  type Effect,
  type FollowerData,
  type FollowerEvent,
  type FollowerStatus,
  never,
} from './follower-data.ts'
import { followerLimits as limits } from './follower-limits.ts'
import { nextTick, stepFollower } from './follower-machine.ts'
import { statusOf } from './follower-question.ts'
import type { Replica } from './replica.ts'
import type { OpenSource, Source, SourceListener } from './source.ts'

/** How many followers were made in this process: their names on the channel. */
let made = 0

export interface FollowerPorts {
  readonly api: Api
  readonly openSource: OpenSource
  /** Does the source prove intervals (SSE), or hint (MQTT)? */
  readonly isOrdered: boolean
  readonly clock: Clock
  readonly random: () => number
  readonly onError: ReportError
}

/** A call that waits for the copy. */
export type FollowerCall =
  | { readonly type: 'ready' }
  | { readonly type: 'refresh'; readonly timeoutMs: number }
  | { readonly type: 'at-least'; readonly epoch: string; readonly seq: number; readonly timeoutMs: number }

export interface FollowerListener {
  onChange(change: Change<JsonObject>): void
  onStatus(status: FollowerStatus): void
  /** The follower cannot go on: it closes. */
  onBroken(): void
}

export class FollowerDriver {
  readonly data: FollowerData
  readonly #number = ++made
  readonly #ports: FollowerPorts
  readonly #target: ParsedPath
  readonly #listener: FollowerListener
  readonly #replica: Replica | undefined
  readonly #events: FollowerEvent[] = []
  readonly #calls = new Map<number, { resolve(): void; reject(error: LockstepError): void }>()
  #isRunning = false
  #source: Source | undefined
  #question: AbortController | undefined
  #token = 0
  #reported = ''
  /** When something threw, the last few times. */
  #faults: readonly number[] = []
  #clearTimer: (() => void) | undefined
  #timerAt = never

  constructor(target: ParsedPath, ports: FollowerPorts, listener: FollowerListener, replica?: Replica) {
    this.#target = target
    this.#ports = ports
    this.#listener = listener
    this.#replica = replica
    const { copy, kept } = replica ?? {}
    this.data = createFollowerData({ path: target, isOrdered: ports.isOrdered, copy, kept })
    replica?.attach(this.data, () => this.#loseCopy())
    if (followerChannel.hasSubscribers) this.#tellStatus(statusOf(this.data))
  }

  /** For how long the copy may have been out of date: 0 while live, `Infinity` before there is one. */
  get staleForMs(): number {
    const { state, confirmedAt } = this.data
    if (state === 'live') return 0
    return confirmedAt === undefined ? Number.POSITIVE_INFINITY : this.#ports.clock.now() - confirmedAt
  }

  start(): void {
    this.#hear({ type: 'start', listenFirst: this.#ports.api.isTopicPrefixKnown })
  }

  close(): void {
    this.#hear({ type: 'close' })
  }

  /** Resolves when the machine says that the call is served. */
  async call(call: FollowerCall): Promise<void> {
    // A new baseline that cannot be kept is better refused than waited for.
    if (call.type === 'refresh' && this.#replica !== undefined && this.data.state !== 'closed') {
      const failure = this.#replica.save({ isProbe: true })
      if (failure !== undefined && !this.#replica.isLost) throw failure
    }
    const token = ++this.#token
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    this.#calls.set(token, { resolve, reject })
    this.#hear({ ...call, token })
    return await promise
  }

  #hear(event: FollowerEvent): void {
    this.#events.push(event)
    if (this.#isRunning) return
    this.#isRunning = true
    try {
      for (let next = this.#events.shift(); next !== undefined; next = this.#events.shift()) this.#run(next)
    } finally {
      this.#isRunning = false
    }
    this.#setTimer()
    this.#keep()
  }

  #run(event: FollowerEvent): void {
    const effects: Effect[] = []
    for (let next: FollowerEvent | undefined = event; next !== undefined; ) {
      const current = next
      // What mends a failed step comes before anything can look at what the step has left.
      next = this.#try(current, () => this.#step(current, effects))
      if (next !== undefined) this.#refuseForgotten(current, effects)
    }
    for (const effect of effects) {
      const next = this.#try(event, () => this.#perform(effect))
      if (next !== undefined) this.#events.unshift(next)
    }
  }

  #step(event: FollowerEvent, effects: Effect[]): void {
    const { clock, random } = this.#ports
    if (event.type === 'lost' && this.#replica?.isLost) this.#replica.renew()
    stepFollower(this.data, this.#prepare(event), { now: clock.now(), random, effects })
  }

  /** What may replace the whole copy needs a file that holds the present one. */
  #prepare(event: FollowerEvent): FollowerEvent {
    if (event.type !== 'items') return event
    const error = this.#replica?.save()
    return error === undefined ? event : { type: 'failed', generation: event.generation, error }
  }

  /** Does something; gives what must happen next where it throws. */
  #try(event: FollowerEvent, action: () => void): FollowerEvent | undefined {
    try {
      action()
      return undefined
    } catch (error) {
      // A follower that ends has nothing to mend.
      if (event.type !== 'close') return this.#fail(error)
      this.#report(error, 'follower')
      return undefined
    }
  }

  /** A call whose step has thrown before anything waited for it would wait for ever. */
  #refuseForgotten(event: FollowerEvent, effects: readonly Effect[]): void {
    if (!('token' in event)) return
    const { token } = event
    const isWaiting = this.data.waits.some(wait => wait.token === token)
    if (isWaiting || effects.some(effect => effect.type === 'settle' && effect.token === token)) return
    const text = `The follower of ${this.#target.path} failed while it was asked. Try again, and look at what onError heard.`
    this.#settle(token, new LockstepError('internal', text))
  }

  #fail(error: unknown): FollowerEvent {
    const isReplica = this.#replica !== undefined && isLockstepError(error, 'replica-failed')
    if (isReplica && this.#replica?.isLost) return { type: 'lost' }
    this.#report(error, isReplica ? 'replica' : 'follower')
    if (!isReplica) {
      const now = this.#ports.clock.now()
      this.#faults = [...this.#faults.filter(at => now - at < limits.faultsMs), now]
      if (this.#faults.length <= limits.maxFaults) return { type: 'lost' }
      this.#report(tooManyFaults(this.#target.path, error), 'follower')
    }
    // The file keeps the last moment that was whole.
    this.#replica?.abandon()
    // Not at once: it may be that the follower is just being made.
    queueMicrotask(() => this.#listener.onBroken())
    return { type: 'close' }
  }

  #loseCopy(): void {
    if (this.#replica!.isLost && this.data.state !== 'closed') this.#hear({ type: 'lost' })
  }

  #keep(): void {
    if (this.#replica === undefined) return
    if (this.data.state === 'closed') this.#replica.close()
    else if (this.#replica.isOverfull) this.#listener.onBroken()
    else this.#replica.changed()
  }

  #perform(effect: Effect): void {
    switch (effect.type) {
      case 'ask':
        if (followerChannel.hasSubscribers) this.#tellQuestion(effect.ask)
        this.#ask(effect.generation, effect.ask)
        break
      case 'abort':
        this.#question?.abort()
        this.#question = undefined
        break
      case 'listen':
        this.#listen(effect.after)
        break
      case 'unlisten':
        this.#source?.close()
        this.#source = undefined
        break
      case 'creations':
        this.#source?.hearCreations(effect.wanted)
        break
      case 'change':
        if (followerChannel.hasSubscribers) this.#tellChange(effect.change)
        this.#listener.onChange(effect.change)
        break
      case 'status':
        if (followerChannel.hasSubscribers) this.#tellStatus(effect.status)
        this.#listener.onStatus(effect.status)
        break
      case 'report':
        this.#report(effect.error, 'source')
        break
      case 'settle':
        this.#settle(effect.token, effect.error)
        break
    }
  }

  #ask(generation: number, ask: Ask): void {
    this.#question?.abort()
    const question = new AbortController()
    this.#question = question
    this.#ports.api.answer(this.#target, ask, question.signal).then(
      answer => {
        this.#reported = ''
        if (!question.signal.aborted) this.#hear({ ...answer, generation })
      },
      reason => {
        if (question.signal.aborted) return
        const error = toLockstepError(reason)
        const isExpected = error.code === 'position-gone' || error.code === 'position-ahead'
        if (!isExpected) this.#reportOnce(error, ask.kind === 'feed' ? 'feed' : 'baseline')
        const retryAfterMs = error.extra['retryAfterMs'] as number | undefined
        this.#hear({ type: 'failed', generation, error, retryAfterMs })
      },
    )
  }

  #listen(after: { readonly epoch: string; readonly seq: number } | undefined): void {
    this.#source?.close()
    let source: Source | undefined
    // What an old source still says is about a time that is over.
    const hear = (event: FollowerEvent): void => {
      if (source === this.#source) this.#hear(event)
    }
    const listener: SourceListener = {
      onUp: () => hear({ type: 'source-up' }),
      onDown: () => hear({ type: 'source-down' }),
      onMessage: message => hear({ type: 'message', message }),
      onHead: (head, retained) => hear({ type: 'head', head, retained }),
      onInterval: interval => hear({ type: 'interval', interval }),
      onGone: () => hear({ type: 'gone' }),
      onError: error => this.#reportOnce(error, 'source'),
    }
    const hearsCreations = this.data.hearsCreations
    source = this.#ports.openSource({ target: this.#target, after, hearsCreations }, listener)
    this.#source = source
  }

  #settle(token: number, error: LockstepError | undefined): void {
    const call = this.#calls.get(token)
    this.#calls.delete(token)
    if (error === undefined) call?.resolve()
    else call?.reject(error)
  }

  #setTimer(): void {
    const at = nextTick(this.data)
    // A timer that fires too early only finds nothing to do: heads move the end of silence all the time.
    if (at >= this.#timerAt && at !== never) return
    this.#clearTimer?.()
    this.#clearTimer = undefined
    this.#timerAt = at
    if (at === never) return
    const { clock } = this.#ports
    const delayMs = Math.max(0, Math.ceil(at - clock.now()))
    this.#clearTimer = clock.setTimer(() => {
      this.#clearTimer = undefined
      this.#timerAt = never
      this.#hear({ type: 'tick' })
    }, delayMs)
  }

  get #self(): { readonly follower: number; readonly stream: string; readonly path: string } {
    return { follower: this.#number, stream: this.#target.stream, path: this.#target.path }
  }

  #tellStatus(status: FollowerStatus): void {
    followerChannel.publish({ ...this.#self, event: 'status', status, staleForMs: this.staleForMs })
  }

  #tellQuestion(ask: Ask): void {
    // The further pages of a list belong to the question that was told.
    if (ask.kind === 'items' && ask.next !== undefined) return
    const isBaseline = ask.kind === 'items' || (ask.kind === 'resource' && this.data.kind === 'resource')
    const question = ask.kind === 'feed' ? 'feed' : isBaseline ? 'baseline' : 'resource'
    followerChannel.publish({ ...this.#self, event: 'asked', question })
  }

  #tellChange({ event, cause }: Change<JsonObject>): void {
    followerChannel.publish({ ...this.#self, event: 'changed', change: event, cause })
  }

  /** The same failure again and again is told once, until something succeeds. */
  #reportOnce(error: unknown, stage: string): void {
    const text = `${stage} ${error instanceof Error ? error.message : String(error)}`
    if (text === this.#reported) return
    this.#reported = text
    this.#report(error, stage)
  }

  #report(error: unknown, stage: string): void {
    this.#ports.onError(error, { stage })
  }
}

function tooManyFaults(path: string, cause: unknown): LockstepError {
  return new LockstepError(
    'internal',
    `The follower of ${path} failed ${limits.maxFaults + 1} times within ${limits.faultsMs / 1_000} s and was closed: ${cause instanceof Error ? cause.message : String(cause)}. Look at the error before this one, report it where it is ours, and follow again.`,
    { cause },
  )
}

function toLockstepError(reason: unknown): LockstepError {
  if (isLockstepError(reason)) return reason
  const text = reason instanceof Error ? reason.message : String(reason)
  return new LockstepError('api-refused', `An answer of the API cannot be used: ${text}`, { cause: reason })
}
