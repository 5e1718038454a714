/**
 * The epoch guard: a small file beside the database that knows whether the database went back in time.
 *
 * A database restored from a backup would give numbers that followers know already to other changes. Numbers
 * alone cannot show that, since a restored log soon catches up; so the guard file holds
 * - nonces: one random word is also in the database and is replaced at every opening and, while changes are
 *   made, every second. A backup holds an old word. Since file and database cannot be written at once, the file
 *   holds two: the word that is in the database and the one that is about to be;
 * - the moment at which the guard file itself was made: a copy of it, or an older one written over it, says another;
 * - the number (inode) of the database file, which another file under its name does not have;
 * - the last known head of each stream, which a database that lost commits falls short of.
 *
 * Order, always under the database's write lock: write the file with both words, commit the new word, write the
 * file without the old one. A crash at any point leaves a word in the database that the file knows, so that a
 * crash alone never renews an epoch. What it does not see: a whole disk, or a folder that was moved aside, that is put
 * back as it was; and a copy of the database from the last second before a crash that was put back into the same
 * file. After those, delete the guard file. PROTOCOL.md §7.
 */
import {
  closeSync,
  fsyncSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs'
import { dirname } from 'node:path'
import { formatPosition, type Position, parsePosition } from '../contract/index.ts'

export interface Guard {
  /** The words of which the database holds one. */
  readonly nonces: readonly string[]
  readonly inode: number
  readonly heads: readonly Position[]
  /** Was the file that it was read from put there by a copy? */
  readonly isCopy?: boolean
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
  if (guard.isCopy === true) reasons.push('the guard file beside the database was copied to its place')
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
    const { nonces, inode, heads, born } = JSON.parse(text) as Record<string, unknown>
    if (!isTexts(nonces) || !isTexts(heads) || typeof inode !== 'number') return undefined
    const isCopy = typeof born === 'string' && born !== birthOf(file)
    return { nonces, inode, heads: heads.map(parsePosition), ...(isCopy ? { isCopy } : {}) }
  } catch {
    return undefined
  }
}

/** Replaces the guard file, durably and at once: a crash leaves the old one or the new one. */
export function writeGuard(file: string, guard: Guard): void {
  const born = replaceFile(file, guard, true)
  // Where the file system keeps no time of birth, it says the time of the last change, which the renaming was.
  if (birthOf(file) !== born) replaceFile(file, guard, false)
}

/** Gives when the file was made. */
function replaceFile(file: string, guard: Guard, withBirth: boolean): string {
  const temporary = `${file}.tmp`
  rmSync(temporary, { force: true })
  const descriptor = openSync(temporary, 'wx', 0o600)
  const born = birthOf(temporary)
  const text = JSON.stringify({
    about: 'Belongs to the database beside it. Deleting it makes every follower start afresh.',
    nonces: guard.nonces,
    inode: guard.inode,
    heads: guard.heads.map(formatPosition),
    ...(withBirth ? { born } : {}),
  })
  try {
    writeSync(descriptor, text)
    fsyncSync(descriptor)
  } finally {
    closeSync(descriptor)
  }
  renameSync(temporary, file)
  syncDirectory(dirname(file))
  return born
}

function birthOf(file: string): string {
  return String(statSync(file, { bigint: true }).birthtimeNs)
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
