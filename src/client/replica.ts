/**
 * A replica: a follower's copy in a SQLite file, from which it goes on after a restart.
 *
 * It says when to write, and what to make of a file that cannot be written; what is in the file is replica-copy.ts.
 * The log of the service is the truth: the last moments before a crash are read from it again. PROTOCOL.md §6.9.
 */
import {
  checkOptions,
  describeValue,
  LockstepError,
  type OptionNames,
  type ParsedPath,
  quote,
  type ReportError,
} from '../contract/index.ts'
import type { Clock } from './clock.ts'
import type { FollowerData, KeptPlace } from './follower-data.ts'
import { StoredCopy } from './replica-copy.ts'
import { isDamage, type OpenedFile, openReplicaFile } from './replica-file.ts'
import { memberSql } from './replica-index.ts'

export interface ReplicaOptions {
  /** The SQLite file; it and its folder are made where they are missing. One follower per file. */
  readonly file: string
  /** Members that `where` finds without looking at every state, as JSON Pointers: `['/address/city']`. */
  readonly indexes?: readonly string[]
}

export interface ReplicaSettings {
  readonly options: string | ReplicaOptions
  readonly target: ParsedPath
  /** The API root. */
  readonly api: string
  readonly clock: Clock
  readonly onError: ReportError
}

/** How long changes wait for others before they are written. */
const saveMs = 50
/** How long to wait after a write that failed; so much may then wait in memory. */
const retryMs = 1_000
const maxUnsaved = 10_000

export class Replica {
  readonly copy: StoredCopy
  /** What the file held when it was opened; `undefined` where that was nothing. */
  readonly kept: KeptPlace | undefined
  readonly #file: OpenedFile
  readonly #clock: Clock
  readonly #onError: ReportError
  #data: FollowerData | undefined
  #saved = ''
  #clearTimer: (() => void) | undefined
  #hasFailed = false
  #isClosed = false

  constructor(file: OpenedFile, name: string, { clock, onError }: ReplicaSettings) {
    this.#file = file
    this.#clock = clock
    this.#onError = onError
    this.copy = new StoredCopy(file, name)
    this.copy.beforeScan = () => this.#saveNow()
    const { place } = file
    if (place === undefined) return
    const { confirmedMs, ...rest } = place
    const ageMs = confirmedMs === undefined ? -1 : Date.now() - confirmedMs
    // A wall clock that went back tells no age.
    this.kept = { ...rest, confirmedAt: ageMs < 0 ? undefined : clock.now() - ageMs }
  }

  /** The follower's data, whose place is written along with the copy. */
  attach(data: FollowerData): void {
    this.#data = data
  }

  /** Is to be called when the follower's data may have changed, between its steps. */
  changed(): void {
    if (this.#isClosed) return
    if (this.copy.isFull && !this.#hasFailed) this.save()
    else if (this.#clearTimer === undefined && this.#isDue()) this.#setTimer(saveMs)
  }

  /** Writes what is new; `false` where that failed, which is reported. Between two steps of the follower only. */
  save(): boolean {
    try {
      this.#saveNow()
      return true
    } catch (error) {
      if (!this.#hasFailed) this.#onError(error, { stage: 'replica' })
      this.#hasFailed = true
      return false
    }
  }

  /** Is more waiting than may be kept in memory? */
  get isOverfull(): boolean {
    return this.#hasFailed && this.copy.unsaved > maxUnsaved
  }

  /** Writes what is new and lets the file go. Idempotent. */
  close(): void {
    if (this.#isClosed) return
    this.save()
    this.#end()
    this.#file.close()
  }

  /** Lets the file go as it is: what is in memory cannot be relied on. A damaged file is put out of the way. */
  abandon(error: unknown): void {
    if (this.#isClosed) return
    this.#end()
    if (isDamage(error)) this.#onError(damaged(this.copy.file, this.#file.setAside()), { stage: 'replica' })
    else this.#file.close()
  }

  #end(): void {
    this.#isClosed = true
    this.#clearTimer?.()
    this.#clearTimer = undefined
  }

  #isDue(): boolean {
    return this.copy.hasRest || this.copy.unsaved > 0 || formatPlace(this.#data) !== this.#saved
  }

  #saveNow(): void {
    const data = this.#data
    if (data?.epoch === undefined) return
    const text = formatPlace(data)
    if (text === this.#saved && this.copy.unsaved === 0) return
    const { epoch, position, cursor, ahead, confirmedAt } = data
    const confirmedMs = confirmedAt === undefined ? undefined : Date.now() - (this.#clock.now() - confirmedAt)
    this.copy.save({ epoch, position, cursor, ahead, confirmedMs })
    this.#saved = text
    this.#hasFailed = false
  }

  #setTimer(delayMs: number): void {
    this.#clearTimer = this.#clock.setTimer(() => {
      this.#clearTimer = undefined
      const isSaved = this.save()
      if (isSaved && this.copy.hasRest) this.#sweep()
      if (!isSaved) this.#setTimer(retryMs)
      else if (this.copy.hasRest) this.#setTimer(saveMs)
    }, delayMs)
  }

  #sweep(): void {
    try {
      this.copy.sweep()
    } catch (error) {
      this.#onError(error, { stage: 'replica' })
      this.copy.hasRest = false
    }
  }
}

/**
 * Opens the replica of what lies at a path. Errors: `missing-dependency`, `invalid-option`, `replica-failed`, as
 * {@link openReplicaFile}.
 */
export function openReplica(settings: ReplicaSettings): Replica {
  const { target, api, onError } = settings
  const { file, indexes } = readOptions(settings)
  const opened = openReplicaFile({ file, indexes, api, path: target.path })
  try {
    if (opened.damagedFile !== undefined) onError(damaged(file, opened.damagedFile), { stage: 'replica' })
    return new Replica(opened, file, settings)
  } catch (error) {
    opened.close()
    throw error
  }
}

const optionNames: OptionNames<ReplicaOptions> = { file: true, indexes: true }

function readOptions({ options, target }: ReplicaSettings): Required<ReplicaOptions> {
  const isName = typeof options === 'string'
  if (!isName && (typeof options !== 'object' || options === null || Array.isArray(options))) {
    throw new LockstepError(
      'invalid-option',
      `The replica of follow is ${describeValue(options)}. Give the name of a file, or { file, indexes }.`,
    )
  }
  if (!isName) checkOptions('The replica of follow', options, optionNames)
  const { file, indexes = [] } = isName ? { file: options } : options
  if (typeof file !== 'string' || file === '' || file.startsWith(':') || file.includes('\0')) {
    throw new LockstepError(
      'invalid-option',
      `The file of the replica is ${describeValue(file)}, which is no name of a file. Give one such as "people-copy.db".`,
    )
  }
  if (!Array.isArray(indexes)) {
    throw new LockstepError(
      'invalid-option',
      `indexes is ${describeValue(indexes)}. Give an array of JSON Pointers, such as ["/address/city"].`,
    )
  }
  if (target.kind === 'resource' && indexes.length > 0) {
    throw new LockstepError(
      'invalid-option',
      `${target.path} is one resource, which has no use for indexes. Leave them out, or follow its collection.`,
    )
  }
  for (const pointer of indexes) memberSql(pointer)
  return { file, indexes }
}

function formatPlace(data: FollowerData | undefined): string {
  if (data?.epoch === undefined) return ''
  const { epoch, position, cursor, ahead, confirmedAt } = data
  return `${epoch}:${position}:${cursor}:${ahead}:${confirmedAt}`
}

function damaged(file: string, aside: string): LockstepError {
  return new LockstepError(
    'replica-failed',
    `The replica ${quote(file, 200)} was damaged. It lies in ${quote(aside, 200)} now, for a look at what happened; everything is fetched anew.`,
  )
}
