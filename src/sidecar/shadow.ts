/**
 * The shadow: the API as it was last seen, with the changes between. It is a change log like that of any service, written by
 * nobody but the sidecar.
 */
import { type Head, type JsonObject, streamOf } from '../contract/index.ts'
import type { ChangeLog, StoredItem } from '../log/change-log.ts'
import { recordIn } from '../log/record-in.ts'

/** What was seen of one resource. */
export interface Seen {
  /** The canonical path. */
  readonly path: string
  /** As it is mirrored; `null` where it is not there. */
  readonly state: JsonObject | null
  readonly cause?: string
  readonly createdBy?: 'POST' | 'PUT'
}

export interface ShadowOptions {
  readonly streams: readonly string[]
  /** Those in which resources lie below others. */
  readonly nested: ReadonlySet<string>
  readonly now: () => number
}

/** From the end of one commit to the begin of the next. */
const gatherMs = 10
const pageItems = 1_000
/** Nested resources that go with one that is deleted, in one transaction. */
const maxNested = 1_000

export class Shadow {
  readonly log: ChangeLog
  readonly #now: () => number
  readonly #heads = new Map<string, Head>()
  readonly #stop: () => void
  /** When the next commit may begin. */
  #nextMs = 0
  #gathering: Promise<void> | undefined
  readonly #nested: ReadonlySet<string>

  private constructor(log: ChangeLog, heads: readonly Head[], { nested, now }: ShadowOptions) {
    this.log = log
    this.#nested = nested
    this.#now = now
    for (const head of heads) this.#heads.set(head.stream, head)
    this.#stop = log.onCommit(moved => {
      for (const head of moved) this.#heads.set(head.stream, head)
    })
  }

  static async open(log: ChangeLog, options: ShadowOptions): Promise<Shadow> {
    return new Shadow(log, await log.ensureStreams(options.streams), options)
  }

  /** Where the stream of a path stands: what was seen until then, an answer that is asked for now holds. */
  head(path: string): Head {
    return this.#heads.get(streamOf(path))!
  }

  /**
   * Records what was seen of one resource, unless `isValid` says at the moment of writing that it is out of date. Gives how many changes that
   * made. What is recorded at the same time shares the durable commit.
   */
  async record(seen: Seen, isValid: () => boolean = () => true): Promise<number> {
    const { path, state } = seen
    await this.#turn()
    if (state === null && this.#nested.has(streamOf(path))) await this.#removeNested(path, isValid)
    const { value } = await this.log.write(async tx =>
      isValid() ? await recordIn(tx, [seen], { timeMs: this.#now() }) : [],
    )
    this.#nextMs = performance.now() + gatherMs
    return value.filter(({ event }) => event !== undefined).length
  }

  /** What is seen right after a commit waits for the next one, with all that is seen meanwhile: while the disk writes, no request is passed on. */
  #turn(): Promise<void> | undefined {
    const waitMs = this.#nextMs - performance.now()
    if (this.#gathering !== undefined || waitMs <= 0) return this.#gathering
    const { promise, resolve } = Promise.withResolvers<void>()
    setTimeout(() => {
      this.#gathering = undefined
      resolve()
    }, waitMs)
    this.#gathering = promise
    return promise
  }

  /** What is nested below a resource that is gone goes before it, in portions, where it is much. */
  async #removeNested(path: string, isValid: () => boolean): Promise<void> {
    for (let isMore = true; isMore; ) {
      const { value } = await this.log.write(async tx => {
        const nested = isValid() ? await tx.readPathsUnder(path, maxNested + 1) : []
        if (nested.length <= maxNested) return false
        for (const each of nested) {
          const isLeaf = (await tx.readPathsUnder(each, 1)).length === 0
          if (isLeaf) await recordIn(tx, [{ path: each, state: null }], { timeMs: this.#now() })
        }
        return true
      })
      isMore = value
    }
  }

  /** All resources of a collection, page by page. */
  async *items(collection: string): AsyncGenerator<readonly StoredItem[]> {
    for (let afterPath: string | undefined, more = true; more; ) {
      const page = await this.log.readCollection(collection, {
        limit: pageItems,
        ...(afterPath === undefined ? {} : { afterPath }),
      })
      more = page.more
      afterPath = page.items.at(-1)?.path ?? afterPath
      if (page.items.length === 0) more = false
      yield page.items
    }
  }

  close(): void {
    this.#stop()
  }
}
