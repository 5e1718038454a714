/**
 * What a batch of writes sees of the PostgreSQL log: rows fetched as works ask for them, many at once where it can be.
 *
 * It belongs to one transaction that holds the log's lock, so what was fetched stays true until the end.
 */
import { type Marker, parseMarker } from '../contract/index.ts'
import type { CommittedState, ResourceState, StreamState } from './batch.ts'
import type { Receipt } from './change-log.ts'
import { rangeBelow } from './path.ts'
import type { Row, RunQuery } from './postgres-pool.ts'

/** What a work is about to read. */
export interface Want {
  readonly kind: 'resource' | 'receipt'
  readonly key: string
}

export class PostgresCommitted implements CommittedState {
  readonly #query: RunQuery
  readonly #schema: string
  readonly #streams: ReadonlyMap<string, StreamState>
  readonly #resources = new Map<string, ResourceState | undefined>()
  readonly #receipts = new Map<string, Receipt | undefined>()
  readonly #below = new Map<string, readonly string[]>()
  #wanted: Want[] = []
  #fetching: Promise<void> | undefined
  #writes = 0
  #closed = false

  constructor(query: RunQuery, schema: string, streams: readonly Row[]) {
    this.#query = query
    this.#schema = schema
    this.#streams = new Map(streams.map(row => [row['stream']!, readStream(row)]))
  }

  /** The transaction has ended: nothing is fetched any more. */
  close(): void {
    this.#closed = true
  }

  /** A work of the batch has written something. */
  countWrite(): void {
    this.#writes++
  }

  /** Fetches rows, in one go with what others want meanwhile. */
  load(wants: readonly Want[]): Promise<void> | undefined {
    if (this.#closed) return undefined
    const missing = wants.filter(({ kind, key }) => !this.#known(kind).has(key))
    if (missing.length === 0) return undefined
    this.#wanted.push(...missing)
    this.#fetching ??= this.#fetchAll().finally(() => {
      this.#fetching = undefined
    })
    return this.#fetching
  }

  /** Fetches the paths of existing resources strictly below a path. */
  async loadBelow(path: string, limit: number): Promise<void> {
    if (this.#closed) return
    const { from, to } = rangeBelow(path)
    const rows = await this.#query(
      `SELECT path FROM ${this.#schema}.resource WHERE path > $1 AND path < $2 AND collection IS NOT NULL
        ORDER BY path LIMIT $3`,
      // As many more as the works before may have changed: those are left out later.
      [from, to, limit + this.#writes],
    )
    this.#below.set(
      path,
      rows.map(row => row['path']!),
    )
  }

  stream(stream: string): StreamState | undefined {
    return this.#streams.get(stream)
  }

  resource(path: string): ResourceState | undefined {
    return this.#resources.get(path)
  }

  pathsBelow(path: string, limit: number): readonly string[] {
    return (this.#below.get(path) ?? []).slice(0, limit)
  }

  receipt(key: string): Receipt | undefined {
    return this.#receipts.get(key)
  }

  #known(kind: Want['kind']): Map<string, unknown> {
    return kind === 'resource' ? this.#resources : this.#receipts
  }

  async #fetchAll(): Promise<void> {
    // What is wanted in the same turn goes along.
    await Promise.resolve()
    while (this.#wanted.length > 0) {
      const wanted = this.#wanted
      this.#wanted = []
      await this.#fetch(keysOf(wanted, 'resource'), keysOf(wanted, 'receipt'))
    }
  }

  async #fetch(paths: readonly string[], keys: readonly string[]): Promise<void> {
    if (paths.length > 0) {
      const rows = await this.#query(
        `SELECT path, coalesce(r.version, n.version) AS version, state, n.version IS NOT NULL AS recorded
          FROM (SELECT path, version, state FROM ${this.#schema}.resource WHERE path = ANY($1::text[])) AS r
          FULL JOIN (SELECT path, version FROM ${this.#schema}.recorded
            WHERE path = ANY($1::text[]) AND version IS NOT NULL) AS n USING (path)`,
        [paths],
      )
      for (const path of paths) this.#resources.set(path, undefined)
      for (const row of rows) {
        const stateText = row['state'] ?? undefined
        const recorded = row['recorded'] === 't'
        this.#resources.set(row['path']!, { version: Number(row['version']), stateText, recorded })
      }
    }
    if (keys.length === 0) return
    const rows = await this.#query(
      `SELECT key, text, marker FROM ${this.#schema}.receipt WHERE key = ANY($1::text[])`,
      [keys],
    )
    for (const key of keys) this.#receipts.set(key, undefined)
    for (const row of rows) {
      const marker: Marker = parseMarker(row['marker']!)
      this.#receipts.set(row['key']!, { text: row['text']!, marker })
    }
  }
}

function keysOf(wants: readonly Want[], kind: Want['kind']): string[] {
  return [...new Set(wants.flatMap(want => (want.kind === kind ? [want.key] : [])))]
}

function readStream(row: Row): StreamState {
  return {
    epoch: row['epoch']!,
    head: Number(row['head']),
    first: Number(row['first']),
    versionFloor: Number(row['version_floor']),
  }
}
