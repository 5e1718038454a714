/**
 * The streams of a PostgreSQL log: made known, read, begun anew.
 *
 * All but the reads run in a transaction that holds the log's lock. PROTOCOL.md §7.
 */
import type { Head } from '../contract/index.ts'
import { unknownStream } from './batch.ts'
import { checkStreamName } from './path.ts'
import type { Row, RunQuery } from './postgres-pool.ts'
import { randomId } from './random-id.ts'

export function readHead(row: Row): Head {
  return {
    stream: row['stream']!,
    epoch: row['epoch']!,
    seq: Number(row['head']),
    first: Number(row['first']),
  }
}

export async function readHeads(query: RunQuery, schema: string): Promise<readonly Head[]> {
  const rows = await query(`SELECT stream, epoch, head, first FROM ${schema}.stream ORDER BY stream`)
  return rows.map(readHead)
}

/** Errors: `not-found`. */
export async function readStreamHead(query: RunQuery, schema: string, stream: string): Promise<Head> {
  const [row] = await query(`SELECT stream, epoch, head, first FROM ${schema}.stream WHERE stream = $1`, [
    stream,
  ])
  if (row === undefined) throw unknownStream(stream)
  return readHead(row)
}

/** Errors: `invalid-option` for a name that is no first segment of a path. */
export async function ensureStreams(
  query: RunQuery,
  schema: string,
  streams: readonly string[],
): Promise<readonly Head[]> {
  streams.forEach(checkStreamName)
  await query(
    `INSERT INTO ${schema}.stream (stream, epoch, head, first, version_floor, relayed)
      SELECT stream, epoch, 0, 1, 0, 0 FROM unnest($1::text[], $2::text[]) AS new (stream, epoch)
      ON CONFLICT DO NOTHING`,
    [streams, streams.map(() => randomId())],
  )
  const heads = new Map((await readHeads(query, schema)).map(head => [head.stream, head]))
  return streams.map(stream => heads.get(stream)!)
}

/** What has no number yet will get one in the new epoch. Errors: `not-found`. */
export async function renewEpoch(query: RunQuery, schema: string, stream: string): Promise<Head> {
  await readStreamHead(query, schema, stream)
  await query(`DELETE FROM ${schema}.change WHERE stream = $1 AND seq IS NOT NULL`, [stream])
  await query(`UPDATE ${schema}.resource SET seq = 0 WHERE stream = $1 AND seq > 0`, [stream])
  const [row] = await query(
    `UPDATE ${schema}.stream SET epoch = $1, head = 0, first = 1, relayed = -1 WHERE stream = $2
      RETURNING stream, epoch, head, first`,
    [randomId(), stream],
  )
  return readHead(row!)
}

export async function writeRelayed(
  query: RunQuery,
  schema: string,
  relayed: ReadonlyMap<string, { readonly epoch: string; readonly seq: number }>,
): Promise<void> {
  const entries = [...relayed]
  await query(
    `UPDATE ${schema}.stream SET relayed = new.seq
      FROM unnest($1::text[], $2::text[], $3::bigint[]) AS new (stream, epoch, seq)
      WHERE stream.stream = new.stream AND stream.epoch = new.epoch AND stream.relayed < new.seq`,
    [
      entries.map(([stream]) => stream),
      entries.map(([, { epoch }]) => epoch),
      entries.map(([, { seq }]) => seq),
    ],
  )
}
