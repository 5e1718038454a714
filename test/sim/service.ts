/**
 * A service that can be killed, set back to a backup and started again: the real handlers, group commit and relay
 * on a log in memory whose images stand for the disk.
 */
import { createMemoryLog, type MemoryLog, type MemoryLogImage } from '../../src/log/memory.ts'
import type { Exchange, Reply } from '../../src/service/http/exchange.ts'
import { defineResource } from '../../src/service/resource.ts'
import { openService, type Service } from '../../src/service/service.ts'
import type { SimBroker, SimConnection } from './broker.ts'
import type { Ledger } from './ledger.ts'
import type { Runtime } from './runtime.ts'

const schema = {
  type: 'object',
  properties: { name: { type: 'string' }, tags: { type: 'object' } },
} as const
export const people = defineResource('people', { schema })
export const notes = defineResource('people/{person}/notes', { schema })
export const projects = defineResource('projects', { schema })
export const resources = [people, notes, projects] as const
export const streams = ['people', 'projects'] as const

export const shortRetention = { maxRows: 5, minRows: 3 } as const

export const serviceOptions = {
  retention: { maxRows: 40, minRows: 10, maxAgeMs: 3_600_000 },
  relay: { windowSize: 8, maxBacklog: 60, maxMessageBytes: 400 },
} as const

/** What the disk holds, with the word that tells the epoch guard how old it is. */
interface DiskImage {
  readonly image: MemoryLogImage
  readonly word: number
}

export class SimService {
  isUp = false
  /** May its log fail while it runs? */
  readonly mayFail: boolean = false
  boot = 0
  log!: MemoryLog
  #service: Service | undefined
  #connection: SimConnection | undefined
  #disk: DiskImage | undefined
  #detach = (): void => {}
  #word = 0
  readonly #backups: DiskImage[] = []
  readonly #onKill = new Set<() => void>()
  readonly #runtime: Runtime
  readonly #broker: SimBroker
  readonly #ledger: Ledger
  readonly #onError: (error: unknown) => void

  constructor(runtime: Runtime, broker: SimBroker, ledger: Ledger, onError: (error: unknown) => void) {
    this.#runtime = runtime
    this.#broker = broker
    this.#ledger = ledger
    this.#onError = onError
  }

  /** Starts it, unless it is up; of several starts at the same time only the last one comes to its end. */
  async start(): Promise<void> {
    if (this.isUp) return
    const boot = ++this.boot
    const onError = this.#onError
    const disk = this.#disk
    const log = createMemoryLog({ image: disk?.image, onError })
    await log.ensureStreams(streams)
    // The real guard keeps this word in a file beside the database; an older copy holds an older word.
    if (disk !== undefined && disk.word !== this.#word)
      for (const stream of streams) await log.renewEpoch(stream)
    if (boot !== this.boot) return
    this.#word++
    const detach = await this.#ledger.attach(log)
    const connection = this.#broker.connect()
    const service = await openService({ ...serviceOptions, resources, log, broker: connection, onError })
    if (boot !== this.boot) {
      detach()
      await service.close()
      await connection.close()
      return
    }
    this.log = log
    this.#detach = detach
    this.#connection = connection
    this.#service = service
    this.isUp = true
  }

  handle(exchange: Exchange): Promise<Reply> {
    return this.#service!.handle(exchange)
  }

  transaction(...args: Parameters<Service['transaction']>): ReturnType<Service['transaction']> {
    return this.#service!.transaction(...args)
  }

  onKill(listener: () => void): void {
    this.#onKill.add(listener)
  }

  /** Ends it as `kill -9` does: what is committed stays, everything else is gone. */
  kill(): void {
    if (!this.isUp) return
    this.isUp = false
    this.#detach()
    this.#disk = { image: this.log.image(), word: this.#word }
    void this.#connection?.close()
    void this.#service?.close()
    this.cutAll()
  }

  /** Makes the log much shorter than readers are used to. */
  async prune(): Promise<void> {
    await this.log.prune(shortRetention)
  }

  /** Whatever is on its way to it ends. */
  protected cutAll(): void {
    this.boot++
    for (const end of this.#onKill) end()
    this.#onKill.clear()
  }

  /** Keeps a copy of the disk as it is now. */
  backUp(): void {
    if (this.isUp) this.#backups.push({ image: this.log.image(), word: this.#word++ })
  }

  /** Puts an earlier copy in the place of the disk; only while it is down. Gives whether there was one. */
  restore(): boolean {
    const backup = this.#backups.length > 0 ? this.#runtime.pick(this.#backups) : undefined
    if (this.isUp || backup === undefined) return false
    this.#disk = backup
    return true
  }

  async close(): Promise<void> {
    await this.#service?.close()
    await this.#connection?.close()
    await this.log.close()
  }
}
