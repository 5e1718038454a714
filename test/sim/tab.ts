/**
 * Tabs of browsers on one thread: what the browser module takes from its surroundings (`document`, `WebSocket`, `fetch`, timers …) is that of
 * the tab whose code runs, on virtual time.
 *
 * Only what the module uses is there. A tab may sleep: then neither timers nor what comes over the network reach its code.
 */
import { AsyncLocalStorage } from 'node:async_hooks'
import { openEventStreamRequest, SimWebSocket } from './tab-network.ts'

/** What a tab can reach. */
export interface TabNetwork {
  /** Resolves when a request has got through to the other side. Errors: `TypeError` where it cannot. */
  pass(signal?: AbortSignal): Promise<void>
  /** A request that is not for a bridge begins. */
  begin(init: RequestInit): void
  /** Answers it. */
  answer(url: URL, init: RequestInit): Promise<Response>
}

const current: AsyncLocalStorage<SimTab | undefined> = new AsyncLocalStorage()

export function currentTab(): SimTab {
  const tab = current.getStore()
  if (tab === undefined) throw new Error('This is no code of a tab.')
  return tab
}

/** Runs what is not the tab's own code, such as a server that it asked. */
export function outside<T>(act: () => T): T {
  return current.run(undefined, act)
}

export const siteUrl = 'https://site.example/page'

export class SimTab {
  readonly network: TabNetwork
  readonly storage: Map<string, string>
  readonly window: EventTarget = new EventTarget()
  readonly document: SimDocument
  readonly onReload: () => void
  /** The page that its code has fetched last. */
  parsedHtml = ''
  #isDiscarded = false
  #asleep: (() => void)[] | undefined

  constructor(html: string, network: TabNetwork, storage: Map<string, string>, onReload: () => void) {
    this.document = new SimDocument(html)
    this.network = network
    this.storage = storage
    this.onReload = onReload
  }

  get isDiscarded(): boolean {
    return this.#isDiscarded
  }

  /** Runs code of the tab, or keeps it for later while the tab sleeps. */
  run(act: () => void): void {
    if (this.#isDiscarded) return
    if (this.#asleep !== undefined) this.#asleep.push(act)
    else current.run(this, act)
  }

  sleep(): void {
    this.#asleep ??= []
  }

  wake(): void {
    const late = this.#asleep ?? []
    this.#asleep = undefined
    for (const act of late) this.run(act)
  }

  /** Its code never runs again. */
  discard(): void {
    this.#isDiscarded = true
  }

  dispatch(target: 'window' | 'document', type: string): void {
    this.run(() => void this[target].dispatchEvent(new Event(type)))
  }
}

/** As much of a document as the module asks for: its tag, and elements bound by `data-live`. */
export class SimDocument extends EventTarget {
  readonly baseURI = siteUrl
  readonly elements: readonly BoundElement[]
  readonly #tag: string | undefined

  constructor(html: string) {
    super()
    this.#tag = readTagText(html)
    this.elements = [...html.matchAll(/<p data-live="([^"]*)">([^<]*)<\/p>/g)].map(
      ([, bindings, text]) => new BoundElement(bindings!, text!),
    )
  }

  querySelector(selector: string): { readonly textContent: string } | null {
    return selector.startsWith('script') && this.#tag !== undefined ? { textContent: this.#tag } : null
  }

  querySelectorAll(selector: string): readonly BoundElement[] {
    return selector.startsWith('[data-live]') ? this.elements : []
  }
}

class BoundElement extends EventTarget {
  readonly dataset: { readonly live: string }
  readonly tagName = 'P'
  isGone = false
  textContent: string

  constructor(live: string, text: string) {
    super()
    this.dataset = { live }
    this.textContent = text
  }

  closest(): null {
    return null
  }

  toggleAttribute(_name: string, isGone: boolean): void {
    this.isGone = isGone
  }
}

/** The tag of a page, as text. */
export function readTagText(html: string): string | undefined {
  return /<script type="application\/json" data-live>(.*?)<\/script>/s.exec(html)?.[1]
}

/** Gives the process the globals of browsers; gives what takes them away. The runtime is to be there before. */
export function installTabs(): () => void {
  const { setTimeout } = globalThis
  const inTab = <T>(read: (tab: SimTab) => T) => ({ get: () => outsideOr(read) })
  const late = (callback: (...args: unknown[]) => void, delayMs?: number, ...args: unknown[]): unknown => {
    const tab = current.getStore()
    return setTimeout(tab === undefined ? callback : () => tab.run(() => callback(...args)), delayMs, ...args)
  }
  const undo = [
    define(
      'document',
      inTab(tab => tab.document),
    ),
    define(
      'window',
      inTab(tab => tab.window),
    ),
    define(
      'location',
      inTab(tab => ({ href: siteUrl, pathname: '/page', reload: tab.onReload })),
    ),
    define(
      'sessionStorage',
      inTab(({ storage }) => ({
        getItem: (key: string) => storage.get(key) ?? null,
        setItem: (key: string, value: string) => void storage.set(key, value),
      })),
    ),
    define('WebSocket', { value: SimWebSocket }),
    define('DOMParser', { value: SimParser }),
    define('fetch', { value: fetchInTab }),
    define('requestAnimationFrame', { value: (draw: () => void) => late(draw, 16) }),
    define('setTimeout', { value: late }),
  ]
  return () => {
    for (const restore of undo.reverse()) restore()
  }
}

function outsideOr<T>(read: (tab: SimTab) => T): T | undefined {
  const tab = current.getStore()
  return tab === undefined ? undefined : read(tab)
}

class SimParser {
  parseFromString(html: string): SimDocument {
    currentTab().parsedHtml = html
    return new SimDocument(html)
  }
}

async function fetchInTab(input: string | URL, init: RequestInit = {}): Promise<Response> {
  const { network } = currentTab()
  const url = new URL(input)
  const signal = init.signal ?? undefined
  if (url.pathname === '/live') return await openEventStreamRequest(String(init.body), signal)
  network.begin(init)
  const given = Promise.withResolvers<never>()
  signal?.addEventListener('abort', () => given.reject(signal.reason))
  const answered = outside(async () => {
    await network.pass(signal)
    const response = await network.answer(url, init)
    await network.pass(signal)
    return response
  })
  return await Promise.race([answered, given.promise])
}

function define(name: string, property: PropertyDescriptor): () => void {
  const before = Object.getOwnPropertyDescriptor(globalThis, name)
  const writable = 'value' in property ? { writable: true } : {}
  Object.defineProperty(globalThis, name, { ...property, ...writable, configurable: true, enumerable: false })
  return () => {
    if (before === undefined) Reflect.deleteProperty(globalThis, name)
    else Object.defineProperty(globalThis, name, before)
  }
}
