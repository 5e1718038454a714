/**
 * A service as followers see it, in memory and without time: resources, a numbered log, baselines and a feed.
 *
 * It may number late (states run ahead of the marker), answer from an older snapshot (a lagging replica), forget
 * old changes, and begin a new epoch, with or without going back to an older state.
 */

import type { Interval, Item, NumberedMessage, ResourceAnswer } from '../../src/client/follower-data.ts'
import {
  applyMergePatch,
  type ChangeMessage,
  diffMergePatch,
  type Json,
  type JsonObject,
  LockstepError,
  type Message,
} from '../../src/contract/index.ts'

export interface Row {
  readonly path: string
  readonly topic: string
  readonly event: 'created' | 'modified' | 'deleted'
  readonly version: number
  readonly state: JsonObject | undefined
  readonly changes: JsonObject | undefined
}

export interface Held {
  readonly version: number
  readonly state: JsonObject | undefined
}

/** What one reader sees: the committed resources and how many rows are numbered. */
interface Snapshot {
  readonly epoch: string
  readonly numbered: number
  readonly resources: ReadonlyMap<string, Held>
  readonly rows: readonly Row[]
  readonly first: number
}

export class ModelService {
  epoch = 'e1'
  /** The committed rows of this epoch; the first `numbered` have their numbers. */
  rows: Row[] = []
  numbered = 0
  first = 1
  resources = new Map<string, Held>()
  /** All rows of all epochs, also of those that were left. */
  readonly logs = new Map<string, Row[]>()
  /** When each row got its number, by epoch. */
  readonly numberedAt = new Map<string, number[]>()
  /** Every value that the API ever had in an epoch: `epoch path version JSON`. */
  readonly #legal = new Set<string>()
  readonly #snapshots: Snapshot[] = []
  readonly #numbersLate: boolean

  constructor({ numbersLate }: { numbersLate: boolean }) {
    this.#numbersLate = numbersLate
    this.#beginEpoch('e1')
  }

  /** Commits a write; gives its rows. A parent takes what is below it along. */
  write(path: string, kind: 'put' | 'patch' | 'post' | 'delete', value: JsonObject, now: number): void {
    const held = this.resources.get(path) ?? { version: 0, state: undefined }
    const parent = path.split('/').slice(0, -2).join('/')
    if (parent !== '' && this.resources.get(parent)?.state === undefined) return
    if (kind === 'post' && held.state !== undefined) return
    if ((kind === 'patch' || kind === 'delete') && held.state === undefined) return
    if (kind === 'delete') {
      for (const [below, { state }] of [...this.resources]) {
        if (below.startsWith(`${path}/`) && state !== undefined)
          this.#commit(below, below, undefined, undefined)
      }
      this.#commit(path, path, undefined, undefined)
    } else {
      const state =
        kind === 'patch'
          ? (applyMergePatch(held.state, value) as JsonObject)
          : { id: idOfPath(path), ...value }
      const changes = kind === 'patch' && held.state ? diffMergePatch(held.state, state) : undefined
      const topic = kind === 'post' ? path.slice(0, path.lastIndexOf('/')) : path
      this.#commit(path, topic, state, changes)
    }
    if (!this.#numbersLate) this.number(now)
    this.remember()
  }

  #commit(path: string, topic: string, state: JsonObject | undefined, changes: JsonObject | undefined): void {
    const held = this.resources.get(path) ?? { version: 0, state: undefined }
    const version = held.version + 1
    const event = state === undefined ? 'deleted' : held.state === undefined ? 'created' : 'modified'
    this.resources.set(path, { version, state })
    this.#legalize(path, { version, state })
    this.rows.push({ path, topic, event, version, state, changes })
  }

  /** Gives all committed rows their numbers. */
  number(now: number): void {
    const times = this.numberedAt.get(this.epoch)!
    while (this.numbered < this.rows.length) {
      this.numbered++
      times.push(now)
    }
    this.remember()
  }

  remember(): void {
    const { epoch, numbered, rows, first } = this
    this.#snapshots.push({ epoch, numbered, rows: rows.slice(), first, resources: new Map(this.resources) })
    if (this.#snapshots.length > 40) this.#snapshots.shift()
  }

  prune(keep: number): void {
    this.first = Math.max(this.first, this.numbered - keep + 1)
    this.remember()
  }

  /** A new epoch; `back` goes back so many snapshots first, as a restored backup does. */
  renew(epoch: string, back: number): void {
    const old = this.#snapshots.at(-1 - Math.min(back, this.#snapshots.length - 1))!
    if (back > 0) this.resources = new Map(old.resources)
    this.#beginEpoch(epoch)
  }

  #beginEpoch(epoch: string): void {
    this.epoch = epoch
    this.rows = []
    this.numbered = 0
    this.first = 1
    this.logs.set(epoch, this.rows)
    this.numberedAt.set(epoch, [])
    for (const [path, held] of this.resources) this.#legalize(path, held)
    this.remember()
  }

  /** Had the API this value in this version in the epoch? */
  isLegal(epoch: string, path: string, version: number, state: JsonObject): boolean {
    return this.#legal.has(`${epoch} ${path} ${version} ${JSON.stringify(state)}`)
  }

  #legalize(path: string, { version, state }: Held): void {
    if (state !== undefined) this.#legal.add(`${this.epoch} ${path} ${version} ${JSON.stringify(state)}`)
  }

  snapshot(lag = 0): Snapshot {
    return this.#snapshots.at(-1 - Math.min(lag, this.#snapshots.length - 1))!
  }

  message(epoch: string, rows: readonly Row[], seq: number, form: 'whole' | 'ref'): NumberedMessage {
    const { event, path, version, state, changes } = rows[seq - 1]!
    const id = `people:${epoch}:${seq}`
    const content: Record<string, Json> =
      event === 'deleted' ? {} : form === 'ref' ? { ref: true } : changes ? { changes } : { state: state! }
    return { epoch, seq, message: { event, resource: path, version, id, ...content } as unknown as Message }
  }

  /** A page of a list, `size` items from the one after `after`. */
  list(
    collection: string,
    { size, after, lag }: { size: number; after: string; lag: number },
  ): { epoch: string; seq: number; items: Item[]; next: string | undefined } {
    const { epoch, numbered, resources } = this.snapshot(lag)
    const all = [...resources]
      .filter(([path, { state }]) => state !== undefined && isDirectlyBelow(collection, path) && path > after)
      .sort(([a], [b]) => (a < b ? -1 : 1))
    const items = all.slice(0, size).map(([path, { version, state }]) => ({
      id: idOfPath(path),
      version,
      state: structuredClone(state!),
    }))
    const next = all.length > size ? all[size - 1]![0] : undefined
    return { epoch, seq: numbered, items, next }
  }

  get(path: string, held: { epoch: string; version: number } | undefined, lag: number): ResourceAnswer {
    const { epoch, numbered: seq, resources } = this.snapshot(lag)
    const { version = 0, state } = resources.get(path) ?? {}
    if (state === undefined) return { found: 'absent', epoch, seq }
    if (held?.epoch === epoch && held.version === version) return { found: 'same', epoch, seq }
    return { found: 'whole', epoch, seq, version, state: structuredClone(state) }
  }

  /** A page of the feed. Errors: `position-gone`, `position-ahead`. */
  feed(
    wanted: { epoch: string; after: number; compact: boolean },
    { limit, under, lag }: { limit: number; under: string; lag: number },
  ): Interval {
    const { epoch, numbered: head, rows, first, resources } = this.snapshot(lag)
    const { after, compact } = wanted
    if (wanted.epoch !== epoch || after < first - 1) throw new LockstepError('position-gone', 'gone')
    if (after > head) throw new LockstepError('position-ahead', 'ahead')
    const isWanted = (path: string): boolean =>
      under === '/people' || path === under || path.startsWith(`${under}/`)
    const changes: NumberedMessage[] = []
    let to = Math.min(head, after + limit)
    if (compact) {
      to = head
      for (let seq = after + 1; seq <= head; seq++) {
        const { path } = rows[seq - 1]!
        const isLast = !rows.slice(seq, head).some(row => row.path === path)
        if (!isLast || !isWanted(path)) continue
        const { version, state } = resources.get(path)!
        const event = state === undefined ? 'deleted' : version === 1 ? 'created' : 'modified'
        const message = {
          event,
          resource: path,
          version,
          id: `people:${epoch}:${seq}`,
          state,
        } as ChangeMessage
        changes.push({ epoch, seq, message: structuredClone(message) })
        if (changes.length >= limit && seq < head) {
          to = seq
          break
        }
      }
    } else {
      for (let seq = after + 1; seq <= to; seq++) {
        if (isWanted(rows[seq - 1]!.path))
          changes.push(structuredClone(this.message(epoch, rows, seq, 'whole')))
      }
    }
    return { epoch, after, to, head, compact, changes }
  }
}

/** The id of a resource, decoded. */
export function idOfPath(path: string): string {
  return decodeURIComponent(path.slice(path.lastIndexOf('/') + 1))
}

export function isDirectlyBelow(collection: string, path: string): boolean {
  return path.startsWith(`${collection}/`) && !path.slice(collection.length + 1).includes('/')
}
