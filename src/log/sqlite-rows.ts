/**
 * The rows of a SQLite change log that writing needs, by prepared statements on any connection: the log's own, or one on
 * which the application has begun a transaction.
 */
import type { DatabaseSync, StatementSync } from 'node:sqlite'
import { formatMarker, parentOf, parseMarker } from '../contract/index.ts'
import type { BatchedChange, BatchedReceipt, BatchedResource, ResourceState, StreamState } from './batch.ts'
import type { Receipt } from './change-log.ts'
import { rangeBelow } from './path.ts'

/** Reads and writes single rows, in whatever transaction is open. Errors: those of SQLite. */
export class SqliteRows {
  readonly #stream: StatementSync
  readonly #resource: StatementSync
  readonly #pathsBelow: StatementSync
  readonly #modify: StatementSync
  readonly #upsert: StatementSync
  readonly #insertChange: StatementSync
  readonly #moveHead: StatementSync
  readonly #receipt: StatementSync
  readonly #insertReceipt: StatementSync

  /** The tables MUST be there. */
  constructor(database: DatabaseSync) {
    const prepare = (sql: string): StatementSync => database.prepare(sql)
    this.#stream = prepare('SELECT epoch, head, first, version_floor FROM lockstep_stream WHERE stream = ?')
    this.#resource = prepare('SELECT version, state FROM lockstep_resource WHERE path = ?')
    this.#pathsBelow = prepare(`SELECT path FROM lockstep_resource
      WHERE path > ? AND path < ? AND collection IS NOT NULL ORDER BY path LIMIT ?`)
    // Most changes leave the row in its collection: that index is then not touched.
    this.#modify = prepare('UPDATE lockstep_resource SET version = ?, seq = ?, state = ? WHERE path = ?')
    this.#upsert = prepare(`INSERT INTO lockstep_resource (path, stream, collection, version, seq, state)
      VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (path) DO UPDATE SET collection = excluded.collection,
      version = excluded.version, seq = excluded.seq, state = excluded.state`)
    this.#insertChange = prepare(`INSERT INTO lockstep_change
      (stream, seq, event, path, topic_path, version, time_ms, open_text) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`)
    this.#receipt = prepare('SELECT text, marker FROM lockstep_receipt WHERE key = ?')
    this.#insertReceipt = prepare(
      'INSERT OR REPLACE INTO lockstep_receipt (key, text, marker, time_ms) VALUES (?, ?, ?, ?)',
    )
    this.#moveHead = prepare('UPDATE lockstep_stream SET head = ? WHERE stream = ?')
  }

  stream(stream: string): StreamState | undefined {
    const row = this.#stream.get(stream)
    if (row === undefined) return undefined
    const { epoch, head, first, version_floor: versionFloor } = row as Record<string, number>
    return { epoch: epoch as unknown as string, head: head!, first: first!, versionFloor: versionFloor! }
  }

  resource(path: string): ResourceState | undefined {
    const row = this.#resource.get(path)
    if (row === undefined) return undefined
    return { version: row['version'] as number, stateText: (row['state'] ?? undefined) as string | undefined }
  }

  pathsBelow(path: string, limit: number): readonly string[] {
    const { from, to } = rangeBelow(path)
    return this.#pathsBelow.all(from, to, limit).map(row => row['path'] as string)
  }

  receipt(key: string): Receipt | undefined {
    const row = this.#receipt.get(key)
    return row && { text: row['text'] as string, marker: parseMarker(row['marker'] as string) }
  }

  writeResource({ path, stream, version, seq, stateText, exists }: BatchedResource): void {
    if (exists && stateText !== undefined) this.#modify.run(version, seq, stateText, path)
    else {
      const collection = stateText === undefined ? null : parentOf(path)
      this.#upsert.run(path, stream, collection, version, seq, stateText ?? null)
    }
  }

  writeChange({ stream, seq, event, path, topicPath, version, timeMs, openText }: BatchedChange): void {
    const topic = topicPath === path ? null : topicPath
    this.#insertChange.run(stream, seq, event, path, topic, version, timeMs, openText)
  }

  moveHead(stream: string, seq: number): void {
    this.#moveHead.run(seq, stream)
  }

  writeReceipt(key: string, { text, marker, timeMs }: BatchedReceipt): void {
    this.#insertReceipt.run(key, text, formatMarker(marker), timeMs)
  }
}
