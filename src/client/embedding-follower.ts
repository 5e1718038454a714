/**
 * A follower that shows what its resources refer to beside them: a follower of the path, one of what is embedded from each
 * collection, and what they show together. PROTOCOL.md §6.12.
 */
import {
  encodeSegment,
  formatMarker,
  formatPosition,
  isLockstepError,
  type JsonObject,
  LockstepError,
  type Marker,
  minimumMarker,
  type ParsedPath,
  type Position,
  parseMarker,
  parseMemberPath,
  parsePath,
  quote,
} from '../contract/index.ts'
import type { EmbedLinks } from './api.ts'
import { type Change, type Occurrence, refreshedAt } from './change.ts'
import type { Conditions } from './conditions.ts'
import type { Reference } from './embed.ts'
import { type EmbeddedCollection, Embedding } from './embedding.ts'
import { readTimeout } from './follow-options.ts'
import {
  type CollectionFollower,
  extend,
  type Follower,
  type ResourceFollower,
  startFollower,
} from './follower.ts'
import type { FollowerStatus } from './follower-data.ts'
import type { FollowerPorts } from './follower-driver.ts'
import { createHearing } from './hearing.ts'
import { Selection } from './selection.ts'
import { View } from './view.ts'

export interface EmbedOptions {
  readonly view: View
  /** As `embed` names them. */
  readonly names: readonly string[]
  readonly lang: string | undefined
  /** How the API at a root is asked, and heard. */
  readonly portsAt: (root: URL) => FollowerPorts
  readonly maxWaitingChanges?: number | undefined
  readonly onClose: () => void
}

/** From the best to the worst. */
const ranks: readonly FollowerStatus[] = ['live', 'catching-up', 'stale', 'connecting', 'closed']
const retryMs = { least: 1_000, most: 5_000 }

export class EmbeddingFollower {
  readonly #target: ParsedPath
  readonly #ports: FollowerPorts
  readonly #options: EmbedOptions
  readonly #base: ResourceFollower<JsonObject> | CollectionFollower<JsonObject>
  readonly #hearing: ReturnType<typeof createHearing>
  readonly #selections: Selection[] = []
  readonly #shown = new Map<string, JsonObject>()
  readonly #opened = Promise.withResolvers<void>()
  readonly #closing = new AbortController()
  /** `undefined` until it is known where the references lead. */
  #embedding: Embedding | undefined
  #status: FollowerStatus = 'connecting'
  #isOverfullTold = false
  #endWait: (() => void) | undefined

  constructor(target: ParsedPath, ports: FollowerPorts, options: EmbedOptions) {
    this.#target = target
    this.#ports = ports
    this.#options = options
    this.#hearing = createHearing(target, { ...ports, maxWaitingChanges: options.maxWaitingChanges })
    this.#base = startFollower(target, ports, {
      onTexts: texts => {
        if (options.view.learn(texts)) this.#showAll()
      },
      onClose: () => this.#close(),
    })
    this.#base.on('change', change => this.#take(change))
    this.#base.on('status', () => this.#tellStatus())
    this.#opened.promise.catch(() => {})
    void this.#open()
  }

  /** As the application holds it. */
  toFollower(): ResourceFollower<JsonObject> | CollectionFollower<JsonObject> {
    const self = this
    const base = this.#base
    const ready = this.#becomeReady()
    ready.catch(() => {})
    const follower: Follower<JsonObject> = {
      path: base.path,
      get status() {
        return self.#status
      },
      get staleForMs() {
        if (self.#embedding === undefined) return Number.POSITIVE_INFINITY
        return Math.max(base.staleForMs, ...self.#selections.map(({ staleForMs }) => staleForMs))
      },
      get position() {
        return self.#embedding && base.position
      },
      get marker() {
        return formatMarker(self.#marker)
      },
      ready,
      async refresh(options = {}) {
        const timeoutMs = readTimeout('refresh', options)
        const calls = self.#selections.map(selection => selection.call({ type: 'refresh', timeoutMs }))
        await Promise.all([base.refresh({ timeoutMs }), ...calls])
      },
      async atLeast(marker, options = {}) {
        await self.#reach(marker, readTimeout('atLeast', options))
      },
      on: this.#hearing.on,
      close: () => this.#close(),
      [Symbol.asyncIterator]: this.#hearing.iterate,
      [Symbol.asyncDispose]: async () => this.#close(),
    }
    const shown = this.#shown
    const id = this.#target.segments.at(-1)!
    return 'version' in base
      ? extend(follower, {
          get state() {
            return shown.get(id)
          },
          get version() {
            return shown.has(id) ? base.version : 0
          },
          get etag() {
            return shown.has(id) ? base.etag : undefined
          },
        })
      : extend(follower, {
          get state() {
            return shown
          },
          versionOf: (id: string) => (shown.has(id) ? base.versionOf(id) : undefined),
          etagOf: (id: string) => (shown.has(id) ? base.etagOf(id) : undefined),
          where: (conditions: Conditions) => pick(shown, base.where(conditions)),
        })
  }

  async #becomeReady(): Promise<void> {
    await this.#base.ready
    await this.#opened.promise
    await Promise.all(this.#selections.map(({ settled }) => settled))
    if (this.#status === 'closed') await this.#base.refresh()
  }

  /** Learns where the references lead, and follows what is there. */
  async #open(): Promise<void> {
    const { clock, random, onError, api } = this.#ports
    const { signal } = this.#closing
    for (let told = ''; !signal.aborted; ) {
      try {
        this.#begin(await api.findEmbeds(this.#target, this.#options.names, signal))
        this.#opened.resolve()
        return
      } catch (error) {
        if (signal.aborted) return
        if (String(error) !== told) onError(error, { stage: 'embed' })
        told = String(error)
        if (isLockstepError(error, 'api-refused')) this.#opened.reject(error)
        const { least, most } = retryMs
        await new Promise<void>(resolve => {
          const clearTimer = clock.setTimer(resolve, least + random() * (most - least))
          this.#endWait = () => {
            clearTimer()
            resolve()
          }
        })
      }
    }
  }

  #begin(links: EmbedLinks): void {
    const { names, view, lang, portsAt } = this.#options
    const references = names.map((name): Reference => {
      const link = links.get(name)
      if (link === undefined) throw noLink(this.#target.path, name)
      return { name, path: parseMemberPath(name), ...link }
    })
    const collections = new Map<string, EmbeddedCollection>()
    for (const { url } of references) {
      if (collections.has(url)) continue
      const { root, target } = splitUrl(url)
      const selection: Selection = new Selection(url, target, portsAt(root), {
        onChange: change => this.#takeEmbedded(url, change),
        onKnown: ids => {
          for (const id of ids) this.#showReferrers(url, id, { position: placeOf(selection) })
        },
        onStatus: () => this.#tellStatus(),
        onTexts: texts => {
          if (this.#embedding?.learn(url, texts) && selection.place !== undefined) this.#showAll()
        },
        onBroken: () => this.#close(),
      })
      this.#selections.push(selection)
      collections.set(url, { selection, view: new View({ lang }) })
    }
    const onOverfull = (error: LockstepError): void => {
      if (!this.#isOverfullTold) this.#ports.onError(error, { stage: 'embed' })
      this.#isOverfullTold = true
    }
    this.#embedding = new Embedding({ shown: this.#shown, view, references, collections, onOverfull })
    this.#showAll()
    this.#tellStatus()
  }

  /** Takes a change of what is followed. */
  #take(change: Change<JsonObject>): void {
    if (this.#embedding === undefined) return
    if (change.event === 'refreshed') this.#showAll()
    else this.#show(change.id, change.state, change)
  }

  /** Takes a change of what is embedded: it is one of each resource that refers to it. */
  #takeEmbedded(url: string, { event, id, cause, position }: Change<JsonObject>): void {
    if (event === 'refreshed') this.#showAll()
    else this.#showReferrers(url, id, { cause, position })
  }

  #showReferrers(
    url: string,
    embeddedId: string,
    by: { readonly cause?: string | undefined; readonly position: string },
  ): void {
    for (const id of this.#embedding?.referrers(url, embeddedId) ?? []) {
      const path = 'version' in this.#base ? this.#base.path : `${this.#base.path}/${encodeSegment(id)}`
      this.#show(id, this.#wholeOf(id), {
        path,
        id,
        version: this.#versionOf(id),
        cause: by.cause,
        position: by.position,
      })
    }
  }

  #show(id: string, whole: JsonObject | undefined, { path, version, cause, position }: Occurrence): void {
    const change = this.#embedding!.show(id, whole, { path, id, version, cause, position })
    if (change !== undefined) this.#hearing.onChange(change)
  }

  /** Shows everything anew, and says to look at it. */
  #showAll(): void {
    const { position, path } = this.#base
    if (this.#embedding === undefined || position === undefined) return
    const id = 'version' in this.#base ? this.#target.segments.at(-1)! : ''
    const refreshed = refreshedAt({ path, id, position: formatPosition(position) })
    for (const id of new Set([...this.#shown.keys(), ...this.#ids()]))
      this.#embedding.show(id, this.#wholeOf(id), refreshed)
    this.#hearing.onChange(refreshed)
  }

  #ids(): Iterable<string> {
    return 'version' in this.#base ? [this.#target.segments.at(-1)!] : this.#base.state.keys()
  }

  #wholeOf(id: string): JsonObject | undefined {
    return 'version' in this.#base ? this.#base.state : this.#base.state.get(id)
  }

  #versionOf(id: string): number {
    return ('version' in this.#base ? this.#base.version : this.#base.versionOf(id)) ?? 0
  }

  /** Of all that is shown; only of what is followed, where the epochs do not fit together. */
  get #marker(): Marker {
    const { position } = this.#base
    if (position === undefined || this.#embedding === undefined) return []
    const places = this.#selections.flatMap(({ target: { stream }, place }) =>
      place ? [[{ stream, ...place }]] : [],
    )
    return minimumMarker([[position], ...places]) ?? [position]
  }

  /** Who follows the path refuses what is no marker, and one that names nothing of all this. */
  async #reach(marker: string | Marker, timeoutMs: number): Promise<void> {
    const { stream } = this.#target
    const positions = typeof marker === 'string' ? parseMarker(marker) : Array.isArray(marker) ? marker : []
    const placeIn = (name: string): Position | undefined => positions.find(place => place?.stream === name)
    const calls = this.#selections.flatMap(selection => {
      const { target } = selection
      // The same name elsewhere would be another stream.
      const place = target.stream === stream ? undefined : placeIn(target.stream)
      return place ? [selection.call({ type: 'at-least', ...place, timeoutMs })] : []
    })
    if (calls.length === 0 || placeIn(stream) !== undefined)
      calls.push(this.#base.atLeast(marker, { timeoutMs }))
    await Promise.all(calls)
  }

  #tellStatus(): void {
    const statuses = [
      this.#base.status,
      ...this.#selections.map(({ status }) => (status === 'connecting' ? 'catching-up' : status)),
    ]
    const isConnecting = this.#embedding === undefined || this.#base.status === 'connecting'
    const status = this.#base.status === 'closed' ? 'closed' : isConnecting ? 'connecting' : worstOf(statuses)
    if (status === this.#status) return
    this.#status = status
    this.#hearing.onStatus(status)
  }

  #close(): void {
    if (this.#closing.signal.aborted) return
    this.#closing.abort()
    this.#endWait?.()
    for (const selection of this.#selections) selection.close()
    this.#opened.reject(
      new LockstepError('closed', `The follower of ${this.#target.path} was closed. Follow again to go on.`),
    )
    this.#base.close()
    this.#tellStatus()
    this.#hearing.end()
    this.#options.onClose()
  }
}

function worstOf(statuses: readonly FollowerStatus[]): FollowerStatus {
  return ranks[Math.max(...statuses.map(status => ranks.indexOf(status)))]!
}

function placeOf({ target, place }: Selection): string {
  return place === undefined ? '' : formatPosition({ stream: target.stream, ...place })
}

function* pick(shown: ReadonlyMap<string, JsonObject>, wholes: Iterable<JsonObject>): Generator<JsonObject> {
  for (const { id } of wholes) {
    const state = shown.get(id as string)
    if (state !== undefined) yield state
  }
}

/** `https://example.com/api/users` is `/users` below `https://example.com/api/`. */
function splitUrl(url: string): { readonly root: URL; readonly target: ParsedPath } {
  const place = url.lastIndexOf('/')
  return { root: new URL(url.slice(0, place + 1)), target: parsePath(url.slice(place)) }
}

function noLink(path: string, name: string): LockstepError {
  return new LockstepError(
    'api-refused',
    `The API does not say where ${quote(name)} of ${path} leads (Link with rel="embedded"). Is it a Lockstep service? Across origins, expose the header Link.`,
  )
}
