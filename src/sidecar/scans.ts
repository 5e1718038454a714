/** The scans: everything, at the start and then again and again, the resources at the top before what is nested below them. */
import { LockstepError, lastSegmentOf, parentOf, type ReportError, streamOf } from '../contract/index.ts'
import type { NodeListener } from '../service/index.ts'
import { sendProblem } from './forwarding.ts'
import type { Mirrored } from './mirrored.ts'
import type { Observer } from './observer.ts'
import type { Shadow } from './shadow.ts'

export interface ScansOptions {
  readonly mirrored: readonly Mirrored[]
  readonly observer: Observer
  readonly shadow: Shadow
  /** 0 for none but the first. */
  readonly everyMs: number
  readonly report: ReportError
}

const retryMs = 1_000

export class Scans {
  readonly ready: Promise<void>
  readonly #options: ScansOptions
  readonly #ready = Promise.withResolvers<void>()
  /** Streams of which nothing was ever seen whole: they have no baseline to give yet. */
  readonly #empty: Set<string>
  #running: Promise<boolean> | undefined
  #timer: NodeJS.Timeout | undefined
  #isClosed = false

  constructor(options: ScansOptions) {
    this.#options = options
    this.ready = this.#ready.promise
    const streams = options.mirrored.map(({ template }) => streamOf(`/${template}`))
    this.#empty = new Set(streams.filter(stream => options.shadow.head(`/${stream}`).seq === 0))
  }

  start(): void {
    void this.#go()
  }

  async #go(): Promise<void> {
    const isWhole = await this.run()
    if (this.#isClosed) return
    const { everyMs } = this.#options
    // Until the first one has come to its end there is nothing to show.
    const pauseMs = isWhole ? everyMs : everyMs === 0 ? retryMs : Math.min(everyMs, retryMs)
    if (isWhole && everyMs === 0) return
    this.#timer = setTimeout(() => void this.#go(), pauseMs)
    this.#timer.unref()
  }

  /** Scans everything; one that runs already is waited for, and then another one is made. */
  async run(): Promise<boolean> {
    while (this.#running !== undefined) await this.#running
    this.#running = this.#scan()
    try {
      return await this.#running
    } finally {
      this.#running = undefined
    }
  }

  async #scan(): Promise<boolean> {
    const { mirrored, observer, report } = this.#options
    let isWhole = true
    try {
      for (const each of mirrored) {
        for await (const path of this.#collections(each.template)) {
          if (this.#isClosed) return false
          if (!(await observer.look(path))) isWhole = false
          else if (each.parents.length === 0) this.#empty.delete(streamOf(path))
        }
      }
    } catch (error) {
      isWhole = false
      report(error, { stage: 'scan' })
    }
    if (isWhole) this.#ready.resolve()
    return isWhole
  }

  /** The collections that a template stands for: one at the top, or one below each resource of another one. */
  async *#collections(template: string): AsyncGenerator<string> {
    const parent = parentOf(parentOf(template))
    if (parent === '') {
      yield `/${template}`
      return
    }
    const name = lastSegmentOf(template)
    for await (const above of this.#collections(parent)) {
      for await (const items of this.#options.shadow.items(above)) {
        for (const { path } of items) yield `${path}/${name}`
      }
    }
  }

  /** Answers for a stream of which nothing is known yet that one should come back: an empty list would be a lie. */
  guard(mirror: NodeListener, root: string): NodeListener {
    return (request, response) => {
      const stream = /^\/([^/?]+)/.exec((request.url ?? '').slice(root.length))?.[1]
      if (stream !== undefined && this.#empty.has(stream)) {
        const text = `The first scan of /${stream} is not at its end. Try again shortly.`
        sendProblem(response, new LockstepError('api-unreachable', text), !request.complete)
      } else mirror(request, response)
    }
  }

  async close(): Promise<void> {
    this.#isClosed = true
    clearTimeout(this.#timer)
  }
}
