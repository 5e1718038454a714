/**
 * Looking ahead: all works of a batch begin at once, so that what each of them reads first is fetched together.
 *
 * A work goes on only when it is its turn: its first read is answered when the works before it have ended, from
 * what they left. So works run one after another, as everywhere, but do not each wait for the network.
 */
import type { LogTransaction, NewChange, Receipt, StoredResource } from './change-log.ts'
import type { PostgresCommitted, Want } from './postgres-committed.ts'

interface Turn {
  readonly transaction: LogTransaction
  readonly committed: PostgresCommitted
}

export class LookAhead<T = unknown> implements LogTransaction {
  readonly #work: (transaction: LogTransaction) => Promise<T>
  readonly #maxChanges: number
  readonly #turn = Promise.withResolvers<Turn>()
  #current: Turn | undefined
  #result: Promise<T> | undefined
  readonly #wants: Want[] = []

  constructor(work: (transaction: LogTransaction) => Promise<T>, maxChanges: number) {
    this.#work = work
    this.#maxChanges = maxChanges
    this.#turn.promise.catch(() => {})
  }

  /** What it has asked for so far. */
  get wants(): readonly Want[] {
    return this.#wants
  }

  get changesLeft(): number {
    return this.#current?.transaction.changesLeft ?? this.#maxChanges
  }

  /** Begins the work, which comes as far as its first read. Idempotent. */
  start(): void {
    if (this.#result !== undefined) return
    this.#result = (async () => this.#work(this))()
    // Whoever has called `run` hears of it.
    this.#result.catch(() => {})
  }

  /** It is its turn. */
  run(transaction: LogTransaction, committed: PostgresCommitted): Promise<T> {
    this.start()
    this.#current = { transaction, committed }
    this.#turn.resolve(this.#current)
    return this.#result!
  }

  /** Its turn will never come: what it waits for rejects. */
  cancel(reason: unknown): void {
    this.#turn.reject(reason)
  }

  async read(path: string): Promise<StoredResource> {
    const { transaction } = await this.#want({ kind: 'resource', key: path })
    return await transaction.read(path)
  }

  async readPathsUnder(path: string, limit: number): Promise<readonly string[]> {
    const { transaction, committed } = await this.#turn.promise
    await committed.loadBelow(path, limit)
    return await transaction.readPathsUnder(path, limit)
  }

  async write(change: NewChange): Promise<void> {
    const { transaction, committed } = await this.#want({ kind: 'resource', key: change.path })
    committed.countWrite()
    await transaction.write(change)
  }

  async readReceipt(key: string): Promise<Receipt | undefined> {
    const { transaction } = await this.#want({ kind: 'receipt', key })
    return await transaction.readReceipt(key)
  }

  async writeReceipt(key: string, text: string, timeMs: number): Promise<void> {
    const { transaction } = await this.#turn.promise
    await transaction.writeReceipt(key, text, timeMs)
  }

  async #want(want: Want): Promise<Turn> {
    if (this.#current === undefined) this.#wants.push(want)
    const turn = await this.#turn.promise
    await turn.committed.load([want])
    return turn
  }
}
