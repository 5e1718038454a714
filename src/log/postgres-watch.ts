/**
 * Looks at a PostgreSQL log again and again: what other instances have written, what waits for a number, and whether
 * the server is still the same one.
 *
 * Looking is all that it relies on: there is no LISTEN, which a pooler in transaction mode would not pass on, and no
 * NOTIFY, which would make all writers of the server wait for each other. PROTOCOL.md §7.2.
 */
import type { Head } from '../contract/index.ts'
import { type Present, presentSql, readPresent } from './postgres-guard.ts'
import type { RunQuery } from './postgres-pool.ts'
import { pendingSql } from './postgres-sequencer.ts'
import { readHead } from './postgres-streams.ts'

export interface PostgresWatchHooks {
  /** What was found. */
  readonly onSeen: (present: Present, heads: readonly Head[]) => Promise<void>
  /** Changes wait for a number. */
  readonly onPending: () => Promise<void>
  readonly onFailed: (error: unknown) => void
}

/** Behind a failure it waits longer each time, up to so long. */
const maxPauseMs = 1_000

export class PostgresWatch {
  readonly #query: RunQuery
  readonly #sql: string
  readonly #pollMs: number
  readonly #hooks: PostgresWatchHooks
  #timer: NodeJS.Timeout | undefined
  #looking: Promise<void> = Promise.resolve()
  #news = 0
  #failures = 0
  #closed = false

  constructor(query: RunQuery, schema: string, pollMs: number, hooks: PostgresWatchHooks) {
    this.#query = query
    this.#sql = `SELECT ${presentSql}, EXISTS (SELECT FROM ${pendingSql(schema)}) AS pending, s.*
      FROM (VALUES (1)) AS one LEFT JOIN ${schema}.stream s ON true`
    this.#pollMs = pollMs
    this.#hooks = hooks
  }

  start(): void {
    if (this.#closed) return
    // Not all instances at the same moment.
    const pauseMs =
      this.#failures === 0 ? this.#pollMs : Math.min(maxPauseMs, this.#pollMs * 2 ** this.#failures)
    this.#timer = setTimeout(
      () => {
        this.#looking = this.#look().finally(() => this.start())
      },
      pauseMs * (0.75 + Math.random() / 2),
    )
    this.#timer.unref()
  }

  /** Something is known from elsewhere: what was asked for before is old. */
  outdate(): void {
    this.#news++
  }

  async close(): Promise<void> {
    this.#closed = true
    clearTimeout(this.#timer)
    await this.#looking
  }

  async #look(): Promise<void> {
    const news = this.#news
    try {
      const rows = await this.#query(this.#sql)
      const [first] = rows
      const heads = rows.filter(row => row['stream'] !== null).map(readHead)
      // Where something was begun here meanwhile, that has seen more.
      if (news === this.#news) await this.#hooks.onSeen(readPresent(first!), heads)
      if (first!['pending'] === 't') await this.#hooks.onPending()
      this.#failures = 0
    } catch (error) {
      // Told once until it works again.
      if (this.#failures++ === 0 && !this.#closed) this.#hooks.onFailed(error)
    }
  }
}
