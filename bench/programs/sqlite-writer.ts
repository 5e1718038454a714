/** Writes to a SQLite log that holds so many changes, with so many writers at once, and reads pages of it. */
import { DatabaseSync } from 'node:sqlite'
import { openSqliteLog } from 'lockstep/log'
import { readPages } from '../harness/log-size.ts'
import { people, runWriters, stream, writeThrough } from '../harness/log-writes.ts'
import { runProgram } from '../harness/program.ts'

export interface SqliteWriterOptions {
  readonly file: string
  readonly writers: number
  /** How many changes are in the log before. */
  readonly rows: number
}

runProgram<SqliteWriterOptions>(async ({ file, writers, rows }) => {
  const empty = await openSqliteLog({ file })
  await empty.ensureStreams([stream])
  await empty.close()
  fill(file, rows)
  const log = await openSqliteLog({ file })
  return {
    commands: {
      run: ({ durationMs }: { readonly durationMs: number }) =>
        runWriters(writeThrough(log), writers, durationMs),
      pages: ({ pages }: { readonly pages: number }) => readPages(log, stream, rows, pages),
    },
    close: () => log.close(),
  }
})

/** In one statement and without a journal: ten million rows take seconds. */
function fill(file: string, rows: number): void {
  const database = new DatabaseSync(file)
  database.exec('PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -262144; BEGIN')
  database
    .prepare(
      `WITH RECURSIVE series (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM series WHERE n < ?)
        INSERT INTO lockstep_change (stream, seq, event, path, version, time_ms, open_text)
        SELECT '${stream}', n, 'modified', '/${stream}/person-' || n % ${people}, n, 0,
          '{"event":"modified","changes":{"email":"person-' || n || '@mail.example.com"},"resource":"/${stream}/person-' || n % ${people} || '","version":' || n
        FROM series`,
    )
    .run(rows)
  database.prepare('UPDATE lockstep_stream SET head = ? WHERE stream = ?').run(rows, stream)
  database.exec('COMMIT')
  database.close()
}
