/**
 * The people in a plain SQLite table, as one writes it without Lockstep: state only, no versions; where wished, with
 * the row of an outbox that tells of the change.
 *
 * Each PATCH is one transaction: read, merge, update. Statements are prepared once and the journal is a WAL, so
 * that what is compared is the work and not an oversight.
 */
import { DatabaseSync } from 'node:sqlite'
import { createPerson, type Person } from '../harness/people.ts'

export interface TableOptions {
  readonly file: string
  readonly synchronous: 'FULL' | 'NORMAL'
  readonly people: number
  /** Write the change to a second table, in the same transaction? */
  readonly outbox?: boolean
}

export interface PeopleTable {
  /** The JSON text of the state after; `undefined` where there is no such person. */
  patch(id: string, patch: Partial<Person>): string | undefined
  /** The JSON text of the state. */
  read(id: string): string | undefined
  close(): void
}

export function openPeopleTable({ file, synchronous, people, outbox }: TableOptions): PeopleTable {
  const database = new DatabaseSync(file)
  database.exec(`PRAGMA journal_mode = WAL; PRAGMA synchronous = ${synchronous}; PRAGMA cache_size = -32768`)
  database.exec('CREATE TABLE person (id TEXT PRIMARY KEY, state TEXT NOT NULL) WITHOUT ROWID')
  database.exec(
    'CREATE TABLE outbox (number INTEGER PRIMARY KEY AUTOINCREMENT, topic TEXT NOT NULL, message TEXT NOT NULL)',
  )
  const begin = database.prepare('BEGIN IMMEDIATE')
  const commit = database.prepare('COMMIT')
  const read = database.prepare('SELECT state FROM person WHERE id = ?')
  const update = database.prepare('UPDATE person SET state = ? WHERE id = ?')
  const insert = database.prepare('INSERT INTO person (id, state) VALUES (?, ?)')
  const record = database.prepare('INSERT INTO outbox (topic, message) VALUES (?, ?)')
  begin.run()
  for (let number = 0; number < people; number++) {
    insert.run(`person-${number}`, JSON.stringify(createPerson(number)))
  }
  commit.run()
  return {
    patch(id, patch) {
      begin.run()
      try {
        const row = read.get(id)
        if (row === undefined) return undefined
        const text = JSON.stringify({ ...JSON.parse(row['state'] as string), ...patch })
        update.run(text, id)
        if (outbox) record.run(`people/${id}`, JSON.stringify({ event: 'modified', changes: patch }))
        return text
      } finally {
        commit.run()
      }
    },
    read: id => read.get(id)?.['state'] as string | undefined,
    close: () => database.close(),
  }
}
