/**
 * The SQLite file of a replica: opening, the lock, what it is a copy of, and how far it is.
 *
 * Rows carry a generation, of which one is shown: a new baseline is written beside it and becomes the copy by a
 * change of one number. `node:sqlite` is loaded here, on the first use, so that browsers never meet it.
 * PROTOCOL.md §6.9.
 */
import type { DatabaseSync } from 'node:sqlite'
import { isLockstepError, LockstepError, quote } from '../contract/index.ts'
import { ensureIndexes } from './replica-index.ts'

/** How far a copy is: what is written along with each part of it. */
export interface StoredPlace {
  readonly epoch: string
  readonly position: number
  readonly cursor: number
  readonly ahead: number
  /** When it was last known to be what the API had, by the wall clock; `undefined` where that is not known. */
  readonly confirmedMs: number | undefined
}

export interface ReplicaTarget {
  readonly file: string
  /** The API root and the path: a file holds one copy of one thing. */
  readonly api: string
  readonly path: string
  readonly indexes: readonly string[]
}

export interface OpenedFile {
  readonly database: DatabaseSync
  readonly place: StoredPlace | undefined
  readonly generation: number
  readonly size: number
  /** Where a damaged file was put, in whose place there is a new one. */
  readonly damagedFile: string | undefined
  close(): void
  /** Closes, and puts the file out of the way. */
  setAside(): string
}

/** "Lcps": that a file is ours; the next number says how its tables look. */
const applicationId = 0x4c637073
const schemaVersion = 1
/** SQLite's waiting blocks the event loop, so it is short; what fails is tried again. */
const blockingTimeoutMs = 100
const sqliteBusy = 5
const sqliteCorrupt = 11
const sqliteNotADatabase = 26

const schema = `
  CREATE TABLE lockstep_about (only INTEGER PRIMARY KEY CHECK (only = 1), api TEXT NOT NULL, path TEXT NOT NULL,
    epoch TEXT, position INTEGER, cursor INTEGER, ahead INTEGER, confirmed_ms INTEGER,
    generation INTEGER NOT NULL, size INTEGER NOT NULL);
  CREATE TABLE lockstep_row (number INTEGER PRIMARY KEY, generation INTEGER NOT NULL, id TEXT NOT NULL,
    version INTEGER NOT NULL, state TEXT NOT NULL, UNIQUE (generation, id));
  CREATE TABLE lockstep_deletion (id TEXT PRIMARY KEY, version INTEGER NOT NULL, seq INTEGER NOT NULL,
    exact INTEGER NOT NULL);
  CREATE VIEW lockstep_copy AS SELECT id, version, state FROM lockstep_row
    WHERE generation = (SELECT generation FROM lockstep_about);
  PRAGMA application_id = ${applicationId};
  PRAGMA user_version = ${schemaVersion};`

/**
 * Opens the file, and makes it and its folder where they are missing. Errors: `missing-dependency` where there is no
 * node:sqlite, `invalid-option` where it holds something else, `replica-failed` where it is in use or unreadable.
 */
export function openReplicaFile(target: ReplicaTarget): OpenedFile {
  const { file } = target
  const { sqlite, fs, path } = loadModules()
  try {
    fs.mkdirSync(path.dirname(file), { recursive: true })
    const lock = openLock(new sqlite.DatabaseSync(`${file}-lock`, { timeout: 0 }), file)
    const setAside = (): string => {
      const aside = `${file}.damaged`
      for (const part of ['', '-wal', '-shm']) {
        fs.rmSync(aside + part, { force: true })
        if (fs.existsSync(file + part)) fs.renameSync(file + part, aside + part)
      }
      return aside
    }
    let database: DatabaseSync | undefined
    const open = (): Omit<OpenedFile, 'damagedFile' | 'close' | 'setAside'> => {
      database = new sqlite.DatabaseSync(file, { timeout: blockingTimeoutMs })
      return prepare(database, target)
    }
    const closeDatabase = (): void => {
      if (database?.isOpen) database.close()
    }
    let damagedFile: string | undefined
    let opened: ReturnType<typeof open>
    try {
      try {
        opened = open()
      } catch (error) {
        if (!isDamage(error)) throw error
        closeDatabase()
        damagedFile = setAside()
        opened = open()
      }
    } catch (error) {
      closeDatabase()
      lock.close()
      throw error
    }
    const close = (): void => {
      closeDatabase()
      if (lock.isOpen) lock.close()
    }
    return {
      ...opened,
      damagedFile,
      close,
      setAside() {
        closeDatabase()
        const aside = setAside()
        close()
        return aside
      },
    }
  } catch (error) {
    if (resultCode(error) === sqliteNotADatabase) {
      throw new LockstepError(
        'invalid-option',
        `The file ${quote(file, 200)} is not a SQLite database. Give the replica another file.`,
        { cause: error },
      )
    }
    throw asReplicaFailure(error, file, 'opened')
  }
}

/** Is the file itself broken, and not only out of reach? */
export function isDamage(error: unknown): boolean {
  return resultCode(error) === sqliteCorrupt
}

export function asReplicaFailure(
  error: unknown,
  file: string,
  verb: 'opened' | 'read' | 'written',
): LockstepError {
  if (isLockstepError(error)) return error
  const reason = error instanceof Error ? error.message : String(error)
  return new LockstepError(
    'replica-failed',
    `The replica ${quote(file, 200)} cannot be ${verb}: ${reason}. Check the path, its permissions and the space on the disk.`,
    { cause: error },
  )
}

interface Modules {
  readonly sqlite: typeof import('node:sqlite')
  readonly fs: typeof import('node:fs')
  readonly path: typeof import('node:path')
}

/** Without an import that a bundler for browsers would follow, and at once: `follow` does not wait. */
function loadModules(): Modules {
  const load = globalThis.process?.getBuiltinModule as typeof process.getBuiltinModule | undefined
  const sqlite = load?.('node:sqlite')
  if (load === undefined || sqlite === undefined) {
    throw new LockstepError(
      'missing-dependency',
      'A replica needs node:sqlite, which this runtime does not have (no browser does). Leave out the option replica, or run it on Node.js 24.',
    )
  }
  return { sqlite, fs: load('node:fs'), path: load('node:path') }
}

/** Holds a lock that ends with the process, however it ends. Readers of the file itself are not kept out. */
function openLock(lock: DatabaseSync, file: string): DatabaseSync {
  try {
    lock.exec('PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE')
    return lock
  } catch (error) {
    lock.close()
    if (resultCode(error) !== sqliteBusy) throw error
    throw new LockstepError(
      'replica-failed',
      `The replica ${quote(file, 200)} is in use by another follower, here or in another process. Give each follower a file of its own, or close the other one first.`,
      { cause: error },
    )
  }
}

function prepare(
  database: DatabaseSync,
  target: ReplicaTarget,
): Omit<OpenedFile, 'damagedFile' | 'close' | 'setAside'> {
  const pragma = (name: string): unknown => Object.values(database.prepare(`PRAGMA ${name}`).get()!)[0]
  const isNew = database.prepare('SELECT count(*) AS count FROM sqlite_schema').get()!['count'] === 0
  if (!isNew) checkOurs(pragma('application_id'), pragma('user_version'), target.file)
  database.exec(
    'PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA cache_size = -8192; PRAGMA journal_size_limit = 67108864',
  )
  if (isNew) {
    database.exec(`BEGIN IMMEDIATE; ${schema}`)
    database
      .prepare('INSERT INTO lockstep_about (only, api, path, generation, size) VALUES (1, ?, ?, 1, 0)')
      .run(target.api, target.path)
    database.exec('COMMIT')
  }
  const about = database.prepare('SELECT * FROM lockstep_about').get()!
  checkSame(about, target)
  ensureIndexes(database, target.indexes)
  const { epoch, position, cursor, ahead, confirmed_ms: confirmedMs, generation, size } = about
  const place =
    epoch === null
      ? undefined
      : ({ epoch, position, cursor, ahead, confirmedMs: confirmedMs ?? undefined } as unknown as StoredPlace)
  return { database, place, generation: generation as number, size: size as number }
}

function checkOurs(id: unknown, version: unknown, file: string): void {
  if (id !== applicationId) {
    throw new LockstepError(
      'invalid-option',
      `The file ${quote(file, 200)} is a database of something else. Give the replica another file.`,
    )
  }
  if (version === schemaVersion) return
  throw new LockstepError(
    'invalid-option',
    `The replica ${quote(file, 200)} was written by another version of Lockstep (its format is ${quote(version)}, not ${schemaVersion}). Delete it: the follower fetches everything anew.`,
  )
}

function checkSame(about: Readonly<Record<string, unknown>>, { file, api, path }: ReplicaTarget): void {
  if (about['path'] === path && about['api'] === api) return
  throw new LockstepError(
    'invalid-option',
    `The replica ${quote(file, 200)} holds ${quote(about['path'])} of ${quote(about['api'])}, not ${quote(path)} of ${quote(api)}. Give another file, or delete this one where it is not needed any more.`,
  )
}

/** SQLite's primary result code. */
function resultCode(error: unknown): number | undefined {
  const { errcode, cause } = (error ?? {}) as { errcode?: unknown; cause?: { errcode?: unknown } }
  const code = errcode ?? cause?.errcode
  return typeof code === 'number' ? code & 0xff : undefined
}
