/** The server that renders the pages of a simulation, who may see them, and the cache between it and the browsers. */
import type { AccessOptions } from '../../src/live/access.ts'
import { createPages, type Pages, type Wanted } from '../../src/live/page.ts'
import { createTickets, type Tickets } from '../../src/live/ticket.ts'
import { SimLink } from './network.ts'
import type { Runtime } from './runtime.ts'
import { type SimService, streams } from './service.ts'

/** How pages are let in; the right lasts for `leaseMs`. */
export type AccessMode = 'public' | 'tickets' | 'authorize' | 'both'

export const leaseMs = 12_000

export class SimPageServer {
  readonly link: SimLink
  readonly access: AccessOptions | 'public'
  readonly mode: AccessMode
  isUp = true
  /** `authorize` cannot find out. */
  isBlind = false
  /** The cache gives what it has, whatever it is asked. */
  isCacheDeaf = false
  /** Who may see nothing, and since when. */
  readonly withdrawn = new Map<string, number>()
  readonly #runtime: Runtime
  readonly #pages: Pages
  readonly #tickets: Tickets | undefined
  readonly #cached = new Map<string, string[]>()

  constructor(runtime: Runtime, service: SimService, mode: AccessMode) {
    this.#runtime = runtime
    this.mode = mode
    this.link = new SimLink(runtime, service)
    const { link } = this
    const api = {
      fetch: (request: Request) =>
        link.fetch(request.url, { headers: request.headers, signal: request.signal }),
    }
    const keys = [{ id: 'a', secret: 'the secret of a simulation, known to all' }]
    const hasTickets = mode === 'tickets' || mode === 'both'
    this.#tickets = hasTickets ? createTickets({ keys, lifetimeMs: leaseMs }) : undefined
    this.#pages = createPages({
      sources: [{ api, streams, timeoutMs: 3_000 }],
      ...(hasTickets ? { tickets: this.#tickets, renew: '/renew' } : {}),
    })
    const authorize = ({ audience }: { readonly audience: string }): boolean => {
      if (this.isBlind) throw new Error('The users cannot be asked.')
      return this.isAllowed(audience)
    }
    const asks = mode === 'authorize' || mode === 'both'
    this.access =
      mode === 'public'
        ? 'public'
        : { leaseMs, ...(hasTickets ? { tickets: this.#tickets } : {}), ...(asks ? { authorize } : {}) }
  }

  isAllowed(audience: string): boolean {
    return this.mode === 'public' || !this.withdrawn.has(audience)
  }

  /** The page as HTML: a reload goes past caches that listen, another URL past all. Errors: those of the page helper. */
  async render(
    audience: string,
    wanted: Readonly<Record<string, Wanted>>,
    { isReload, isFresh }: { readonly isReload: boolean; readonly isFresh: boolean },
  ): Promise<Response> {
    const cached = this.#cached.get(audience) ?? []
    this.#cached.set(audience, cached)
    const isCached = cached.length > 0 && !isFresh && (this.isCacheDeaf || !isReload)
    if (isCached) return html(this.#runtime.pick(cached))
    if (!this.isUp) return new Response('', { status: 503 })
    if (!this.isAllowed(audience)) return new Response('', { status: 403 })
    const { tag, held } = await this.#pages.read(wanted, { audience })
    const name = held['/people/hot']?.state?.['name'] ?? ''
    const text = `<p data-live="/people/hot#/name">${name}</p>${tag}`
    cached.push(text)
    return html(text)
  }

  /** A new ticket for an old one. */
  renew(audience: string, body: string): Response {
    if (!this.isUp) return new Response('', { status: 503 })
    if (!this.isAllowed(audience)) return new Response('', { status: 403 })
    try {
      return Response.json({ ticket: this.#pages.renew(JSON.parse(body).ticket, audience) })
    } catch {
      return new Response('', { status: 403 })
    }
  }
}

function html(text: string): Response {
  return new Response(text, { headers: { 'content-type': 'text/html' } })
}
