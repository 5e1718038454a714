/**
 * Group commit: units of work that arrive together share one durable commit.
 *
 * A batch begins at the next turn of the event loop after the first waiting write and takes what waits, up to a
 * bound. The works run one after another, each on top of those before it; then everything is committed at once
 * and all of them are answered. What arrives meanwhile waits for the next batch. A work should await nothing
 * but its transaction, since the others wait for it. Does not know how anything is stored. PROTOCOL.md §7.
 */
import { checkCount, commitChannel, isLockstepError, LockstepError, maxTimerMs } from '../contract/index.ts'
import { Batch, type BatchTransaction, type CommittedState } from './batch.ts'
import type { LogTransaction, Written } from './change-log.ts'

/** Where batches go. */
export interface CommitStore extends CommittedState {
  /** Locks the store against other writers. Where it rejects, nothing has begun. */
  begin(): Promise<void>
  /** Writes the batch and makes it durable. MUST throw, or reject, where that fails, and MUST NOT end before. */
  commit(batch: Batch): void | Promise<void>
  /** Undoes everything since `begin`. MUST NOT throw. */
  rollback(): void | Promise<void>
}

/** What a group commit tells its owner. */
export interface GroupCommitHooks {
  /** After each commit that changed something, before its works resolve. MUST NOT throw. */
  readonly onCommitted: (batch: Batch) => void
  /** Where a batch could not be begun or committed, once for all its works. MUST NOT throw. */
  readonly onFailed: (error: LockstepError) => void
  /** Makes the id of a transaction with several changes. */
  readonly newId: () => string
}

export interface GroupCommitOptions {
  /** How many writes may wait; one more rejects with `overloaded`. @default 10_000 */
  readonly maxWaitingWrites?: number
  /** How many changes one work may make; one more rejects with `too-many-changes`. @default 10_000 */
  readonly maxTransactionChanges?: number
  /** How long one work may take. @default 5_000 */
  readonly transactionTimeoutMs?: number
}

/** What a group commit has done since it began. */
export interface CommitCounts {
  readonly commits: number
  readonly works: number
  readonly changes: number
}

interface Waiting {
  readonly work: (transaction: LogTransaction) => Promise<unknown>
  readonly resolve: (written: Written<unknown>) => void
  readonly reject: (error: unknown) => void
}

type Outcome = { readonly written: Written<unknown> } | { readonly error: unknown }

/** The most works of one batch: it bounds how long the first of them waits. */
const maxBatchWorks = 512
/** A batch is closed once so many characters wait to be written. */
const maxBatchSize = 16_777_216
/** A batch is closed once it is open for so long: those whose work is done do not wait for further slow ones. */
const maxBatchMs = 100

export class GroupCommit {
  counts: CommitCounts = { commits: 0, works: 0, changes: 0 }
  readonly #store: CommitStore
  readonly #hooks: GroupCommitHooks
  readonly #maxWaitingWrites: number
  readonly #maxTransactionChanges: number
  readonly #transactionTimeoutMs: number
  #waiting: Waiting[] = []
  readonly #jobs: (() => Promise<void>)[] = []
  readonly #idle: (() => void)[] = []
  #turning = false
  #closed = false

  constructor(store: CommitStore, hooks: GroupCommitHooks, options: GroupCommitOptions = {}) {
    this.#store = store
    this.#hooks = hooks
    const {
      maxWaitingWrites = 10_000,
      maxTransactionChanges = 10_000,
      transactionTimeoutMs = 5_000,
    } = options
    this.#maxWaitingWrites = checkCount('maxWaitingWrites', maxWaitingWrites)
    this.#maxTransactionChanges = checkCount('maxTransactionChanges', maxTransactionChanges)
    this.#transactionTimeoutMs = checkCount('transactionTimeoutMs', transactionTimeoutMs, { max: maxTimerMs })
  }

  /** See {@link ChangeLog.write}. */
  write<T>(work: (transaction: LogTransaction) => Promise<T>): Promise<Written<T>> {
    if (this.#closed) return Promise.reject(logClosed())
    if (this.#waiting.length >= this.#maxWaitingWrites) {
      const message = `${this.#maxWaitingWrites} writes are waiting already. Try again shortly.`
      return Promise.reject(new LockstepError('overloaded', message))
    }
    return new Promise<Written<T>>((resolve, reject) => {
      this.#waiting.push({ work, resolve: resolve as Waiting['resolve'], reject })
      this.#turnSoon()
    })
  }

  /** Runs a job while no batch is open. It begins and commits by itself. */
  alone<T>(job: () => T | Promise<T>): Promise<T> {
    if (this.#closed) return Promise.reject(logClosed())
    return new Promise<T>((resolve, reject) => {
      this.#jobs.push(async () => {
        try {
          resolve(await job())
        } catch (error) {
          reject(error)
        }
      })
      this.#turnSoon()
    })
  }

  /** Takes nothing more, and resolves when everything taken before is answered. */
  async close(): Promise<void> {
    this.#closed = true
    if (this.#turning) await new Promise<void>(resolve => this.#idle.push(resolve))
  }

  #turnSoon(): void {
    if (this.#turning) return
    this.#turning = true
    setImmediate(() => void this.#turn())
  }

  async #turn(): Promise<void> {
    // One job and one batch in each turn: neither a long pruning nor a stream of writes keeps the other waiting.
    await this.#jobs.shift()?.()
    if (this.#waiting.length > 0) await this.#runBatch()
    if (this.#jobs.length > 0 || this.#waiting.length > 0) {
      // The event loop turns in between, so that answers leave and further writes arrive.
      setImmediate(() => void this.#turn())
      return
    }
    this.#turning = false
    for (const resolve of this.#idle.splice(0)) resolve()
  }

  async #runBatch(): Promise<void> {
    const taken = this.#waiting.splice(0, maxBatchWorks)
    const outcomes: Outcome[] = []
    try {
      await this.#store.begin()
      const batch = new Batch(this.#store, {
        maxTransactionChanges: this.#maxTransactionChanges,
        newId: this.#hooks.newId,
      })
      const endMs = performance.now() + maxBatchMs
      for (const { work } of taken) {
        outcomes.push(await this.#run(work, batch))
        if (batch.size > maxBatchSize || performance.now() > endMs) break
      }
      this.#waiting.unshift(...taken.splice(outcomes.length))
      await this.#commit(batch, outcomes.length)
    } catch (error) {
      const failure = asLogFailure(error)
      this.#hooks.onFailed(failure)
      for (const { reject } of taken) reject(failure)
      return
    }
    // A work that failed is told so only now: what it judged by may have been another work's, uncommitted.
    for (const [index, outcome] of outcomes.entries()) {
      const { resolve, reject } = taken[index]!
      if ('written' in outcome) resolve(outcome.written)
      else reject(outcome.error)
    }
  }

  async #commit(batch: Batch, works: number): Promise<void> {
    const beginMs = commitChannel.hasSubscribers ? performance.now() : 0
    try {
      await this.#store.commit(batch)
    } catch (error) {
      await this.#store.rollback()
      throw error
    }
    const { commits, works: before, changes } = this.counts
    this.counts = {
      commits: commits + 1,
      works: before + works,
      changes: changes + batch.changes.length,
    }
    if (commitChannel.hasSubscribers) {
      const durationMs = beginMs === 0 ? 0 : performance.now() - beginMs
      commitChannel.publish({ works, changes: batch.changes.length, durationMs })
    }
    if (batch.changes.length > 0) this.#hooks.onCommitted(batch)
  }

  async #run(work: Waiting['work'], batch: Batch): Promise<Outcome> {
    const transaction = batch.open()
    try {
      const value = await this.#inTime(work, transaction)
      transaction.end()
      if (transaction.failure !== undefined) return transaction.failure
      return { written: { value, marker: batch.accept(transaction) } }
    } catch (error) {
      transaction.end(isLockstepError(error, 'transaction-timeout') ? error : undefined)
      return { error }
    }
  }

  #inTime(work: Waiting['work'], transaction: BatchTransaction): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        const message = `The transaction took over ${this.#transactionTimeoutMs} ms, so it was undone. Await nothing in it but its own operations, and try again.`
        reject(new LockstepError('transaction-timeout', message))
      }, this.#transactionTimeoutMs)
      const settle = (): void => clearTimeout(timer)
      try {
        work(transaction).then(resolve, reject).then(settle)
      } catch (error) {
        reject(error)
        settle()
      }
    })
  }
}

export function logClosed(): LockstepError {
  return new LockstepError('log-closed', 'The change log is closed.')
}

/** What the store threw, as a LockstepError whose message may be shown; the rest is in its cause. */
export function asLogFailure(error: unknown): LockstepError {
  if (isLockstepError(error)) return error
  return new LockstepError(
    'log-failed',
    'The change log failed, so nothing was changed. Try again; the cause is in the log of the service.',
    { cause: error },
  )
}
