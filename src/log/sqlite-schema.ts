/**
 * The tables of the SQLite change log. They may stand in an application's own database: all begin with `lockstep_`.
 *
 * A schema version in `lockstep_meta` lets a later release migrate; an older release refuses to touch what it
 * does not know. PROTOCOL.md §7.
 */
import type { DatabaseSync } from 'node:sqlite'
import { LockstepError, quote } from '../contract/index.ts'

export const schemaVersion = 1

const schema = `
  CREATE TABLE lockstep_meta (
    key TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE lockstep_stream (
    stream TEXT NOT NULL PRIMARY KEY,
    epoch TEXT NOT NULL,
    head INTEGER NOT NULL,          -- the last number
    first INTEGER NOT NULL,         -- the first number that lockstep_change still holds; head + 1 where none
    version_floor INTEGER NOT NULL, -- the greatest version of a purged tombstone
    relayed INTEGER NOT NULL        -- the last number known to be published; -1 in a renewed epoch
  ) STRICT, WITHOUT ROWID;

  -- One row per resource that is there, or was there and is remembered (a tombstone: no state, no collection).
  CREATE TABLE lockstep_resource (
    path TEXT NOT NULL UNIQUE,
    stream TEXT NOT NULL,
    collection TEXT,
    version INTEGER NOT NULL,
    seq INTEGER NOT NULL,           -- of its last change; 0 where that belongs to an earlier epoch
    state TEXT,
    CHECK ((collection IS NULL) = (state IS NULL))
  ) STRICT;
  CREATE INDEX lockstep_resource_list ON lockstep_resource (collection, path) WHERE collection IS NOT NULL;
  CREATE INDEX lockstep_resource_latest ON lockstep_resource (stream, seq);
  CREATE INDEX lockstep_resource_tombstone ON lockstep_resource (stream, seq) WHERE collection IS NULL;

  CREATE TABLE lockstep_change (
    stream TEXT NOT NULL,
    seq INTEGER NOT NULL,
    event TEXT NOT NULL,
    path TEXT NOT NULL,
    topic_path TEXT,                -- NULL where it is the path
    version INTEGER NOT NULL,
    time_ms INTEGER NOT NULL,
    open_text TEXT NOT NULL,        -- the message without its id and closing brace
    PRIMARY KEY (stream, seq)
  ) STRICT, WITHOUT ROWID;

  -- The answers of writes that may be repeated, by their keys.
  CREATE TABLE lockstep_receipt (
    key TEXT NOT NULL UNIQUE,
    text TEXT NOT NULL,
    marker TEXT NOT NULL,
    time_ms INTEGER NOT NULL
  ) STRICT;
  CREATE INDEX lockstep_receipt_age ON lockstep_receipt (time_ms);
`

/**
 * Makes the tables where they are missing. To be called in a write transaction.
 * Errors: `invalid-option` where a newer release has written the file.
 */
export function ensureSchema(database: DatabaseSync, file: string): void {
  const exists = database
    .prepare("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'lockstep_meta'")
    .get()
  if (exists === undefined) {
    database.exec(schema)
    writeMeta(database, 'schema_version', String(schemaVersion))
    return
  }
  const found = readMeta(database, 'schema_version') ?? 'unknown'
  if (found !== String(schemaVersion)) {
    throw new LockstepError(
      'invalid-option',
      `The tables in ${quote(file, 200)} have the schema version ${quote(found)}, and this release knows ${schemaVersion}. Use the release that wrote the file, or a newer one.`,
    )
  }
}

export function readMeta(database: DatabaseSync, key: string): string | undefined {
  const row = database.prepare('SELECT value FROM lockstep_meta WHERE key = ?').get(key)
  return row?.['value'] as string | undefined
}

export function writeMeta(database: DatabaseSync, key: string, value: string): void {
  database
    .prepare(
      'INSERT INTO lockstep_meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value',
    )
    .run(key, value)
}
