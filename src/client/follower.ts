/**
 * A follower as the application holds it: a live copy, its status, and ways to wait for it and to hear of it.
 *
 * The copy only changes between two turns of the event loop; what is given out is not frozen and MUST NOT be
 * changed. What decides is follower-machine.ts. PROTOCOL.md §6.
 */
import {
  formatMarker,
  formatResourceTag,
  type JsonObject,
  type Marker,
  type ParsedPath,
  type Position,
  type Texts,
} from '../contract/index.ts'
import type { Api } from './api.ts'
import { type Change, refreshedAt } from './change.ts'
import { type Conditions, readConditions } from './conditions.ts'
import { type FollowOptions, findPlace, readTimeout, type WaitOptions } from './follow-options.ts'
import type { FollowerStatus } from './follower-data.ts'
import { FollowerDriver, type FollowerPorts } from './follower-driver.ts'
import { statusOf } from './follower-question.ts'
import { createHearing, type FollowerEvents } from './hearing.ts'
import type { Replica } from './replica.ts'
import { View } from './view.ts'
import { ViewedStates } from './viewed-states.ts'

/** What followers of a resource and of a collection have in common. Iterating gives the changes from then on. */
export interface Follower<T> extends AsyncIterable<Change<T>>, AsyncDisposable {
  /** The canonical path that is followed. */
  readonly path: string
  readonly status: FollowerStatus
  /** For how long the copy may have been out of date: 0 while live, `Infinity` before there is one. */
  readonly staleForMs: number
  /** Every change up to here is in the copy; `undefined` before the first baseline. */
  readonly position: Position | undefined
  /** The position as a marker for pages and headers; `''` before the first baseline. */
  readonly marker: string
  /**
   * Resolves with the first baseline, also where the resource does not exist (yet). Waits as long as it takes. With
   * a replica that holds a copy from earlier, that is at once: see `status` and `staleForMs`.
   * Errors: `api-refused` where the API says no (it is asked again all the same), `closed`.
   */
  readonly ready: Promise<void>
  /**
   * Takes a new baseline, past all caches: the way to be sure before a decision that counts. Where it differs from
   * the copy, changes follow. Errors: `timeout`, `api-refused`, `closed`.
   */
  refresh(options?: WaitOptions): Promise<void>
  /**
   * Resolves when the copy holds everything up to the marker, such as the `Lockstep-Marker` of the answer to a
   * write of one's own. Asks the API at once rather than waiting for the broker. Other streams beside its own do
   * not count, and `''` bounds nothing. Errors: `timeout`, also for an epoch that this follower never saw, since it may
   * be one to come; `position-gone` where it saw the epoch end; `invalid-position`, also for a marker that names other
   * streams only; `closed`.
   */
  atLeast(marker: string | Marker, options?: WaitOptions): Promise<void>
  /** Calls back at each change or new status, in order, after the copy has changed. Returns what ends it. */
  on<E extends keyof FollowerEvents<T>>(event: E, listener: (value: FollowerEvents<T>[E]) => void): () => void
  /**
   * Ends following; waiting calls fail with `closed`, iterators end. The copy stays as it is; one in a replica is
   * written and cannot be read here any more (`closed`). Idempotent.
   */
  close(): void
}

export interface ResourceFollower<T> extends Follower<T> {
  /** `undefined` where it does not exist. */
  readonly state: T | undefined
  /** 0 where it does not exist. */
  readonly version: number
  /** For `If-Match`; `undefined` where it does not exist. */
  readonly etag: string | undefined
}

export interface CollectionFollower<T, Whole = T> extends Follower<T> {
  /** By id; always the same map. */
  readonly state: ReadonlyMap<string, T>
  /** `undefined` where there is no such resource. */
  versionOf(id: string): number | undefined
  /** For `If-Match`; `undefined` where there is no such resource. */
  etagOf(id: string): string | undefined
  /**
   * The states of which all this holds: `where({ 'address/city': 'Oslo', 'age:gte': 18 })`, as a list's query means it. It
   * looks at every state, except with an index of a replica. Conditions are on whole states, in all languages, whatever
   * is shown of them. Errors: `invalid-option`.
   */
  where(conditions: Conditions<Whole>): Iterable<T>
}

/** As the application gave them, the replica opened. */
export interface StartOptions extends Pick<FollowOptions, 'maxWaitingChanges'> {
  /** @default everything, as it is */
  readonly view?: View | undefined
  readonly replica?: Replica | undefined
  /** Hears which members are texts, before states show it. */
  readonly onTexts?: (texts: Texts) => void
  readonly onClose?: () => void
}

/** Starts to follow a path. */
export function startFollower(
  target: ParsedPath,
  ports: FollowerPorts,
  options: StartOptions = {},
): ResourceFollower<JsonObject> | CollectionFollower<JsonObject> {
  const { onError } = ports
  const hearing = createHearing(target, { onError, maxWaitingChanges: options.maxWaitingChanges })
  const { replica, view = new View({}) } = options
  const listener = {
    onChange(change: Change<JsonObject>): void {
      viewed?.changed()
      const seen = options.view === undefined ? change : view.change(change)
      if (seen !== undefined) hearing.onChange(seen)
    },
    onStatus: hearing.onStatus,
    onBroken: () => close(),
  }
  if (replica?.texts !== undefined) view.learn(replica.texts)
  const api = learnFrom(ports.api, texts => {
    options.onTexts?.(texts)
    if (replica !== undefined) replica.texts = texts
    if (!view.learn(texts) || follower.position === undefined) return
    hearing.onChange(refreshedAt({ path: target.path, id: data.id, position: follower.marker }))
  })
  const driver = new FollowerDriver(target, { ...ports, api }, listener, replica)
  const { data } = driver
  const viewed = options.view && new ViewedStates(data.copy, view)
  const states = viewed ?? data.copy.states
  const ready = driver.call({ type: 'ready' })
  // Who does not look at it must not be ended by it; onError was told the reason.
  ready.catch(() => {})
  let isClosed = false

  const close = (): void => {
    if (isClosed) return
    isClosed = true
    driver.close()
    hearing.end()
    options.onClose?.()
  }
  const versionOf = (id: string): number | undefined =>
    states.has(id) ? data.copy.versions.get(id) : undefined
  const tagOf = (id: string): string | undefined => {
    const version = versionOf(id)
    return version === undefined ? undefined : formatResourceTag(data.epoch!, version)
  }
  const follower: Follower<JsonObject> = {
    path: target.path,
    get status() {
      return statusOf(data)
    },
    get staleForMs() {
      return driver.staleForMs
    },
    get position() {
      const { stream, epoch, position } = data
      return epoch === undefined ? undefined : { stream, epoch, seq: position }
    },
    get marker() {
      return this.position === undefined ? '' : formatMarker([this.position])
    },
    ready,
    async refresh(options = {}) {
      await driver.call({ type: 'refresh', timeoutMs: readTimeout('refresh', options) })
    },
    async atLeast(marker, options = {}) {
      const timeoutMs = readTimeout('atLeast', options)
      const wanted = findPlace(marker, target.stream, target.path)
      if (wanted === undefined) return
      await driver.call({ type: 'at-least', epoch: wanted.epoch, seq: wanted.seq, timeoutMs })
    },
    on: hearing.on,
    close,
    [Symbol.asyncIterator]: hearing.iterate,
    [Symbol.asyncDispose]: async () => close(),
  }
  // A copy that is there already is told of when the caller had the time to listen.
  if (replica?.kept === undefined) driver.start()
  else queueMicrotask(() => driver.start())
  return target.kind === 'resource'
    ? extend(follower, {
        get state() {
          return states.get(data.id)
        },
        get version() {
          return versionOf(data.id) ?? 0
        },
        get etag() {
          return tagOf(data.id)
        },
      })
    : extend(follower, {
        get state() {
          return states
        },
        versionOf,
        etagOf: tagOf,
        where: (conditions: Conditions) =>
          showAll(view, data.copy.where([...view.where, ...readConditions(conditions)])),
      })
}

/** Hears what answers say of texts, before the follower takes them in. */
function learnFrom(api: Api, learn: (texts: Texts) => void): Api {
  const answer: Api['answer'] = async (...question) => {
    const answered = await api.answer(...question)
    if (answered.texts !== undefined) learn(answered.texts)
    return answered
  }
  return Object.assign(Object.create(api) as Api, { answer })
}

function* showAll(view: View, wholes: Iterable<[string, JsonObject]>): Generator<JsonObject> {
  for (const [, whole] of wholes) {
    const state = view.show(whole)
    if (state !== undefined) yield state
  }
}

/** Adds members, getters as getters. */
export function extend<A extends object, B extends object>(base: A, more: B): A & B {
  return Object.defineProperties(base, Object.getOwnPropertyDescriptors(more)) as A & B
}
