/**
 * Last values in a SQLite file, so that they outlive the process and a broker that retains nothing.
 *
 * What is written is in memory first and goes to the file together, at the latest after 100 ms: a device may publish more often than a
 * disk can answer. `flush` waits for the file, which is how a PUT is durable when it is answered.
 */
import { DatabaseSync, type StatementSync } from 'node:sqlite'
import { LockstepError, matchesTopicFilter, quote, type ReportError } from '../contract/index.ts'
import {
  compareTopics,
  type LastValues,
  type ListedValue,
  type ListRange,
  tooManyTopics,
} from './last-values.ts'
import type { TopicValue } from './value.ts'

export interface SqliteLastValuesOptions {
  readonly file: string
  readonly maxTopics: number
  readonly report: ReportError
}

const flushEveryMs = 100
const scanRows = 500

type Row = { topic: string; bytes: Uint8Array; time: number }

/** Opens or makes the file. Errors: `invalid-option` where it cannot be used. */
export function openSqliteLastValues(options: SqliteLastValuesOptions): LastValues {
  try {
    return new SqliteLastValues(options)
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    throw new LockstepError(
      'invalid-option',
      `The last values cannot be kept in ${quote(options.file)}: ${reason}. Give a file of this program in a folder that may be written.`,
      { cause: error },
    )
  }
}

class SqliteLastValues implements LastValues {
  readonly #options: SqliteLastValuesOptions
  readonly #database: DatabaseSync
  readonly #read: StatementSync
  readonly #scan: StatementSync
  readonly #set: StatementSync
  readonly #delete: StatementSync
  /** What is not in the file yet; `undefined` is forgotten. */
  #unsaved = new Map<string, TopicValue | undefined>()
  #count: number
  #timer: NodeJS.Timeout | undefined
  #isClosed = false

  constructor(options: SqliteLastValuesOptions) {
    this.#options = options
    const database = new DatabaseSync(options.file)
    this.#database = database
    database.exec(`PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA busy_timeout = 2000;
      CREATE TABLE IF NOT EXISTS topic_value (topic TEXT PRIMARY KEY, bytes BLOB NOT NULL, time INTEGER NOT NULL) WITHOUT ROWID`)
    this.#read = database.prepare('SELECT topic, bytes, time FROM topic_value WHERE topic = ?')
    this.#scan = database.prepare(
      `SELECT topic, bytes, time FROM topic_value WHERE topic > ? ORDER BY topic LIMIT ${scanRows}`,
    )
    this.#set = database.prepare(
      'INSERT INTO topic_value VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET bytes = excluded.bytes, time = excluded.time',
    )
    this.#delete = database.prepare('DELETE FROM topic_value WHERE topic = ?')
    this.#count = (
      database.prepare('SELECT count(*) AS count FROM topic_value').get() as { count: number }
    ).count
  }

  read(topic: string): TopicValue | undefined {
    if (this.#unsaved.has(topic)) return this.#unsaved.get(topic)
    const row = this.#read.get(topic) as Row | undefined
    return row && { bytes: row.bytes, timeMs: row.time }
  }

  write(topic: string, value: TopicValue | undefined): void {
    const isKnown = this.read(topic) !== undefined
    const { maxTopics } = this.#options
    if (value !== undefined && !isKnown && this.#count >= maxTopics) throw tooManyTopics(topic, maxTopics)
    if (value !== undefined && !isKnown) this.#count++
    if (value === undefined && isKnown) this.#count--
    this.#unsaved.set(topic, value)
    this.#timer ??= setTimeout(() => {
      this.flush().catch(error => this.#options.report(error, { stage: 'last values' }))
    }, flushEveryMs)
  }

  list({ filter, after, limit }: ListRange): readonly ListedValue[] {
    const fresh = [...this.#unsaved]
      .filter(([topic]) => compareTopics(topic, after) > 0 && matchesTopicFilter(filter, topic))
      .flatMap(([topic, value]) => (value === undefined ? [] : [{ topic, ...value }]))
    const kept: ListedValue[] = []
    let place = after
    for (;;) {
      const rows = this.#scan.all(place) as unknown as Row[]
      for (const { topic, bytes, time } of rows) {
        if (kept.length === limit) break
        if (matchesTopicFilter(filter, topic) && !this.#unsaved.has(topic))
          kept.push({ topic, bytes, timeMs: time })
      }
      const last = rows.at(-1)
      if (last === undefined || rows.length < scanRows || kept.length === limit) break
      place = last.topic
    }
    return [...kept, ...fresh].sort((one, other) => compareTopics(one.topic, other.topic)).slice(0, limit)
  }

  async flush(): Promise<void> {
    clearTimeout(this.#timer)
    this.#timer = undefined
    if (this.#unsaved.size === 0 || this.#isClosed) return
    this.#database.exec('BEGIN IMMEDIATE')
    try {
      for (const [topic, value] of this.#unsaved) {
        if (value === undefined) this.#delete.run(topic)
        else this.#set.run(topic, value.bytes, value.timeMs)
      }
      this.#database.exec('COMMIT')
    } catch (error) {
      if (this.#database.isTransaction) this.#database.exec('ROLLBACK')
      const reason = error instanceof Error ? error.message : String(error)
      throw new LockstepError(
        'log-failed',
        `Last values could not be written: ${reason}. They are kept in memory; try again.`,
        { cause: error },
      )
    }
    this.#unsaved = new Map()
  }

  async close(): Promise<void> {
    if (this.#isClosed) return
    try {
      await this.flush()
    } finally {
      clearTimeout(this.#timer)
      this.#isClosed = true
      this.#database.close()
    }
  }
}
