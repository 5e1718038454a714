/**
 * What the model of restore.ts is made of: the rows before, lost and after, and what the log is at each moment.
 *
 * Messages are told apart by the place of their row in `World.rows`; the place after the last is that of the reset.
 */
import { foldRows, type Operation, pairIn, pairsOf, type Row, valueIn, writeRows } from './history.ts'

export const restoreInvariants = {
  converges: 'C the copy ends equal to the service',
  noLostRow: 'K no row is kept that the restored log does not have',
  noInvention: 'G nothing is shown that the epoch never had',
} as const

/** One mechanism that is left out. */
export type RestoreAblation =
  | 'epoch stays'
  | 'epoch renewed late'
  | 'epoch of messages not compared'
  | 'epoch taken from messages'
  | 'epoch of heads not compared'
  | 'epoch of answers not compared'
  | 'versions outlive the epoch'
  | 'no reset'

export interface RestoreScope {
  readonly before: readonly Operation[]
  readonly lost: readonly Operation[]
  readonly after: readonly Operation[]
  readonly without?: RestoreAblation
  readonly losses: number
  readonly repeats: number
}

export interface State {
  /** Rows in the log: of before and lost, and once restored of after. */
  readonly committed: number
  readonly published: number
  readonly isRestored: boolean
  readonly isRenewed: boolean
  /** How many rows of `after` were written before the epoch was renewed. */
  readonly renewedAt: number
  readonly losses: number
  readonly repeats: number
  /** Messages, two bits for each place in `World.rows`, the reset last. */
  readonly inFlight: number
  readonly buffer: number
  readonly phase: number
  /** The answer with the baseline, while it is on its way. */
  readonly answerEpoch: number
  readonly answerMarker: number
  readonly answer: number
  /** 0 while the follower knows none. */
  readonly epoch: number
  readonly position: number
  readonly copy: number
}

export const phases = { new: 0, wantsBaseline: 1, baselineOnItsWay: 2, live: 3 } as const

export interface World {
  /** Of before, lost and after, in this order. */
  readonly rows: readonly Row[]
  readonly backupAt: number
  readonly afterAt: number
  /** What the service holds after n rows of before and lost, and after n rows of after. */
  readonly heldOld: readonly number[]
  readonly heldNew: readonly number[]
  /** Per epoch and resource the pairs of version and value that it had. */
  readonly legal: readonly (readonly ReadonlySet<number>[])[]
  /** The pairs that the log has once it is restored. */
  readonly kept: readonly ReadonlySet<number>[]
  readonly without: RestoreAblation | undefined
}

export function createWorld({ before, lost, after, without }: RestoreScope): World {
  const oldRows = writeRows([...before, ...lost])
  const heldOld = foldRows(oldRows)
  const backup = heldOld[before.length]!
  const newRows = writeRows(after, backup)
  const heldNew = foldRows(newRows, backup)
  const isMixed = without === 'epoch stays' || without === 'epoch renewed late'
  const first = pairsOf(isMixed ? [...heldOld, ...heldNew] : heldOld)
  return {
    rows: [...oldRows, ...newRows],
    backupAt: before.length,
    afterAt: oldRows.length,
    heldOld,
    heldNew,
    legal: [[], first, pairsOf(heldNew)],
    kept: pairsOf([...heldOld.slice(0, before.length + 1), ...heldNew]),
    without,
  }
}

export function keyOf(s: State): string {
  const flags = (s.isRestored ? 1 : 0) | (s.isRenewed ? 2 : 0)
  return String.fromCharCode(
    s.committed |
      (s.published << 3) |
      (s.renewedAt << 6) |
      (s.losses << 9) |
      (s.repeats << 11) |
      (flags << 13),
    s.phase | (s.answerEpoch << 2) | (s.answerMarker << 4) | (s.epoch << 7) | (s.position << 9),
    s.inFlight,
    s.buffer,
    s.copy & 0xffff,
    (s.copy >> 16) | ((s.answer >> 16) << 8),
    s.answer & 0xffff,
  )
}

/** The log as the service has it now. */
export function epochOf(s: State): number {
  return s.isRenewed ? 2 : 1
}

export function headOf({ backupAt }: World, s: State): number {
  if (!s.isRestored) return s.committed
  return s.isRenewed ? s.committed - s.renewedAt : backupAt + s.committed
}

export function heldBy({ heldOld, heldNew }: World, s: State): number {
  return (s.isRestored ? heldNew : heldOld)[s.committed]!
}

/** The place in `rows` of the row that has a number in the log of now. */
export function placeOf({ backupAt, afterAt }: World, s: State, seq: number): number {
  if (s.isRenewed) return afterAt + s.renewedAt + seq - 1
  return s.isRestored && seq > backupAt ? afterAt + seq - backupAt - 1 : seq - 1
}

/** Epoch and number of the message at a place; the last place is the reset. */
export function positionAt(
  { rows, backupAt, afterAt }: World,
  s: State,
  place: number,
): { epoch: number; seq: number } {
  if (place === rows.length) return { epoch: 2, seq: 0 }
  if (place < afterAt) return { epoch: 1, seq: place + 1 }
  const index = place - afterAt
  const isRenewed = s.isRenewed && index >= s.renewedAt
  return isRenewed ? { epoch: 2, seq: index - s.renewedAt + 1 } : { epoch: 1, seq: backupAt + index + 1 }
}

/** Does the copy show what is not in the restored log, nor in what the backup goes back to? */
export function hasLostRow({ kept }: World, copy: number): boolean {
  return kept.some((pairs, resource) => valueIn(copy, resource) !== 0 && !pairs.has(pairIn(copy, resource)))
}

export function isSubscribed(s: State): boolean {
  return s.phase !== phases.new
}

export function one(place: number): number {
  return 1 << (place * 2)
}

export function countOf(messages: number, place: number): number {
  return (messages >> (place * 2)) & 3
}
