/**
 * The observer: looks at the API where something is in doubt, and records what it sees. Nobody else writes to the shadow.
 *
 * A resource is looked at by a GET, a collection by reading its list.
 */
import {
  isEqualJson,
  isLockstepError,
  type Json,
  LockstepError,
  type ReportError,
} from '../contract/index.ts'
import type { ApiReader } from './api-reader.ts'
import type { Doubts, Look } from './doubts.ts'
import { type ListTag, readJson, readList, refused } from './list-reader.ts'
import {
  itemUrl,
  type ListedItem,
  type Mirrored,
  readState,
  resourcePath,
  toMirrored,
  valuesOf,
} from './mirrored.ts'
import { compareItems, compareRest, type Differences, type Listed } from './reconciliation.ts'
import type { Shadow } from './shadow.ts'
import { fillPattern } from './url-pattern.ts'

export interface ObserverOptions {
  readonly mirrored: readonly Mirrored[]
  readonly reader: Pick<ApiReader, 'get'>
  readonly doubts: Doubts
  readonly shadow: Shadow
  readonly report: ReportError
  /** Looks at a time. */
  readonly maxLooks: number
  readonly maxItems: number
}

/** Lists that are read at a time: each is held in memory as a whole. */
const maxLists = 2
const maxKnownTags = 50_000
/** Resources of a list that are written in one transaction. */
const chunkItems = 500
const reportEveryMs = 30_000

export class Observer {
  readonly #options: ObserverOptions
  readonly #routes: ReadonlyMap<string, Mirrored>
  /** The tag that a resource had when it was recorded last: the same again says that it is as it was recorded. */
  readonly #tags = new Map<string, string>()
  readonly #lists = new Map<string, { readonly tag: ListTag; readonly seq: number }>()
  /** Whether the items of a list are whole, where that was found out. */
  readonly #whole = new Map<Mirrored, boolean>()
  readonly #waiting = new Map<string, PromiseWithResolvers<boolean>>()
  readonly #reportedMs = new Map<string, number>()
  #listLooks = 0
  #timer: NodeJS.Timeout | undefined
  #isClosed = false
  #idle: PromiseWithResolvers<void> | undefined

  constructor(options: ObserverOptions) {
    this.#options = options
    this.#routes = new Map(options.mirrored.map(each => [routeOf(`/${each.template}`), each]))
  }

  start(): void {
    this.#timer ??= setInterval(() => this.pump(), 50).unref()
  }

  /** Begins the looks that may begin now. To be called whenever there is a new doubt. */
  pump(): void {
    const { doubts, maxLooks } = this.#options
    while (!this.#isClosed && doubts.looks < maxLooks) {
      const look = doubts.take(performance.now(), path => this.#listLooks < maxLists || !isCollection(path))
      if (look === undefined) break
      void this.#look(look)
    }
    if (this.#idle !== undefined && doubts.size === 0) {
      this.#idle.resolve()
      this.#idle = undefined
    }
  }

  /** Looks at a path, and resolves at the end of that look: `false` where it told nothing, and is made again later. */
  look(path: string): Promise<boolean> {
    let waiting = this.#waiting.get(path)
    if (waiting === undefined) {
      waiting = Promise.withResolvers()
      this.#waiting.set(path, waiting)
    }
    this.#options.doubts.raise(path, 'answered', {}, performance.now())
    this.pump()
    return waiting.promise
  }

  /** Resolves when nothing is in doubt. */
  async settled(): Promise<void> {
    if (this.#options.doubts.size === 0 || this.#isClosed) return
    this.#idle ??= Promise.withResolvers()
    await this.#idle.promise
  }

  /** Ends the looks that run; what is in doubt stays in the journal. */
  async close(): Promise<void> {
    this.#isClosed = true
    clearInterval(this.#timer)
    for (const { resolve } of this.#waiting.values()) resolve(false)
    this.#waiting.clear()
    this.#idle?.resolve()
    while (this.#running.size > 0) await Promise.all(this.#running)
  }

  readonly #running = new Set<Promise<void>>()

  async #look(look: Look): Promise<void> {
    const running = this.#lookAndTell(look)
    this.#running.add(running)
    await running
    this.#running.delete(running)
    this.pump()
  }

  async #lookAndTell(look: Look): Promise<void> {
    const { path } = look
    const { doubts } = this.#options
    const waiting = this.#waiting.get(path)
    this.#waiting.delete(path)
    const isList = isCollection(path)
    if (isList) this.#listLooks++
    let isSeen = false
    try {
      if (isList) await this.#lookAtList(path)
      else await this.#lookAtResource(look)
      isSeen = true
    } catch (error) {
      isSeen = cannotBeMirrored(error)
      this.#report(error, isList ? 'scan' : 'observation')
    }
    if (isList) this.#listLooks--
    if (isSeen) doubts.settle(path, performance.now())
    else doubts.fail(path, performance.now())
    waiting?.resolve(isSeen)
  }

  async #lookAtResource({ path, reason }: Look): Promise<void> {
    const { reader, shadow } = this.#options
    const mirrored = this.#mirroredOf(path)
    const target = itemUrl(mirrored, path)
    const tag = this.#tags.get(path)
    const answer = await reader.get(target, tag === undefined ? {} : { 'if-none-match': tag })
    if (answer.status === 304 && tag !== undefined) return
    const why = { ...(reason?.cause === undefined ? {} : { cause: reason.cause }) }
    if (answer.status === 404 || answer.status === 410) {
      this.#tags.delete(path)
      await shadow.record({ path, state: null, ...why })
      return
    }
    if (answer.status !== 200) throw refused(target, `with ${answer.status}`)
    const state = readState(mirrored, readJson(target, answer.body))
    if (state === undefined) throw unusable(target)
    const createdBy = reason?.isPut === true ? { createdBy: 'PUT' as const } : {}
    const id = valuesOf(mirrored, path)['id']!
    this.#tags.delete(path)
    await shadow.record({ path, state: toMirrored(mirrored, id, state), ...why, ...createdBy })
    const newTag = answer.header('etag')
    if (newTag !== undefined) this.#remember(path, newTag)
  }

  #remember(path: string, tag: string): void {
    this.#tags.set(path, tag)
    if (this.#tags.size > maxKnownTags) this.#tags.delete(this.#tags.keys().next().value!)
  }

  async #lookAtList(path: string): Promise<void> {
    const { reader, shadow, doubts, maxItems } = this.#options
    const mirrored = this.#mirroredOf(path)
    using watch = doubts.watch()
    // Before the list is read: what is recorded in the meantime is newer.
    const { seq } = shadow.head(path)
    const values = valuesOf(mirrored, path)
    const known = this.#lists.get(path)
    this.#lists.delete(path)
    const target = mirrored.list && fillPattern(mirrored.list, values) + mirrored.list.query
    const before = known?.seq === seq ? known.tag : undefined
    const read =
      target === undefined ? undefined : await readList(reader, mirrored, target, { before, maxItems })
    // Without a list, or where it is gone, each resource that was seen is looked at.
    if (read?.items === undefined && read !== undefined) {
      this.#lists.set(path, { tag: read.tag, seq })
      return
    }
    const isWhole = await this.#isWhole(mirrored, path, read?.items ?? [])
    const listed = this.#makeListed(mirrored, path, read?.items ?? [], isWhole)
    let made = 0
    for await (const items of shadow.items(path))
      made += await this.#take(compareItems(items, listed), watch.touched)
    made += await this.#take(compareRest(listed), watch.touched)
    // What others recorded meanwhile, or what is not in the list as a whole, has to be compared next time.
    const isAlone = shadow.head(path).seq === seq + made && watch.touched.size === 1
    if (isWhole && isAlone && read !== undefined) this.#lists.set(path, { tag: read.tag, seq: seq + made })
  }

  #makeListed(mirrored: Mirrored, path: string, items: readonly ListedItem[], isWhole: boolean): Listed {
    const listed: Listed = new Map()
    const values = valuesOf(mirrored, path)
    for (const { id, state } of items) {
      try {
        const itemPath = resourcePath(mirrored, { ...values, id })
        listed.set(itemPath, isWhole && state !== undefined ? toMirrored(mirrored, id, state) : undefined)
      } catch (error) {
        this.#report(error, 'scan')
      }
    }
    return listed
  }

  /** Records what the list has of resources that nobody touched since it was asked for; the others are looked at. */
  async #take({ changed, doubtful }: Differences, touched: ReadonlySet<string>): Promise<number> {
    const { doubts } = this.#options
    let made = 0
    for (let index = 0; index < changed.length; index += chunkItems) {
      const chunk = changed.slice(index, index + chunkItems).filter(({ path }) => !touched.has(path))
      for (const { path } of chunk) this.#tags.delete(path)
      made += await this.#record(chunk, touched)
    }
    const nowMs = performance.now()
    for (const path of doubtful) doubts.raise(path, 'answered', {}, nowMs)
    for (const { path } of changed) if (touched.has(path)) doubts.raise(path, 'answered', {}, nowMs)
    this.pump()
    return made
  }

  /** Each by itself: they were seen together, but not made together. Errors: those of the log. */
  async #record(chunk: Differences['changed'], touched: ReadonlySet<string>): Promise<number> {
    const { shadow } = this.#options
    const results = await Promise.allSettled(
      chunk.map(seen => shadow.record(seen, () => !touched.has(seen.path))),
    )
    let made = 0
    for (const result of results) {
      if (result.status === 'fulfilled') made += result.value
      else if (cannotBeMirrored(result.reason)) this.#report(result.reason, 'scan')
      else throw result.reason
    }
    return made
  }

  /** Some APIs list less of a resource than they show of it: one of them, asked for by itself, tells. */
  async #isWhole(mirrored: Mirrored, path: string, items: readonly ListedItem[]): Promise<boolean> {
    const known = mirrored.whole ?? this.#whole.get(mirrored)
    if (known !== undefined) return known
    const { reader } = this.#options
    for (const { id, state } of items.slice(0, 5)) {
      if (state === undefined) return false
      let target: string
      try {
        target = itemUrl(mirrored, resourcePath(mirrored, { ...valuesOf(mirrored, path), id }))
      } catch {
        continue
      }
      const answer = await reader.get(target)
      if (answer.status !== 200) continue
      const alone = readState(mirrored, readJson(target, answer.body)) as Json | undefined
      const isWhole = alone !== undefined && isEqualJson(alone, state)
      this.#whole.set(mirrored, isWhole)
      return isWhole
    }
    return true
  }

  #mirroredOf(path: string): Mirrored {
    return this.#routes.get(routeOf(path))!
  }

  /** The same again and again is told once in a while. */
  #report(error: unknown, stage: string): void {
    const key = isLockstepError(error) ? error.code : 'unknown'
    const nowMs = performance.now()
    if (nowMs - (this.#reportedMs.get(key) ?? Number.NEGATIVE_INFINITY) < reportEveryMs) return
    this.#reportedMs.set(key, nowMs)
    this.#options.report(error, { stage })
  }
}

export function isCollection(path: string): boolean {
  return path.split('/').length % 2 === 0
}

/** `/people/ann/friends/2` → `people/friends`. */
function routeOf(path: string): string {
  return path
    .slice(1)
    .split('/')
    .filter((_, index) => index % 2 === 0)
    .join('/')
}

const unusableCodes = new Set([
  'invalid-id',
  'invalid-path',
  'invalid-state',
  'unsafe-number',
  'json-too-deep',
])

/** Is it the resource that is at fault? Then another look shows the same. */
function cannotBeMirrored(error: unknown): boolean {
  return isLockstepError(error) && unusableCodes.has(error.code)
}

function unusable(target: string): LockstepError {
  return new LockstepError(
    'invalid-state',
    `What the API has at ${target} is no JSON object, and cannot be mirrored.`,
  )
}
