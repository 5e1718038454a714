/**
 * The database in a replica: its tables, what it is a copy of, how far it is, and what it held when it was opened.
 *
 * Rows carry a generation, of which one is shown: a new baseline is written beside it and becomes the copy by a
 * change of one number. PROTOCOL.md §6.9.
 */
import type { DatabaseSync } from 'node:sqlite'
import { LockstepError, quote, type Texts } from '../contract/index.ts'
import type { Tombstone } from './copy.ts'
import { ensureIndexes } from './replica-index.ts'

/** How far a copy is: what is written along with each part of it. */
export interface StoredPlace {
  readonly epoch: string
  readonly position: number
  readonly cursor: number
  readonly ahead: number
  /** When it was last known to be what the API had, by the wall clock; `undefined` where that is not known. */
  readonly confirmedMs: number | undefined
  /** Which members are texts in several languages, where the API has said it. */
  readonly texts?: Texts | undefined
}

export interface ReplicaTarget {
  readonly file: string
  /** The API root and the path: a file holds one copy of one thing. */
  readonly api: string
  readonly path: string
  readonly indexes: readonly string[]
}

export interface OpenedDatabase {
  readonly database: DatabaseSync
  readonly place: StoredPlace | undefined
  readonly generation: number
  /** The highest generation of any row: a process that was killed may have left some that are not shown. */
  readonly lastGeneration: number
  readonly size: number
  readonly tombstones: readonly (readonly [id: string, tombstone: Tombstone])[]
}

/** "Lcps": that a file is ours; the next number says how its tables look. */
export const applicationId = 0x4c637073
const schemaVersion = 2

const schema = `
  CREATE TABLE lockstep_about (only INTEGER PRIMARY KEY CHECK (only = 1), api TEXT NOT NULL, path TEXT NOT NULL,
    epoch TEXT, position INTEGER, cursor INTEGER, ahead INTEGER, confirmed_ms INTEGER, texts TEXT,
    generation INTEGER NOT NULL, size INTEGER NOT NULL);
  CREATE TABLE lockstep_row (number INTEGER PRIMARY KEY, generation INTEGER NOT NULL, id TEXT NOT NULL,
    version INTEGER NOT NULL, state TEXT NOT NULL, UNIQUE (generation, id));
  CREATE TABLE lockstep_deletion (id TEXT PRIMARY KEY, version INTEGER NOT NULL, seq INTEGER NOT NULL,
    exact INTEGER NOT NULL);
  CREATE VIEW lockstep_copy AS SELECT id, version, state FROM lockstep_row
    WHERE generation = (SELECT generation FROM lockstep_about);
  PRAGMA application_id = ${applicationId};
  PRAGMA user_version = ${schemaVersion};`

/** Makes the tables where there are none, and reads what there is. Errors: `invalid-option`, those of SQLite. */
export function prepareDatabase(database: DatabaseSync, target: ReplicaTarget): OpenedDatabase {
  const isNew = isEmpty(database)
  if (!isNew) checkOurs(database, target)
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
  // Writes nothing, but is refused where nothing can be written.
  database.exec('UPDATE lockstep_about SET size = size WHERE FALSE')
  ensureIndexes(database, target.indexes)
  return readDatabase(database)
}

/** Is it a copy of the target? Errors: `invalid-option`, those of SQLite. */
export function checkOurs(database: DatabaseSync, { file, api, path }: ReplicaTarget): void {
  const pragma = (name: string): unknown => Object.values(database.prepare(`PRAGMA ${name}`).get()!)[0]
  if (pragma('application_id') !== applicationId) {
    throw new LockstepError(
      'invalid-option',
      `The file ${quote(file, 200)} is a database of something else. Give the replica another file.`,
    )
  }
  const version = pragma('user_version')
  if (version !== schemaVersion) {
    throw new LockstepError(
      'invalid-option',
      `The replica ${quote(file, 200)} was written by another version of Lockstep (its format is ${quote(version)}, not ${schemaVersion}). Delete it: the follower fetches everything anew.`,
    )
  }
  const about = database.prepare('SELECT path, api FROM lockstep_about').get()!
  if (about['path'] === path && about['api'] === api) return
  throw new LockstepError(
    'invalid-option',
    `The replica ${quote(file, 200)} holds ${quote(about['path'])} of ${quote(about['api'])}, not ${quote(path)} of ${quote(api)}. Give another file, or delete this one where it is not needed any more.`,
  )
}

/** Takes over what another database of ours holds. */
export function copyDatabase(from: DatabaseSync, to: DatabaseSync): void {
  from.exec('BEGIN')
  to.exec('BEGIN')
  for (const table of ['lockstep_about', 'lockstep_row', 'lockstep_deletion']) {
    to.exec(`DELETE FROM ${table}`)
    let insert: ReturnType<DatabaseSync['prepare']> | undefined
    for (const row of from.prepare(`SELECT * FROM ${table}`).iterate()) {
      insert ??= to.prepare(`INSERT INTO ${table} VALUES (${Object.keys(row).map(() => '?')})`)
      insert.run(...Object.values(row))
    }
  }
  to.exec('COMMIT')
  from.exec('COMMIT')
}

export function readDatabase(database: DatabaseSync): OpenedDatabase {
  const about = database.prepare('SELECT * FROM lockstep_about').get()!
  const { epoch, position, cursor, ahead, confirmed_ms: confirmed } = about
  const confirmedMs = confirmed ?? undefined
  const texts = about['texts'] === null ? undefined : JSON.parse(about['texts'] as string)
  const generation = about['generation'] as number
  const last = database.prepare('SELECT max(generation) AS last FROM lockstep_row').get()!['last']
  const deletions = database.prepare('SELECT * FROM lockstep_deletion ORDER BY seq').all()
  const place =
    epoch === null
      ? undefined
      : ({ epoch, position, cursor, ahead, confirmedMs, texts } as unknown as StoredPlace)
  return {
    database,
    place,
    generation,
    lastGeneration: Math.max(generation, Number(last)),
    size: about['size'] as number,
    tombstones: deletions.map(row => {
      const { id, version, seq, exact } = row as { id: string; version: number; seq: number; exact: number }
      return [id, { version, seq, exact: exact === 1 }]
    }),
  }
}

function isEmpty(database: DatabaseSync): boolean {
  return database.prepare('SELECT count(*) AS count FROM sqlite_schema').get()!['count'] === 0
}
