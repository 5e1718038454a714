/**
 * A transaction that holds the log's lock: of a batch of writes, of the sequencer, of a step of retention.
 *
 * The lock is an advisory one of the transaction, so it ends with the transaction and with the connection, and a
 * pooler in transaction mode does not matter. Whoever holds it and is not heard of is cut off by PostgreSQL. PROTOCOL.md §7.
 */
import {
  isConnectionFailure,
  type PostgresConnection,
  type PostgresConnections,
  type Row,
} from './postgres-pool.ts'
import type { PostgresNames } from './postgres-schema.ts'

/** How long to wait for others that hold the lock. */
const lockTimeoutMs = 20_000

export interface SessionOptions {
  /** How long the transaction may stand still before PostgreSQL ends it. */
  readonly idleTimeoutMs: number
}

export class PostgresSession {
  readonly #connection: PostgresConnection
  #failed = false

  private constructor(connection: PostgresConnection) {
    this.#connection = connection
  }

  /**
   * Begins a transaction, waits for the lock and then runs statements without values, each in a snapshot of its own
   * that sees all that was committed under the lock. Gives their rows.
   */
  static async begin(
    connections: PostgresConnections,
    names: PostgresNames,
    options: SessionOptions,
    ...texts: readonly string[]
  ): Promise<{ readonly session: PostgresSession; readonly results: readonly (readonly Row[])[] }> {
    const before = [
      // Said in full: with a snapshot for the whole transaction, one taken before the lock would be used behind it.
      'BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE',
      `SET LOCAL lock_timeout = ${lockTimeoutMs}`,
      `SET LOCAL idle_in_transaction_session_timeout = ${options.idleTimeoutMs}`,
      // What is acknowledged, or published under its number, must be durable whatever the session's default is.
      `SELECT set_config('synchronous_commit', 'on', true) WHERE current_setting('synchronous_commit') = 'off'`,
      `SELECT pg_advisory_xact_lock(${names.lock})`,
    ]
    for (let attempt = 1; ; attempt++) {
      const connection = await connections.connect()
      const session = new PostgresSession(connection)
      try {
        const results = await connection.queryAll([...before, ...texts])
        return { session, results: results.slice(before.length) }
      } catch (error) {
        await session.#fail(error)
        // One that was idle in the pool may have died there unnoticed.
        if (attempt === 2 || !isConnectionFailure(error)) throw error
      }
    }
  }

  /** Did a statement fail? Nothing of the transaction can be kept then. */
  get failed(): boolean {
    return this.#failed
  }

  readonly query = async (text: string, values?: unknown[]): Promise<readonly Row[]> => {
    try {
      return await this.#connection.query(text, values)
    } catch (error) {
      this.#failed = true
      throw error
    }
  }

  /** Commits durably and gives the connection back. Where the answer is lost it rejects, but may have committed. */
  async commit(): Promise<void> {
    try {
      await this.#connection.commit()
      this.#connection.release()
    } catch (error) {
      this.#connection.release(true)
      throw error
    }
  }

  /** Does not throw. */
  async rollback(): Promise<void> {
    await this.#fail(undefined)
  }

  async #fail(error: unknown): Promise<void> {
    this.#failed = true
    if (error !== undefined && isConnectionFailure(error)) return this.#connection.release(true)
    try {
      await this.#connection.query('ROLLBACK')
      this.#connection.release()
    } catch {
      this.#connection.release(true)
    }
  }
}
