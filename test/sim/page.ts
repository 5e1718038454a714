/**
 * The pages of a simulation: the real browser module in a simulated tab, and what it must keep at every step, PROTOCOL.md §9.
 *
 * Nothing is shown that the API never had or that the page may not see; no change is taken twice, no resource goes back; a claimed position was taken
 * in whole; a refresh has a reason that is true, and does not come again at once.
 */
import { isEqualJson, type JsonObject, parseMarker } from '../../src/contract/index.ts'
import { type LiveChange, type LivePage, live } from '../../src/live/browser/live.ts'
import type { LiveStatus } from '../../src/live/browser/status.ts'
// What the module loads when it needs it: here it is there from the beginning, since loading takes real time.
import '../../src/live/browser/event-stream.ts'
import '../../src/live/browser/lease.ts'
import '../../src/live/browser/refresh.ts'
import type { Wanted } from '../../src/live/page.ts'
import { pickFields } from '../../src/live/projection.ts'
import { bridgeLimits, type SimBridge } from './bridge.ts'
import type { Ledger } from './ledger.ts'
import type { SimPageServer } from './page-server.ts'
import type { Runtime } from './runtime.ts'
import { readTagText, SimTab, siteUrl, type TabNetwork } from './tab.ts'
import type { BridgeRoute } from './tab-network.ts'
import type { SimWire } from './wire.ts'

export interface PageParts {
  readonly runtime: Runtime
  readonly ledger: Ledger
  readonly server: SimPageServer
  readonly bridges: readonly SimBridge[]
  readonly tell: (line: string) => void
  /** What it shows: paths, `people` narrowed to its names where `isNarrow`. */
  readonly paths: readonly string[]
  readonly isNarrow: boolean
}

interface Shown {
  readonly epoch: string
  readonly version: number
}

const fields = ['name'] as const
/** So many changes are in the log however short it is cut. */
const leastKept = 3
/** A page does not refresh twice within this time by itself. */
const leastRefreshMs = 30_000

export class SimPage implements TabNetwork {
  readonly name: string
  steps = 0
  refreshes = 0
  isCut = false
  isHung = false
  bridge: SimBridge
  readonly wires = new Set<SimWire>()
  readonly route: BridgeRoute = {
    connect: (ask, onBytes, onEnd) => {
      const wire = this.bridge.connect(this.name, ask, onBytes, onEnd)
      if (wire === undefined) return undefined
      this.wires.add(wire)
      wire.socket.on('close', () => this.wires.delete(wire))
      if (this.isHung) wire.hold(true)
      return wire
    },
  }
  readonly #parts: PageParts
  readonly #storage = new Map<string, string>()
  readonly #shown = new Map<string, Shown>()
  readonly #hung = new Set<() => void>()
  #tab: SimTab | undefined
  #page: LivePage | undefined
  #lastRefreshAt = Number.NEGATIVE_INFINITY
  /** Those since one has led to a live page, that one included. */
  #vain = 0
  #loads = 0

  constructor(name: string, parts: PageParts) {
    this.name = name
    this.#parts = parts
    this.bridge = parts.runtime.pick(parts.bridges)
  }

  get tab(): SimTab | undefined {
    return this.#tab
  }

  get status(): LiveStatus | undefined {
    return this.#page?.status
  }

  get marker(): string | undefined {
    return this.#page?.marker
  }

  /** Opens the page in a new tab, maybe from a cache; what was open is gone. Tries again until it is there. */
  async open(isCached: boolean, isReload = false): Promise<void> {
    const { runtime } = this.#parts
    const load = ++this.#loads
    this.#leave()
    for (;;) {
      const response = await this.answer(new URL(siteUrl), isReload || !isCached ? { cache: 'no-cache' } : {})
      const text = response.status === 200 ? await response.text() : undefined
      if (load !== this.#loads) return
      if (text !== undefined) {
        // What changes in this time changes between the rendering and the connection.
        await runtime.sleep(runtime.between(1, 1_500))
        if (load === this.#loads) this.#begin(text)
        return
      }
      await runtime.sleep(500)
    }
  }

  close(): void {
    this.#loads++
    const page = this.#page
    this.#tab?.wake()
    this.#tab?.run(() => page?.close())
    this.#leave()
  }

  /** Its network: what is new fails, or nothing passes in either direction. */
  cut(): void {
    this.isCut = true
    for (const wire of [...this.wires]) wire.cut()
  }

  hang(): void {
    this.isHung = true
    for (const wire of this.wires) wire.hold(true)
  }

  /** What was held goes on, or is dead without a word. */
  release(isForgotten: boolean): void {
    this.isHung = false
    for (const wire of this.wires) {
      if (isForgotten) wire.drop()
      else wire.release()
    }
    for (const go of [...this.#hung]) go()
  }

  async pass(signal?: AbortSignal): Promise<void> {
    const { runtime } = this.#parts
    await runtime.sleep(runtime.between(1, 20))
    if (this.isHung) {
      await new Promise<void>((resolve, reject) => {
        const go = (): void => {
          this.#hung.delete(go)
          resolve()
        }
        this.#hung.add(go)
        signal?.addEventListener('abort', () => {
          this.#hung.delete(go)
          reject(signal.reason)
        })
      })
    }
    if (this.isCut) throw new TypeError('fetch failed')
  }

  begin({ cache }: RequestInit): void {
    if (cache === 'reload') this.#noteRefresh()
  }

  async answer(url: URL, init: RequestInit): Promise<Response> {
    const { server } = this.#parts
    if (url.pathname === '/renew') return server.renew(this.name, String(init.body))
    const isFresh = url.searchParams.has('_fresh')
    const isReload = init.cache !== undefined
    try {
      return await server.render(this.name, this.#wanted(), { isReload, isFresh })
    } catch {
      return new Response('', { status: 502 })
    }
  }

  /** When it may refresh again, after which it has its 15 s; in the past where none is due. */
  get waitsUntil(): number {
    const { status } = this
    const isWaiting =
      status?.name === 'stale' && status.reason !== 'disconnected' && status.reason !== 'source'
    if (!isWaiting || this.refreshes === 0) return 0
    return this.#lastRefreshAt + leastRefreshMs * 2 ** Math.max(0, this.#vain - 1) + 3_000
  }

  get isRight(): boolean {
    return this.status?.name === 'live' && this.difference() === undefined
  }

  /** How it differs from what the API has now. */
  difference(): string | undefined {
    const page = this.#page
    if (page === undefined) return 'it is not there'
    for (const path of this.#parts.paths) {
      const all = this.#parts.ledger.now(path.split('/', 2)[1]!)
      const isResource = path.split('/').length % 2 === 1
      const wanted = [...all].filter(([item]) => (isResource ? item === path : parentOf(item) === path))
      for (const [item, { version, state }] of wanted) {
        const held = this.#shown.get(item)
        const isSame = isEqualJson(page.get(item) ?? null, this.#visible(item, state))
        const isRight = isSame && (this.#isNarrowed(item) || held?.version === version)
        if (!isRight)
          return `${item} is ${held?.version} instead of ${version}: ${JSON.stringify(page.get(item))}`
      }
      const count = isResource ? (page.get(path) === undefined ? 0 : 1) : page.list(path).length
      if (count !== wanted.length) return `${path} has ${count} instead of ${wanted.length}`
    }
    const hot = page.get<{ name?: string }>('/people/hot')
    const [element] = this.#tab!.document.elements
    if (hot !== undefined && element?.textContent !== (hot.name ?? ''))
      return `it shows ${element?.textContent}`
    return undefined
  }

  /** A claimed position was taken in whole. */
  checkClaim(): void {
    const { ledger, paths } = this.#parts
    const { marker } = this
    if (marker === undefined || marker === '') return
    for (const { stream, epoch, seq } of parseMarker(marker)) {
      if (!ledger.hasEpoch(stream, epoch)) {
        ledger.violations.push(`invented: ${this.name} claims ${marker}`)
        continue
      }
      for (const { path, version, exists } of ledger.at(stream, epoch, seq)) {
        const isShown = paths.includes(path) || paths.includes(parentOf(path))
        if (!isShown || this.#isNarrowed(path)) continue
        const held = this.#shown.get(path)
        // What was deleted before the page was made, or later than its place, it need not know.
        const isMissing = exists && held === undefined && !ledger.isLater(path, epoch, version)
        const isOlder = held !== undefined && held.epoch === epoch && held.version < version
        if (isMissing || isOlder)
          ledger.violations.push(
            `lost: ${this.name} claims ${marker} and holds ${path} at ${held?.version} instead of ${version}`,
          )
      }
    }
  }

  #wanted(): Record<string, Wanted> {
    const { paths, isNarrow } = this.#parts
    return Object.fromEntries(
      paths.map(path => [path, isNarrow && path === '/people' ? { path, fields } : path]),
    )
  }

  #isNarrowed(path: string): boolean {
    return this.#parts.isNarrow && path.startsWith('/people/')
  }

  #visible(path: string, state: JsonObject): JsonObject {
    return this.#isNarrowed(path) ? pickFields(state, new Set(['id', ...fields])) : state
  }

  #begin(html: string): void {
    const { tell } = this.#parts
    const tab = new SimTab(html, this, this.#storage, () => void this.open(false, true))
    this.#tab = tab
    this.#shown.clear()
    this.#takeTag(html)
    tab.run(() => {
      const page = live({
        onChange: change => this.#check(change),
        onStatus: ({ name, reason, changes }) => {
          tell(`${this.name} ${name} ${reason} ${changes}`)
          if (name === 'live') this.#vain = Math.min(1, this.#vain)
        },
        onRefreshed: () => this.#refreshed(),
        onError: (error, { stage }) => tell(`${this.name} ${stage}: ${String(error)}`),
      })
      this.#page = page
    })
    tell(`${this.name} begins at ${this.marker}`)
  }

  #leave(): void {
    this.#tab?.discard()
    this.#tab = undefined
    this.#page = undefined
    for (const wire of [...this.wires]) wire.cut()
  }

  #takeTag(html: string): void {
    const tag = JSON.parse(readTagText(html)!) as {
      marker: string
      held: Record<string, { version: number }>
    }
    const epochs = new Map(parseMarker(tag.marker).map(({ stream, epoch }) => [stream, epoch]))
    for (const [path, { version }] of Object.entries(tag.held)) {
      const epoch = epochs.get(path.split('/', 2)[1]!)!
      this.#shown.set(path, { epoch, version })
    }
  }

  /** New baselines: what they bring is not older than what was there. */
  #refreshed(): void {
    const before = new Map(this.#shown)
    this.#shown.clear()
    this.#takeTag(this.#tab!.parsedHtml)
    for (const [path, { epoch, version }] of this.#shown) {
      const shown = before.get(path)
      if (shown?.epoch === epoch && version < shown.version)
        this.#parts.ledger.violations.push(
          `regressed: ${this.name} refreshes ${path} to ${version} after ${shown.version}`,
        )
    }
  }

  #noteRefresh(): void {
    const { runtime, ledger, tell } = this.#parts
    const { name, reason } = this.status!
    this.refreshes++
    tell(`${this.name} refreshes: ${reason}`)
    if (name !== 'refreshing' || reason === '')
      ledger.violations.push(`loop: ${this.name} refreshes while ${name}, without a reason`)
    if (!this.#isTrue(reason))
      ledger.violations.push(
        `loop: ${this.name} refreshes at ${this.marker} because of ${reason}, which is not so`,
      )
    if (runtime.now() < this.#lastRefreshAt + leastRefreshMs - 1)
      ledger.violations.push(
        `loop: ${this.name} refreshes again after ${runtime.now() - this.#lastRefreshAt} ms: ${reason}`,
      )
    this.#lastRefreshAt = runtime.now()
    this.#vain++
  }

  /** Is what the bridge says of the page's place so? */
  #isTrue(reason: string): boolean {
    const { ledger } = this.#parts
    const places = parseMarker(this.marker!)
    const isBehind = (by: number): boolean =>
      places.some(({ stream, seq }) => ledger.headOf(stream) - seq > by)
    if (reason === 'ahead' || reason === 'unmarked') return false
    if (reason === 'epoch') return places.some(({ stream, epoch }) => ledger.epochOf(stream) !== epoch)
    if (reason === 'too-far') return isBehind(bridgeLimits.maxReplay)
    // A position of a history that has ended is gone too.
    return reason !== 'gone' || isBehind(leastKept) || this.#isTrue('epoch')
  }

  #check(change: LiveChange): void {
    this.steps++
    const { ledger, tell } = this.#parts
    const { path, event, version, position, state } = change
    tell(`${this.name} ${event} ${path} ${version} ${position} ${JSON.stringify(state)}`)
    const [stream, epoch] = position.split(':') as [string, string]
    if (state !== undefined) {
      const states = ledger.statesOf(path, version).map(item => this.#visible(path, item))
      if (!states.some(item => isEqualJson(item, state)))
        ledger.violations.push(`invented: ${this.name} shows ${path} ${version} ${JSON.stringify(state)}`)
    }
    const shown = this.#shown.get(path)
    if (shown?.epoch === epoch && version <= shown.version)
      ledger.violations.push(
        `regressed: ${this.name} takes ${path} ${version} after ${shown.version} of ${stream}`,
      )
    this.#shown.set(path, { epoch, version })
  }
}

function parentOf(path: string): string {
  return path.slice(0, path.lastIndexOf('/'))
}
