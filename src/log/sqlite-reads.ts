/**
 * The reads of the SQLite change log. Each answers from one snapshot.
 *
 * PROTOCOL.md §4 and §5.
 */
import type { DatabaseSync, StatementSync } from 'node:sqlite'
import { completeMessage, type Head, streamOf } from '../contract/index.ts'
import { unknownStream } from './batch.ts'
import type {
  ChangesPage,
  LatestPage,
  LoggedChange,
  ReadChangesOptions,
  ReadCollectionOptions,
  StoredItem,
  StoredResource,
} from './change-log.ts'
import { rangeBelow } from './path.ts'
import type { SqliteStore } from './sqlite-store.ts'
import { defaultMaxChars, fillPage, isCovered } from './window.ts'

type Row = Record<string, unknown>
/** The columns in their order: of many rows that is much cheaper than objects with names. */
type ChangeRow = readonly [
  seq: number,
  event: LoggedChange['event'],
  path: string,
  topicPath: string | null,
  version: number,
  openText: string,
]
type Latest = LatestPage['latest'][number]

/** How far a stream is known to be published, and in which epoch. */
export interface Relayed {
  readonly epoch: string
  readonly seq: number
}

/** So many changes are fetched at a time: it bounds what is held of rows that no longer fit into a page. */
const rowsAtOnce = 64

export class SqliteReads {
  readonly #store: SqliteStore
  readonly #resource: StatementSync
  readonly #collection: StatementSync
  readonly #changes: StatementSync
  readonly #changesUnder: StatementSync
  readonly #latestEnd: StatementSync
  readonly #latest: StatementSync
  readonly #latestUnder: StatementSync
  readonly #relayed: StatementSync

  constructor(store: SqliteStore) {
    this.#store = store
    const database: DatabaseSync = store.database
    // One statement is one snapshot: the hottest read needs no transaction around it.
    this.#resource = database.prepare(`SELECT s.epoch, s.head, s.first, s.version_floor, r.version, r.state
      FROM lockstep_stream s LEFT JOIN lockstep_resource r ON r.path = ? WHERE s.stream = ?`)
    this.#collection = database.prepare(`SELECT path, version, state FROM lockstep_resource
      WHERE collection = ? AND path > ? ORDER BY path LIMIT ?`)
    const changes = `SELECT seq, event, path, topic_path, version, open_text FROM lockstep_change
      WHERE stream = ? AND seq > ? AND seq <= ?`
    const latest = `SELECT path, seq, version, state
      FROM lockstep_resource INDEXED BY lockstep_resource_latest WHERE stream = ? AND seq > ? AND seq <= ?`
    const under = 'AND (path = ? OR (path > ? AND path < ?))'
    this.#changes = database.prepare(`${changes} ORDER BY seq LIMIT ${rowsAtOnce}`)
    this.#changes.setReturnArrays(true)
    this.#changesUnder = database.prepare(`${changes} ${under} ORDER BY seq LIMIT ${rowsAtOnce}`)
    this.#changesUnder.setReturnArrays(true)
    this.#latest = database.prepare(`${latest} ORDER BY seq`)
    this.#latestUnder = database.prepare(`${latest} ${under} ORDER BY seq`)
    this.#latestEnd = database.prepare(`SELECT seq FROM lockstep_resource
      WHERE stream = ? AND seq > ? ORDER BY seq LIMIT 1 OFFSET ?`)
    this.#relayed = database.prepare('SELECT epoch, relayed FROM lockstep_stream WHERE stream = ?')
  }

  head(stream: string): Head {
    return this.#store.head(stream)
  }

  relayed(stream: string): Relayed {
    const row = this.#relayed.get(stream)
    if (row === undefined) throw unknownStream(stream)
    return { epoch: row['epoch'] as string, seq: row['relayed'] as number }
  }

  resource(path: string): { readonly head: Head; readonly resource: StoredResource } {
    const stream = streamOf(path)
    const row = this.#resource.get(path, stream) as Row | undefined
    if (row === undefined) throw unknownStream(stream)
    const head = readHead(stream, row)
    const version = row['version'] as number | null
    if (version === null) {
      const floor = row['version_floor'] as number
      return { head, resource: { version: floor, stateText: undefined, deleted: false } }
    }
    const stateText = (row['state'] ?? undefined) as string | undefined
    return { head, resource: { version, stateText, deleted: stateText === undefined } }
  }

  collection(
    path: string,
    { afterPath = '', limit, maxChars = defaultMaxChars }: ReadCollectionOptions,
  ): { readonly head: Head; readonly items: readonly StoredItem[]; readonly more: boolean } {
    const head = this.#store.head(streamOf(path))
    const rows = this.#collection.iterate(path, afterPath, limit + 1) as Iterable<Row>
    const { items, full } = fillPage(rows, maxChars, readItem, ({ stateText }) => stateText.length, limit)
    return { head, items, more: full }
  }

  changes(stream: string, options: ReadChangesOptions): ChangesPage {
    const { after, limit, maxChars = defaultMaxChars, under } = options
    const head = this.#store.head(stream)
    if (!isCovered(after, head)) return { head, to: after, changes: [] }
    const to = Math.min(head.seq, after + limit)
    const rows = this.#changeRows(stream, after, to, under)
    const read = (row: ChangeRow): LoggedChange => readChange(head, row)
    const { items, full } = fillPage(rows, maxChars, read, ({ messageText }) => messageText.length)
    return { head, to: full ? items.at(-1)!.seq : to, changes: items }
  }

  latest(stream: string, options: ReadChangesOptions): LatestPage {
    const { after, limit, maxChars = defaultMaxChars, under } = options
    const head = this.#store.head(stream)
    if (!isCovered(after, head)) return { head, to: after, latest: [] }
    const end = this.#latestEnd.get(stream, after, Math.max(0, limit - 1))
    const to = (end?.['seq'] as number | undefined) ?? head.seq
    const rows = this.#latestRows(stream, after, to, under)
    const charsOf = ({ path, stateText }: Latest): number => path.length + (stateText?.length ?? 0)
    const { items, full } = fillPage(rows, maxChars, readLatest, charsOf)
    return { head, to: full ? items.at(-1)!.seq : to, latest: items }
  }

  *#changeRows(stream: string, after: number, to: number, under: string | undefined): Iterable<ChangeRow> {
    const range = narrow(stream, under)
    const statement = range === undefined ? this.#changes : this.#changesUnder
    for (let rows: ChangeRow[], last = after; ; last = rows.at(-1)![0]) {
      rows = statement.all(stream, last, to, ...(range ?? [])) as unknown as ChangeRow[]
      yield* rows
      if (rows.length < rowsAtOnce) return
    }
  }

  #latestRows(stream: string, after: number, to: number, under: string | undefined): Iterable<Row> {
    const range = narrow(stream, under)
    const statement = range === undefined ? this.#latest : this.#latestUnder
    return statement.iterate(stream, after, to, ...(range ?? [])) as Iterable<Row>
  }
}

/** A path and the range of what is below it; `undefined` where that is the whole stream. */
function narrow(stream: string, under: string | undefined): [string, string, string] | undefined {
  if (under === undefined || under === `/${stream}`) return undefined
  const { from, to } = rangeBelow(under)
  return [under, from, to]
}

function readHead(stream: string, row: Row): Head {
  return {
    stream,
    epoch: row['epoch'] as string,
    seq: row['head'] as number,
    first: row['first'] as number,
  }
}

function readChange({ stream, epoch }: Head, row: ChangeRow): LoggedChange {
  const [seq, event, path, topicPath, version, openText] = row
  const messageText = completeMessage(openText, { stream, epoch, seq })
  return { seq, event, path, topicPath: topicPath ?? path, version, messageText }
}

function readItem(row: Row): StoredItem {
  return {
    path: row['path'] as string,
    version: row['version'] as number,
    stateText: row['state'] as string,
  }
}

function readLatest(row: Row): Latest {
  return {
    path: row['path'] as string,
    seq: row['seq'] as number,
    version: row['version'] as number,
    stateText: (row['state'] ?? undefined) as string | undefined,
  }
}
