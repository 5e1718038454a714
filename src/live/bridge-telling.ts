/** What a bridge tells of itself on the channel `lockstep:bridge`: each second what it has counted, and which streams it has all of. */
import { bridgeChannel } from '../contract/index.ts'
import type { Counters } from './counters.ts'
import type { SessionTable } from './session-table.ts'
import { readStreamHealth, type StreamKeepers } from './stream-keepers.ts'

let bridges = 0

export class BridgeTelling {
  readonly #bridge = ++bridges
  readonly #counters: Counters
  readonly #streams: StreamKeepers
  readonly #table: Pick<SessionTable, 'connections'>
  readonly #told = new Map<string, boolean>()

  constructor(counters: Counters, streams: StreamKeepers, table: Pick<SessionTable, 'connections'>) {
    this.#counters = counters
    this.#streams = streams
    this.#table = table
  }

  /** To be called about once a second. */
  tell(): void {
    if (!bridgeChannel.hasSubscribers) return
    const waiting: Record<string, number> = {}
    for (const [stream, keeper] of this.#streams) {
      const health = readStreamHealth(keeper)
      waiting[stream] = health.waiting
      this.#tellStream(stream, health.isLive)
    }
    bridgeChannel.publish({
      event: 'counted',
      bridge: this.#bridge,
      connections: this.#table.connections,
      counts: { ...this.#counters },
      waiting,
    })
  }

  closed(): void {
    this.tell()
    if (bridgeChannel.hasSubscribers) bridgeChannel.publish({ event: 'closed', bridge: this.#bridge })
  }

  #tellStream(stream: string, isLive: boolean): void {
    if (this.#told.get(stream) === isLive) return
    this.#told.set(stream, isLive)
    bridgeChannel.publish({ event: 'stream', bridge: this.#bridge, stream, isLive })
  }
}
