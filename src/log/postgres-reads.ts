/**
 * The reads of the PostgreSQL change log. Each is one statement, which is one snapshot.
 *
 * A statement gives the head in each row, and one row where nothing else is found. PROTOCOL.md §4 and §5.
 */
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
import type { Row, RunQuery } from './postgres-pool.ts'
import { readHead, readStreamHead } from './postgres-streams.ts'
import { defaultMaxChars, fillPage, isCovered } from './window.ts'

type Latest = LatestPage['latest'][number]

/** How far a stream is known to be published, and in which epoch. */
export interface Relayed {
  readonly epoch: string
  readonly seq: number
}

export class PostgresReads {
  readonly #query: RunQuery
  readonly #schema: string
  readonly #resource: string
  readonly #collection: string

  constructor(query: RunQuery, schema: string) {
    this.#query = query
    this.#schema = schema
    this.#resource = `SELECT s.stream, s.epoch, s.head, s.first, s.version_floor, r.version, r.state
      FROM ${schema}.stream s LEFT JOIN ${schema}.resource r ON r.path = $1 WHERE s.stream = $2`
    this.#collection = pageSql(
      schema,
      'path, version, state',
      `${schema}.resource WHERE collection = $3 AND path > $4`,
      'path',
      'state',
      'LIMIT $5',
    )
  }

  head(stream: string): Promise<Head> {
    return readStreamHead(this.#query, this.#schema, stream)
  }

  async relayed(stream: string): Promise<Relayed> {
    const [row] = await this.#query(`SELECT epoch, relayed FROM ${this.#schema}.stream WHERE stream = $1`, [
      stream,
    ])
    if (row === undefined) throw unknownStream(stream)
    return { epoch: row['epoch']!, seq: Number(row['relayed']) }
  }

  async resource(path: string): Promise<{ readonly head: Head; readonly resource: StoredResource }> {
    const stream = streamOf(path)
    const [row] = await this.#query(this.#resource, [path, stream])
    if (row === undefined) throw unknownStream(stream)
    const head = readHead(row)
    const version = Number(row['version'] ?? row['version_floor'])
    const stateText = row['state'] ?? undefined
    const deleted = row['version'] !== null && stateText === undefined
    return { head, resource: { version, stateText, deleted } }
  }

  async collection(
    path: string,
    { afterPath = '', limit, maxChars = defaultMaxChars }: ReadCollectionOptions,
  ): Promise<{ readonly head: Head; readonly items: readonly StoredItem[]; readonly more: boolean }> {
    const stream = streamOf(path)
    const { head, rows } = await this.#page(this.#collection, stream, maxChars, [path, afterPath, limit + 1])
    const { items, full } = fillPage(rows, maxChars, readItem, ({ stateText }) => stateText.length, limit)
    return { head, items, more: full }
  }

  async changes(stream: string, options: ReadChangesOptions): Promise<ChangesPage> {
    const { after, limit, maxChars = defaultMaxChars, under } = options
    const { condition, values } = underSql(stream, under, 5)
    const sql = pageSql(
      this.#schema,
      'seq, event, path, topic_path, version, open_text',
      `${this.#schema}.change WHERE change.stream = s.stream AND seq > $3 AND seq <= least(s.head, $4)
        AND $3 BETWEEN s.first - 1 AND s.head ${condition}`,
      'seq',
      'open_text',
    )
    const { head, rows } = await this.#page(sql, stream, maxChars, [after, after + limit, ...values])
    if (!isCovered(after, head)) return { head, to: after, changes: [] }
    const read = (row: Row): LoggedChange => readChange(head, row)
    const { items, full } = fillPage(rows, maxChars, read, ({ messageText }) => messageText.length)
    return { head, to: full ? items.at(-1)!.seq : Math.min(head.seq, after + limit), changes: items }
  }

  async latest(stream: string, options: ReadChangesOptions): Promise<LatestPage> {
    const { after, limit, maxChars = defaultMaxChars, under } = options
    const { condition, values } = underSql(stream, under, 5)
    const end = `(SELECT seq FROM ${this.#schema}.resource WHERE stream = $1 AND seq > $3
      ORDER BY seq LIMIT 1 OFFSET $4)`
    const sql = pageSql(
      this.#schema,
      'path, seq, version, state',
      `${this.#schema}.resource WHERE resource.stream = s.stream AND seq > $3 AND seq <= coalesce(${end}, s.head)
        AND $3 BETWEEN s.first - 1 AND s.head ${condition}`,
      'seq',
      'state',
      '',
      `${end} AS page_end`,
    )
    const {
      head,
      rows,
      end: pageEnd,
    } = await this.#page(sql, stream, maxChars, [after, Math.max(0, limit - 1), ...values])
    if (!isCovered(after, head)) return { head, to: after, latest: [] }
    const charsOf = ({ path, stateText }: Latest): number => path.length + (stateText?.length ?? 0)
    const { items, full } = fillPage(rows, maxChars, readLatest, charsOf)
    return { head, to: full ? items.at(-1)!.seq : (pageEnd ?? head.seq), latest: items }
  }

  async #page(
    sql: string,
    stream: string,
    maxChars: number,
    values: readonly unknown[],
  ): Promise<{ readonly head: Head; readonly rows: readonly Row[]; readonly end: number | undefined }> {
    // A character is at most three bytes of UTF-8: what a page may hold is never left out.
    const maxBytes = Math.min(maxChars * 3, Number.MAX_SAFE_INTEGER)
    const found = await this.#query(sql, [stream, maxBytes, ...values])
    const [first] = found
    if (first === undefined) throw unknownStream(stream)
    const end = first['page_end']
    return {
      head: { ...readHead({ ...first, first: first['first_seq']!, stream }) },
      rows: first['path'] === null ? [] : found,
      end: end === null || end === undefined ? undefined : Number(end),
    }
  }
}

/**
 * A stream's head with rows behind it, in order, up to one more than `$2` bytes of `sized` reach; `$1` is the stream.
 * So what is too large to be given is not even sent.
 */
function pageSql(
  schema: string,
  columns: string,
  source: string,
  order: string,
  sized: string,
  limit = '',
  extra = 'NULL AS page_end',
): string {
  return `SELECT s.epoch, s.head, s.first AS first_seq, ${extra}, page.* FROM ${schema}.stream s LEFT JOIN LATERAL (
      SELECT * FROM (
        SELECT ${columns}, sum(octet_length(${sized})) OVER (
          ORDER BY ${order} ROWS BETWEEN UNBOUNDED PRECEDING AND 2 PRECEDING) AS bytes_before
        FROM (SELECT ${columns} FROM ${source} ORDER BY ${order} ${limit}) AS chosen
      ) AS sized WHERE bytes_before IS NULL OR bytes_before <= $2
    ) AS page ON true WHERE s.stream = $1 ORDER BY page.${order}`
}

function underSql(
  stream: string,
  under: string | undefined,
  next: number,
): { readonly condition: string; readonly values: readonly string[] } {
  if (under === undefined || under === `/${stream}`) return { condition: '', values: [] }
  const { from, to } = rangeBelow(under)
  const condition = `AND (path = $${next} OR (path > $${next + 1} AND path < $${next + 2}))`
  return { condition, values: [under, from, to] }
}

function readChange({ stream, epoch }: Head, row: Row): LoggedChange {
  const seq = Number(row['seq'])
  const path = row['path']!
  return {
    seq,
    event: row['event'] as LoggedChange['event'],
    path,
    topicPath: row['topic_path'] ?? path,
    version: Number(row['version']),
    messageText: completeMessage(row['open_text']!, { stream, epoch, seq }),
  }
}

function readItem(row: Row): StoredItem {
  return { path: row['path']!, version: Number(row['version']), stateText: row['state']! }
}

function readLatest(row: Row): Latest {
  return {
    path: row['path']!,
    seq: Number(row['seq']),
    version: Number(row['version']),
    stateText: row['state'] ?? undefined,
  }
}
