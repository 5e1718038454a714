/**
 * Where a page stands in each stream, and what a frame means for that: pure.
 *
 * It takes an interval only where it joins on to its position, so that a loss is noticed and nothing is taken twice. The position in
 * memory is what a reconnect sends. PROTOCOL.md §9.4 to §9.8.
 */
import type { ChangeMessage } from '../../contract/index.ts'
import { type Place, parsePlaces } from './place.ts'

/** What a page follows: everything below a path, or with `fields` the named members of what is directly there. */
export interface Followed {
  readonly path: string
  readonly fields?: readonly string[]
}

export interface Interval {
  readonly type: 'interval'
  readonly stream: string
  readonly epoch: string
  readonly after: number
  readonly to: number
  readonly messages: readonly ChangeMessage[]
}

/** The frames of the bridge that concern the session. */
export type SessionFrame =
  | Interval
  | { readonly type: 'welcome' }
  | { readonly type: 'live'; readonly stream: string }
  | { readonly type: 'hold' | 'refresh'; readonly stream: string; readonly reason: string }

/** News to take in; `lost` where the interval does not join on. */
export type News = readonly ChangeMessage[] | 'lost'

/** How the bridge stands to the page in a stream: all is there, held back for a reason, or past bridging for a reason. */
interface Standing {
  readonly type: 'joining' | 'live' | 'hold' | 'refresh'
  readonly reason?: string
}

export class PageSession {
  readonly follow: readonly Followed[]
  readonly #places: Map<string, Place>
  readonly #standings = new Map<string, Standing>()
  #isWelcome = false

  constructor(follow: readonly Followed[], marker: string) {
    this.follow = follow
    this.#places = parsePlaces(marker)
  }

  /** The positions that the page has reached, as a marker. */
  get marker(): string {
    return Array.from(this.#places, ([stream, { epoch, seq }]) => `${stream}:${epoch}:${seq}`).join()
  }

  /** Does the page have all that the bridge has, of every stream? */
  get isLive(): boolean {
    return this.#isWelcome && [...this.#standings.values()].every(({ type }) => type === 'live')
  }

  /** Why the bridge does not go on with a stream; `undefined` where it does with each. */
  get reason(): string | undefined {
    return [...this.#standings.values()].find(({ reason }) => reason)?.reason
  }

  /** The connection ended, or a new hello is on its way: nothing counts before the welcome to it. */
  interrupt(): void {
    this.#isWelcome = false
    for (const { path } of this.follow) this.#standings.set(path.split('/')[1]!, { type: 'joining' })
  }

  /** Takes a frame, of the session's or another type; gives what is news in it. */
  take(frame: SessionFrame): News {
    if (frame.type === 'welcome') {
      // Of two hellos on one connection the second begins anew, whatever the first was told.
      this.interrupt()
      this.#isWelcome = true
      return []
    }
    const { type, stream } = frame
    const standing = this.#standings.get(stream)
    if (!this.#isWelcome || !standing || standing.type === 'refresh') return []
    if (type === 'interval') return this.#takeInterval(frame)
    if (type === 'live' || type === 'hold' || type === 'refresh') this.#standings.set(stream, frame)
    return []
  }

  #takeInterval({ stream, epoch, after, to, messages }: Interval): News {
    const place = this.#places.get(stream) ?? { epoch, seq: after }
    if (place.epoch !== epoch || after > place.seq) return 'lost'
    if (to <= place.seq) return []
    this.#places.set(stream, { epoch, seq: to })
    return messages.filter(({ id }) => Number(id.split(':')[2]) > place.seq)
  }
}
