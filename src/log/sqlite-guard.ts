/**
 * Keeps the epoch guard of one open SQLite log: judges the database at opening, and renews the guard while heads move.
 *
 * PROTOCOL.md §7.
 */
import { LockstepError, type Position, quote } from '../contract/index.ts'
import { findRewind, type Guard, readGuard, writeGuard } from './epoch-guard.ts'
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

  /** The reasons why the epochs must be renewed. */
  judge(): string[] {
    const nonce = readMeta(this.#store.database, 'nonce')
    return findRewind(this.#read(), { nonce, inode: this.#store.inode, heads: this.#heads() })
  }

  /** Gives the reasons why the epochs must be renewed, and calls `renew` where there are any. In a transaction. */
  open(renew: () => void): string[] {
    const reasons = this.judge()
    if (reasons.length === 0) {
      this.#rotate(readMeta(this.#store.database, 'nonce'), this.#heads())
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
    const guard = this.#read()
    // Whoever else opens or writes this file keeps both in step. Here the database was set back under our feet.
    if (guard !== undefined && nonce !== undefined && !guard.nonces.includes(nonce)) {
      throw this.#store.markReplaced()
    }
    this.#rotate(nonce, this.#heads())
  }

  /** The new word is in the database now, so the one before it is let in no more. In a transaction of its own. */
  settle(): void {
    const nonce = readMeta(this.#store.database, 'nonce')
    if (nonce !== undefined) this.#write({ nonces: [nonce], inode: this.#store.inode, heads: this.#heads() })
  }

  #rotate(nonce: string | undefined, heads: readonly Position[]): void {
    const next = this.#newNonce()
    const nonces = nonce === undefined ? [next] : [nonce, next]
    this.#write({ nonces, inode: this.#store.inode, heads })
    writeMeta(this.#store.database, 'nonce', next)
  }

  #read(): Guard | undefined {
    try {
      return readGuard(this.#file)
    } catch (error) {
      throw guardFailed(this.#file, 'read', error)
    }
  }

  #write(guard: Guard): void {
    try {
      writeGuard(this.#file, guard)
    } catch (error) {
      throw guardFailed(this.#file, 'written', error)
    }
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

function guardFailed(file: string, verb: string, cause: unknown): LockstepError {
  const reason = cause instanceof Error ? cause.message : String(cause)
  const message = `The guard file ${quote(file, 200)} cannot be ${verb}: ${reason}. Check its permissions and the space on the disk.`
  return new LockstepError('log-failed', message, { cause })
}
