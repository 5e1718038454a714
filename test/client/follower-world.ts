/**
 * A world for one follower's machine: a model service, a broker that lies, an API that fails, and virtual time.
 *
 * Everything comes from one seed. After each step the invariants of PROTOCOL.md §6.6 are checked, and after the
 * faults have ended the copy must be what the API has within 15 s.
 */
import assert from 'node:assert/strict'
import { heldVersion } from '../../src/client/copy.ts'
import {
  type Ask,
  createFollowerData,
  type Effect,
  type FollowerData,
  type FollowerEvent,
  type Interval,
} from '../../src/client/follower-data.ts'
import { followerLimits as limits } from '../../src/client/follower-limits.ts'
import { nextTick, stepFollower } from '../../src/client/follower-machine.ts'
import { statusOf } from '../../src/client/follower-question.ts'
import {
  isEqualJson,
  isLockstepError,
  type JsonObject,
  LockstepError,
  parsePath,
} from '../../src/contract/index.ts'
import { type Held, idOfPath, isDirectlyBelow, ModelService } from './model-service.ts'

export interface WorldOptions {
  readonly seed: number
  readonly path: string
  readonly isOrdered: boolean
  /** How long faults and writes go on, in seconds. */
  readonly seconds: number
  /** Writes per second. */
  readonly rate: number
  /** Each 0 … 1: how much of it. */
  readonly loss: number
  readonly repetition: number
  readonly delay: number
  readonly outages: number
  readonly failures: number
  readonly lag: number
  readonly refs: number
  readonly epochs: number
  readonly pruning: number
  /** How long a commit may wait for its number; 0 is at once. */
  readonly numberingMs: number
  /** The relay falls silent for a while, though the connection stays up. */
  readonly silences: number
  /** Changes per page of the feed, and items per page of a list. */
  readonly pageSize: number
  /** So far behind, the follower asks for latest states. */
  readonly compactBeyond: number
}

/** All faults end; so long after, everything is equal. */
export const convergenceMs = 15_000

interface Due {
  readonly at: number
  readonly order: number
  readonly run: () => void
}

export class FollowerWorld {
  readonly m: FollowerData
  readonly service: ModelService
  readonly statuses: string[] = []
  changes = 0
  now = 0
  readonly #options: WorldOptions
  readonly #random: () => number
  readonly #due: Due[] = []
  #order = 0
  #faulty = true
  #isMute = false
  #published = 0
  #publishedEpoch = 'e1'
  #sourceUp = false
  #connection = 0
  #question = 0
  #wakeAt = Number.POSITIVE_INFINITY
  #epochs = 1
  #value = 0
  /** Calls of the application that are open: when each ends at the latest, and what must hold when it is served. */
  readonly #calls = new Map<number, { until: number; check: () => void }>()
  #token = 0
  /** What the API had when the pages of the last answer were read. */
  #read: ReadonlyMap<string, Held>[] = []
  /** The one path that the last answer was about, where it was about one. */
  #readPath: string | undefined
  #told: Set<string> | undefined
  readonly #shown = new Map<string, JsonObject>()
  /** The highest version shown of each id, and in which epoch. */
  readonly #versions = new Map<string, number>()
  #shownEpoch: string | undefined

  constructor(options: WorldOptions) {
    this.#options = options
    this.#random = mulberry32(options.seed)
    this.service = new ModelService({ numbersLate: options.numberingMs > 0 })
    const { isOrdered, compactBeyond } = options
    this.m = createFollowerData({ path: parsePath(options.path), isOrdered, compactBeyond })
  }

  /** Runs the faulty time and the calm after it; throws where an invariant does not hold. */
  run(): void {
    const endMs = this.#options.seconds * 1_000
    this.#schedule(0, () => this.hear({ type: 'start', listenFirst: this.#chance(0.5) }))
    this.#scheduleWrites(endMs)
    this.#every(5_000, () => this.#tellHead())
    this.#every(1_000, () => this.#disturb())
    this.#runUntil(endMs)
    this.#calm()
    this.#runUntil(endMs + convergenceMs)
    this.checkConverged()
    assert.equal(this.#calls.size, 0, 'each call is served')
    // What happens in calm times is seen without asking.
    for (let count = 0; count < 5; count++) this.#write()
    this.#publish()
    this.#runUntil(this.now + 1_000)
    if (this.m.kind !== 'nested') this.checkConverged()
  }

  hear(event: FollowerEvent): void {
    const effects = stepFollower(this.m, event, { now: this.now, random: this.#random })
    const isRefreshed = effects.some(
      effect => effect.type === 'change' && effect.change.event === 'refreshed',
    )
    if (this.#shownEpoch !== this.m.epoch) this.#versions.clear()
    this.#shownEpoch = this.m.epoch
    // Only the first change of a resource in a step comes from the answer itself; the rest is what waited for it.
    this.#told = event.type === 'items' || event.type === 'resource' ? new Set() : undefined
    for (const effect of effects) if (!isRefreshed || effect.type !== 'change') this.#perform(effect)
    // Whoever looks at the state after a step finds it further on than its first change.
    if (isRefreshed) this.#showAll()
    this.#check()
    const at = nextTick(this.m)
    if (at >= this.#wakeAt || at === Number.POSITIVE_INFINITY) return
    this.#wakeAt = at
    this.#schedule(Math.max(0, at - this.now), () => {
      this.#wakeAt = Number.POSITIVE_INFINITY
      this.hear({ type: 'tick' })
    })
  }

  checkConverged(): void {
    const { m } = this
    const expected = this.#inScope()
    const got = m.copy.states
    const where = `at ${this.now} in ${m.state}, position ${m.epoch}:${m.position}, head ${this.service.epoch}:${this.service.numbered}`
    assert.equal(m.epoch, this.service.epoch, where)
    assert.deepEqual([...got.keys()].sort(), [...expected.keys()].sort(), where)
    for (const [id, { version, state }] of expected) {
      assert.equal(m.copy.versions.get(id), version, `${id} ${where}`)
      assert.deepEqual(got.get(id), state, `${id} ${where}`)
    }
    assert.equal(statusOf(m), 'live', where)
    if (m.kind === 'collection') assert.equal(m.position, this.service.numbered, where)
  }

  #inScope(): Map<string, { version: number; state: JsonObject }> {
    const scope = new Map<string, { version: number; state: JsonObject }>()
    for (const [path, { version, state }] of this.service.resources) {
      const isWanted = this.m.kind === 'resource' ? path === this.m.path : isDirectlyBelow(this.m.path, path)
      if (isWanted && state !== undefined) scope.set(idOfPath(path), { version, state })
    }
    return scope
  }

  #perform(effect: Effect): void {
    switch (effect.type) {
      case 'ask':
        this.#ask(effect.generation, effect.ask)
        break
      case 'abort':
        this.#question = 0
        break
      case 'listen':
        if (this.m.isOrdered) this.#openStream(effect.after!)
        else this.#schedule(this.#latency(), () => this.#sourceChanged(true))
        break
      case 'unlisten':
        this.#connection++
        break
      case 'creations':
        if (effect.wanted && this.#sourceUp) {
          this.#schedule(this.#latency(), () => this.#sourceUp && this.hear({ type: 'source-up' }))
        }
        break
      case 'change':
        this.#show(effect.change)
        break
      case 'status':
        this.statuses.push(effect.status)
        break
      case 'settle':
        this.#settle(effect.token, effect.error)
        break
    }
  }

  #settle(token: number, error: LockstepError | undefined): void {
    const call = this.#calls.get(token)
    assert.ok(call, 'a call is settled once')
    this.#calls.delete(token)
    if (error === undefined) call.check()
  }

  /** The application waits for what it has written, or wants to be sure. */
  #call(): void {
    const { m, service } = this
    const token = ++this.#token
    const { epoch, numbered: seq } = service
    const timeoutMs = 1_000 + this.#random() * 10_000
    const check = (): void => {
      if (m.epoch === epoch) assert.ok(m.position >= seq, `served at ${m.position}, asked for ${seq}`)
    }
    const checkEpoch = (): void => {
      assert.equal(m.epoch, epoch, 'served in the epoch that was asked for')
      check()
    }
    const until = this.now + timeoutMs + 100
    if (this.#chance(0.7)) {
      this.#calls.set(token, { until, check: checkEpoch })
      this.hear({ type: 'at-least', token, epoch, seq, timeoutMs })
    } else {
      this.#calls.set(token, { until, check: this.#options.lag > 0 ? () => {} : check })
      this.hear({ type: 'refresh', token, timeoutMs })
    }
  }

  /** Follows the changes as an application does, and checks each. */
  #show(change: Extract<Effect, { type: 'change' }>['change']): void {
    this.changes++
    const { m } = this
    if (change.event === 'refreshed') return
    const { id, version, state, previous, event } = change
    assert.equal(previous, this.#shown.get(id), `${id}: previous is what was shown`)
    assert.equal(event === 'created', previous === undefined)
    const last = this.#versions.get(id) ?? 0
    // Versions of another epoch say nothing about a resource that is not in this one.
    assert.ok(
      version > last || (version === 0 && event === 'deleted'),
      `${id} went from version ${last} to ${version} (${event})`,
    )
    const path = m.kind === 'resource' ? m.path : parsePath(`${m.path}/${id}`).path
    assert.equal(change.path, path)
    this.#versions.set(id, Math.max(version, event === 'deleted' ? this.#absentSince(path) : 0))
    this.#told?.add(path)
    if (state === undefined) this.#shown.delete(id)
    else {
      assert.ok(
        this.service.isLegal(m.epoch!, path, version, state),
        `${path} ${version} ${JSON.stringify(state)} never was`,
      )
      this.#shown.set(id, state)
    }
  }

  /** The lowest version that a deletion can have of which the last answer's absence tells. */
  #absentSince(path: string): number {
    if (this.#told === undefined || this.#told.has(path)) return 0
    this.#told.add(path)
    if (this.#readPath !== undefined && this.#readPath !== path) return 0
    // Of two snapshots with the same marker nobody can say which one is older.
    if (this.#options.lag > 0) return 0
    const versions = this.#read.flatMap(resources => {
      const held = resources.get(path)
      return held !== undefined && held.state === undefined ? [held.version] : []
    })
    return versions.length === 0 ? 0 : Math.min(...versions)
  }

  #showAll(): void {
    const { copy } = this.m
    this.#shown.clear()
    this.#versions.clear()
    for (const [id, state] of copy.states) this.#shown.set(id, state)
    for (const [id, version] of copy.versions) this.#versions.set(id, version)
  }

  #check(): void {
    const { m } = this
    assert.ok(m.buffer.size <= limits.maxBuffered)
    for (const { until } of this.#calls.values()) assert.ok(this.now <= until, 'a call is not served in time')
    assert.equal(m.copy.states.size, m.copy.versions.size)
    if (m.epoch === undefined) return
    assert.equal(m.copy.states.size, this.#shown.size, 'the changes tell all of the copy')
    for (const [id, state] of m.copy.states) assert.ok(isEqualJson(state, this.#shown.get(id)), id)
    this.#checkPosition(m.epoch, m.position, 'claims a position whose changes are not in')
    // Live means: nothing older than the longest way to notice a loss is missing.
    if (m.state !== 'live') return
    const times = this.service.numberedAt.get(m.epoch) ?? []
    const known = times.filter(time => time < this.now - 30_000).length
    this.#checkPosition(m.epoch, known, 'is live without what is 30 s old')
  }

  #checkPosition(epoch: string, position: number, what: string): void {
    const { m } = this
    const rows = this.service.logs.get(epoch)!
    for (const { path, version, event } of rows.slice(0, position)) {
      const isWanted = m.kind === 'resource' ? path === m.path : isDirectlyBelow(m.path, path)
      if (!isWanted) continue
      const id = idOfPath(path)
      const held = heldVersion(m.copy, id)
      // A deletion leaves nothing behind where no tombstone is needed; a baseline may know it before it has its number.
      const isDeletedLater = rows.some(
        row => row.path === path && row.event === 'deleted' && row.version > version,
      )
      const isGone = !m.copy.states.has(id) && (event === 'deleted' || isDeletedLater)
      assert.ok(
        held >= version || isGone,
        `${what}: ${position}, ${path} ${event} ${version}, held ${held}, at ${this.now}`,
      )
    }
  }

  #ask(generation: number, ask: Ask): void {
    const question = generation
    this.#question = question
    const answer = (event: FollowerEvent): void => {
      // An answer that nobody waits for any more may still come, and must do nothing.
      if (this.#question !== question && this.#chance(0.5)) return
      if (this.#question === question) this.#question = 0
      this.hear(event)
    }
    const { failures, lag, pageSize } = this.#options
    if (this.#isFault(failures)) {
      // A black hole, a server that is down, or a refusal.
      const isTimeout = this.#chance(0.2)
      const code = isTimeout ? 'timeout' : this.#chance(0.1) ? 'api-refused' : 'api-unreachable'
      const error = new LockstepError(code, 'as the seed wants it')
      this.#schedule(isTimeout ? 10_000 : this.#latency(), () =>
        answer({ type: 'failed', generation, error }),
      )
      return
    }
    const back = this.#isFault(lag) ? Math.floor(this.#random() * 12) : 0
    // The snapshot is taken on the way; the answer travels on.
    this.#schedule(this.#latency(), () => {
      let event: FollowerEvent
      const { resources } = this.service.snapshot(back)
      if (ask.kind === 'feed' || (ask.kind === 'items' && ask.next === undefined)) this.#read = []
      if (ask.kind === 'resource') this.#read = []
      this.#readPath = ask.kind === 'resource' ? ask.path : undefined
      try {
        event = { ...this.#answerOf(ask, back, pageSize), generation }
        this.#read.push(resources)
      } catch (error) {
        if (!isLockstepError(error)) throw error
        event = { type: 'failed', generation, error }
      }
      this.#schedule(this.#latency(), () => answer(event))
    })
  }

  #answerOf(ask: Ask, lag: number, size: number): AnswerEvent {
    const { path } = this.m
    if (ask.kind === 'items')
      return { type: 'items', ...this.service.list(path, { size, after: ask.next ?? '', lag }) }
    if (ask.kind === 'resource')
      return { type: 'resource', answer: this.service.get(ask.path, ask.held, lag) }
    return { type: 'page', interval: this.service.feed(ask, { limit: size, under: path, lag }) }
  }

  #scheduleWrites(endMs: number): void {
    const next = (): void => {
      const delayMs = (-Math.log(1 - this.#random()) * 1_000) / this.#options.rate
      if (this.now + delayMs >= endMs) return
      this.#schedule(delayMs, () => {
        this.#write()
        next()
      })
    }
    next()
  }

  #write(): void {
    const people = ['a', 'b', 'c', 'd.e']
    const person = people[Math.floor(this.#random() * this.#random() * people.length)]!
    const isNested = this.#chance(0.3)
    const path = parsePath(isNested ? `/people/a/friends/${person}` : `/people/${person}`).path
    const kind = pick(this.#random, ['post', 'put', 'patch', 'patch', 'patch', 'delete'] as const)
    this.#value++
    const value: JsonObject = this.#chance(0.5)
      ? { x: this.#value }
      : { y: this.#value, z: this.#chance(0.3) ? null! : 1 }
    for (const name of Object.keys(value)) if (kind !== 'patch' && value[name] === null) delete value[name]
    this.service.write(path, kind, value, this.now)
    if (this.#options.numberingMs > 0) {
      const delayMs = this.#random() * (this.#faulty ? this.#options.numberingMs : 30)
      this.#schedule(delayMs, () => {
        this.service.number(this.now)
        this.#publish()
      })
    } else this.#schedule(this.#faulty ? this.#random() * 100 : 0, () => this.#publish())
  }

  /** The relay: publishes what is numbered. */
  #publish(): void {
    const { service } = this
    if (this.#publishedEpoch !== service.epoch) {
      this.#publishedEpoch = service.epoch
      this.#published = 0
      const id = `people:${service.epoch}:${service.numbered}`
      const message = { event: 'reset', resource: '/people', id } as const
      if (this.m.kind !== 'nested') {
        this.#deliver({ type: 'message', message: { epoch: service.epoch, seq: service.numbered, message } })
      }
    }
    while (this.#published < service.numbered) {
      const seq = ++this.#published
      const { topic } = service.rows[seq - 1]!
      if (!this.#isHeard(topic)) continue
      const form = this.#isFault(this.#options.refs) ? 'ref' : 'whole'
      const message = structuredClone(service.message(service.epoch, service.rows, seq, form))
      this.#deliver({ type: 'message', message })
    }
    this.#pump()
  }

  #isHeard(topic: string): boolean {
    const { kind, path, hearsCreations } = this.m
    if (kind === 'collection') return true
    if (kind === 'nested') return topic === path || topic.startsWith(`${path}/`)
    return topic === path || (hearsCreations && topic === path.slice(0, path.lastIndexOf('/')))
  }

  #tellHead(): void {
    const { epoch, numbered, first } = this.service
    this.#deliver({ type: 'head', head: { stream: 'people', epoch, seq: numbered, first }, retained: false })
    this.#pump(true)
  }

  /** Sends over the broker. */
  #deliver(event: FollowerEvent): void {
    if (this.m.isOrdered || !this.#sourceUp || this.#isMute) return
    const { loss, repetition, delay } = this.#options
    if (this.#isFault(loss)) return
    const times = this.#isFault(repetition) ? 2 : 1
    for (let time = 0; time < times; time++) {
      const late = this.#isFault(delay) ? this.#random() * 3_000 : 0
      this.#schedule(1 + late, () => {
        if (this.#sourceUp) this.hear(structuredClone(event))
      })
    }
  }

  #sourceChanged(up: boolean): void {
    if (this.#sourceUp === up) return
    this.#sourceUp = up
    this.hear({ type: up ? 'source-up' : 'source-down' })
    if (!up || !this.#chance(0.5)) return
    // What the broker kept may be of any age and epoch.
    const old = this.service.snapshot(Math.floor(this.#random() * 40))
    const head = { stream: 'people', epoch: old.epoch, seq: old.numbered, first: old.first }
    this.hear({ type: 'head', head, retained: true })
  }

  /** The event stream that is open: what it has told and read, and whether anything still comes through. */
  #stream:
    | {
        told: number
        read: number
        epoch: string
        readonly connection: number
        arrivesAt: number
        isDead: boolean
      }
    | undefined

  #openStream(after: { epoch: string; seq: number }): void {
    const connection = ++this.#connection
    this.#stream = undefined
    if (this.#isFault(this.#options.outages * 0.5)) {
      this.#schedule(this.#chance(0.5) ? 5_000 : 5, () =>
        this.#streamEvent(connection, { type: 'source-down' }),
      )
      return
    }
    this.#schedule(this.#latency(), () => {
      if (connection !== this.#connection) return
      this.#streamEvent(connection, { type: 'source-up' })
      const { epoch, seq } = after
      this.#stream = { told: seq, read: seq, epoch, connection, arrivesAt: this.now, isDead: false }
      this.#pump(true)
    })
  }

  #streamEvent(connection: number, event: FollowerEvent): void {
    if (connection === this.#connection) this.hear(event)
  }

  /** Writes to the event stream what is new: changes in order, then a head. */
  #pump(withHead = false): void {
    const stream = this.#stream
    if (stream === undefined || stream.isDead || stream.connection !== this.#connection) return
    const { epoch, numbered, rows, first } = this.service
    const send = (event: FollowerEvent): void => {
      stream.arrivesAt = Math.max(stream.arrivesAt, this.now + this.#latency())
      this.#schedule(stream.arrivesAt - this.now, () => {
        if (!stream.isDead) this.#streamEvent(stream.connection, event)
      })
    }
    if (stream.epoch !== epoch || stream.read < first - 1) {
      send({ type: 'gone' })
      this.#stream = undefined
      return
    }
    const { kind, path: followed } = this.m
    for (;;) {
      const to = Math.min(numbered, stream.read + 1 + Math.floor(this.#random() * 5))
      const changes = []
      for (let seq = stream.read + 1; seq <= to; seq++) {
        const { path } = rows[seq - 1]!
        const isWanted = kind === 'collection' || path === followed || path.startsWith(`${followed}/`)
        if (isWanted) changes.push(structuredClone(this.service.message(epoch, rows, seq, 'whole')))
      }
      stream.read = to
      const head = withHead && to === numbered ? numbered : undefined
      const last = head ?? changes.at(-1)?.seq
      if (last !== undefined) {
        send({
          type: 'interval',
          interval: { epoch, after: stream.told, to: last, head, compact: false, changes },
        })
        stream.told = last
      }
      if (to === numbered) return
    }
  }

  /** Once a second something may go wrong. */
  #disturb(): void {
    if (!this.#faulty) return
    const { outages, epochs, pruning } = this.#options
    if (this.#chance(outages * 0.2)) {
      if (this.m.isOrdered) {
        if (this.#stream !== undefined && this.#chance(0.5)) this.#stream.isDead = true
        else {
          this.#stream = undefined
          this.#streamEvent(this.#connection, { type: 'source-down' })
          this.#connection++
        }
      } else this.#sourceChanged(false)
    }
    if (!this.m.isOrdered && !this.#sourceUp && this.#chance(0.3)) this.#sourceChanged(true)
    if (this.#chance(epochs * 0.1)) {
      this.service.renew(`e${++this.#epochs}`, this.#chance(0.5) ? Math.floor(this.#random() * 10) : 0)
      this.#publish()
      this.#tellHead()
    }
    if (this.#chance(this.#options.silences * 0.05)) {
      this.#isMute = true
      this.#schedule(this.#random() * 60_000, () => {
        this.#isMute = false
      })
    }
    if (this.#chance(0.1)) this.#call()
    if (this.#chance(pruning * 0.1)) this.service.prune(Math.floor(this.#random() * 10))
  }

  #calm(): void {
    this.#faulty = false
    this.#isMute = false
    if (!this.m.isOrdered && !this.#sourceUp) this.#sourceChanged(true)
    this.service.number(this.now)
    this.#publish()
  }

  #isFault(chance: number): boolean {
    return this.#faulty && this.#random() < chance
  }

  #chance(chance: number): boolean {
    return this.#random() < chance
  }

  #latency(): number {
    return 1 + this.#random() * (this.#faulty && this.#chance(0.05) ? 2_000 : 20)
  }

  #schedule(delayMs: number, run: () => void): void {
    const due = { at: this.now + delayMs, order: this.#order++, run }
    let index = this.#due.length
    while (index > 0 && this.#due[index - 1]!.at <= due.at) index--
    this.#due.splice(index, 0, due)
  }

  #every(ms: number, run: () => void): void {
    const again = (): void => {
      run()
      this.#schedule(ms, again)
    }
    this.#schedule(this.#random() * ms, again)
  }

  #runUntil(end: number): void {
    let steps = 0
    for (let due = this.#due.at(-1); due !== undefined && due.at <= end; due = this.#due.at(-1)) {
      this.#due.pop()
      this.now = due.at
      due.run()
      assert.ok(++steps < 100_000, 'the world does not come to rest')
    }
    this.now = end
  }
}

type AnswerEvent =
  | {
      type: 'items'
      epoch: string
      seq: number
      items: Extract<FollowerEvent, { type: 'items' }>['items']
      next: string | undefined
    }
  | { type: 'resource'; answer: Extract<FollowerEvent, { type: 'resource' }>['answer'] }
  | { type: 'page'; interval: Interval }

function pick<T>(random: () => number, values: readonly T[]): T {
  return values[Math.floor(random() * values.length)]!
}

/** A small seeded generator of numbers in [0, 1). */
export function mulberry32(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let value = Math.imul(state ^ (state >>> 15), state | 1)
    value ^= value + Math.imul(value ^ (value >>> 7), value | 61)
    return ((value ^ (value >>> 14)) >>> 0) / 4_294_967_296
  }
}
