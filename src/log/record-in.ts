/**
 * Records changes in a transaction of the log itself, whatever its store: for who observes resources that others own, and has
 * no transaction of theirs to join. PROTOCOL.md §7.
 */
import type { LogTransaction } from './change-log.ts'
import {
  createRecordedChange,
  type Recorded,
  type RecordedChange,
  readRecordedPath,
} from './recorded-change.ts'

export interface RecordInOptions {
  /** When it was observed, in milliseconds since 1970. */
  readonly timeMs: number
}

/**
 * Records one change after another, each seen by the next; a state equal to the one before records nothing. What is nested
 * below a resource that is deleted is recorded as deleted before it. Errors: `invalid-path`, `invalid-id`, `invalid-state`,
 * `json-too-deep`, `unsafe-number`, `too-many-changes`; the whole work is undone then.
 *
 *     await log.write(tx => recordIn(tx, [{ path: '/people/ann', state: ann }], { timeMs: Date.now() }))
 */
export async function recordIn(
  tx: LogTransaction,
  changes: readonly RecordedChange[],
  { timeMs }: RecordInOptions,
): Promise<Recorded[]> {
  const recorded: Recorded[] = []
  for (const given of changes) {
    const path = readRecordedPath(given)
    if (given.state === null) {
      // The deepest first, so that no message ever tells of a child whose parent is gone.
      const nested = await tx.readPathsUnder(path, tx.changesLeft)
      for (const childPath of nested.toReversed())
        recorded.push(await recordOne(tx, childPath, { ...given, path: childPath }, timeMs))
    }
    recorded.push(await recordOne(tx, path, given, timeMs))
  }
  return recorded
}

async function recordOne(
  tx: LogTransaction,
  path: string,
  given: RecordedChange,
  timeMs: number,
): Promise<Recorded> {
  const before = await tx.read(path)
  const change = createRecordedChange(path, given, before, timeMs)
  if (change !== undefined) await tx.write(change)
  const { version, stateText } = change ?? before
  return { path, event: change?.event, version, deleted: stateText === undefined }
}
