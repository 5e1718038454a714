/** What a served file says, whatever its form: collections with their first rows, settings, notices, faults. */
import type { Fault } from 'lockstep/contract'
import type { Resource } from 'lockstep/service'
import type { FirstRow, RowCounts } from './first-row.ts'

/** Settings that a file may make; an option of the command line wins. */
export interface ServedSettings {
  readonly port?: number
  readonly host?: string
  readonly root?: string
  readonly topicPrefix?: string
  readonly mqttPort?: number
  /** The data folder, from the folder of the file. */
  readonly data?: string
}

/** One collection of the file. */
export interface ServedCollection {
  readonly resource: Resource<object>
  readonly firstRows: readonly FirstRow[]
  /** What was done to the rows' ids, to be said when they are written. */
  readonly rowCounts: RowCounts
}

/** What a form reads from the value of a file. Where there are faults, the rest counts for nothing. */
export interface ServedContent {
  readonly settings: ServedSettings
  readonly collections: readonly ServedCollection[]
  /** What is not served, and why. */
  readonly notices: readonly string[]
  readonly faults: readonly Fault[]
}
