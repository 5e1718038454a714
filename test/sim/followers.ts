/** The followers of a simulation, and what each must keep at every step: PROTOCOL.md 6.3, 6.6, 6.9. */
import { copyFileSync, existsSync } from 'node:fs'
import type { Change } from '../../src/client/change.ts'
import { followerLimits } from '../../src/client/follower-limits.ts'
import {
  type CollectionFollower,
  type Connection,
  connect,
  type Follower,
  type ResourceFollower,
} from '../../src/client/index.ts'
import { isEqualJson, isLockstepError, type JsonObject, parsePosition } from '../../src/contract/index.ts'
import type { SimBroker, SimConnection } from './broker.ts'
import type { Ledger } from './ledger.ts'
import { SimLink } from './network.ts'
import type { Runtime } from './runtime.ts'
import type { SimService } from './service.ts'

type AnyFollower = Follower<JsonObject>

// Who is further behind than a page asks for latest states: here streams are short.
Object.assign(followerLimits, { feedPage: 10 })
const wholePage = `limit=${followerLimits.feedPage}`

export class SimFollower {
  readonly name: string
  readonly link: SimLink
  steps = 0
  readonly #parts: FollowerParts
  readonly #ledger: Ledger
  readonly #tell: (line: string) => void
  readonly #shown = new Map<string, { epoch: string; version: number }>()
  readonly #fault = new Error('a part that the steps use has thrown')
  #faultUntil = 0
  #process: FollowerProcess | undefined
  #kills = 0

  private constructor(name: string, parts: FollowerParts) {
    this.name = name
    this.#parts = parts
    this.#ledger = parts.ledger
    this.#tell = parts.tell
    this.link = new SimLink(parts.runtime, parts.service)
  }

  static async start(name: string, parts: FollowerParts): Promise<SimFollower> {
    const follower = new SimFollower(name, parts)
    await follower.#open()
    return follower
  }

  get mqtt(): SimConnection | undefined {
    return this.#process?.mqtt
  }

  /** As it stands; `undefined` while its process is down. */
  get follower(): AnyFollower | undefined {
    return this.#process?.follower
  }

  async #open(): Promise<void> {
    const { broker, source, path, replicaFile } = this.#parts
    const mqtt = source === 'mqtt' ? broker.connect() : undefined
    const connection = await connect({
      api: 'http://api',
      broker: mqtt,
      fetch: this.#createFetch(),
      random: () => this.#random(),
      onError: (error, { stage }) => {
        const isPlanned = stage !== 'replica' && (stage !== 'follower' || error === this.#fault)
        if (!isPlanned) this.#ledger.violations.push(`${this.name} reports ${String(error)}`)
      },
    })
    const replica = replicaFile && `${replicaFile}.${this.#kills}`
    const follower = connection.follow(path, { replica }) as AnyFollower
    follower.on('change', change => this.#check(change))
    follower.on('status', status => this.#tell(`${this.name} ${status}`))
    this.#process = { connection, follower, mqtt }
    void this.#use(follower)
  }

  /** Lists come in pages of a few items, as where a collection is larger. */
  #createFetch(): typeof fetch {
    const { runtime, isRunning } = this.#parts
    const limit = runtime.chance(0.5) ? wholePage : `limit=${runtime.between(2, 6)}`
    return (input, init) => {
      const url = String(input).replace(wholePage, limit)
      const older = isRunning() && runtime.chance(0.15) ? this.#answerOlder(new URL(url).pathname) : undefined
      return older === undefined ? this.link.fetch(url, init) : Promise.resolve(older)
    }
  }

  /** What a reader that is one change behind says of a resource in a followed collection; of what is followed itself nobody could tell that it is old. */
  #answerOlder(path: string): Response | undefined {
    const isBelow = path.slice(0, path.lastIndexOf('/')) === this.#parts.path && !path.endsWith('_changes')
    const entry = isBelow ? this.#ledger.before(path) : undefined
    if (entry?.state === undefined) return undefined
    const { epoch, seq, version, state } = entry
    const marker = `${path.split('/', 2)[1]}:${epoch}:${seq}`
    const headers = { etag: `"${epoch}.${version}"`, 'lockstep-marker': marker }
    return Response.json(state, { headers })
  }

  #random(): number {
    if (this.#parts.runtime.now() >= this.#faultUntil) return Math.random()
    this.#faultUntil = 0
    throw this.#fault
  }

  /** What an application does with it: it takes new baselines and waits for markers; now and then a step fails. */
  async #use(follower: AnyFollower): Promise<void> {
    const { runtime, isRunning, path } = this.#parts
    const stream = path.split('/', 2)[1]!
    while (runtime.chance(0.7)) {
      await runtime.sleep(runtime.between(50, 4_000))
      const epoch = this.#ledger.epochOf(stream)
      if (this.follower !== follower || epoch === undefined || !isRunning()) return
      if (runtime.chance(0.2)) {
        this.#faultUntil = runtime.now() + runtime.between(1, 1_000)
        continue
      }
      const isRefresh = runtime.chance(0.6)
      if (isRefresh && runtime.chance(0.4)) {
        // One is on its way already: it may not serve what is asked for after it.
        follower.refresh().catch(() => {})
        await runtime.sleep(runtime.between(5, 60))
        if (this.#ledger.epochOf(stream) !== epoch) continue
      }
      const seq = this.#ledger.headOf(stream)
      try {
        if (isRefresh) await follower.refresh({ timeoutMs: runtime.between(100, 8_000) })
        else await follower.atLeast([{ stream, epoch, seq }], { timeoutMs: runtime.between(100, 8_000) })
      } catch (error) {
        if (isLockstepError(error) && ['timeout', 'closed', 'position-gone'].includes(error.code)) continue
        this.#ledger.violations.push(
          `${this.name}: ${isRefresh ? 'refresh' : 'atLeast'} fails with ${String(error)}`,
        )
        continue
      }
      const { position } = follower
      this.#tell(`${this.name} ${isRefresh ? 'refreshed' : 'reached'} ${follower.marker} for ${epoch}:${seq}`)
      if (position?.epoch === epoch && position.seq < seq)
        this.#ledger.violations.push(`${this.name} was to be at ${epoch}:${seq} and is at ${follower.marker}`)
      // What a new baseline has left in the file is found by who starts from it.
      if (!isRefresh || !runtime.chance(0.3)) continue
      await runtime.sleep(runtime.between(50, 400))
      if (this.follower === follower && isRunning()) await this.kill(runtime.between(1, 3_000))
      return
    }
  }

  /** Where nothing changes any more a new baseline brings nothing new; what is in the file all the same is found by who starts from it. */
  async rest(): Promise<void> {
    const { runtime, replicaFile } = this.#parts
    const { follower } = this
    if (replicaFile === undefined || follower === undefined || !runtime.chance(0.2)) return
    try {
      await follower.refresh({ timeoutMs: 2_000 })
    } catch {
      return
    }
    await runtime.sleep(runtime.between(50, 400))
    if (this.follower === follower) await this.kill(runtime.between(1, 100))
  }

  /** Ends its process as a kill does: what is not in its file is lost. It starts again after a while. */
  async kill(downMs: number): Promise<void> {
    const { runtime, replicaFile } = this.#parts
    const killed = this.#process
    if (killed === undefined) return
    this.#process = undefined
    const { position, staleForMs } = killed.follower
    // What lies on the disk at this moment, before the old process gets to write anything more.
    if (replicaFile !== undefined) {
      for (const part of ['', '-wal']) {
        const from = `${replicaFile}.${this.#kills}${part}`
        if (existsSync(from)) copyFileSync(from, `${replicaFile}.${this.#kills + 1}${part}`)
      }
    }
    this.#kills++
    await killed.connection.close()
    await killed.mqtt?.close()
    await runtime.sleep(downMs)
    this.#shown.clear()
    await this.#open()
    const { follower } = this.#process!
    const restored = follower.position
    this.#tell(`${this.name} is back at ${follower.marker}, old by ${follower.staleForMs}`)
    if (restored === undefined) return
    this.#parts.onRestored()
    const isAhead = restored.epoch === position?.epoch && restored.seq > position.seq
    // Of one that had to begin anew, the file knows more than it did.
    const isTooYoung = position !== undefined && follower.staleForMs + 1 < downMs + staleForMs
    if (isAhead || follower.status === 'live' || isTooYoung)
      this.#ledger.violations.push(
        `${this.name} was at ${position?.seq}, old by ${staleForMs}, down for ${downMs}, and is back at ${restored.seq}, ${follower.status}, old by ${follower.staleForMs}`,
      )
    this.checkClaim()
  }

  /** Is it live, and equal to the API? */
  get isRight(): boolean {
    return this.follower?.status === 'live' && this.difference() === undefined
  }

  /** How it differs from what the API has now. */
  difference(): string | undefined {
    const { follower } = this
    if (follower === undefined) return 'its process is down'
    const { path } = follower
    const segments = path.slice(1).split('/')
    const all = this.#ledger.now(segments[0]!)
    if (segments.length % 2 === 0) {
      const { state, version } = follower as ResourceFollower<JsonObject>
      const wanted = all.get(path)
      if (wanted === undefined)
        return state === undefined ? undefined : `${path} is there in version ${version}`
      return isEqualJson(wanted.state, state) && version === wanted.version
        ? undefined
        : `${path} is ${version} instead of ${wanted.version}`
    }
    const copy = follower as CollectionFollower<JsonObject>
    let count = 0
    for (const [item, { version, state }] of all) {
      if (item.slice(0, item.lastIndexOf('/')) !== path) continue
      count++
      const id = item.slice(path.length + 1)
      if (copy.versionOf(id) !== version || !isEqualJson(copy.state.get(id), state)) {
        return `${item} is ${copy.versionOf(id)} instead of ${version}`
      }
    }
    return copy.state.size === count ? undefined : `${path} has ${copy.state.size} instead of ${count}`
  }

  /** A claimed position was taken in whole: nothing that is held is older than what was there at that place. */
  checkClaim(): void {
    if (this.follower === undefined) return
    const { position, path, marker } = this.follower
    if (position === undefined || path.split('/').length !== 2) return
    const copy = this.follower as CollectionFollower<JsonObject>
    for (const { path: item, version, exists } of this.#ledger.at(
      position.stream,
      position.epoch,
      position.seq,
    )) {
      if (item.slice(0, item.lastIndexOf('/')) !== path) continue
      const held = copy.versionOf(item.slice(path.length + 1))
      const isOlder = exists ? held !== undefined && held < version : held !== undefined && held <= version
      const isMissing = exists && held === undefined && !this.#isGoneLater(item, position.epoch, version)
      if (isOlder || isMissing) {
        this.#ledger.violations.push(
          `${this.name} claims ${marker} and holds ${item} at ${held} instead of ${version}`,
        )
      }
    }
  }

  async close(): Promise<void> {
    await this.#process?.connection.close()
    await this.mqtt?.close()
  }

  /** It may know of a deletion that comes after its position. */
  #isGoneLater(item: string, epoch: string, version: number): boolean {
    const stream = item.split('/', 2)[1]!
    for (const later of this.#ledger.at(stream, epoch, Number.MAX_SAFE_INTEGER)) {
      if (later.path === item) return later.version > version
    }
    return false
  }

  #check(change: Change<JsonObject>): void {
    this.steps++
    const { path, event, version, position, state } = change
    this.#tell(`${this.name} ${event} ${path} ${version} ${position} ${JSON.stringify(state)}`)
    if (event === 'refreshed') {
      this.#shown.clear()
      return
    }
    if (state !== undefined && !this.#ledger.knows(path, version, state)) {
      this.#ledger.violations.push(`invented: ${this.name} shows ${path} ${version} ${JSON.stringify(state)}`)
    }
    const { epoch } = parsePosition(position)
    const shown = this.#shown.get(path)
    if (shown?.epoch === epoch && version < shown.version) {
      this.#ledger.violations.push(`regressed: ${this.name} shows ${path} ${version} after ${shown.version}`)
    }
    this.#shown.set(path, { epoch, version })
  }
}

interface FollowerProcess {
  readonly connection: Connection
  readonly follower: AnyFollower
  readonly mqtt: SimConnection | undefined
}

export interface FollowerParts {
  readonly runtime: Runtime
  readonly service: SimService
  readonly broker: SimBroker
  readonly ledger: Ledger
  readonly path: string
  readonly source: 'mqtt' | 'sse'
  /** Where it keeps its copy; `undefined` is in memory only. */
  readonly replicaFile: string | undefined
  /** Does the application still use it? Not when all is to come to rest. */
  readonly isRunning: () => boolean
  /** Hears that a copy was there after a kill. */
  readonly onRestored: () => void
  readonly tell: (line: string) => void
}
