/**
 * The streams of a SQLite change log: making them known, starting new epochs, and how far they are published.
 *
 * PROTOCOL.md §7.
 */
import type { StatementSync } from 'node:sqlite'
import type { Head } from '../contract/index.ts'
import { checkStreamName } from './path.ts'
import type { SqliteStore } from './sqlite-store.ts'

export class SqliteStreams {
  readonly #store: SqliteStore
  readonly #newEpoch: () => string
  readonly #add: StatementSync
  readonly #names: StatementSync
  readonly #dropChanges: StatementSync
  readonly #forgetNumbers: StatementSync
  readonly #restart: StatementSync
  readonly #setRelayed: StatementSync

  constructor(store: SqliteStore, newEpoch: () => string) {
    this.#store = store
    this.#newEpoch = newEpoch
    const { database } = store
    this.#add =
      database.prepare(`INSERT INTO lockstep_stream (stream, epoch, head, first, version_floor, relayed)
      VALUES (?, ?, 0, 1, 0, 0) ON CONFLICT DO NOTHING`)
    this.#names = database.prepare('SELECT stream FROM lockstep_stream ORDER BY stream')
    this.#dropChanges = database.prepare('DELETE FROM lockstep_change WHERE stream = ?')
    this.#forgetNumbers = database.prepare(
      'UPDATE lockstep_resource SET seq = 0 WHERE stream = ? AND seq > 0',
    )
    this.#restart = database.prepare(`UPDATE lockstep_stream SET epoch = ?, head = 0, first = 1, relayed = -1
      WHERE stream = ?`)
    this.#setRelayed = database.prepare(`UPDATE lockstep_stream SET relayed = ?
      WHERE stream = ? AND epoch = ? AND relayed < ?`)
  }

  names(): string[] {
    return this.#names.all().map(row => row['stream'] as string)
  }

  /** In a transaction. Errors: `invalid-option` for a name that is no first segment of a path. */
  ensure(streams: readonly string[]): Head[] {
    return streams.map(stream => {
      checkStreamName(stream)
      this.#add.run(stream, this.#newEpoch())
      return this.#store.head(stream)
    })
  }

  /** In a transaction. Errors: `not-found`. */
  renewEpoch(stream: string): Head {
    this.#store.head(stream)
    this.#dropChanges.run(stream)
    this.#forgetNumbers.run(stream)
    this.#restart.run(this.#newEpoch(), stream)
    return this.#store.head(stream)
  }

  setRelayed(stream: string, epoch: string, seq: number): void {
    this.#setRelayed.run(seq, stream, epoch, seq)
  }
}
