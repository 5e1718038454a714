/** The followers of a simulation, and what each must keep at every step: PROTOCOL.md 6.3, 6.6. */

import type { Change } from '../../src/client/change.ts'
import {
  type CollectionFollower,
  type Connection,
  connect,
  type Follower,
  type ResourceFollower,
} from '../../src/client/index.ts'
import { isEqualJson, type JsonObject, parsePosition } from '../../src/contract/index.ts'
import type { SimBroker, SimConnection } from './broker.ts'
import type { Ledger } from './ledger.ts'
import { SimLink } from './network.ts'
import type { Runtime } from './runtime.ts'
import type { SimService } from './service.ts'

type AnyFollower = Follower<JsonObject>

export class SimFollower {
  readonly name: string
  readonly link: SimLink
  readonly mqtt: SimConnection | undefined
  readonly follower: AnyFollower
  readonly #connection: Connection
  readonly #ledger: Ledger
  readonly #tell: (line: string) => void
  readonly #shown = new Map<string, { epoch: string; version: number }>()
  steps = 0

  private constructor(
    name: string,
    parts: FollowerParts,
    connection: Connection,
    link: SimLink,
    mqtt: SimConnection | undefined,
  ) {
    this.name = name
    this.#ledger = parts.ledger
    this.#tell = parts.tell
    this.#connection = connection
    this.link = link
    this.mqtt = mqtt
    this.follower = connection.follow(parts.path) as AnyFollower
    this.follower.on('change', change => this.#check(change))
    this.follower.on('status', status => parts.tell(`${name} ${status}`))
  }

  static async start(name: string, parts: FollowerParts): Promise<SimFollower> {
    const { runtime, service, broker, source } = parts
    const link = new SimLink(runtime, service)
    const mqtt = source === 'mqtt' ? broker.connect() : undefined
    const connection = await connect({
      api: 'http://api',
      broker: mqtt,
      fetch: link.fetch,
      onError: () => {},
    })
    return new SimFollower(name, parts, connection, link, mqtt)
  }

  /** Is it live, and equal to the API? */
  get isRight(): boolean {
    const { follower } = this
    return follower.status === 'live' && this.difference() === undefined
  }

  /** How it differs from what the API has now. */
  difference(): string | undefined {
    const { path } = this.follower
    const segments = path.slice(1).split('/')
    const all = this.#ledger.now(segments[0]!)
    if (segments.length % 2 === 0) {
      const { state, version } = this.follower as ResourceFollower<JsonObject>
      const wanted = all.get(path)
      if (wanted === undefined)
        return state === undefined ? undefined : `${path} is there in version ${version}`
      return isEqualJson(wanted.state, state) && version === wanted.version
        ? undefined
        : `${path} is ${version} instead of ${wanted.version}`
    }
    const copy = this.follower as CollectionFollower<JsonObject>
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
    const { position, path } = this.follower
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
          `${this.name} claims ${this.follower.marker} and holds ${item} at ${held} instead of ${version}`,
        )
      }
    }
  }

  async close(): Promise<void> {
    await this.#connection.close()
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

export interface FollowerParts {
  readonly runtime: Runtime
  readonly service: SimService
  readonly broker: SimBroker
  readonly ledger: Ledger
  readonly path: string
  readonly source: 'mqtt' | 'sse'
  readonly tell: (line: string) => void
}
