/** One follower's machine on a stage: events in, effects noted, time moved by hand. */
import assert from 'node:assert/strict'
import type { Change } from '../../src/client/change.ts'
import { createCopy } from '../../src/client/copy.ts'
import {
  type Ask,
  createFollowerData,
  type Effect,
  type FollowerData,
  type FollowerEvent,
  type NumberedMessage,
  type ResourceAnswer,
} from '../../src/client/follower-data.ts'
import { nextTick, stepFollower } from '../../src/client/follower-machine.ts'
import { statusOf } from '../../src/client/follower-question.ts'
import { type JsonObject, type LockstepError, type Message, parsePath } from '../../src/contract/index.ts'

export interface SceneOptions {
  readonly path?: string
  readonly isOrdered?: boolean
  readonly compactBeyond?: number
  /** What a copy from before a restart holds, by id, and where it was. */
  readonly kept?: {
    readonly items: Readonly<Record<string, number>>
    readonly position: number
    readonly ahead?: number
    readonly cursor?: number
    readonly confirmedAt?: number
  }
}

export class Scene {
  readonly m: FollowerData
  now = 1_000
  random = 0.5
  /** All effects so far; `take` empties it. */
  effects: Effect[] = []
  #token = 0

  constructor({ path = '/people', isOrdered = false, compactBeyond, kept: holds }: SceneOptions = {}) {
    const copy = createCopy()
    for (const [id, version] of Object.entries(holds?.items ?? {})) copy.put(id, version, { id, v: version })
    const kept = holds && {
      epoch: 'e1',
      cursor: holds.position,
      ahead: holds.position,
      confirmedAt: 0,
      ...holds,
    }
    this.m = createFollowerData({ path: parsePath(path), isOrdered, compactBeyond, copy, kept })
  }

  hear(...events: FollowerEvent[]): this {
    for (const event of events) {
      const effects = stepFollower(this.m, event, { now: this.now, random: () => this.random })
      this.effects.push(...effects)
    }
    return this
  }

  /** Lets time pass; ticks when the machine wants it. */
  wait(ms: number): this {
    const end = this.now + ms
    for (let count = 0; nextTick(this.m) <= end; count++) {
      assert.ok(count < 1_000, 'the machine wants a tick again and again')
      this.now = Math.max(this.now, nextTick(this.m))
      this.hear({ type: 'tick' })
    }
    this.now = end
    return this
  }

  get status(): string {
    return statusOf(this.m)
  }

  get asked(): Ask | undefined {
    return this.m.question?.ask
  }

  /** What kind of question is open. */
  get asking(): 'items' | 'resource' | 'feed' | 'nothing' {
    return this.m.question?.ask.kind ?? 'nothing'
  }

  get generation(): number {
    return this.m.generation
  }

  /** The effects since the last call. */
  take(): Effect[] {
    const { effects } = this
    this.effects = []
    return effects
  }

  /** The changes since the last call, as `event id@version`. */
  told(): string[] {
    return this.take().flatMap(effect => (effect.type === 'change' ? [formatChange(effect.change)] : []))
  }

  /** What the copy holds, as `id@version state`. */
  held(): string[] {
    const { states, versions } = this.m.copy
    return [...states].map(([id, state]) => `${id}@${versions.get(id)} ${JSON.stringify(state)}`)
  }

  call(type: 'ready'): number
  call(type: 'refresh', timeoutMs?: number): number
  call(type: 'at-least', position: string, timeoutMs?: number): number
  call(type: 'ready' | 'refresh' | 'at-least', first: string | number = 10_000, timeoutMs = 10_000): number {
    const token = ++this.#token
    if (type === 'ready') this.hear({ type, token })
    else if (type === 'refresh') this.hear({ type, token, timeoutMs: Number(first) })
    else {
      const [epoch, seq] = String(first).split(':')
      this.hear({ type, token, epoch: epoch!, seq: Number(seq), timeoutMs })
    }
    return token
  }

  /** How a call ended: `open`, `served`, or the error's code. */
  outcome(token: number): string {
    const end = this.effects.find(effect => effect.type === 'settle' && effect.token === token)
    return end?.type === 'settle' ? (end.error?.code ?? 'served') : 'open'
  }

  /** Answers the open question with the items of a list, the last page of it. */
  items(
    position: string,
    items: Readonly<Record<string, [version: number, state?: JsonObject]>>,
    next?: string,
  ): this {
    const [epoch, seq] = position.split(':')
    return this.hear({
      type: 'items',
      generation: this.generation,
      epoch: epoch!,
      seq: Number(seq),
      items: Object.entries(items).map(([id, [version, state]]) => ({
        id,
        version,
        state: { id, ...state },
      })),
      next,
    })
  }

  /** Answers the open question with a page of the feed after the position that was asked for. */
  page(to: number, head: number, messages: readonly NumberedMessage[] = []): this {
    const ask = this.asked
    assert.equal(ask?.kind, 'feed')
    const { epoch, after, compact } = ask
    const interval = { epoch, after, to, head, compact, changes: messages }
    return this.hear({ type: 'page', generation: this.generation, interval })
  }

  resource(answer: ResourceAnswer): this {
    return this.hear({ type: 'resource', generation: this.generation, answer })
  }

  fail(error: LockstepError, retryAfterMs?: number): this {
    return this.hear({ type: 'failed', generation: this.generation, error, retryAfterMs })
  }

  head(seq: number, { epoch = 'e1', retained = false } = {}): this {
    return this.hear({ type: 'head', head: { stream: 'people', epoch, seq, first: 1 }, retained })
  }

  message(seq: number, text: string, content?: Partial<Content>): this {
    return this.hear({ type: 'message', message: message(seq, text, content) })
  }

  /** An interval from an ordered source. */
  push(after: number, to: number, messages: readonly NumberedMessage[] = [], head?: number): this {
    return this.hear({
      type: 'interval',
      interval: { epoch: 'e1', after, to, head, compact: false, changes: messages },
    })
  }
}

interface Content {
  readonly epoch: string
  readonly state: JsonObject
  readonly changes: JsonObject
  readonly ref: true
  readonly cause: string
}

/** A message from `created a@1`: event, id or path, version. */
export function message(seq: number, text: string, content: Partial<Content> = {}): NumberedMessage {
  const [, event, id, version] = /^(\w+) ([^@]+)@(\d+)$/.exec(text)!
  const { epoch = 'e1', ...rest } = content
  const resource = id!.startsWith('/') ? id! : `/people/${id}`
  const isWhole = event !== 'deleted' && !rest.changes && !rest.ref
  const state = isWhole ? { state: rest.state ?? { id: id!, v: Number(version) } } : {}
  const value = { event, resource, version: Number(version), id: `people:${epoch}:${seq}`, ...state, ...rest }
  return { epoch, seq, message: value as unknown as Message }
}

export function reset(seq: number, epoch = 'e1'): NumberedMessage {
  return { epoch, seq, message: { event: 'reset', resource: '/people', id: `people:${epoch}:${seq}` } }
}

function formatChange({ event, id, version }: Change<JsonObject>): string {
  return event === 'refreshed' ? 'refreshed' : `${event} ${id}@${version}`
}
