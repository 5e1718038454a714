/**
 * The log of a service with public resources: each change is marked with what it is to the public.
 *
 * This is decided where both states are known, inside the transaction, so that a deletion and a change of conditions are judged on what
 * was there before. PROTOCOL.md §13.
 */
import type { ChangeLog, LogTransaction, StoredResource } from '../log/change-log.ts'
import type { Face } from './face.ts'
import { markOf } from './projection.ts'
import { wrapLog } from './wrapped-log.ts'

/** Gives the face of the resource at a canonical path. */
export type FaceOf = (path: string) => Face | undefined

export function createMarkedLog(log: ChangeLog, faceOf: FaceOf): ChangeLog {
  return wrapLog(log, { write: work => log.write(tx => work(createMarkedTransaction(tx, faceOf))) })
}

function createMarkedTransaction(tx: LogTransaction, faceOf: FaceOf): LogTransaction {
  /** What was read or written last: every write comes behind a read of the same resource. */
  const states = new Map<string, StoredResource['stateText']>()
  return {
    get changesLeft() {
      return tx.changesLeft
    },
    async read(path) {
      const stored = await tx.read(path)
      if (faceOf(path) !== undefined) states.set(path, stored.stateText)
      return stored
    },
    readPathsUnder: (path, limit) => tx.readPathsUnder(path, limit),
    async write(change) {
      const { path, stateText, changesText } = change
      const face = faceOf(path)
      if (face === undefined) return await tx.write(change)
      const before = states.has(path) ? states.get(path) : (await tx.read(path)).stateText
      const mark = markOf(face, before, stateText)
      states.set(path, stateText)
      // What becomes visible is told whole.
      const isNew = mark.event === 'created'
      await tx.write({ ...change, changesText: isNew ? undefined : changesText, public: mark })
    },
    readReceipt: key => tx.readReceipt(key),
    writeReceipt: (key, text, timeMs) => tx.writeReceipt(key, text, timeMs),
  }
}
