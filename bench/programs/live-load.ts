/**
 * The pages and the publisher of a live benchmark, in one process: connects, publishes, and counts what each page gets.
 *
 * Every message is looked for by every page, in order and without a hole: a run in which one is missing, or comes twice, fails.
 */
import { keepPace } from '../harness/pace.ts'
import { runProgram } from '../harness/program.ts'
import { percentile } from '../harness/summary.ts'
import type { LiveBridgeOptions } from './live-bridge.ts'
import { type Crowd, LiveClient } from './live-client.ts'
import { type Dialect, speakLockstep, speakNchanWithIds, speakPlain, speakSocketIo } from './live-dialect.ts'
import { openHttpPublisher, openServicePublisher, type Publisher } from './live-publisher.ts'

export type PeerKind = 'lockstep' | 'nchan' | 'nchan-with-ids' | 'ws' | 'socket.io' | 'feathers'

export interface LiveLoadOptions {
  readonly kind: PeerKind
  /** The log of Lockstep's service. @default in memory */
  readonly file?: string
}

/** What a bridge needs to know of the service; empty for peers. */
export type LiveLoadReady = Partial<LiveBridgeOptions>

export interface ConnectRequest {
  readonly port: number
  /** How many pages there shall be; those that are there stay. */
  readonly pages: number
  /** Messages published then, which prove that all of them hear and warm what has to be warm. @default 5 */
  readonly messages?: number
}

export interface BurstResult {
  readonly deliveries: number
  readonly seconds: number
  /** The share of its core that the load took. Near 1, it was the load that was measured. */
  readonly loadBusy: number
}

export interface LatencyResult {
  readonly deliveries: number
  readonly p50Ms: number
  readonly p99Ms: number
  readonly maxMs: number
}

export interface StormResult {
  /** Until the last one had everything. */
  readonly allMs: number
  /** Until half of them had. */
  readonly halfMs: number
  readonly loadBusy: number
}

/** Handshakes at once, before anything is measured. */
const atOnce = 64
const timeoutMs = 60_000

runProgram<LiveLoadOptions>(async ({ kind, file }) => {
  const load = new LiveLoad()
  const service = kind === 'lockstep' ? await openServicePublisher(file, load.onFailure) : undefined
  const ready: LiveLoadReady = service?.bridge ?? {}
  return {
    ready,
    commands: {
      async connect({ port, pages, messages = 5 }: ConnectRequest): Promise<void> {
        load.publisher ??= service ?? (await openHttpPublisher(port, '/publish', load.onFailure))
        // One more, for the page that never reads.
        const hello = await service?.createHello(pages + 1)
        await load.connect(port, hello === undefined ? dialectOf(kind) : speakLockstep(hello), pages)
        for (let count = 0; count < messages; count++) await load.publishOne()
      },
      churn: ({ times }: { times: number }) => load.churn(times),
      stall: () => load.stall(),
      burst: ({ size, durationMs }: { size: number; durationMs: number }) => load.burst(size, durationMs),
      latency: ({ perSecond, durationMs }: { perSecond: number; durationMs: number }) =>
        load.latency(perSecond, durationMs),
      cutAll: ({ missed }: { missed: number }) => load.cutAll(missed),
      comeBack: () => load.comeBack(),
    },
    close: () => load.close(),
  }
})

function dialectOf(kind: PeerKind): Dialect {
  if (kind === 'nchan-with-ids') return speakNchanWithIds()
  if (kind === 'socket.io' || kind === 'feathers') return speakSocketIo()
  // Only a connection that has answered a request before gets TCP_NODELAY from nginx: without it Nchan waits 40 ms for acknowledgements.
  return kind === 'nchan' ? speakPlain('/') : speakPlain()
}

class LiveLoad implements Crowd {
  port = 0
  dialect: Dialect = speakPlain()
  publisher: Publisher | undefined
  #clients: LiveClient[] = []
  /** The one that never reads. */
  #stalled: LiveClient | undefined
  #readyCount = 0
  #onReady: () => void = () => {}
  /** Deliveries that are still to come. */
  #due = 0
  #onDone: () => void = () => {}
  #sentMs: Map<number, number> | undefined
  #delaysMs: number[] = []
  #doneAt: ((client: LiveClient) => void) | undefined
  #fail: (error: Error) => void = error => {
    throw error
  }

  readonly onFailure = (error: Error): void => this.#fail(error)

  onReady(_client: LiveClient): void {
    this.#readyCount += 1
    this.#onReady()
  }

  onMessage(client: LiveClient, number: number): void {
    const sentMs = this.#sentMs?.get(number)
    if (sentMs !== undefined) this.#delaysMs.push(performance.now() - sentMs)
    this.#doneAt?.(client)
    this.#due -= 1
    if (this.#due === 0) this.#onDone()
  }

  async connect(port: number, dialect: Dialect, pages: number): Promise<void> {
    this.port = port
    this.dialect = dialect
    const next = this.publisher!.last + 1
    await this.#wait(done => {
      const more = (): void => {
        if (this.#readyCount === pages) done()
        while (this.#clients.length < pages && this.#clients.length - this.#readyCount < atOnce) {
          this.#clients.push(new LiveClient(this, this.#clients.length, next))
        }
      }
      this.#onReady = more
      more()
    })
    this.#onReady = () => {}
  }

  /** All pages go and others come, so many times. */
  async churn(times: number): Promise<void> {
    const pages = this.#clients.length
    for (let count = 0; count < times; count++) {
      for (const client of this.#clients) client.cut()
      this.#clients = []
      this.#readyCount = 0
      await this.connect(this.port, this.dialect, pages)
    }
  }

  /** Publishes a message, and resolves when every page has it. */
  publishOne(): Promise<void> {
    return this.#wait(done => {
      this.#onDone = done
      this.#due = this.#clients.length
      this.publisher!.publish(1)
    })
  }

  /** One more page, which takes its handshake and then nothing: the others go on. */
  async stall(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#onReady = resolve
    const client = new LiveClient(this, this.#clients.length, this.publisher!.last + 1)
    await promise
    client.stall()
    this.#stalled = client
  }

  /** Publishes `size` messages at once, and again when every page has all of them. */
  async burst(size: number, durationMs: number): Promise<BurstResult> {
    const before = process.cpuUsage()
    const startMs = performance.now()
    let units = 0
    await this.#wait(done => {
      const turn = (): void => {
        if (performance.now() - startMs >= durationMs) {
          done()
          return
        }
        units++
        this.#due = size * this.#clients.length
        this.publisher!.publish(size)
      }
      this.#onDone = turn
      turn()
    })
    const ms = performance.now() - startMs
    const deliveries = units * size * this.#clients.length
    return { deliveries, seconds: ms / 1_000, loadBusy: busyShare(before, ms) }
  }

  /** Publishes at a steady rate, whether or not the last message has arrived. */
  async latency(perSecond: number, durationMs: number): Promise<LatencyResult> {
    const sentMs = new Map<number, number>()
    this.#sentMs = sentMs
    this.#delaysMs = []
    // All that will be sent, so that it is done only after the last one.
    this.#due = Math.floor((perSecond * durationMs) / 1_000) * this.#clients.length
    await this.#wait(done => {
      this.#onDone = done
      const publish = (): void => {
        sentMs.set(this.publisher!.last + 1, performance.now())
        this.publisher!.publish(1)
      }
      keepPace(perSecond, durationMs, publish).catch(this.onFailure)
    })
    this.#sentMs = undefined
    const sorted = Float64Array.from(this.#delaysMs).sort()
    return {
      deliveries: sorted.length,
      p50Ms: percentile(sorted, 0.5),
      p99Ms: percentile(sorted, 0.99),
      maxMs: sorted.at(-1) ?? 0,
    }
  }

  /** Cuts all connections and publishes. */
  async cutAll(missed: number): Promise<void> {
    for (const client of this.#clients) client.cut()
    // The server has to notice, and whoever keeps what was missed has to have it.
    await pause(300)
    this.publisher!.publish(missed)
    await pause(500)
  }

  /** Has all come back at once; resolves when the last one has everything. */
  async comeBack(): Promise<StormResult> {
    const old = this.#clients
    const before = process.cpuUsage()
    const startMs = performance.now()
    const doneMs: number[] = []
    const last = this.publisher!.last
    this.#doneAt = client => {
      if (client.next > last) doneMs.push(performance.now() - startMs)
    }
    this.#due = old.reduce((sum, { next }) => sum + last + 1 - next, 0)
    await this.#wait(done => {
      this.#onDone = done
      this.#clients = old.map(({ index, next }) => new LiveClient(this, index, next, old[index]))
    })
    const ms = performance.now() - startMs
    this.#doneAt = undefined
    doneMs.sort((a, b) => a - b)
    return { allMs: doneMs.at(-1)!, halfMs: percentile(doneMs, 0.5), loadBusy: busyShare(before, ms) }
  }

  async close(): Promise<void> {
    for (const client of this.#clients) client.cut()
    this.#stalled?.cut()
    await this.publisher?.close()
  }

  /** Errors: what a connection or the publisher fails with; that it took too long. */
  #wait(begin: (done: () => void) => void): Promise<void> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(
        () => this.#fail(new Error(`${this.#due} deliveries did not come within ${timeoutMs} ms.`)),
        timeoutMs,
      )
      this.#fail = error => {
        clearTimeout(timer)
        reject(error)
      }
      begin(() => {
        clearTimeout(timer)
        resolve()
      })
    })
  }
}

function busyShare(before: NodeJS.CpuUsage, ms: number): number {
  const { user, system } = process.cpuUsage(before)
  return (user + system) / (ms * 1_000)
}

function pause(ms: number): Promise<void> {
  return new Promise(resolve => setTimeout(resolve, ms))
}
