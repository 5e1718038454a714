/**
 * Writes to PostgreSQL with so many writers at once, each one write at a time, in one of several ways, and tells how
 * long it took and how soon another instance saw the changes.
 *
 * Each write is the same work: read a person, lock it, store it changed, commit durably. What differs is the row
 * that tells of the change.
 */
import { openPostgresLog, record } from 'lockstep/log'
import pg from 'pg'
import { readPages } from '../harness/log-size.ts'
import { people, runWriters, stateOf, stream, type Write, writeThrough } from '../harness/log-writes.ts'
import { createPerson } from '../harness/people.ts'
import { runProgram } from '../harness/program.ts'
import { percentile } from '../harness/summary.ts'

export interface WriterOptions {
  readonly url: string
  /**
   * A transaction for each write, with its own connection: with no row for the change; with one that the sequencer
   * numbers later; with one that takes its number from a counter; with `record`, which keeps versions and states too. Or
   * through the log, which commits together.
   */
  readonly way: 'no row' | 'sequencer' | 'counter' | 'record' | 'log'
  readonly connections: number
  /** How many changes are in the log before. @default 0 */
  readonly rows?: number
}

/** A change is looked for in the messages by its cause. */
const committedMs = new Map<string, number>()

runProgram<WriterOptions>(async ({ url, way, connections, rows = 0 }) => {
  const pool = new pg.Pool({ connectionString: url, max: way === 'log' ? 4 : connections + 1 })
  const log = await openPostgresLog({ url, maxConnections: 4 })
  await log.ensureStreams([stream])
  await fill(pool, rows)
  const write = way === 'log' ? writeThrough(log) : writeAlone(pool, way)
  return {
    commands: {
      run: ({ durationMs }: { readonly durationMs: number }) => runWriters(write, connections, durationMs),
      pages: ({ pages }: { readonly pages: number }) => readPages(log, stream, rows, pages),
      seen: ({ writes }: { readonly writes: number }) => seen(url, write, writes),
    },
    async close() {
      await pool.end()
      await log.close()
    },
  }
})

function writeAlone(pool: pg.Pool, way: Exclude<WriterOptions['way'], 'log'>): Write {
  const insert = {
    'no row': undefined,
    record: undefined,
    sequencer: `INSERT INTO lockstep.change (stream, event, path, version, time_ms, open_text, state)
      VALUES ('${stream}', 'modified', $1, $2, $3, $4, $5)`,
    counter: `WITH counter AS (UPDATE lockstep.stream SET head = head + 1 WHERE stream = '${stream}' RETURNING head)
      INSERT INTO lockstep.change (stream, seq, event, path, version, time_ms, open_text, state)
      SELECT '${stream}', head, 'modified', $1, $2, $3, $4, $5 FROM counter`,
  }[way]
  return async (person, cause) => {
    const client = await pool.connect()
    const path = `/${stream}/person-${person}`
    await client.query('BEGIN')
    const { rows } = await client.query('SELECT version, state FROM person WHERE path = $1 FOR UPDATE', [
      path,
    ])
    const version = Number(rows[0].version) + 1
    await client.query('UPDATE person SET version = $2, state = $3 WHERE path = $1', [
      path,
      version,
      stateOf(person, cause),
    ])
    if (way === 'record')
      await record(client, { path, state: { ...createPerson(person), email: cause }, cause })
    if (insert !== undefined) {
      const open = JSON.stringify({
        event: 'modified',
        changes: { email: cause },
        resource: path,
        version,
        cause,
      })
      const state = way === 'sequencer' ? stateOf(person, cause) : null
      await client.query(insert, [path, version, Date.now(), open.slice(0, -1), state])
    }
    await client.query('COMMIT')
    client.release()
  }
}

/** Tables of an application's own, and a log that has seen something. */
async function fill(pool: pg.Pool, rows: number): Promise<void> {
  await pool.query('CREATE TABLE IF NOT EXISTS person (path text PRIMARY KEY, version bigint, state text)')
  const paths = Array.from({ length: people }, (_, person) => `/${stream}/person-${person}`)
  const states = Array.from({ length: people }, (_, person) => JSON.stringify(createPerson(person)))
  await pool.query(
    'INSERT INTO person SELECT path, 1, state FROM unnest($1::text[], $2::text[]) AS new (path, state) ON CONFLICT DO NOTHING',
    [paths, states],
  )
  await fillChanges(pool, rows)
  if (rows > 0) {
    await pool.query(`UPDATE lockstep.stream SET head = $1 WHERE stream = '${stream}'`, [rows])
    await pool.query('ANALYZE lockstep.change')
  }
  await pool.query('CHECKPOINT')
}

/** In one statement, and the index of the numbers made afterwards: ten times as fast as row by row. */
async function fillChanges(pool: pg.Pool, rows: number): Promise<void> {
  if (rows === 0) return
  const client = await pool.connect()
  const index = await client.query("SELECT pg_get_indexdef('lockstep.change_seq'::regclass) AS text")
  await client.query('BEGIN')
  await client.query("SET LOCAL maintenance_work_mem = '512MB'")
  await client.query('DROP INDEX lockstep.change_seq')
  await client.query(
    `INSERT INTO lockstep.change (stream, seq, event, path, version, time_ms, open_text)
      SELECT '${stream}', n, 'modified', '/${stream}/person-' || n % ${people}, n, 0,
        '{"event":"modified","changes":{"email":"person-' || n || '@mail.example.com"},"resource":"/${stream}/person-' || n % ${people} || '","version":' || n
      FROM generate_series(1, $1::bigint) AS n`,
    [rows],
  )
  await client.query(index.rows[0].text)
  await client.query('COMMIT')
  client.release()
}

/** How long behind the answer to the commit another instance has the message, at about 100 writes a second: the median. */
async function seen(url: string, write: Write, writes: number): Promise<number> {
  await using other = await openPostgresLog({ url, maxConnections: 3 })
  const latencies: number[] = []
  const { promise: done, resolve } = Promise.withResolvers<void>()
  let { seq: after } = await other.head(stream)
  let reading = Promise.resolve()
  other.onCommit(() => {
    reading = reading.then(async () => {
      const { changes, to } = await other.readChanges(stream, { after, limit: 1_000 })
      const nowMs = performance.now()
      after = to
      for (const { messageText } of changes) {
        const { cause } = JSON.parse(messageText) as { cause: string }
        const beganMs = committedMs.get(cause)
        // What was seen before its commit was answered took no time.
        if (cause.startsWith('seen-')) latencies.push(beganMs === undefined ? 0 : nowMs - beganMs)
      }
      if (latencies.length >= writes) resolve()
    })
  })
  for (let index = 0; index < writes; index++) {
    const cause = `seen-${Math.random()}`
    await write(index % people, cause)
    committedMs.set(cause, performance.now())
    await new Promise(next => setTimeout(next, 5 + Math.random() * 10))
  }
  await done
  return percentile(Float64Array.from(latencies).sort(), 0.5)
}
