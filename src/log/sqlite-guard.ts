/**
 * Keeps the epoch guard of one open SQLite log: judges the database at opening, and renews the guard while heads move.
 *
 * PROTOCOL.md §7.
 */
import type { Position } from '../contract/index.ts'
import { findRewind, readGuard, writeGuard } from './epoch-guard.ts'
import { readMeta, writeMeta } from './sqlite-schema.ts'
import type { SqliteStore } from './sqlite-store.ts'

export class SqliteGuard {
  readonly #store: SqliteStore
  readonly #file: string
  readonly #newNonce: () => string

  constructor(store: SqliteStore, newNonce: () => string) {
    this.#store = store
    this.#file = `${store.file}.guard`
    this.#newNonce = newNonce
  }

  /** Gives the reasons why the epochs must be renewed, and calls `renew` where there are any. In a transaction. */
  open(renew: () => void): string[] {
    const { database, inode } = this.#store
    const nonce = readMeta(database, 'nonce')
    const heads = this.#heads()
    const reasons = findRewind(readGuard(this.#file), { nonce, inode, heads })
    if (reasons.length === 0) {
      this.#rotate(nonce, heads)
    } else {
      // The old word is not let in again: should this opening crash, the next one comes to the same judgement.
      this.#rotate(undefined, [])
      renew()
    }
    return reasons
  }

  /** Notes the heads and changes the word. In a transaction. Errors: `log-replaced`. */
  renew(): void {
    const nonce = readMeta(this.#store.database, 'nonce')
    const guard = readGuard(this.#file)
    // Whoever else opens or writes this file keeps both in step. Here the database was set back under our feet.
    if (guard !== undefined && nonce !== undefined && !guard.nonces.includes(nonce)) {
      throw this.#store.markReplaced()
    }
    this.#rotate(nonce, this.#heads())
  }

  #rotate(nonce: string | undefined, heads: readonly Position[]): void {
    const next = this.#newNonce()
    const nonces = nonce === undefined ? [next] : [nonce, next]
    writeGuard(this.#file, { nonces, inode: this.#store.inode, heads })
    writeMeta(this.#store.database, 'nonce', next)
  }

  #heads(): Position[] {
    const rows = this.#store.database.prepare('SELECT stream, epoch, head FROM lockstep_stream').all()
    return rows.map(row => ({
      stream: row['stream'] as string,
      epoch: row['epoch'] as string,
      seq: row['head'] as number,
    }))
  }
}
