/**
 * What a server needs to render a page that stays live: the states to show, and the tag that lets the browser go on from exactly there.
 *
 * It reads the baselines, keeps their markers, and takes the minimum; it does not render. PROTOCOL.md §5.3, §9.1.
 */
import {
  checkCount,
  checkOptions,
  formatMarker,
  type JsonObject,
  LockstepError,
  type Marker,
  minimumMarker,
  quote,
  streamOf,
} from '../contract/index.ts'
import { type ApiRequest, createApiRequest } from './api-request.ts'
import { type Baseline, readBaseline } from './baseline.ts'
import { pickFields } from './projection.ts'
import { indexSources, type LiveSource } from './source.ts'
import { formatTag, type Held } from './tag.ts'
import type { Tickets } from './ticket.ts'
import { type Follow, readFollows, visibleOf } from './view.ts'

export interface PagesOptions {
  /** Where the states come from: the sources of the bridge. */
  readonly sources: readonly LiveSource[]
  /** The URL of the bridge as the browser sees it. @default '/live' */
  readonly live?: string
  /** Makes the tickets, where the bridge wants some. */
  readonly tickets?: Tickets
  /** The URL where a page gets a new ticket: answer it with {@link Pages.renew}. */
  readonly renew?: string
  /** The most resources of one collection on a page. @default 1_000 */
  readonly maxItems?: number
}

/** A path, or a path narrowed to fields. */
export type Wanted = string | Follow

export interface PageOptions {
  /** Who the page is for, such as a user's or session's id; needed for tickets. */
  readonly audience?: string
  /** Sent with the requests for this page, such as the user's own credentials. */
  readonly headers?: Readonly<Record<string, string>>
  /** Put the states into the tag too, for pages that the browser renders anew. @default true */
  readonly states?: boolean
}

/** The state at a path: of a collection the list of its resources; `undefined` for a resource that does not exist. */
export type StateOfPath = JsonObject | readonly JsonObject[] | undefined

export interface Page<Names extends string> {
  /** By the names that were given. */
  readonly states: Readonly<Record<Names, StateOfPath>>
  /** Everything up to here is in the states. */
  readonly marker: Marker
  /** The same by path, with versions: what `createStates` of `lockstep/live/views` takes for views. */
  readonly held: Readonly<Record<string, Held>>
  /** HTML, to be put into the page as it is. */
  readonly tag: string
  /** What the page's own response should say about caches. */
  readonly headers: { readonly 'cache-control': string }
}

export interface Pages {
  /**
   * Reads what a page shows. Errors: `api-unreachable`, `timeout`, `api-refused`, `invalid-path`; `too-many-changes` where a collection has more
   * than `maxItems`.
   *
   *     const { states, tag } = await pages.read({ john: '/people/johndoe', projects: { path: '/projects', fields: ['title'] } })
   */
  read<const Names extends string>(
    wanted: Readonly<Record<Names, Wanted>>,
    options?: PageOptions,
  ): Promise<Page<Names>>
  /** A new ticket for an old one that is still good, for the same: after the application has checked that its user still may. Errors: those of {@link Tickets.verify}. */
  renew(ticket: string, audience: string): string
}

/** How often parts of different epochs are read again. */
const maxAttempts = 3

/** Makes what reads pages. Errors: `invalid-option`. */
export function createPages(options: PagesOptions): Pages {
  checkOptions('createPages', options, {
    sources: true,
    live: true,
    tickets: true,
    renew: true,
    maxItems: true,
  })
  const { live = '/live', tickets, renew } = options
  const maxItems = checkCount('maxItems', options.maxItems ?? 1_000)
  const requests = new Map<string, ApiRequest>()
  for (const [stream, source] of indexSources('createPages', options.sources)) {
    requests.set(stream, createApiRequest(source))
  }

  async function readOne({ path }: Follow, headers: Readonly<Record<string, string>>): Promise<Baseline> {
    const request = requests.get(streamOf(path))
    if (request !== undefined) return await readBaseline(path, request, { maxItems, headers })
    throw new LockstepError(
      'invalid-option',
      `No source of createPages has the stream of ${quote(path)}. Add it to its streams.`,
    )
  }

  /** Reads all, until no stream has parts of two epochs. */
  async function readAll(
    follows: readonly Follow[],
    headers: Readonly<Record<string, string>>,
  ): Promise<[readonly Baseline[], Marker]> {
    for (let attempt = 1; ; attempt++) {
      const baselines = await Promise.all(follows.map(follow => readOne(follow, headers)))
      const marker = minimumMarker(baselines.map(({ position }) => [position]))
      if (marker !== undefined) return [baselines, marker]
      if (attempt < maxAttempts) continue
      throw new LockstepError(
        'api-unreachable',
        'The API gave parts of different histories again and again. Try again shortly.',
      )
    }
  }

  return {
    async read(wanted, pageOptions = {}) {
      const { audience, headers = {}, states: hasStates = true } = pageOptions
      const names = Object.keys(wanted) as (keyof typeof wanted)[]
      const follows = names.map(name => readFollows([toJson(wanted[name])])[0]!)
      const [baselines, marker] = await readAll(follows, headers)
      const all = readFollows(follows as never)
      const held: Record<string, Held> = {}
      for (const { items } of baselines) {
        for (const { path, version, state } of items) {
          // Of what several entries cover, the page has the members of all of them.
          held[path] = { version, state: pickFields(state, visibleOf(all, path)) }
        }
      }
      const states = names.map((name, index) => [name, statesOf(baselines[index]!, follows[index]!)])
      const ticket = issue(tickets, audience, all)
      return {
        states: Object.fromEntries(states),
        marker,
        held,
        tag: formatTag({
          live,
          follow: all,
          marker: formatMarker(marker),
          ticket,
          renew,
          held: hasStates ? held : withoutStates(held),
        }),
        headers: { 'cache-control': 'private, no-cache' },
      }
    },

    renew(ticket, audience) {
      if (tickets === undefined)
        throw new LockstepError('invalid-option', 'createPages was given no tickets.')
      const grant = tickets.verify(ticket)
      if (grant.audience !== audience) {
        throw new LockstepError(
          'invalid-ticket',
          'The ticket was made for somebody else. Load the page again.',
        )
      }
      return tickets.issue(grant)
    },
  }
}

function toJson(wanted: Wanted): JsonObject {
  return (typeof wanted === 'string' ? { path: wanted } : wanted) as unknown as JsonObject
}

function statesOf({ kind, items }: Baseline, follow: Follow): StateOfPath {
  const states = items.map(({ path, state }) => pickFields(state, visibleOf([follow], path)))
  return kind === 'collection' ? states : states[0]
}

function withoutStates(held: Readonly<Record<string, Held>>): Readonly<Record<string, Held>> {
  return Object.fromEntries(Object.entries(held).map(([path, { version }]) => [path, { version }]))
}

function issue(
  tickets: Tickets | undefined,
  audience: string | undefined,
  follow: readonly Follow[],
): string | undefined {
  if (tickets === undefined) return undefined
  if (audience !== undefined) return tickets.issue({ audience, follow })
  throw new LockstepError(
    'invalid-option',
    'A page with a ticket needs to say who it is for: audience: "user-17".',
  )
}
