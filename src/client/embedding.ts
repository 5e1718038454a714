/**
 * What a follower with embeds shows: states with what they refer to beside them, and who refers to what.
 *
 * It holds what is shown, so that a change of something embedded can be told with what was shown before. No I/O.
 */
import {
  type ErrorCode,
  type JsonObject,
  LockstepError,
  type Texts,
  tryEncodeSegment,
} from '../contract/index.ts'
import type { Change, Occurrence } from './change.ts'
import { embed, type Find, type Found, idsOf, type Reference } from './embed.ts'
import type { Selection } from './selection.ts'
import { changeBetween, type View } from './view.ts'

/** The most resources that one follower embeds. */
export const maxEmbedded = 1_000

/** A collection that references lead to. */
export interface EmbeddedCollection {
  readonly selection: Pick<Selection, 'want' | 'drop' | 'find' | 'failure'>
  /** In which language its states are shown. */
  readonly view: View
}

export interface EmbeddingOptions {
  /** By id, what is in the view: filled here. */
  readonly shown: Map<string, JsonObject>
  readonly view: View
  readonly references: readonly Reference[]
  /** By URL. */
  readonly collections: ReadonlyMap<string, EmbeddedCollection>
  /** Is called with each resource that leads over the limit. */
  readonly onOverfull: (error: LockstepError) => void
}

const misses = {
  gone: 'The resource was deleted.',
  'not-found': 'There is no such resource.',
  timeout: 'Its API has not answered yet.',
  'api-unreachable': 'Its API cannot be reached.',
  'api-refused': 'Its API does not give it.',
  'list-too-large': `Over ${maxEmbedded} resources are embedded, which is the most of one follower.`,
} as const satisfies Partial<Record<ErrorCode, string>>

export class Embedding {
  readonly #options: EmbeddingOptions
  /** By URL and id: the ids of those that refer to it. */
  readonly #referrers = new Map<string, Map<string, Set<string>>>()
  /** By id: what it refers to. */
  readonly #links = new Map<string, readonly Link[]>()
  #count = 0

  constructor(options: EmbeddingOptions) {
    this.#options = options
    for (const url of options.collections.keys()) this.#referrers.set(url, new Map())
  }

  /** Shows a resource as it is now, and says what changed; `whole` is `undefined` where it is not there. */
  show(id: string, whole: JsonObject | undefined, occurrence: Occurrence): Change<JsonObject> | undefined {
    const { view, references, shown } = this.#options
    const base = view.show(whole)
    this.#link(id, base === undefined ? [] : this.#linksOf(whole!))
    const previous = shown.get(id)
    const state = base && embed(base, whole!, references, { find: this.#find, fields: view.fields })
    if (state === undefined) shown.delete(id)
    else shown.set(id, state)
    return changeBetween(previous, state, occurrence)
  }

  /** Those that refer to a resource of a collection, or to any of it. */
  referrers(url: string, id?: string): readonly string[] {
    const all = this.#referrers.get(url)!
    if (id !== undefined) return [...(all.get(id) ?? [])]
    return [...new Set([...all.values()].flatMap(ids => [...ids]))]
  }

  /** Takes up which members of a collection are texts; says whether its states are shown in another way. */
  learn(url: string, texts: Texts): boolean {
    return this.#options.collections.get(url)!.view.learn(texts)
  }

  #linksOf(whole: JsonObject): readonly Link[] {
    return this.#options.references.flatMap(reference =>
      idsOf(whole, reference)
        .filter(id => tryEncodeSegment(id) !== undefined)
        .map(id => ({ url: reference.url, id })),
    )
  }

  /** What is referred to anew first, so that what stays is not let go. */
  #link(id: string, links: readonly Link[]): void {
    const before = this.#links.get(id) ?? []
    if (links.length === 0) this.#links.delete(id)
    else this.#links.set(id, links)
    let isOverfull = false
    for (const link of links) if (!this.#add(link, id)) isOverfull = true
    if (isOverfull) this.#options.onOverfull(overfull())
    const kept = new Set(links.map(keyOf))
    for (const link of before) if (!kept.has(keyOf(link))) this.#remove(link, id)
  }

  /** `false` where there are too many. */
  #add({ url, id }: Link, referrer: string): boolean {
    const all = this.#referrers.get(url)!
    let referrers = all.get(id)
    if (referrers === undefined) {
      if (this.#count >= maxEmbedded) return false
      referrers = new Set()
      all.set(id, referrers)
      this.#count++
      this.#options.collections.get(url)!.selection.want(id)
    }
    referrers.add(referrer)
    return true
  }

  #remove({ url, id }: Link, referrer: string): void {
    const all = this.#referrers.get(url)!
    const referrers = all.get(id)
    if (referrers === undefined) return
    referrers.delete(referrer)
    if (referrers.size > 0) return
    all.delete(id)
    this.#count--
    this.#options.collections.get(url)!.selection.drop(id)
  }

  readonly #find: Find = ({ url }, id) => {
    if (tryEncodeSegment(id) === undefined) return miss('not-found')
    if (!this.#referrers.get(url)!.has(id)) return miss('list-too-large')
    const { selection, view } = this.#options.collections.get(url)!
    const found = selection.find(id)
    if (typeof found === 'object') return { state: view.show(found)! }
    if (found !== 'unknown') return miss(found === 'gone' ? 'gone' : 'not-found')
    const code = selection.failure?.code
    return miss(
      code === undefined ? 'timeout' : code in misses ? (code as keyof typeof misses) : 'api-unreachable',
    )
  }
}

interface Link {
  readonly url: string
  readonly id: string
}

function keyOf({ url, id }: Link): string {
  return `${url} ${id}`
}

function miss(code: keyof typeof misses): Found {
  return { code, detail: misses[code] }
}

function overfull(): LockstepError {
  return new LockstepError(
    'list-too-large',
    `A follower embeds at most ${maxEmbedded} resources; the others are shown as missing. Follow fewer resources, or their collection by itself.`,
  )
}
