/**
 * Compares what a service answers with what the legacy program answers, before the service takes a route over.
 *
 * The client gets the legacy program's answer and waits for nothing else. Only GETs are compared; nothing that writes is
 * ever sent to both. What is kept are places and counts, no values.
 */
import { type Json, parseJson } from '../contract/index.ts'
import type { Instance, ResponseHead, Upstream } from '../upstream/index.ts'
import type { ResponseTee } from './exchange.ts'
import type { Incoming } from './incoming.ts'
import { type Difference, findDifferences } from './json-difference.ts'
import type { Route } from './route-table.ts'
import type { ComparisonSettings } from './service-settings.ts'
import { formatUpstreamHead } from './upstream-head.ts'

/** A place in which both differed, how often, and where one may look. */
export interface CountedDifference extends Difference {
  readonly count: number
  /** The path and query of the last request that showed it. */
  readonly example: string
}

/** What was found on one route. */
export interface ComparisonReport {
  readonly compared: number
  readonly equal: number
  /** Neither: too large, no JSON on both sides, or one did not answer. */
  readonly skipped: number
  /** As `legacy → service`, with their counts. */
  readonly statuses: Readonly<Record<string, number>>
  /** The most frequent first. */
  readonly differences: readonly CountedDifference[]
}

const maxKept = 100
const maxRunning = 32

export class Comparison {
  /** Who is compared with the legacy program. */
  readonly service: string
  readonly #settings: ComparisonSettings
  readonly #place: Pick<Route, 'root' | 'inside' | 'outside' | 'settings'>
  readonly #upstream: Upstream
  readonly #random: () => number
  readonly #ignored: ReadonlySet<string>
  readonly #differences = new Map<string, { difference: Difference; count: number; example: string }>()
  readonly #statuses = new Map<string, number>()
  #compared = 0
  #equal = 0
  #skipped = 0
  #running = 0

  constructor(
    place: Pick<Route, 'root' | 'inside' | 'outside' | 'settings'>,
    upstream: Upstream,
    settings: ComparisonSettings,
    random: () => number = Math.random,
  ) {
    this.service = upstream.name
    this.#place = place
    this.#upstream = upstream
    this.#settings = settings
    this.#random = random
    this.#ignored = new Set(settings.ignore)
  }

  /** Asks the service too, where this request is to be compared. Hears the answer of the legacy program through what it gives. */
  begin(
    incoming: Incoming,
    requestHeaders: Readonly<Record<string, string | undefined>> | undefined,
  ): ResponseTee | undefined {
    if (incoming.method !== 'GET' || this.#running >= maxRunning || this.#random() >= this.#settings.share)
      return undefined
    // Asked for a part, or for what has changed since, two programs may rightly differ.
    if (partly.some(name => incoming.headers[name] !== undefined)) return undefined
    this.#running++
    const legacy = Promise.withResolvers<Whole | undefined>()
    const asked = this.#ask(incoming, requestHeaders).catch(() => undefined)
    void Promise.all([legacy.promise, asked]).then(([before, after]) => {
      this.#running--
      this.#judge(before, after, incoming.query === '' ? incoming.path : `${incoming.path}?${incoming.query}`)
    })
    return new Gathering(this.#settings.maxBytes, legacy.resolve)
  }

  report(): ComparisonReport {
    const differences = [...this.#differences.values()]
      .sort((a, b) => b.count - a.count)
      .map(({ difference, count, example }) => ({ ...difference, count, example }))
    return {
      compared: this.#compared,
      equal: this.#equal,
      skipped: this.#skipped,
      statuses: Object.fromEntries(this.#statuses),
      differences,
    }
  }

  async #ask(
    incoming: Incoming,
    requestHeaders: Readonly<Record<string, string | undefined>> | undefined,
  ): Promise<Whole | undefined> {
    const nowMs = performance.now()
    const instance = this.#upstream.choose(nowMs)
    const set = { ...requestHeaders, ...plainly }
    const head = formatUpstreamHead(incoming, {
      route: this.#place,
      instance,
      requestHeaders: set,
      framing: '',
    })
    instance.inFlight++
    instance.requests++
    try {
      return await this.#read(instance, head, nowMs)
    } finally {
      instance.inFlight--
    }
  }

  async #read(instance: Instance, head: string, nowMs: number): Promise<Whole | undefined> {
    const connection = instance.takeIdle() ?? (await instance.open(nowMs))
    connection.deadlineMs = nowMs + this.#upstream.options.headTimeoutMs
    return await new Promise(resolve => {
      const gathering = new Gathering(this.#settings.maxBytes, resolve)
      connection.send(
        'GET',
        head,
        {
          onHead: answer => gathering.onHead(answer),
          onBody(part) {
            gathering.onBody(part)
            if (!gathering.isOver) return
            connection.destroy()
            gathering.onEnd()
          },
          onEnd: () => gathering.onEnd(),
          onFailure: () => resolve(undefined),
          onUpgrade() {},
          onSettled() {},
          onDrain() {},
        },
        { isComplete: true },
      )
    })
  }

  #judge(before: Whole | undefined, after: Whole | undefined, example: string): void {
    if (before === undefined || after === undefined) {
      this.#skipped++
      return
    }
    const statuses = `${before.status} → ${after.status}`
    if (before.status !== after.status) this.#statuses.set(statuses, (this.#statuses.get(statuses) ?? 0) + 1)
    const [one, other] = [before.json, after.json]
    if (one === undefined || other === undefined) {
      if (before.status === after.status) this.#skipped++
      else this.#compared++
      return
    }
    this.#compared++
    const found = findDifferences(one, other, { ignore: this.#ignored })
    if (found.length === 0 && before.status === after.status) this.#equal++
    for (const difference of found) this.#keep(difference, example)
  }

  #keep(difference: Difference, example: string): void {
    const key = `${difference.kind} ${difference.pointer}`
    const kept = this.#differences.get(key)
    if (kept !== undefined) {
      kept.count++
      kept.example = example
    } else if (this.#differences.size < maxKept) {
      this.#differences.set(key, { difference, count: 1, example: example.slice(0, 500) })
    }
  }
}

/** Set on what both sides are asked: a body that is compressed cannot be compared. */
export const plainly: Readonly<Record<string, string>> = { 'accept-encoding': 'identity' }
const partly = ['if-none-match', 'if-modified-since', 'range'] as const

interface Whole {
  readonly status: number
  /** `undefined` where the body is no JSON, or was not read whole. */
  readonly json: Json | undefined
}

/** A response, read whole as far as the limit allows. */
class Gathering implements ResponseTee {
  readonly #maxBytes: number
  readonly #done: (whole: Whole | undefined) => void
  #status = 0
  #isJson = false
  #parts: Buffer[] = []
  #bytes = 0

  constructor(maxBytes: number, done: (whole: Whole | undefined) => void) {
    this.#maxBytes = maxBytes
    this.#done = done
  }

  get isOver(): boolean {
    return this.#bytes > this.#maxBytes
  }

  onHead({ status, fields }: ResponseHead): void {
    this.#status = status
    const at = fields.findIndex((name, index) => index % 2 === 0 && name.toLowerCase() === 'content-type')
    this.#isJson = at !== -1 && /[/+]json\b/i.test(fields[at + 1] ?? '')
  }

  onBody(part: Buffer): void {
    this.#bytes += part.length
    if (this.isOver) this.#parts = []
    else if (this.#isJson) this.#parts.push(Buffer.from(part))
  }

  onEnd(): void {
    this.#done(this.#status === 0 ? undefined : { status: this.#status, json: this.#read() })
  }

  onGone(): void {
    this.#done(undefined)
  }

  #read(): Json | undefined {
    if (!this.#isJson || this.isOver) return undefined
    try {
      return parseJson(Buffer.concat(this.#parts).toString())
    } catch {
      // Then it is none.
      return undefined
    }
  }
}
