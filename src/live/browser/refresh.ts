/**
 * Taking new baselines: the page is fetched again past every cache, its tag taken over, and with it the parts that the server rendered.
 *
 * Loaded where a page needs it. It never goes round in a loop: refresh-pace.ts says how often, a page that is older than the one
 * shown is not taken, and from the second try on another URL is asked for, for caches that do not listen. PROTOCOL.md §9.13.
 */
import { LiveError } from './live-error.ts'
import { parsePlaces } from './place.ts'
import { type RefreshPace, refreshWaitMs } from './refresh-pace.ts'
import { readTag, type Tag } from './tag.ts'
import { trustMarkup } from './trusted-markup.ts'
import type { Views } from './views.ts'

/** The page as the refresher knows it. */
export interface RefreshedPage {
  /** The page is kept live no more: nothing of it is touched from then on. */
  readonly ended: AbortSignal
  readonly views: Views | undefined
  /** What the page holds, as a marker. */
  marker(): string
  /** Stops taking what comes: it would be judged against the old page and lost in the new one, and comes again after the next hello. */
  pause(): void
  take(tag: Tag): void
  /** Shows all that it holds; `false` where that is not all that it has to show. */
  show(): boolean
  /** Goes on, with the new tag or with the old one. */
  resume(): void
  /** The refresher's `reason` or `isRunning` changed. */
  update(): void
  fail(error: unknown): void
}

const fetchTimeoutMs = 20_000

export class Refresher {
  /** Why a refresh is wanted; `''` where none is. */
  reason = ''
  isRunning = false
  readonly #page: RefreshedPage
  #pace: RefreshPace = recallPace()
  #timer: ReturnType<typeof setTimeout> | undefined

  constructor(page: RefreshedPage) {
    this.#page = page
    page.ended.addEventListener('abort', () => clearTimeout(this.#timer))
  }

  /** Wants a refresh, as soon as the pace allows it. */
  request(reason: string): void {
    const { ended } = this.#page
    if (ended.aborted) return
    this.reason ||= reason
    if (!this.isRunning) {
      const refresh = (): Promise<unknown> =>
        this.refresh().catch(error => ended.aborted || this.#page.fail(error))
      this.#timer ??= setTimeout(refresh, refreshWaitMs(this.#pace, reason, Date.now(), Math.random()))
    }
    this.#page.update()
  }

  /** Nothing wants it any more, as far as it has not begun. */
  withdraw(): void {
    if (this.isRunning) return
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.reason = ''
  }

  /** The page is live: the last refresh helped. */
  settle(): void {
    this.#pace = { ...this.#pace, count: Math.min(1, this.#pace.count) }
  }

  /** Refreshes now. Errors: `api-unreachable`, `api-refused`, `position-ahead`, `closed`. */
  async refresh(): Promise<void> {
    const { ended } = this.#page
    if (ended.aborted) throw new LiveError('closed', 'The page is kept live no more.')
    if (this.isRunning) return
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.isRunning = true
    this.#page.pause()
    this.#page.update()
    try {
      await this.#refresh()
      this.reason = ''
    } finally {
      this.isRunning = false
      if (this.reason) this.request(this.reason)
      if (!ended.aborted) this.#page.resume()
    }
  }

  async #refresh(): Promise<void> {
    this.#pace = { lastAt: Date.now(), count: this.#pace.count + 1 }
    rememberPace(this.#pace)
    const fresh = await fetchPage(this.#pace.count, this.#page.ended)
    const tag = readTag(fresh)
    // Another page has come in its place, such as one to sign in.
    if (tag === undefined) return location.reload()
    // Where the API itself went back, older is right; where the gap was the reason, the same would not help.
    const held = this.#page.marker()
    const isSame = tag.marker === held && /^(gone|epoch|reset|too-far)$/.test(this.reason)
    if (isSame || (this.reason !== 'ahead' && isOlder(tag.marker, held))) {
      throw new LiveError(
        'position-ahead',
        'The page that came is older than the one shown: a cache does not listen.',
      )
    }
    this.#page.take(tag)
    const { views } = this.#page
    let hasParts = false
    for (const part of document.querySelectorAll('[data-live-part][id]')) {
      const other = fresh.getElementById(part.id)
      if (!other) continue
      const content = document.createDocumentFragment()
      content.append(...other.childNodes)
      if (views) views.fill(part, content)
      else part.replaceChildren(content)
      hasParts = true
    }
    if (!this.#page.show() && !hasParts) location.reload()
  }
}

/** Is a marker behind another one in a stream whose history is the same? */
export function isOlder(marker: string, held: string): boolean {
  const places = parsePlaces(held)
  return [...parsePlaces(marker)].some(([stream, { epoch, seq }]) => {
    const place = places.get(stream)
    return place?.epoch === epoch && seq < place.seq
  })
}

async function fetchPage(attempt: number, ended: AbortSignal): Promise<Document> {
  const url = new URL(location.href)
  url.hash = ''
  if (attempt > 1) url.searchParams.set('_fresh', `${Math.random()}`.slice(2))
  const headers = { accept: 'text/html' }
  const signal = AbortSignal.any([ended, AbortSignal.timeout(fetchTimeoutMs)])
  const response = await fetch(url, { cache: 'reload', headers, signal }).catch(cause => {
    throw new LiveError('api-unreachable', 'The page could not be fetched again.', cause)
  })
  if (!response.ok) {
    throw new LiveError(
      'api-refused',
      `The page could not be fetched again: the answer was ${response.status}.`,
    )
  }
  return new DOMParser().parseFromString(trustMarkup(await response.text()), 'text/html')
}

const storageKey = `lockstep-refreshed ${globalThis.location?.pathname}`

/** Where nothing may be stored, the pace is kept while the page is there. */
function recallPace(): RefreshPace {
  try {
    const text = sessionStorage.getItem(storageKey)
    if (text !== null) return { lastAt: Number(text), count: 1 }
  } catch {
    // As above.
  }
  return { lastAt: 0, count: 0 }
}

function rememberPace({ lastAt }: RefreshPace): void {
  try {
    sessionStorage.setItem(storageKey, `${lastAt}`)
  } catch {
    // As above.
  }
}
