/**
 * `live()`: keeps the page it is called on live, from what the page's tag says.
 *
 * It ties the parts together: the connection brings frames, the session says what they mean, the copy what a message changes, the
 * writer shows it. What only a refresh can mend is fetched anew. PROTOCOL.md §9.
 */
import type { JsonObject } from '../../contract/index.ts'
import type { ChannelEnd, Frame } from './channel.ts'
import { Connection } from './connection.ts'
import type { Lease } from './lease.ts'
import { LiveError } from './live-error.ts'
import { type LiveChange, maxHeldResources, PageCopy, type States } from './page-copy.ts'
import { PageSession, type SessionFrame } from './page-session.ts'
import { PageWriter } from './page-writer.ts'
import type { Refresher } from './refresh.ts'
import type { LiveStatus } from './status.ts'
import { readTag, type Tag } from './tag.ts'
import type { Views } from './views.ts'

export type { LiveChangeDetail } from './bound-elements.ts'
export type { LiveError } from './live-error.ts'
export type { Held, LiveChange, States } from './page-copy.ts'
export type { Followed } from './page-session.ts'
export type { LiveStatus } from './status.ts'

export interface LiveOptions {
  /** Is told of each change, in order, before the page shows it. */
  onChange?(change: LiveChange): void
  /** Is told whenever the status changes. */
  onStatus?(status: LiveStatus): void
  /** Is told after a refresh: what was taken from the states is to be looked up again. */
  onRefreshed?(page: LivePage): void
  /** Is told of failures; `stage` says where. @default the browser's own `reportError` */
  onError?(error: unknown, context: { readonly stage: string }): void
  /** What `createViews` made, for elements with `data-live-view`. @default none */
  readonly views?: Views
}

/** A page that is kept live. */
export interface LivePage extends States {
  readonly status: LiveStatus
  /** What the page holds, as a marker. */
  readonly marker: string
  /** Fetches the page's baselines anew, now. Errors: `api-unreachable`, `api-refused`, `position-ahead`, `closed`. */
  refresh(): Promise<void>
  /** Ends it for good; the page stays as it is. */
  close(): void
}

/** Keeps this page live. Errors: `invalid-option` where the page has no tag, or one that cannot be read. */
export function live(options: LiveOptions = {}): LivePage {
  const tag = readTag(document)
  if (!tag) throw new LiveError('invalid-option', 'The page has no tag: let the page helper make one.')
  return new Page(tag, options)
}

/** The frames that are told apart here; the others are the session's. */
interface BridgeFrame extends Frame {
  readonly deadAfterMs?: number
  readonly leaseMs?: number
  readonly ticket?: string
  readonly reason?: string
}

class Page implements LivePage {
  status: LiveStatus = { name: 'connecting', reason: '', since: Date.now(), changes: 0 }
  readonly #options: LiveOptions
  readonly #writer: PageWriter
  readonly #connection: Connection
  readonly #ended = new AbortController()
  #tag!: Tag
  #copy!: PageCopy
  #session!: PageSession
  #lease: Lease | undefined
  #refresher: Refresher | undefined
  /** Why the bridge, or the lack of access, asks for a refresh since the last welcome. */
  #wanted = ''
  #changes = 0
  /** When the page was last known to be right; it was made so. */
  #rightAt = performance.timeOrigin
  /** Why it was closed, or how it became live. */
  #reason = ''

  constructor(tag: Tag, options: LiveOptions) {
    this.#options = options
    this.#take(tag)
    this.#writer = new PageWriter(
      () => this.#copy,
      options.views,
      error => this.#fail(error, 'document'),
    )
    this.#connection = new Connection({
      url: () => new URL(this.#tag.live, document.baseURI),
      hello: () => this.#hello(),
      onFrame: frame => this.#takeFrame(frame),
      onEnd: end => this.#takeEnd(end),
      onState: () => this.#update(),
      onError: error => this.#fail(error, 'connection'),
    })
    if (document.querySelector('live-status')) {
      this.#run('status', async () => (await import('./live-status.ts')).defineLiveStatus(() => this.status))
    }
    this.#listen()
    this.#connection.dispatch({ type: 'start' })
  }

  get marker(): string {
    return this.#session.marker
  }

  get<State extends object = JsonObject>(path: string): State | undefined {
    return this.#copy.get(path)
  }

  list<State extends object = JsonObject>(path: string): readonly State[] {
    return this.#copy.list(path)
  }

  async refresh(): Promise<void> {
    await (await this.#loadRefresher()).refresh()
  }

  close(): void {
    this.#ended.abort()
    this.#lease?.stop()
    this.#connection.dispatch({ type: 'end' })
  }

  /** What browsers do to pages: put them away and bring them back, let them sleep, and lose the network. */
  #listen(): void {
    const on = (target: EventTarget, type: string, event: 'leave' | 'start' | 'doubt' | 'look'): void =>
      target.addEventListener(type, () => this.#connection.dispatch({ type: event }), this.#ended)
    on(window, 'pagehide', 'leave')
    on(window, 'pageshow', 'start')
    on(window, 'online', 'doubt')
    on(document, 'visibilitychange', 'look')
  }

  async #hello(): Promise<Frame> {
    if (this.#tag.ticket) await this.#prepareLease()
    this.#session.interrupt()
    const { follow, marker } = this.#session
    return { type: 'hello', protocol: 1, follow, marker, ticket: this.#lease?.ticket } as Frame
  }

  async #prepareLease(): Promise<void> {
    const { Lease } = await import('./lease.ts')
    this.#lease ??= new Lease(this.#tag, {
      onRenewed: () =>
        this.#connection.send({ type: 'renew', ticket: this.#lease?.ticket } as Frame) ||
        this.#connection.rejoin(),
      onRefused: () => this.#turnAway('access-denied'),
      onError: error => this.#fail(error, 'ticket'),
    })
    await this.#lease.prepare()
  }

  #takeFrame(frame: BridgeFrame): void {
    const { type, leaseMs, ticket, deadAfterMs } = frame
    if (this.status.name === 'live') this.#rightAt = Date.now()
    if (type === 'ping') this.#connection.send({ type: 'pong' })
    if (type === 'welcome' || type === 'ticket') this.#lease?.extend(leaseMs, ticket)
    if (type === 'welcome') {
      // What was said of an earlier hello, also on its way since then, counts no more.
      this.#wanted = ''
      this.#refresher?.withdraw()
    }
    if (deadAfterMs) this.#connection.silenceMs = deadAfterMs
    const news = this.#session.take(frame as SessionFrame)
    if (news === 'lost') throw new LiveError('position-gone', `Changes after ${this.marker} were left out.`)
    for (const message of news) {
      const change = this.#copy.apply(message)
      if (!change) continue
      if (this.status.name !== 'live') this.#changes++
      this.#writer.add(change)
      this.#run('onChange', () => this.#options.onChange?.(change))
    }
    if (this.#copy.entries.size > maxHeldResources) {
      this.#end('overloaded', `The page holds over ${maxHeldResources} resources.`)
    }
    if (type === 'refresh') this.#wantRefresh(frame.reason!)
    this.#update()
  }

  #takeEnd({ status, code, detail, retryAfterMs: retryMs = 0 }: ChannelEnd): void {
    if (status === 4000)
      this.#end(code as LiveError['code'], `The bridge refuses this page: ${detail ?? code}.`)
    if (detail) this.#fail(new LiveError('api-unreachable', `The bridge ended: ${detail}`), 'connection')
    this.#connection.dispatch({ type: 'lost', retryMs })
    if (status === 4001 && this.#lease?.isRenewable) this.#lease.expire()
    else if (status === 4001 || status === 4003) this.#turnAway(code ?? 'access-denied')
  }

  /** Only a new page says what may be followed now; until then there is nothing to ask the bridge for. */
  #turnAway(reason: string): void {
    this.#connection.dispatch({ type: 'leave' })
    this.#wantRefresh(reason)
  }

  #end(code: LiveError['code'], text: string): void {
    this.#reason = code
    this.#fail(new LiveError(code, text), 'connection')
    this.close()
  }

  #wantRefresh(reason: string): void {
    this.#wanted = reason
    this.#run('refresh', async () => {
      const refresher = await this.#loadRefresher()
      if (this.#wanted) refresher.request(this.#wanted)
    })
  }

  async #loadRefresher(): Promise<Refresher> {
    const { Refresher } = await import('./refresh.ts')
    this.#refresher ??= new Refresher({
      ended: this.#ended.signal,
      views: this.#options.views,
      marker: () => this.marker,
      pause: () => this.#session.interrupt(),
      take: tag => this.#take(tag),
      show: () => this.#show(),
      resume: () => this.#connection.rejoin(),
      update: () => this.#update(),
      fail: error => this.#fail(error, 'refresh'),
    })
    return this.#refresher
  }

  #take(tag: Tag): void {
    const before = this.#copy?.entries.keys() ?? []
    this.#tag = tag
    this.#lease?.stop()
    this.#lease = undefined
    this.#session = new PageSession(tag.follow, tag.marker)
    this.#copy = new PageCopy(tag.held)
    const { entries } = this.#copy
    for (const path of before)
      if (!entries.has(path)) entries.set(path, { version: 0, state: undefined, isGone: true })
  }

  #show(): boolean {
    this.#writer.writeAll()
    this.#reason = 'refreshed'
    this.#run('onRefreshed', () => this.#options.onRefreshed?.(this))
    return [...this.#copy.entries.values()].every(({ state, isGone }) => state || isGone)
  }

  #update(): void {
    const { status } = this
    const [name, reason] = this.#judge()
    if (status.name === 'live' && name !== 'live') this.#changes = 0
    const changes = this.#changes
    if (name === status.name && reason === status.reason && changes === status.changes) return
    if (status.name === 'live' && name !== 'closed') this.#reason = ''
    const since = name === status.name ? status.since : name === 'stale' ? this.#rightAt : Date.now()
    this.status = { name, reason, since, changes }
    if (name === 'live') {
      this.#refresher?.settle()
      this.#connection.dispatch({ type: 'settled' })
    }
    document.dispatchEvent(new CustomEvent('live-status', { detail: this.status }))
    this.#run('onStatus', () => this.#options.onStatus?.(this.status))
  }

  #judge(): readonly [LiveStatus['name'], string] {
    const { phase, failures } = this.#connection.state
    const { reason = '', isRunning } = this.#refresher ?? {}
    const held = this.#session.reason ?? ''
    const { name } = this.status
    const isNew = name === 'connecting'
    if (phase === 'ended') return ['closed', this.#reason]
    if (isRunning) return ['refreshing', reason]
    if (reason) return ['stale', reason]
    // Also while the connection is changed for a new one on purpose.
    if (name === 'live' && !failures && !held && phase !== 'away') return ['live', this.#reason]
    if (phase !== 'open') return isNew && !failures ? ['connecting', ''] : ['stale', 'disconnected']
    if (this.#session.isLive) return ['live', this.#reason]
    if (held && held !== 'behind') return ['stale', held]
    return [isNew && !this.#changes ? 'connecting' : 'catching-up', held]
  }

  /** Runs what is not this module's own, or may fail later. */
  async #run(stage: string, act: () => unknown): Promise<void> {
    try {
      await act()
    } catch (error) {
      this.#fail(error, stage)
    }
  }

  #fail(error: unknown, stage: string): void {
    if (this.#options.onError) this.#options.onError(error, { stage })
    else reportError(error)
  }
}
