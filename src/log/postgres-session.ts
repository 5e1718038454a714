/**
 * A transaction that holds the log's lock: of a batch of writes, of the sequencer, of a step of retention.
 *
 * The lock is an advisory one of the transaction, so it ends with the transaction and with the connection, and a
 * pooler in transaction mode does not matter. Whoever holds it and is not heard of is cut off by PostgreSQL. PROTOCOL.md §7.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { LockstepError } from '../contract/index.ts'
import {
  isConnectionFailure,
  type PostgresConnection,
  type PostgresConnections,
  type Row,
} from './postgres-pool.ts'
import type { PostgresNames } from './postgres-schema.ts'

/** How long to wait for others that hold the lock. */
const lockTimeoutMs = 20_000
/** How long to ask what became of a commit whose answer was lost. */
const doubtMs = 15_000

/** By what PostgreSQL can be asked later whether a transaction was committed. */
export interface CommitProof {
  readonly xid: string
  /** Behind a failover the same id may be of another transaction. */
  readonly timeline: string
}

/** The present timeline, as an ordinary user may ask for it, and without the delay of the control file. */
export const timelineSql = 'substr(pg_walfile_name(pg_current_wal_flush_lsn()), 1, 8)'

export interface SessionOptions {
  /** How long the transaction may stand still before PostgreSQL ends it. */
  readonly idleTimeoutMs: number
}

export class PostgresSession {
  readonly #connections: PostgresConnections
  readonly #connection: PostgresConnection
  #failed = false

  private constructor(connections: PostgresConnections, connection: PostgresConnection) {
    this.#connections = connections
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
      const session = new PostgresSession(connections, connection)
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

  /**
   * Commits durably and gives the connection back. Where the answer is lost, PostgreSQL is asked what became of the
   * transaction. Errors: `outcome-unknown` where it cannot say.
   */
  async commit(proof?: CommitProof): Promise<void> {
    try {
      await this.#connection.commit()
      this.#connection.release()
    } catch (error) {
      this.#connection.release(true)
      if (proof === undefined || !isConnectionFailure(error)) throw error
      if (!(await this.#isCommitted(proof, error))) throw error
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

  async #isCommitted({ xid, timeline }: CommitProof, cause: unknown): Promise<boolean> {
    const question = `SELECT ${timelineSql} AS timeline, pg_xact_status($1::text::xid8) AS status`
    for (const endMs = performance.now() + doubtMs; performance.now() < endMs; await delay(50)) {
      try {
        const [row] = await this.#connections.query(question, [xid])
        if (row?.['timeline'] !== timeline) break
        if (row?.['status'] === 'committed') return true
        if (row?.['status'] === 'aborted') return false
      } catch {
        // It is coming up again, or not reachable.
      }
    }
    throw new LockstepError(
      'outcome-unknown',
      'The connection to the database was lost during the commit, so it is not known whether the write was made. Read the resource, or repeat the request where it has an Idempotency-Key.',
      { cause },
    )
  }
}
