/**
 * The tables of the PostgreSQL change log, in a schema of their own.
 *
 * A schema version in `meta` lets a later release migrate; an older release refuses to touch what it does not
 * know. PROTOCOL.md §7.
 */
import { createHash } from 'node:crypto'
import { LockstepError, quote } from '../contract/index.ts'
import { formatChangeFunction } from './postgres-change.ts'
import type { RunQuery } from './postgres-pool.ts'
import { formatLockFunction } from './postgres-recorded.ts'

export const schemaVersion = 2

/** What stands in statements for one log. */
export interface PostgresNames {
  readonly schema: string
  /** The number of the advisory lock that whoever gives numbers holds. */
  readonly lock: string
}

/** Errors: `invalid-option` for a name that would have to be quoted. */
export function readNames(schema: string): PostgresNames {
  if (!/^[a-z_][a-z0-9_]{0,62}$/.test(schema) || schema.startsWith('pg_')) {
    throw new LockstepError(
      'invalid-option',
      `The schema of openPostgresLog is ${quote(schema)}. Give a name of lower-case letters, digits and _, which does not begin with pg_.`,
    )
  }
  // Advisory locks are per database, so the schema's name is enough to tell logs apart.
  const lock = createHash('sha256').update(`lockstep ${schema}`).digest().readBigInt64BE(0)
  return { schema, lock: String(lock) }
}

// Paths and names compare by code unit, as everywhere in the contract.
const tables = (schema: string): string => `
  CREATE TABLE ${schema}.meta (
    key text PRIMARY KEY,
    value text NOT NULL
  );

  CREATE TABLE ${schema}.stream (
    stream text COLLATE "C" PRIMARY KEY,
    epoch text NOT NULL,
    head bigint NOT NULL,           -- the last number
    first bigint NOT NULL,          -- the first number that change still holds; head + 1 where none
    version_floor bigint NOT NULL,  -- the greatest version of a purged tombstone
    relayed bigint NOT NULL         -- the last number known to be published; -1 in a renewed epoch
  ) WITH (fillfactor = 50);

  -- One row per resource that is there, or was there and is remembered (a tombstone: no state, no collection).
  CREATE TABLE ${schema}.resource (
    path text COLLATE "C" PRIMARY KEY,
    stream text COLLATE "C" NOT NULL,
    collection text COLLATE "C",
    version bigint NOT NULL,
    seq bigint NOT NULL,            -- of its last change; 0 where that belongs to an earlier epoch
    state text,
    CHECK ((collection IS NULL) = (state IS NULL))
  );
  CREATE INDEX resource_list ON ${schema}.resource (collection, path) WHERE collection IS NOT NULL;
  CREATE INDEX resource_latest ON ${schema}.resource (stream, seq);
  CREATE INDEX resource_tombstone ON ${schema}.resource (stream, seq) WHERE collection IS NULL;

  -- What transactions of the application record, as they see it: the row that they lock, one after another. Nobody who
  -- holds the log's lock waits for it. Without a version where it is only locked; without a state where nothing is there.
  CREATE TABLE ${schema}.recorded (
    path text COLLATE "C" PRIMARY KEY,
    stream text COLLATE "C" NOT NULL,
    version bigint,
    state text
  ) WITH (fillfactor = 80);
  CREATE INDEX recorded_tombstone ON ${schema}.recorded (stream, path) WHERE state IS NULL;
  -- The greatest version of a purged row of these, in all streams. Not in a table: an older snapshot must see it too.
  CREATE SEQUENCE ${schema}.recorded_floor MINVALUE 0 START 0;

  -- A change without seq is one of another transaction than ours, which the sequencer will number.
  CREATE SEQUENCE ${schema}.change_id CACHE 1;
  CREATE TABLE ${schema}.change (
    id bigint NOT NULL DEFAULT nextval('${schema}.change_id'),
    xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    stream text COLLATE "C" NOT NULL,
    seq bigint,
    event text NOT NULL,
    path text COLLATE "C" NOT NULL,
    topic_path text COLLATE "C",    -- NULL where it is the path
    version bigint NOT NULL,
    time_ms bigint NOT NULL,
    open_text text NOT NULL,        -- the message without its id and closing brace
    state text                      -- the state after, as long as there is no seq
  );
  CREATE UNIQUE INDEX change_seq ON ${schema}.change (stream, seq) WHERE seq IS NOT NULL;
  ALTER SEQUENCE ${schema}.change_id OWNED BY ${schema}.change.id;
  CREATE UNIQUE INDEX change_pending ON ${schema}.change (id) WHERE seq IS NULL;
  ${formatLockFunction(schema)}
  ${formatChangeFunction(schema)}

  -- The answers of writes that may be repeated, by their keys.
  CREATE TABLE ${schema}.receipt (
    key text COLLATE "C" PRIMARY KEY,
    text text NOT NULL,
    marker text NOT NULL,
    time_ms bigint NOT NULL
  );
  CREATE INDEX receipt_age ON ${schema}.receipt (time_ms);

  INSERT INTO ${schema}.meta (key, value) VALUES ('schema_version', '${schemaVersion}');
`

/**
 * Makes schema and tables where they are missing. In a transaction that holds the log's lock.
 * Errors: `invalid-option` where a newer release has made them, or where the sequence of the ids caches.
 */
export async function ensureSchema(query: RunQuery, { schema }: PostgresNames): Promise<void> {
  const [found] = await query(
    'SELECT to_regnamespace($1) IS NOT NULL AS has_schema, to_regclass($2) IS NOT NULL AS has_tables',
    [schema, `${schema}.meta`],
  )
  if (found?.['has_schema'] !== 't') await query(`CREATE SCHEMA ${schema}`)
  if (found?.['has_tables'] !== 't') await query(tables(schema))
  const version = await readMeta(query, schema, 'schema_version')
  if (version !== String(schemaVersion)) {
    throw new LockstepError(
      'invalid-option',
      `The tables in the schema ${quote(schema)} have the version ${quote(version ?? 'unknown')}, and this release knows ${schemaVersion}. Use the release that made them, or a newer one.`,
    )
  }
  await checkSequence(query, schema)
}

/** A session that takes ids ahead would give a later change a smaller one. */
async function checkSequence(query: RunQuery, schema: string): Promise<void> {
  const [row] = await query('SELECT seqcache FROM pg_sequence WHERE seqrelid = $1::regclass', [
    `${schema}.change_id`,
  ])
  if (row?.['seqcache'] === '1') return
  throw new LockstepError(
    'invalid-option',
    `The sequence ${schema}.change_id takes ${quote(row?.['seqcache'])} numbers at a time, so changes could be numbered in a wrong order. Run: ALTER SEQUENCE ${schema}.change_id CACHE 1`,
  )
}

export async function readMeta(query: RunQuery, schema: string, key: string): Promise<string | undefined> {
  const [row] = await query(`SELECT value FROM ${schema}.meta WHERE key = $1`, [key])
  return row?.['value'] ?? undefined
}

export async function writeMeta(query: RunQuery, schema: string, key: string, value: string): Promise<void> {
  await query(
    `INSERT INTO ${schema}.meta (key, value) VALUES ($1, $2)
      ON CONFLICT (key) DO UPDATE SET value = excluded.value`,
    [key, value],
  )
}
