/**
 * The model of numbering: concurrent transactions that write a change log, and ways to make an order of its rows.
 *
 * As in READ COMMITTED: a row lock is taken by the first write of a resource and held to the end, the version grows
 * under the lock, and ids come from a sequence that no rollback takes back. A reader may poll between any two
 * steps; any transaction may roll back, which is also how a deadlock ends. PROTOCOL.md §7.
 */
import type { Model, Visit } from './explore.ts'

export const sequencerInvariants = {
  noLoss: 'L no committed row is lost',
  order: 'R versions of a resource come in order',
  whole: 'T a transaction comes as a whole',
  noHole: 'N numbers come without a hole',
} as const

/** A row of the log. `number` is the id, or the seq where the transaction gives it. */
export interface LogRow {
  readonly tx: number
  readonly number: number
  readonly resource: string
  /** 0 while the row waits for its lock. */
  readonly version: number
}

/** What a poll sees, and what it gave before. */
export interface Poll {
  readonly committed: readonly LogRow[]
  readonly emitted: readonly LogRow[]
  /** Per transaction its id; 0 before its first write. */
  readonly xids: readonly number[]
  /** Every transaction with a lower id has ended. */
  readonly xmin: number
}

/** Gives the rows that come next. */
export type Ordering = (poll: Poll) => readonly LogRow[]

export interface SequencerScope {
  /** Per transaction the resources that it writes, in order. */
  readonly programs: readonly (readonly string[])[]
  readonly ordering: Ordering
  /** Is the log row written after its resource is locked, or before? @default 'after' */
  readonly logRow?: 'after' | 'before'
  /**
   * What a row's number is: an id from a sequence, by which the rows are ordered later; or already the number that
   * is published, from a sequence or one above the greatest that the transaction sees. @default 'id'
   */
  readonly numbers?: 'id' | 'from a sequence' | 'greatest seen'
  /** A lock that all writers share: held from the first write, or taken by the log row after the row lock. @default 'none' */
  readonly sharedLock?: 'none' | 'transaction' | 'log row'
  /** How many transactions may roll back; those of a deadlock do not count. @default 1 */
  readonly rollbacks?: number
}

interface State {
  /** Per transaction how many writes are done; `ended` at the end. */
  readonly done: readonly number[]
  readonly xids: readonly number[]
  readonly locks: Readonly<Record<string, number>>
  readonly pending: readonly LogRow[]
  readonly nextNumber: number
  readonly nextXid: number
  readonly committed: readonly LogRow[]
  readonly emitted: readonly LogRow[]
  readonly rollbacks: number
}

const ended = -1
const shared = '#'

export function createSequencerModel(scope: SequencerScope): Model<State> {
  const { programs, rollbacks = 1 } = scope
  return {
    initial: {
      done: programs.map(() => 0),
      xids: programs.map(() => 0),
      locks: {},
      pending: [],
      nextNumber: 1,
      nextXid: 1,
      committed: [],
      emitted: [],
      rollbacks,
    },
    key: keyOf,
    visit(state, visit) {
      const open = programs.flatMap((_, tx) => (state.done[tx] === ended ? [] : [tx]))
      const isMoving = open.map(tx => visitTransaction(scope, state, tx, visit)).includes(true)
      const left = isMoving ? state.rollbacks - 1 : state.rollbacks
      for (const tx of left >= 0 ? open : []) {
        if (!isMoving) visit.reaches('a deadlock')
        if (state.xids[tx] !== 0) visit.step(`T${tx} rolls back`, { ...end(state, tx), rollbacks: left })
      }
      const emitted = poll(scope, state)
      if (emitted.length > state.emitted.length) {
        visit.step(`poll: ${formatRows(emitted.slice(state.emitted.length))}`, { ...state, emitted })
      }
      if (state.done.every(done => done === ended)) checkEnd(scope, { ...state, emitted }, visit)
    },
  }
}

function keyOf(s: State): string {
  const locks = Object.entries(s.locks).map(([resource, tx]) => `${resource}${tx}`)
  const rows = [s.pending, s.committed, s.emitted].map(formatRows)
  return [s.done, s.xids, locks.sort(), s.nextNumber, s.nextXid, s.rollbacks, ...rows].join('|')
}

/** The next write of a transaction, or the first half of it, or its commit; `false` where it has to wait. */
function visitTransaction(
  scope: SequencerScope,
  state: State,
  tx: number,
  { step, reaches }: Visit<State>,
): boolean {
  const { programs, logRow = 'after', sharedLock = 'none' } = scope
  const resource = programs[tx]![state.done[tx]!]
  if (resource === undefined) {
    step(`T${tx} commits`, commit(state, tx))
    return true
  }
  const isFree = (name: string): boolean => (state.locks[name] ?? tx) === tx
  if (sharedLock === 'transaction' && !isFree(shared)) return false
  const begun = begin(scope, state, tx)
  const waiting = state.pending.find(row => row.tx === tx && row.version === 0)
  if (logRow === 'before' && waiting === undefined) {
    const { row, nextNumber } = takeNumber(scope, begun, { tx, number: 0, resource, version: 0 })
    step(`T${tx} logs ${resource} as ${row.number}`, {
      ...begun,
      nextNumber,
      pending: [...begun.pending, row],
    })
    return true
  }
  if (!isFree(resource) || (sharedLock === 'log row' && !isFree(shared))) {
    reaches('a transaction waits for a lock')
    if (!isFree(resource) || begun.locks[resource] === tx) return false
    // Who waits for the shared lock holds that of the resource already.
    step(`T${tx} locks ${resource}`, { ...begun, locks: { ...begun.locks, [resource]: tx } })
    return true
  }
  const version = versionOf(begun, resource) + 1
  const others = begun.pending.filter(row => row !== waiting)
  const { row, nextNumber } =
    waiting === undefined
      ? takeNumber(scope, begun, { tx, number: 0, resource, version })
      : { row: { ...waiting, version }, nextNumber: begun.nextNumber }
  const locks = { ...begun.locks, [resource]: tx, ...(sharedLock === 'log row' ? { [shared]: tx } : {}) }
  const done = state.done.map((count, other) => (other === tx ? count + 1 : count))
  step(`T${tx} writes ${formatRows([row])}`, { ...begun, done, locks, pending: [...others, row], nextNumber })
  return true
}

/** The first write gives a transaction its id. */
function begin({ sharedLock }: SequencerScope, state: State, tx: number): State {
  if (state.xids[tx] !== 0) return state
  const xids = state.xids.map((xid, other) => (other === tx ? state.nextXid : xid))
  const locks = sharedLock === 'transaction' ? { ...state.locks, [shared]: tx } : state.locks
  return { ...state, xids, locks, nextXid: state.nextXid + 1 }
}

function takeNumber(
  { numbers = 'id' }: SequencerScope,
  { pending, committed, nextNumber }: State,
  row: LogRow,
): { row: LogRow; nextNumber: number } {
  if (numbers !== 'greatest seen') return { row: { ...row, number: nextNumber }, nextNumber: nextNumber + 1 }
  const seen = [...committed, ...pending.filter(other => other.tx === row.tx)]
  return { row: { ...row, number: Math.max(0, ...seen.map(other => other.number)) + 1 }, nextNumber }
}

function versionOf({ committed, pending }: State, resource: string): number {
  const versions = [...committed, ...pending].filter(row => row.resource === resource).map(row => row.version)
  return Math.max(0, ...versions)
}

function commit(state: State, tx: number): State {
  const rows = state.pending.filter(row => row.tx === tx)
  return { ...end(state, tx), committed: [...state.committed, ...rows] }
}

function end(state: State, tx: number): State {
  const locks = Object.fromEntries(Object.entries(state.locks).filter(([, holder]) => holder !== tx))
  const done = state.done.map((count, other) => (other === tx ? ended : count))
  return { ...state, done, locks, pending: state.pending.filter(row => row.tx !== tx) }
}

function poll({ ordering }: SequencerScope, state: State): readonly LogRow[] {
  const { committed, emitted, xids, nextXid } = state
  const open = xids.filter((xid, tx) => xid !== 0 && state.done[tx] !== ended)
  return [...emitted, ...ordering({ committed, emitted, xids, xmin: Math.min(nextXid, ...open) })]
}

/** All transactions have ended, and the last poll has been made. */
function checkEnd({ numbers = 'id' }: SequencerScope, state: State, visit: Visit<State>): void {
  visit.rests()
  const { committed, emitted } = state
  const last: Record<string, number> = {}
  const broken = new Set<string>()
  if (new Set(emitted).size !== committed.length) broken.add(sequencerInvariants.noLoss)
  const runs = emitted.map(row => row.tx).filter((tx, i, all) => tx !== all[i - 1])
  if (new Set(runs).size < runs.length) broken.add(sequencerInvariants.whole)
  for (const [i, { resource, version, number }] of emitted.entries()) {
    if (version !== (last[resource] ?? 0) + 1) broken.add(sequencerInvariants.order)
    last[resource] = version
    if (numbers !== 'id' && number !== i + 1) broken.add(sequencerInvariants.noHole)
  }
  for (const invariant of broken) visit.breaks(invariant, `at the end: ${formatRows(emitted)}`)
}

function formatRows(rows: readonly LogRow[]): string {
  return rows
    .map(({ tx, number, resource, version }) => `${resource}${version} (T${tx}, ${number})`)
    .join(', ')
}

const byNumber = (a: LogRow, b: LogRow): number => a.number - b.number

function rest({ committed, emitted }: Poll): LogRow[] {
  return committed.filter(row => !emitted.includes(row))
}

/** The rows above the last number that was read, as a naive outbox does. */
export function orderByCursor({ committed, emitted }: Poll): readonly LogRow[] {
  const last = Math.max(0, ...emitted.map(row => row.number))
  return committed.filter(row => row.number > last).sort(byNumber)
}

/** The rows of transactions below the horizon, in order of transaction ids. */
export function orderByXid({ committed, emitted, xids, xmin }: Poll): readonly LogRow[] {
  const xidOf = (row: LogRow): number => xids[row.tx]!
  const last = emitted.at(-1)
  const isAfter = (row: LogRow): boolean =>
    last === undefined || xidOf(row) > xidOf(last) || (row.tx === last.tx && row.number > last.number)
  return committed
    .filter(row => xidOf(row) < xmin && isAfter(row))
    .sort((a, b) => xidOf(a) - xidOf(b) || byNumber(a, b))
}

/** All committed rows that have no number yet, by id. */
export function orderById(poll: Poll): readonly LogRow[] {
  return rest(poll).sort(byNumber)
}

/** The same, whole transactions at a time, by their smallest or greatest id. */
export function orderByTransaction(pick: (...ids: number[]) => number): Ordering {
  return poll => {
    const rows = rest(poll)
    const place = (tx: number): number => pick(...rows.filter(row => row.tx === tx).map(row => row.number))
    return rows.sort((a, b) => place(a.tx) - place(b.tx) || byNumber(a, b))
  }
}
