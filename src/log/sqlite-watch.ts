/**
 * Looks whether somebody else has written to the database: another process, or the application itself in a
 * transaction of its own. SQLite tells nobody, but counts the commits of other connections.
 */
import type { StatementSync } from 'node:sqlite'
import type { Head } from '../contract/index.ts'
import type { SqliteStore } from './sqlite-store.ts'

/** Looking costs a few microseconds, so that it may be done often. */
const lookEveryMs = 25

export interface SqliteWatchHooks {
  readonly readHeads: () => readonly Head[]
  /** Is told of the heads that others have moved. MUST NOT throw. */
  readonly onMoved: (heads: readonly Head[]) => void
  /** Is told of the first of several failures in a row. MUST NOT throw. */
  readonly onFailed: (error: unknown) => void
}

export class SqliteWatch {
  readonly #hooks: SqliteWatchHooks
  readonly #version: StatementSync
  readonly #timer: NodeJS.Timeout
  #seenVersion: unknown
  #isFailing = false
  /** The last known heads, as `epoch:seq`. */
  readonly #known = new Map<string, string>()

  constructor(store: SqliteStore, hooks: SqliteWatchHooks) {
    this.#hooks = hooks
    this.#version = store.database.prepare('PRAGMA data_version')
    this.#seenVersion = this.#readVersion()
    this.note(hooks.readHeads())
    this.#timer = setInterval(() => this.#look(), lookEveryMs)
    this.#timer.unref()
  }

  /** These heads are known already. Gives those that were not. */
  note(heads: readonly Head[]): Head[] {
    return heads.filter(({ stream, epoch, seq }) => {
      const place = `${epoch}:${seq}`
      if (this.#known.get(stream) === place) return false
      this.#known.set(stream, place)
      return true
    })
  }

  close(): void {
    clearInterval(this.#timer)
  }

  #look(): void {
    try {
      const version = this.#readVersion()
      this.#isFailing = false
      if (version === this.#seenVersion) return
      const moved = this.note(this.#hooks.readHeads())
      this.#seenVersion = version
      if (moved.length > 0) this.#hooks.onMoved(moved)
    } catch (error) {
      if (!this.#isFailing) this.#hooks.onFailed(error)
      this.#isFailing = true
    }
  }

  #readVersion(): unknown {
    return this.#version.get()?.['data_version']
  }
}
