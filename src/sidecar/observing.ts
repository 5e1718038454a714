/**
 * What observes an API without a transaction of its own, whoever hears of the writes: the sidecar, which passes them on, or the middleware,
 * in whose process they are made.
 */
export type { ApiAnswer } from './api-reader.ts'
export { Doubts, type Reason } from './doubts.ts'
export { createMemoryJournal, type IntentJournal, openIntentJournal } from './intent-journal.ts'
export {
  type Mirrored,
  type MirroredOptions,
  readMirrored,
  readState,
  toMirrored,
  valuesOf,
} from './mirrored.ts'
export { Observer } from './observer.ts'
export { Scans } from './scans.ts'
export { Shadow } from './shadow.ts'
export { type Target, TargetTable, type Touches } from './target-table.ts'
export { type ClientWrite, judgeEnd, listDoubts, listHeld } from './write-outcome.ts'
