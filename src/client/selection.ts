/**
 * Some resources of a collection, by their ids: what a follower with embeds follows of each collection that they lead to.
 *
 * To the machine it is a follower of the collection whose baselines and intervals happen to hold these resources only:
 * baselines ask for them by id, and of the changes the others are left out, but counted. So the whole stream is heard,
 * by one source, and nothing else is held. An id that comes to it makes a new baseline. PROTOCOL.md §6.12.
 */
import {
  encodeSegment,
  isLockstepError,
  type JsonObject,
  type LockstepError,
  type ParsedPath,
  type Texts,
} from '../contract/index.ts'
import type { Answered, Api } from './api.ts'
import type { Change } from './change.ts'
import type { Ask, FollowerStatus, NumberedMessage } from './follower-data.ts'
import { type FollowerCall, FollowerDriver, type FollowerPorts } from './follower-driver.ts'
import { statusOf } from './follower-question.ts'
import type { OpenSource } from './source.ts'

/** The URL that asks for resources by their ids is at most about so long, and names at most so many. */
const maxUrlIds = 200
const maxUrlChars = 6_000
/** How long a baseline may take until its failure is shown, and how long the next one waits then. */
const patienceMs = 10_000
const retryMs = 5_000

export interface SelectionListener {
  /** A resource that is wanted changed; or `refreshed`, which says to look at all of them. */
  onChange(change: Change<JsonObject>): void
  /** These are known from now on, perhaps not to be there, or the reason why they are not known changed. */
  onKnown(ids: readonly string[]): void
  onStatus(): void
  onTexts(texts: Texts): void
  /** It cannot go on, and closes. */
  onBroken(): void
}

export class Selection {
  readonly target: ParsedPath
  readonly #url: string
  readonly #ports: FollowerPorts
  readonly #listener: SelectionListener
  readonly #driver: FollowerDriver
  /** By id: is it known, or still to be asked for; and was it there before it went? */
  readonly #wanted = new Map<string, { isKnown: boolean; isGone: boolean }>()
  readonly #wantedPaths = new Set<string>()
  /** The URLs of a baseline that come after one of them. */
  readonly #rest = new Map<string, readonly string[]>()
  #failure: LockstepError | undefined
  readonly #settled = Promise.withResolvers<void>()
  #isStarted = false
  #isAsking = false
  #isClosed = false
  #clearTimer: (() => void) | undefined
  #endWait: (() => void) | undefined

  /** `url` is the collection's, `target` its path below the root of the API that the ports ask. */
  constructor(url: string, target: ParsedPath, ports: FollowerPorts, listener: SelectionListener) {
    this.#url = url
    this.target = target
    this.#ports = ports
    this.#listener = listener
    const narrowed = { ...ports, api: this.#narrowApi(ports.api), openSource: this.#narrowSource }
    this.#driver = new FollowerDriver(target, narrowed, {
      onChange: change => {
        const wanted = this.#wanted.get(change.id)
        if (wanted !== undefined) wanted.isGone = change.event === 'deleted'
        if (change.event === 'refreshed' || wanted !== undefined) listener.onChange(change)
      },
      onStatus: listener.onStatus,
      onBroken: listener.onBroken,
    })
  }

  /** Of nothing, everything is known. */
  get status(): FollowerStatus {
    const status = this.#isStarted ? statusOf(this.#driver.data) : 'live'
    return status === 'connecting' && this.#failure !== undefined ? 'stale' : status
  }

  get staleForMs(): number {
    return this.#isStarted ? this.#driver.staleForMs : 0
  }

  get place(): { readonly epoch: string; readonly seq: number } | undefined {
    const { epoch, position } = this.#driver.data
    return epoch === undefined ? undefined : { epoch, seq: position }
  }

  /** Resolves when everything that was wanted first is known, or why it is not. */
  get settled(): Promise<void> {
    return this.#wanted.size === 0 ? Promise.resolve() : this.#settled.promise
  }

  /** Follows one more resource; one baseline is asked for all that come before the next turn of the event loop. */
  want(id: string): void {
    if (this.#wanted.has(id) || this.#isClosed) return
    this.#wanted.set(id, { isKnown: false, isGone: false })
    this.#wantedPaths.add(this.#pathOf(id))
    // What was known of it when it was wanted before is no more followed since.
    const { copy } = this.#driver.data
    copy.remove(id)
    copy.tombstones.delete(id)
    if (this.#isAsking) return
    this.#isAsking = true
    queueMicrotask(() => void this.#askForNew())
  }

  /** Follows a resource no more. */
  drop(id: string): void {
    this.#wanted.delete(id)
    this.#wantedPaths.delete(this.#pathOf(id))
    this.#driver.data.copy.remove(id)
  }

  /** The state; or whether it is gone, was not there, or is not known. */
  find(id: string): JsonObject | 'gone' | 'absent' | 'unknown' {
    const wanted = this.#wanted.get(id)
    if (wanted === undefined) return 'unknown'
    const state = this.#driver.data.copy.states.get(id)
    if (state !== undefined) return state
    return wanted.isGone ? 'gone' : wanted.isKnown ? 'absent' : 'unknown'
  }

  /** Why what is unknown is not known, where there is more to say than that it was not asked for yet. */
  get failure(): LockstepError | undefined {
    return this.#failure
  }

  async call(call: FollowerCall): Promise<void> {
    if (this.#isStarted) await this.#driver.call(call)
  }

  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#clearTimer?.()
    this.#endWait?.()
    this.#settled.resolve()
    this.#driver.close()
  }

  #pathOf(id: string): string {
    return `${this.target.path}/${encodeSegment(id)}`
  }

  get #unknown(): readonly string[] {
    return [...this.#wanted].filter(([, { isKnown }]) => !isKnown).map(([id]) => id)
  }

  /** Asks until everything that is wanted is known. */
  async #askForNew(): Promise<void> {
    for (let asked = this.#unknown; asked.length > 0 && !this.#isClosed; asked = this.#unknown) {
      try {
        await this.#takeBaseline()
        for (const id of asked) if (this.#wanted.has(id)) this.#wanted.get(id)!.isKnown = true
        this.#tellKnown(asked)
      } catch (error) {
        if (this.#isClosed) return
        if (isLockstepError(error)) this.#fail(error)
        await new Promise<void>(resolve => {
          this.#endWait = resolve
          this.#clearTimer = this.#ports.clock.setTimer(resolve, retryMs)
        })
      }
    }
    this.#isAsking = false
  }

  async #takeBaseline(): Promise<void> {
    if (this.#isStarted) {
      await this.#driver.call({ type: 'refresh', timeoutMs: patienceMs })
      return
    }
    this.#isStarted = true
    this.#listener.onStatus()
    const answered = this.#driver.call({ type: 'ready' })
    this.#driver.start()
    await answered
  }

  /** Tells once why what is unknown is not known. */
  #fail(error: LockstepError): void {
    const isTold =
      this.#failure !== undefined && (error.code === 'timeout' || error.code === this.#failure.code)
    if (isTold || this.#isClosed) return
    this.#failure = error
    this.#tellKnown(this.#unknown)
  }

  #tellKnown(ids: readonly string[]): void {
    this.#listener.onKnown(ids)
    this.#listener.onStatus()
    this.#settled.resolve()
  }

  #narrowApi(api: Api): Api {
    const answer: Api['answer'] = async (_, ask, signal) => {
      try {
        const answered = await this.#answer(api, ask, signal)
        this.#failure = undefined
        if (answered.texts !== undefined) this.#listener.onTexts(answered.texts)
        return answered
      } catch (error) {
        const isFailure = isLockstepError(error) && !error.code.startsWith('position-')
        if (isFailure && !signal.aborted) this.#fail(error)
        throw error
      }
    }
    return Object.assign(Object.create(api) as Api, { answer })
  }

  async #answer(api: Api, ask: Ask, signal: AbortSignal): Promise<Answered> {
    if (ask.kind !== 'items') {
      const answered = await api.answer(this.target, ask, signal)
      if (answered.type !== 'page') return answered
      const { interval } = answered
      return { ...answered, interval: { ...interval, changes: interval.changes.filter(this.#isWanted) } }
    }
    let url = ask.next
    if (url === undefined) {
      this.#rest.clear()
      const urls = this.#listUrls()
      for (const [index, each] of urls.entries()) this.#rest.set(each, urls.slice(index + 1))
      url = urls[0]!
    }
    const answered = await api.answer(this.target, { ...ask, next: url }, signal)
    if (answered.type !== 'items') return answered
    const rest = this.#rest.get(url) ?? []
    if (answered.next !== undefined) this.#rest.set(answered.next, rest)
    return { ...answered, next: answered.next ?? rest[0] }
  }

  /** Asks for all that is wanted, in as few requests as fit. */
  #listUrls(): readonly string[] {
    const urls: string[] = []
    let values: string[] = []
    let chars = 0
    const end = (): void => {
      urls.push(`${this.#url}?limit=1000&versions=true&id:in=${values.join(',')}`)
      values = []
      chars = 0
    }
    for (const id of this.#wanted.keys()) {
      // Once as a value among others, and once more as a part of a query.
      const value = encodeURIComponent(id.replaceAll('%', '%25').replaceAll(',', '%2C'))
      if (values.length === maxUrlIds || (chars + value.length > maxUrlChars && chars > 0)) end()
      values.push(value)
      chars += value.length + 1
    }
    end()
    return urls
  }

  readonly #isWanted = ({ message }: NumberedMessage): boolean =>
    message.event === 'reset' || this.#wantedPaths.has(message.resource)

  readonly #narrowSource: OpenSource = (request, listener) => {
    const { path } = this.target
    return this.#ports.openSource(request, {
      ...listener,
      onMessage: hint => {
        // A hint counts, but is about nothing that is held.
        const message = { ...hint.message, resource: path } as NumberedMessage['message']
        listener.onMessage(this.#isWanted(hint) ? hint : { ...hint, message })
      },
      onInterval: interval =>
        listener.onInterval({ ...interval, changes: interval.changes.filter(this.#isWanted) }),
    })
  }
}
