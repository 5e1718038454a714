/**
 * The epoch guard of a PostgreSQL log: notices that the database went back in time, or is another one.
 *
 * A promoted standby is on another timeline, whether it lost commits or not. A dump that was restored, and a copy
 * made with `TEMPLATE`, have other object ids. What was restored as files, while services ran, shows in a log
 * position or a head that went back; at an opening it shows in the file `PG_VERSION`, which a copy makes anew, where the
 * user may ask for it (a superuser, or whoever was granted `pg_stat_file`). What it does not see: a disk that is put
 * back block by block, or files where the user may not ask, while no service runs; and no recovery began a
 * new timeline. PROTOCOL.md §7.5.
 */
import type { Head } from '../contract/index.ts'
import type { Row, RunQuery } from './postgres-pool.ts'

/** What tells servers and databases apart, by name. */
export type Identity = Readonly<Record<string, string>>

const names: Readonly<Record<string, string>> = {
  system: 'the database cluster is another one',
  timeline: 'the server is on another timeline: a standby was promoted, or a backup was recovered',
  database: 'the database is another one, as after a copy',
  table: 'the tables are other ones, as after a dump was restored',
  files: 'the files of the server are other ones, as after a copy was put in their place',
}

/** What the guard asks for, as columns of a row. Any user may ask it, and the timeline comes without the control file's delay. */
export const presentSql: string = `(SELECT system_identifier FROM pg_control_system()) AS system,
  substr(pg_walfile_name(pg_current_wal_flush_lsn()), 1, 8) AS timeline, (pg_current_wal_flush_lsn() - '0/0'::pg_lsn)::text AS lsn`

/** Where a server is. */
export interface Present {
  readonly system: string
  readonly timeline: string
  /** How far its write-ahead log is durable. */
  readonly lsn: bigint
}

export function readPresent(row: Row): Present {
  return { system: row['system']!, timeline: row['timeline']!, lsn: BigInt(row['lsn']!) }
}

/** What a running log remembers of the database. */
export interface Known {
  readonly present: Present
  readonly heads: ReadonlyMap<string, Head>
}

/** Is it another server than the one that is remembered? What that means, the noted identity says. */
export function isElsewhere(known: Present, { system, timeline }: Present): boolean {
  return known.system !== system || known.timeline !== timeline
}

/** What the database had, as far as is remembered, and no longer has. */
export function findLoss(known: Known, present: Present, heads: readonly Head[]): string[] {
  const reasons: string[] = []
  if (!isElsewhere(known.present, present) && known.present.lsn > present.lsn) {
    reasons.push('the log of the server is shorter than it was, as after a backup was put in its place')
  }
  for (const { stream, epoch, seq } of heads) {
    const before = known.heads.get(stream)
    if (before?.epoch === epoch && before.seq > seq) {
      reasons.push(`the stream ${stream} ends at ${seq} and had come to ${before.seq}`)
    }
  }
  return reasons
}

/** What differs between what the database says of where it was and where it is. */
export function compareIdentity(noted: Identity, found: Identity): string[] {
  return Object.entries(names).flatMap(([name, reason]) => {
    const [before, now] = [noted[name], found[name]]
    return before === undefined || now === undefined || before === now ? [] : [reason]
  })
}

export async function readIdentity(
  query: RunQuery,
  schema: string,
): Promise<{ readonly identity: Identity; readonly present: Present }> {
  const [row] = await query(
    `SELECT ${presentSql}, '${schema}.stream'::regclass::oid AS table,
      (SELECT oid FROM pg_database WHERE datname = current_database()) AS database,
      has_function_privilege('pg_stat_file(text)', 'EXECUTE') AS may_see_files`,
  )
  const { system, timeline, table, database, may_see_files: maySeeFiles } = row as Record<string, string>
  const identity = { system: system!, timeline: timeline!, table: table!, database: database! }
  const present = readPresent(row!)
  if (maySeeFiles !== 't') return { identity, present }
  const [file] = await query(`SELECT extract(epoch FROM change) AS changed FROM pg_stat_file('PG_VERSION')`)
  return { identity: { ...identity, files: file!['changed']! }, present }
}
