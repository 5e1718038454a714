/**
 * The epoch guard: a small file beside the database that knows whether the database went back in time.
 *
 * A database restored from a backup would give numbers that followers know already to other changes. Numbers
 * alone cannot show that, since a restored log soon catches up; so the guard file holds
 * - nonces: one random word is also in the database and is replaced at every opening and, while changes are
 *   made, every second. A backup holds an old word. Since file and database cannot be written at once, the file
 *   holds two: the word that is in the database and the one that is about to be;
 * - the number (inode) of the database file, which another file under its name does not have;
 * - the last known head of each stream, which a database that lost commits falls short of.
 *
 * Order, always under the database's write lock: write the file with both words, commit the new word, write the
 * file without the old one. A crash at any point leaves a word in the database that the file knows, so that a
 * crash alone never renews an epoch. What it does not see: a whole disk that was set back, file and database together; and a copy from the last
 * second before a crash that was put back into the same file. After those, delete the guard file. PROTOCOL.md §7.
 */
import { closeSync, fsyncSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'
import { formatPosition, type Position, parsePosition } from '../contract/index.ts'

export interface Guard {
  /** The words of which the database holds one. */
  readonly nonces: readonly string[]
  readonly inode: number
  readonly heads: readonly Position[]
}

/** The database as it was found. */
export interface GuardedDatabase {
  /** `undefined` where it was never opened before. */
  readonly nonce: string | undefined
  readonly inode: number
  readonly heads: readonly Position[]
}

/**
 * Why the epochs must be renewed; empty where nothing speaks against going on. `guard` is `undefined` where the
 * file is missing or cannot be read.
 */
export function findRewind(guard: Guard | undefined, database: GuardedDatabase): string[] {
  if (database.nonce === undefined) return []
  if (guard === undefined) return ['the guard file beside the database is missing or unreadable']
  const reasons: string[] = []
  if (!guard.nonces.includes(database.nonce)) {
    reasons.push('the database is an older copy: it holds a word that the guard file no longer knows')
  }
  if (guard.inode !== database.inode) reasons.push('the database is another file than the one last opened')
  for (const known of guard.heads) {
    const found = database.heads.find(({ stream }) => stream === known.stream)
    if (found === undefined) reasons.push(`the stream ${known.stream} is missing`)
    else if (found.epoch === known.epoch && found.seq < known.seq) {
      reasons.push(`the stream ${known.stream} ends at ${found.seq} and had come to ${known.seq}`)
    }
  }
  return reasons
}

/** Reads the guard file; `undefined` where it is missing or is not one. Throws where it may not be read. */
export function readGuard(file: string): Guard | undefined {
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
  try {
    const { nonces, inode, heads } = JSON.parse(text) as Record<string, unknown>
    if (!isTexts(nonces) || !isTexts(heads) || typeof inode !== 'number') return undefined
    return { nonces, inode, heads: heads.map(parsePosition) }
  } catch {
    return undefined
  }
}

/** Replaces the guard file, durably and at once: a crash leaves the old one or the new one. */
export function writeGuard(file: string, guard: Guard): void {
  const text = JSON.stringify({
    about: 'Belongs to the database beside it. Deleting it makes every follower start afresh.',
    nonces: guard.nonces,
    inode: guard.inode,
    heads: guard.heads.map(formatPosition),
  })
  const temporary = `${file}.tmp`
  const descriptor = openSync(temporary, 'w', 0o600)
  try {
    writeSync(descriptor, text)
    fsyncSync(descriptor)
  } finally {
    closeSync(descriptor)
  }
  renameSync(temporary, file)
  syncDirectory(dirname(file))
}

function syncDirectory(directory: string): void {
  const descriptor = openSync(directory, 'r')
  try {
    fsyncSync(descriptor)
  } finally {
    closeSync(descriptor)
  }
}

function isTexts(value: unknown): value is string[] {
  return Array.isArray(value) && value.every(item => typeof item === 'string')
}
