/**
 * What each statement of the PostgreSQL log does, on tables that are maps: the model of the SQL, statement by statement.
 *
 * A statement that is not known here is an error, so that one that is changed in src/log has to be changed here too. Every statement
 * is one moment, as its snapshot is; when it runs and what it sees of others is decided in postgres.ts.
 */
import { parentOf } from '../../src/contract/index.ts'

export type Value = string | null
export type Row = Record<string, Value>

export interface Stream {
  readonly epoch: string
  readonly head: number
  readonly first: number
  readonly floor: number
  readonly relayed: number
}
export interface Resource {
  readonly stream: string
  readonly version: number
  readonly seq: number
  readonly state: string | null
}
export interface Change {
  readonly id: number
  readonly xid: number
  readonly stream: string
  readonly event: string
  readonly path: string
  readonly topicPath: string | null
  readonly version: number
  readonly timeMs: number
  readonly openText: string
  /** The state after, as long as there is no number. */
  readonly state: string | null
}
export interface Recorded {
  readonly stream: string
  readonly version: number | null
  readonly state: string | null
}

/** All tables at one moment. Rows are replaced, never altered. */
export interface Tables {
  readonly meta: Map<string, string>
  readonly streams: Map<string, Stream>
  readonly resources: Map<string, Resource>
  readonly recorded: Map<string, Recorded>
  /** By stream and number. */
  readonly changes: Map<string, Map<number, Change>>
  /** Changes without a number, by id. */
  readonly pending: Map<number, Change>
  readonly receipts: Map<string, { readonly text: string; readonly marker: string; readonly timeMs: number }>
}

export function createTables(): Tables {
  return {
    meta: new Map([['schema_version', '2']]),
    streams: new Map(),
    resources: new Map(),
    recorded: new Map(),
    changes: new Map(),
    pending: new Map(),
    receipts: new Map(),
  }
}

export function copyTables(tables: Tables): Tables {
  return {
    meta: new Map(tables.meta),
    streams: new Map(tables.streams),
    resources: new Map(tables.resources),
    recorded: new Map(tables.recorded),
    changes: new Map([...tables.changes].map(([stream, rows]) => [stream, new Map(rows)])),
    pending: new Map(tables.pending),
    receipts: new Map(tables.receipts),
  }
}

/** Where the server is, for the epoch guard. */
export interface Place {
  readonly timeline: number
  readonly lsn: number
}

/** What a statement works on. */
export interface Scene {
  readonly tables: Tables
  readonly place: Place
  /** Is this resource locked by a transaction of the application? */
  readonly isLocked: (path: string) => boolean
}

// biome-ignore lint/suspicious/noExplicitAny: the values of a statement, as the log hands them to pg
type Run = (scene: Scene, values: any[]) => Row[]

/** Does the statement write? */
export function isWrite(text: string): boolean {
  return /\b(INSERT INTO|UPDATE lockstep|DELETE FROM)\b/.test(text)
}

/** By their text. */
const known = new Map<string, Run>()

export function runStatement(text: string, scene: Scene, values: unknown[]): Row[] {
  let run = known.get(text)
  if (run === undefined) {
    run = statements.find(([pattern]) => pattern.test(text))?.[1]
    if (run === undefined) throw new Error(`The simulated PostgreSQL does not know this statement: ${text}`)
    known.set(text, run)
  }
  return run(scene, values)
}

const bool = (value: boolean): Value => (value ? 't' : 'f')
const byPath = <T>(rows: ReadonlyMap<string, T>): [string, T][] =>
  [...rows].sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))

function presentRow({ place }: Scene): Row {
  return {
    system: '7000000000000000001',
    timeline: place.timeline.toString(16).padStart(8, '0'),
    lsn: `${place.lsn}`,
  }
}

function headRow(stream: string, { epoch, head, first, floor }: Stream): Row {
  return { stream, epoch, head: `${head}`, first: `${first}`, version_floor: `${floor}` }
}

function headRows({ tables }: Scene): Row[] {
  return byPath(tables.streams).map(([stream, row]) => headRow(stream, row))
}

function isPending({ tables }: Scene): boolean {
  return [...tables.pending.values()].some(({ stream }) => tables.streams.has(stream))
}

function changesOf({ changes }: Tables, stream: string): Map<number, Change> {
  const rows = changes.get(stream) ?? new Map<number, Change>()
  changes.set(stream, rows)
  return rows
}

function updateStream({ streams }: Tables, stream: string, part: Partial<Stream>): Row[] {
  const row = streams.get(stream)
  if (row === undefined) return []
  streams.set(stream, { ...row, ...part })
  return [headRow(stream, streams.get(stream)!)]
}

/** Rows behind a head, cut where their texts are more than so many bytes. */
function page(scene: Scene, stream: string, maxBytes: number, rows: readonly Row[], sized: string): Row[] {
  const row = scene.tables.streams.get(stream)
  if (row === undefined) return []
  const head = { epoch: row.epoch, head: `${row.head}`, first_seq: `${row.first}`, page_end: null }
  const shown: Row[] = []
  let bytes = 0
  for (const [index, item] of rows.entries()) {
    if (index > 1) bytes += Buffer.byteLength(rows[index - 2]![sized] ?? '')
    if (index > 1 && bytes > maxBytes) break
    shown.push({ ...head, ...item })
  }
  return shown.length > 0 ? shown : [{ ...head, path: null }]
}

const isUnder = (path: string, [under, from, to]: readonly string[]): boolean =>
  under === undefined || path === under || (path > from! && path < to!)

const readStreams: Run = scene => headRows(scene)

const readCollection: Run = (scene, [stream, maxBytes, path, after, limit]) => {
  const rows = byPath(scene.tables.resources)
    .filter(([other, { state }]) => state !== null && parentOf(other) === path && other > after)
    .slice(0, limit)
    .map(([other, { version, state }]): Row => ({ path: other, version: `${version}`, state }))
  return page(scene, stream, maxBytes, rows, 'state')
}

const readChanges: Run = (scene, [stream, maxBytes, after, end, ...under]) => {
  const row = scene.tables.streams.get(stream)
  const isCovered = row !== undefined && after >= row.first - 1 && after <= row.head
  const rows = [...(scene.tables.changes.get(stream) ?? [])]
    .filter(
      ([seq, { path }]) => isCovered && seq > after && seq <= Math.min(row.head, end) && isUnder(path, under),
    )
    .sort(([a], [b]) => a - b)
    .map(([seq, { event, path, topicPath, version, openText }]): Row => {
      const told = { seq: `${seq}`, event, path, topic_path: topicPath }
      return { ...told, version: `${version}`, open_text: openText }
    })
  return page(scene, stream, maxBytes, rows, 'open_text')
}

const readLatest: Run = (scene, [stream, maxBytes, after, skipped, ...under]) => {
  const row = scene.tables.streams.get(stream)
  if (row === undefined) return []
  const later = [...scene.tables.resources]
    .filter(([, resource]) => resource.stream === stream && resource.seq > after)
    .sort(([, a], [, b]) => a.seq - b.seq)
  const end = later[skipped]?.[1].seq
  const isCovered = after >= row.first - 1 && after <= row.head
  const rows = later
    .filter(([path, { seq }]) => isCovered && seq <= (end ?? row.head) && isUnder(path, under))
    .map(([path, { seq, version, state }]): Row => ({ path, seq: `${seq}`, version: `${version}`, state }))
  const pageEnd = end === undefined ? null : `${end}`
  return page(scene, stream, maxBytes, rows, 'state').map(found => ({ ...found, page_end: pageEnd }))
}

const writeBatch: Run = ({ tables }, v) => {
  for (const [index, path] of v[0].entries()) {
    const [stream, version, seq, state] = [v[1][index], v[3][index], v[4][index], v[5][index]]
    tables.resources.set(path, { stream, version, seq, state })
  }
  for (const [index, stream] of v[6].entries()) {
    const [seq, event, path, topicPath] = [v[7][index], v[8][index], v[9][index], v[10][index]]
    const [version, timeMs, openText] = [v[11][index], v[12][index], v[13][index]]
    const rows = changesOf(tables, stream)
    // The unique index change_seq.
    if (rows.has(seq)) throw Object.assign(new Error(`duplicate key ${stream} ${seq}`), { code: '23505' })
    rows.set(seq, { id: 0, xid: 0, stream, event, path, topicPath, version, timeMs, openText, state: null })
  }
  for (const [index, key] of v[14].entries())
    tables.receipts.set(key, { text: v[15][index], marker: v[16][index], timeMs: v[17][index] })
  for (const [index, stream] of v[18].entries()) updateStream(tables, stream, { head: v[19][index] })
  return []
}

/** Whole transactions in the order of their greatest ids. */
const number: Run = ({ tables }) => {
  const waiting = [...tables.pending.values()].filter(({ stream }) => tables.streams.has(stream))
  const last = new Map<number, number>()
  for (const { xid, id } of waiting) last.set(xid, Math.max(last.get(xid) ?? 0, id))
  waiting.sort((a, b) => last.get(a.xid)! - last.get(b.xid)! || a.id - b.id)
  const moved = new Set<string>()
  for (const change of waiting) {
    const { id, stream, path, version, state } = change
    const seq = tables.streams.get(stream)!.head + 1
    tables.pending.delete(id)
    changesOf(tables, stream).set(seq, { ...change, state: null })
    tables.resources.set(path, { stream, version, seq, state })
    updateStream(tables, stream, { head: seq })
    moved.add(stream)
  }
  return [...moved].map(stream => headRow(stream, tables.streams.get(stream)!))
}

const fetchResources: Run = ({ tables }, [paths]) =>
  (paths as string[]).flatMap(path => {
    const [resource, recorded] = [tables.resources.get(path), tables.recorded.get(path)]
    const isRecorded = recorded !== undefined && recorded.version !== null
    if (resource === undefined && !isRecorded) return []
    const version = resource?.version ?? recorded!.version!
    return [{ path, version: `${version}`, state: resource?.state ?? null, recorded: bool(isRecorded) }]
  })

const purgeTombstones: Run = ({ tables }, [stream]) => {
  const row = tables.streams.get(stream)!
  const gone = [...tables.resources].filter(
    ([, resource]) => resource.stream === stream && resource.state === null && resource.seq < row.first,
  )
  for (const [path] of gone) tables.resources.delete(path)
  const floor = Math.max(row.floor, ...gone.map(([, { version }]) => version))
  updateStream(tables, stream, { floor })
  return [{ count: `${gone.length}` }]
}

const purgeRecorded: Run = ({ tables, isLocked }, [stream]) => {
  const row = tables.streams.get(stream)!
  const gone = [...tables.recorded].filter(
    ([path, recorded]) =>
      recorded.stream === stream && recorded.state === null && !tables.resources.has(path) && !isLocked(path),
  )
  for (const [path] of gone) tables.recorded.delete(path)
  updateStream(tables, stream, { floor: Math.max(row.floor, ...gone.map(([, { version }]) => version ?? 0)) })
  return [{ count: `${gone.length}` }]
}

const statements: readonly (readonly [RegExp, Run])[] = [
  [
    /^SELECT stream, epoch, head, first(, version_floor)? FROM lockstep\.stream( ORDER BY stream)?$/,
    readStreams,
  ],
  [
    /^SELECT stream, epoch, head, first FROM lockstep\.stream WHERE stream = \$1$/,
    (scene, [stream]) => headRows(scene).filter(row => row['stream'] === stream),
  ],
  [
    /^SELECT \(SELECT system_identifier .* AS may_see_files$/,
    scene => [{ ...presentRow(scene), table: '1', database: '2', may_see_files: 'f' }],
  ],
  [
    /^SELECT \(SELECT system_identifier .* AS pending, s\.\* FROM/,
    scene => {
      const one = { ...presentRow(scene), pending: bool(isPending(scene)), stream: null }
      const rows = headRows(scene).map(row => ({ ...one, ...row }))
      return rows.length > 0 ? rows : [one]
    },
  ],
  [/^SELECT \(SELECT system_identifier /, scene => [presentRow(scene)]],
  [/^SELECT to_regnamespace/, () => [{ has_schema: 't', has_tables: 't' }]],
  [/^SELECT seqcache FROM/, () => [{ seqcache: '1' }]],
  [
    /^SELECT value FROM lockstep\.meta/,
    ({ tables }, [key]) => (tables.meta.has(key) ? [{ value: tables.meta.get(key)! }] : []),
  ],
  [
    /^INSERT INTO lockstep\.meta/,
    ({ tables }, [key, value]) => {
      tables.meta.set(key, value)
      return []
    },
  ],
  [
    /^INSERT INTO lockstep\.stream/,
    ({ tables }, [names, epochs]) => {
      for (const [index, name] of names.entries())
        if (!tables.streams.has(name))
          tables.streams.set(name, { epoch: epochs[index], head: 0, first: 1, floor: 0, relayed: 0 })
      return []
    },
  ],
  [/^WITH resource AS \( INSERT INTO/, writeBatch],
  [/^WITH pending AS \(/, number],
  [/^SELECT EXISTS \(SELECT FROM lockstep\.change JOIN/, scene => [{ more: bool(isPending(scene)) }]],
  [/^SELECT path, coalesce\(r\.version, n\.version\)/, fetchResources],
  [
    /^SELECT key, text, marker FROM lockstep\.receipt/,
    ({ tables }, [keys]) =>
      (keys as string[]).flatMap(key => {
        const row = tables.receipts.get(key)
        return row === undefined ? [] : [{ key, text: row.text, marker: row.marker }]
      }),
  ],
  [
    /^SELECT path FROM lockstep\.resource WHERE path >/,
    ({ tables }, [from, to, limit]) =>
      byPath(tables.resources)
        .filter(([path, { state }]) => path > from && path < to && state !== null)
        .slice(0, limit)
        .map(([path]) => ({ path })),
  ],
  [
    /^SELECT epoch, relayed FROM/,
    ({ tables }, [stream]) => {
      const row = tables.streams.get(stream)
      return row === undefined ? [] : [{ epoch: row.epoch, relayed: `${row.relayed}` }]
    },
  ],
  [
    /^UPDATE lockstep\.stream SET relayed/,
    ({ tables }, [names, epochs, seqs]) => {
      for (const [index, name] of names.entries()) {
        const row = tables.streams.get(name)
        if (row?.epoch === epochs[index] && row!.relayed < seqs[index])
          updateStream(tables, name, { relayed: seqs[index] })
      }
      return []
    },
  ],
  [
    /^SELECT s\.stream, s\.epoch, s\.head, s\.first, s\.version_floor, r\.version/,
    ({ tables }, [path, stream]) => {
      const row = tables.streams.get(stream)
      const resource = tables.resources.get(path)
      const version = resource === undefined ? null : `${resource.version}`
      return row === undefined ? [] : [{ ...headRow(stream, row), version, state: resource?.state ?? null }]
    },
  ],
  [/^SELECT s\.epoch, .* WHERE collection = \$3/, readCollection],
  [/^SELECT s\.epoch, .* FROM lockstep\.change WHERE/, readChanges],
  [/^SELECT s\.epoch, .* FROM lockstep\.resource WHERE resource\.stream/, readLatest],
  [
    /^SELECT seq FROM lockstep\.change WHERE stream = \$1 AND seq >=/,
    ({ tables }, [stream, first, end, oldMs]) => {
      const young = [...changesOf(tables, stream)]
        .filter(([seq, { timeMs }]) => seq >= first && seq <= end && timeMs >= oldMs)
        .map(([seq]) => seq)
      return young.length === 0 ? [] : [{ seq: `${Math.min(...young)}` }]
    },
  ],
  [
    /^DELETE FROM lockstep\.change WHERE stream = \$1 AND seq BETWEEN/,
    ({ tables }, [stream, first, last]) => {
      const rows = changesOf(tables, stream)
      for (const seq of [...rows.keys()]) if (seq >= first && seq <= last) rows.delete(seq)
      return []
    },
  ],
  [
    /^UPDATE lockstep\.stream SET first/,
    ({ tables }, [first, stream]) => updateStream(tables, stream, { first }),
  ],
  [/^WITH gone AS \( DELETE FROM lockstep\.resource/, purgeTombstones],
  [/^WITH gone AS \( DELETE FROM lockstep\.recorded/, purgeRecorded],
  // Receipts live longer than a simulation.
  [/^DELETE FROM lockstep\.receipt/, () => []],
  [
    /^UPDATE lockstep\.resource SET seq = 0 WHERE path IN/,
    ({ tables }, [stream, end]) => forgetSeqs(tables, stream, end),
  ],
  [
    /^UPDATE lockstep\.resource SET seq = 0 WHERE stream/,
    ({ tables }, [stream]) => forgetSeqs(tables, stream, Number.POSITIVE_INFINITY),
  ],
  [
    /^DELETE FROM lockstep\.change WHERE stream = \$1 AND seq IS NOT NULL/,
    ({ tables }, [stream]) => {
      tables.changes.delete(stream)
      return []
    },
  ],
  [
    /^UPDATE lockstep\.stream SET epoch/,
    ({ tables }, [epoch, stream]) => updateStream(tables, stream, { epoch, head: 0, first: 1, relayed: -1 }),
  ],
  [
    /^SELECT s\.epoch = \$2 AS same_epoch/,
    ({ tables }, [stream, epoch, seq, text]) => {
      const row = tables.streams.get(stream)
      if (row === undefined) return []
      const same = tables.changes.get(stream)?.get(seq)?.openText
      return [
        {
          same_epoch: bool(row.epoch === epoch),
          reached: bool(row.head >= seq),
          held: bool(row.first <= seq),
          same: same === undefined ? null : bool(same === text),
        },
      ]
    },
  ],
  [
    /^SELECT 1 FROM lockstep\.receipt/,
    ({ tables }, [key, text, timeMs]) => {
      const row = tables.receipts.get(key)
      return row?.text === text && row?.timeMs === timeMs ? [{}] : []
    },
  ],
]

function forgetSeqs({ resources }: Tables, stream: string, end: number): Row[] {
  const found = [...resources].filter(([, row]) => row.stream === stream && row.seq > 0 && row.seq < end)
  for (const [path, row] of found) resources.set(path, { ...row, seq: 0 })
  return found.map(() => ({}))
}
