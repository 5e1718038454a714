/**
 * When the sequencer runs: where something waits for a number, and where someone wants what was committed to have one.
 * One run at a time in each instance, since they would only wait for each other.
 */
import type { Head } from '../contract/index.ts'
import { logClosed } from './group-commit.ts'
import type { PostgresConnections } from './postgres-pool.ts'
import type { PostgresNames } from './postgres-schema.ts'
import { numberPending } from './postgres-sequencer.ts'
import type { SessionOptions } from './postgres-session.ts'

export class PostgresNumbering {
  readonly #connections: PostgresConnections
  readonly #names: PostgresNames
  readonly #session: SessionOptions
  readonly #onMoved: (heads: readonly Head[]) => void
  #running: Promise<void> = Promise.resolve()
  /** The run that has not begun, and sees whatever is committed before it does. */
  #next: Promise<void> | undefined
  #closed = false

  constructor(
    connections: PostgresConnections,
    names: PostgresNames,
    session: SessionOptions,
    onMoved: (heads: readonly Head[]) => void,
  ) {
    this.#connections = connections
    this.#names = names
    this.#session = session
    this.#onMoved = onMoved
  }

  /** Resolves when all that was committed before the call has its number. Errors: those of the database; `log-closed`. */
  run(): Promise<void> {
    this.#next ??= this.#running.then(() => {
      this.#next = undefined
      const run = this.#numberAll()
      this.#running = run.catch(() => {})
      return run
    })
    return this.#next
  }

  /** Resolves when nothing runs any more. */
  async close(): Promise<void> {
    this.#closed = true
    await this.#running
  }

  async #numberAll(): Promise<void> {
    for (let more = true; more; ) {
      if (this.#closed) throw logClosed()
      const step = await numberPending(this.#connections, this.#names, this.#session)
      this.#onMoved(step.heads)
      more = step.more
    }
  }
}
