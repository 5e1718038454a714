/**
 * The doubts ★: which paths of the API may be other than they were last seen, and when to look at each. Pure: `nowMs` comes in.
 *
 * A path is looked at when no write of it is under way, one look at a time, and once more where a write ended after the look
 * began: so looks of a path are in order, and the last one sees what the last write left. Where writes overlap without an end it is looked
 * at all the same, every `maxOverlapMs`. PROTOCOL.md §15.
 */

export interface DoubtsOptions {
  /** How long writes that overlap may put off a look. @default 500 */
  readonly maxOverlapMs?: number
  /** When to look again after an outcome that nobody knows, and at what answers 202. @default [1_000, 5_000, 30_000] */
  readonly recheckMs?: readonly number[]
  /** The first pause after a look that failed; it doubles up to `maxRetryMs`. @default 200 */
  readonly minRetryMs?: number
  /** @default 15_000 */
  readonly maxRetryMs?: number
}

/** How a write ended: `refused` changed nothing, `uncertain` may change something yet. */
export type WriteEnd = 'refused' | 'answered' | 'uncertain'

/** Why somebody looks: the request, and what is to be let go when it has been seen. */
export interface Reason {
  /** The id of the request, where there is one. */
  readonly cause?: string
  /** Was it a PUT, whose creation is told on the resource's own topic? */
  readonly isPut?: boolean
  /** Called when a look that began after the reason has been recorded. */
  readonly onSeen?: () => void
}

/** A look that is to be made now. */
export interface Look {
  readonly path: string
  /** Why, where there is one reason only. */
  readonly reason: Reason | undefined
}

interface Doubt {
  writes: number
  reasons: Reason[]
  /** Those that the look that runs is for; `undefined` while none runs. */
  taken: Reason[] | undefined
  /** When it may be looked at, or is to be again. */
  dueMs: number
  readonly rechecks: number[]
  /** What the last of the rechecks is for. */
  last: Reason[]
  attempts: number
  /** Since when writes put off a look. */
  sinceMs: number
}

/** Paths that were in doubt at any time since the watch began. */
export interface Watch extends Disposable {
  readonly touched: ReadonlySet<string>
}

export class Doubts {
  readonly #options: Required<DoubtsOptions>
  readonly #doubts = new Map<string, Doubt>()
  /** May be looked at now. */
  readonly #ready = new Set<string>()
  /** Have to wait for the clock. */
  readonly #waiting = new Set<string>()
  readonly #watches = new Set<Set<string>>()
  #looks = 0
  /** When the first of those that wait may be ready. */
  #wakeMs = Number.POSITIVE_INFINITY

  constructor(options: DoubtsOptions = {}) {
    this.#options = {
      maxOverlapMs: 500,
      recheckMs: [1_000, 5_000, 30_000],
      minRetryMs: 200,
      maxRetryMs: 15_000,
      ...options,
    }
  }

  /** How many paths are in doubt, or being written. */
  get size(): number {
    return this.#doubts.size
  }

  /** Looks that run. */
  get looks(): number {
    return this.#looks
  }

  has(path: string): boolean {
    return this.#doubts.has(path)
  }

  /** Is one write of the path all that is known of it? Then nothing came between its begin and now. */
  isAlone(path: string): boolean {
    const doubt = this.#doubts.get(path)
    if (doubt === undefined) return true
    const { writes, reasons, taken, rechecks } = doubt
    return writes === 1 && reasons.length === 0 && taken === undefined && rechecks.length === 0
  }

  /** A write of the path is about to be sent. */
  begin(path: string, nowMs: number): void {
    const doubt = this.#open(path, nowMs)
    doubt.writes++
    this.#place(path, doubt, nowMs)
  }

  /** A write that began has ended. */
  end(path: string, how: WriteEnd, reason: Reason, nowMs: number): void {
    const doubt = this.#open(path, nowMs)
    doubt.writes--
    if (how === 'refused') reason.onSeen?.()
    else this.#add(doubt, how, reason, nowMs)
    this.#place(path, doubt, nowMs)
  }

  /** There is a reason to look, without a write of this very path. */
  raise(path: string, how: Exclude<WriteEnd, 'refused'>, reason: Reason, nowMs: number): void {
    const doubt = this.#open(path, nowMs)
    this.#add(doubt, how, reason, nowMs)
    this.#place(path, doubt, nowMs)
  }

  #add(doubt: Doubt, how: WriteEnd, reason: Reason, nowMs: number): void {
    if (doubt.reasons.length === 0) doubt.sinceMs = nowMs
    if (how === 'answered') doubt.reasons.push(reason)
    else {
      // Only the last look of several is the one that counts.
      doubt.reasons.push({})
      doubt.rechecks.length = 0
      for (const afterMs of this.#options.recheckMs) doubt.rechecks.push(nowMs + afterMs)
      doubt.last.push(reason)
    }
    doubt.attempts = 0
    doubt.dueMs = nowMs
  }

  /** Takes one that is to be looked at; `undefined` where none is. `mayTake` leaves out those for which there is no room. */
  take(nowMs: number, mayTake: (path: string) => boolean = () => true): Look | undefined {
    if (nowMs >= this.#wakeMs) this.#wake(nowMs)
    for (const path of this.#ready) {
      if (!mayTake(path)) continue
      const doubt = this.#doubts.get(path)!
      this.#ready.delete(path)
      this.#looks++
      doubt.taken = doubt.reasons
      doubt.reasons = []
      const [first, second] = doubt.taken
      return { path, reason: second === undefined ? first : undefined }
    }
    return undefined
  }

  #wake(nowMs: number): void {
    this.#wakeMs = Number.POSITIVE_INFINITY
    // A copy: what still has to wait is put back.
    for (const path of [...this.#waiting]) this.#place(path, this.#doubts.get(path)!, nowMs)
  }

  /** The look has been recorded. */
  settle(path: string, nowMs: number): void {
    const doubt = this.#finish(path)
    doubt.attempts = 0
    for (const { onSeen } of doubt.taken!) onSeen?.()
    doubt.taken = undefined
    doubt.sinceMs = nowMs
    this.#place(path, doubt, nowMs)
  }

  /** The look told nothing: it is made again. */
  fail(path: string, nowMs: number): void {
    const doubt = this.#finish(path)
    const { minRetryMs, maxRetryMs } = this.#options
    doubt.reasons = [...doubt.taken!, ...doubt.reasons]
    doubt.taken = undefined
    doubt.dueMs = nowMs + Math.min(maxRetryMs, minRetryMs * 2 ** Math.min(doubt.attempts++, 20))
    this.#place(path, doubt, nowMs)
  }

  /** Tells of every path that is in doubt from now on. */
  watch(): Watch {
    const touched = new Set(this.#doubts.keys())
    this.#watches.add(touched)
    return { touched, [Symbol.dispose]: () => void this.#watches.delete(touched) }
  }

  #finish(path: string): Doubt {
    this.#looks--
    return this.#doubts.get(path)!
  }

  #open(path: string, nowMs: number): Doubt {
    for (const touched of this.#watches) touched.add(path)
    const known = this.#doubts.get(path)
    if (known !== undefined) return known
    const doubt: Doubt = {
      writes: 0,
      reasons: [],
      taken: undefined,
      dueMs: nowMs,
      rechecks: [],
      last: [],
      attempts: 0,
      sinceMs: nowMs,
    }
    this.#doubts.set(path, doubt)
    return doubt
  }

  /** Puts it where it belongs: to those that are ready, those that wait, or nowhere. */
  #place(path: string, doubt: Doubt, nowMs: number): void {
    this.#ready.delete(path)
    this.#waiting.delete(path)
    if (doubt.taken !== undefined) return
    if (doubt.reasons.length === 0) this.#recheck(doubt, nowMs)
    if (doubt.reasons.length > 0) {
      const overlapMs = doubt.writes > 0 ? doubt.sinceMs + this.#options.maxOverlapMs : 0
      const atMs = Math.max(doubt.dueMs, overlapMs)
      if (nowMs >= atMs) this.#ready.add(path)
      else this.#wait(path, atMs)
    } else if (doubt.rechecks.length > 0) this.#wait(path, doubt.rechecks[0]!)
    else if (doubt.writes === 0) this.#doubts.delete(path)
  }

  #wait(path: string, atMs: number): void {
    this.#waiting.add(path)
    this.#wakeMs = Math.min(this.#wakeMs, atMs)
  }

  #recheck(doubt: Doubt, nowMs: number): void {
    const [atMs] = doubt.rechecks
    if (atMs === undefined || atMs > nowMs) return
    doubt.rechecks.shift()
    doubt.sinceMs = nowMs
    doubt.dueMs = nowMs
    if (doubt.rechecks.length > 0) doubt.reasons.push({})
    else doubt.reasons.push(...doubt.last.splice(0))
  }
}
