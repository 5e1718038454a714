/**
 * Several instances of a service on one simulated PostgreSQL, each with a relay, behind something that spreads requests; and an
 * application that records changes of its own tables there. Everything but the database's own work is the real code.
 */

import { completeMessage, type Head } from '../../src/contract/index.ts'
import type { ChangeLog } from '../../src/log/change-log.ts'
import { openPostgresLog } from '../../src/log/postgres.ts'
import { record } from '../../src/log/record.ts'
import type { Exchange, Reply } from '../../src/service/http/exchange.ts'
import { openService, type Service } from '../../src/service/service.ts'
import type { SimBroker, SimConnection } from './broker.ts'
import type { Fault } from './faults.ts'
import type { JudgedLog, Ledger } from './ledger.ts'
import { type Commit, type SimPool, SimPostgres, type Step } from './postgres.ts'
import type { Runtime } from './runtime.ts'
import { resources, SimService, serviceOptions, shortRetention, streams } from './service.ts'

interface Instance {
  isUp: boolean
  readonly pool: SimPool
  readonly connection: SimConnection
  readonly log: ChangeLog
  readonly service: Service
}

interface RecordedState {
  readonly path: string
  readonly version: number
  readonly state: { readonly id: string; readonly name: string }
  /** The commit that made it. */
  readonly step: Step
}

const instanceCount = 2
/** Longer than unless set otherwise: what an instance has not seen yet lasts longer, and the simulation less long. */
const pollMs = 80

export class SimPostgresService extends SimService {
  override readonly mayFail = true
  readonly #runtime: Runtime
  readonly #broker: SimBroker
  readonly #ledger: Ledger
  readonly #onError: (error: unknown) => void
  readonly #database: SimPostgres
  #instances: Instance[] = []
  #backups: Commit[] = []
  #recorded: RecordedState[] = []
  #isAttached = false

  constructor(runtime: Runtime, broker: SimBroker, ledger: Ledger, onError: (error: unknown) => void) {
    super(runtime, broker, ledger, onError)
    this.#runtime = runtime
    this.#broker = broker
    this.#ledger = ledger
    this.#onError = onError
    this.#database = new SimPostgres(runtime)
  }

  override async start(): Promise<void> {
    if (this.isUp) return
    const boot = ++this.boot
    for (let index = 0; index < instanceCount; index++) await this.#startInstance(boot)
    this.isUp = this.boot === boot
  }

  override handle(exchange: Exchange): Promise<Reply> {
    return this.#on(({ service }) => service.handle(exchange))
  }

  override transaction(...args: Parameters<Service['transaction']>): ReturnType<Service['transaction']> {
    return this.#on(({ service }) => service.transaction(...args)) as ReturnType<Service['transaction']>
  }

  override async prune(): Promise<void> {
    // It may be killed meanwhile, or its database.
    await this.#on(({ log }) => log.prune(shortRetention)).catch(this.#onError)
  }

  override kill(): void {
    if (!this.isUp) return
    this.isUp = false
    for (const instance of this.#instances) this.#killInstance(instance)
  }

  override backUp(): void {
    this.#backups.push(this.#database.last)
  }

  override restore(): boolean {
    if (this.isUp || this.#backups.length === 0) return false
    this.#setBack(this.#runtime.pick(this.#backups))
    return true
  }

  override async close(): Promise<void> {
    for (const { service, connection, log } of this.#instances) {
      await service.close()
      await connection.close()
      await log.close()
    }
  }

  /** What only this kind of log can suffer. */
  readonly faults: Readonly<Record<string, Fault>> = {
    'instance killed': async () => {
      if (!this.isUp) return
      this.#killInstance(this.#runtime.pick(this.#instances))
      await this.#runtime.sleep(this.#runtime.between(1, 3_000))
      // Others may be killed and started meanwhile.
      while (this.isUp && this.#instances.filter(({ isUp }) => isUp).length < instanceCount)
        await this.#startInstance(this.boot)
    },
    'database killed': async () => {
      this.#database.kill()
      await this.#runtime.sleep(this.#runtime.between(1, 4_000))
      this.#database.start()
    },
    'standby promoted': async () => {
      // A standby that has not even the streams would be of another installation.
      const isUsable = ({ tables }: Commit): boolean => streams.every(stream => tables.streams.has(stream))
      if (this.#database.isUp) this.#setBack(this.#database.pickEarlier(isUsable))
    },
    'application records': () => this.#record(),
    'application records more': () => this.#record(),
  }

  /** What the application committed, and no failover lost, has its number and its place. */
  checkEnd(): void {
    // What a failover lost was in the log once, and is rightly said not to be made.
    if (this.#database.timeline === 1) this.#ledger.checkRefused()
    if (this.#database.last.tables.pending.size > 0)
      this.#ledger.violations.push('left out: changes wait for a number for ever')
    for (const { path, version, state } of this.#recorded)
      if (!this.#ledger.knows(path, version, state))
        this.#ledger.violations.push(`lost: ${path} ${version} was recorded and committed`)
  }

  async #on<T>(ask: (instance: Instance) => Promise<T>): Promise<T> {
    const instance = this.#runtime.pick(this.#instances.filter(({ isUp }) => isUp))
    const value = await ask(instance)
    if (!instance.isUp) throw new TypeError('fetch failed')
    return value
  }

  /** Until the database lets it, as a supervisor does. */
  async #startInstance(boot: number): Promise<void> {
    for (;;) {
      if (this.boot !== boot) return
      const pool = this.#database.createPool()
      const begun: { close(): Promise<void> }[] = []
      try {
        const log = await openPostgresLog({ pool, pollMs, onError: this.#onError })
        begun.push(log)
        await log.ensureStreams(streams)
        this.#attach()
        const connection = this.#broker.connect()
        begun.push(connection)
        const options = { ...serviceOptions, resources, log, broker: connection, onError: this.#onError }
        const service = await openService(options)
        const instance: Instance = { isUp: true, pool, connection, log, service }
        if (this.boot === boot) this.#instances = [...this.#instances.filter(({ isUp }) => isUp), instance]
        else endInstance(instance)
        return
      } catch (error) {
        pool.kill()
        for (const part of begun) void part.close()
        this.#onError(error)
        await this.#runtime.sleep(200)
      }
    }
  }

  #killInstance(instance: Instance): void {
    if (!instance.isUp) return
    endInstance(instance)
    this.cutAll()
  }

  #setBack(to: Commit): void {
    this.#database.promote(to)
    const kept = new Set<Step>()
    for (let step: Step | undefined = to.step; step !== undefined; step = step.before) kept.add(step)
    this.#recorded = this.#recorded.filter(({ step }) => kept.has(step))
  }

  /** The ledger sees what is committed at once, in the moment of the commit. */
  #attach(): void {
    if (this.#isAttached) return
    this.#isAttached = true
    const view = new CommittedView(this.#database)
    void this.#ledger.attach(view)
  }

  /** Transactions of the application: short ones, idle ones, such as are undone, several at the same time and of the same rows. */
  async #record(): Promise<void> {
    const { between, chance, pick } = this.#runtime
    const one = async (name: string): Promise<void> => {
      for (let count = 0; count < 6; count++) {
        await this.#runtime.sleep(between(1, 300))
        const pool = this.#database.createPool()
        const made: Omit<RecordedState, 'step'>[] = []
        try {
          const client = await pool.connect()
          await client.query({ text: 'BEGIN' })
          const tx = {
            query: async (text: string, values: string[]) => await client.query({ text, values }),
          }
          for (let writes = between(1, 3); writes > 0; writes--) {
            const id = pick(['own1', 'own2', 'own3'])
            const path = `/${pick(streams)}/${id}`
            const state = { id, name: `${name}.${count}.${writes}` }
            const [recorded] = await record(tx, { path, state })
            made.push({ path, version: recorded!.version, state })
            await this.#runtime.sleep(chance(0.2) ? between(1, 2_000) : between(0, 20))
          }
          const isKept = chance(0.8)
          const { command } = await client.query({ text: isKept ? 'COMMIT' : 'ROLLBACK' })
          const { step } = client
          if (command === 'COMMIT') this.#recorded.push(...made.map(change => ({ ...change, step: step! })))
        } catch {
          // The server is away, or two transactions wait for each other: the application gives up.
        } finally {
          pool.kill()
        }
      }
    }
    const serial = between(0, 1_000_000)
    await Promise.all([one(`r${serial}a`), one(`r${serial}b`), one(`r${serial}c`)])
  }
}

function endInstance(instance: Instance): void {
  instance.isUp = false
  instance.pool.kill()
  void instance.connection.close()
  void instance.service.close()
  void instance.log.close()
}

/** The log as it is committed, without a way to it. */
class CommittedView implements JudgedLog {
  readonly #database: SimPostgres
  readonly #heads = new Map<string, string>()

  constructor(database: SimPostgres) {
    this.#database = database
  }

  async head(stream: string): Promise<Head> {
    const { epoch, head, first } = this.#database.last.tables.streams.get(stream)!
    return { stream, epoch, seq: head, first }
  }

  readChanges: ChangeLog['readChanges'] = async (stream, { after }) => {
    const { streams: rows, changes } = this.#database.last.tables
    const { epoch, head, first } = rows.get(stream)!
    const found = [...(changes.get(stream) ?? [])].filter(([seq]) => seq > after).sort(([a], [b]) => a - b)
    return {
      head: { stream, epoch, seq: head, first },
      to: head,
      changes: found.map(([seq, { event, path, topicPath, version, openText }]) => ({
        seq,
        event: event as 'created',
        path,
        topicPath: topicPath ?? path,
        version,
        messageText: completeMessage(openText, { stream, epoch, seq }),
      })),
    }
  }

  readCollection: ChangeLog['readCollection'] = async path => {
    const items = [...this.#database.last.tables.resources].flatMap(([other, { version, state }]) =>
      state !== null && other.slice(0, other.lastIndexOf('/')) === path
        ? [{ path: other, version, stateText: state }]
        : [],
    )
    return { head: await this.head(path.split('/')[1]!), items, more: false }
  }

  onCommit: ChangeLog['onCommit'] = listener => {
    this.#database.onCommit(isSetBack => {
      const moved: Head[] = []
      for (const [stream, { epoch, head, first }] of this.#database.last.tables.streams) {
        const place = `${epoch}:${head}`
        if (this.#heads.get(stream) === place) continue
        this.#heads.set(stream, place)
        moved.push({ stream, epoch, seq: head, first })
      }
      // What went back is told of once it is a history of its own; a number that is given meanwhile is a number given twice.
      if (moved.length > 0 && !isSetBack) listener(moved)
    })
    return () => {}
  }
}
