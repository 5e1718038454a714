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
  type ReportError,
  type Texts,
} from '../contract/index.ts'
import type { Clock } from './clock.ts'
import type { FollowerData, KeptPlace } from './follower-data.ts'
import { StoredCopy } from './replica-copy.ts'
import { asReplicaFailure, isDamage } from './replica-failure.ts'
import { openReplicaFile, type ReplicaFile } from './replica-file.ts'
import { readIndex } from './replica-index.ts'

export interface ReplicaOptions {
  /** The SQLite file; it and its folder are made where they are missing. One follower per file. */
  readonly file: string
  /** Members that `where` finds without looking at every state, by member path: `['address/city']`. */
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
  /** Which members are texts in several languages, as far as it is known: kept with the place. */
  texts: Texts | undefined
  /** Was the copy found damaged, and not renewed yet? */
  isLost = false
  readonly #file: ReplicaFile
  readonly #clock: Clock
  readonly #onError: ReportError
  #data: FollowerData | undefined
  #onLost: () => void = () => {}
  #saved = ''
  #clearTimer: (() => void) | undefined
  #hasFailed = false
  #isClosed = false

  constructor(file: ReplicaFile, { clock, onError }: ReplicaSettings) {
    this.#file = file
    this.#clock = clock
    this.#onError = onError
    this.copy = new StoredCopy(file.opened, file.file)
    this.copy.onFailure = (error, verb) => this.#hearFailure(error, verb)
    const { place } = file.opened
    if (place === undefined) return
    const { confirmedMs, texts, ...rest } = place
    this.texts = texts
    const ageMs = confirmedMs === undefined ? -1 : Date.now() - confirmedMs
    // A wall clock that went back tells no age.
    this.kept = { ...rest, confirmedAt: ageMs < 0 ? undefined : clock.now() - ageMs }
  }

  /** The follower's data, whose place is written along with the copy; and what to call, soon, when the copy is lost. */
  attach(data: FollowerData, onLost: () => void): void {
    this.#data = data
    this.#onLost = onLost
  }

  /** Is to be called when the follower's data may have changed, between its steps. */
  changed(): void {
    if (this.#isClosed) return
    if (this.copy.isFull && !this.#hasFailed) this.save()
    else if (this.#isDue()) this.#setTimer(saveMs)
  }

  /**
   * Writes what is new, and gives what kept it from that, which is reported. `isProbe` writes in any case, to see
   * whether it can. Between two steps of the follower only.
   */
  save({ isProbe = false }: { isProbe?: boolean } = {}): LockstepError | undefined {
    try {
      this.#saveNow(isProbe)
      return undefined
    } catch (error) {
      return asReplicaFailure(error, this.copy.file, 'written')
    }
  }

  /** Is more waiting than may be kept in memory? */
  get isOverfull(): boolean {
    return this.#hasFailed && this.copy.unsaved > maxUnsaved
  }

  /** Puts the damaged file aside; the copy is empty then. */
  renew(): void {
    this.#onError(this.#file.renew(), { stage: 'replica' })
    this.copy.open(this.#file.opened)
    this.#saved = ''
    this.isLost = this.#hasFailed = false
  }

  /** Writes what is new and lets the file go. Idempotent. */
  close(): void {
    if (this.#isClosed) return
    this.#end()
    this.save()
    if (this.isLost) this.#onError(this.#file.renew(), { stage: 'replica' })
    this.#file.close()
  }

  /** Lets the file go as it is: what is in memory cannot be relied on. */
  abandon(): void {
    this.#end()
    this.#file.close()
  }

  #end(): void {
    this.#isClosed = true
    this.#clearTimer?.()
    this.#clearTimer = undefined
  }

  #hearFailure(error: LockstepError, verb: 'read' | 'written'): void {
    if (isDamage(error)) {
      if (this.isLost) return
      this.isLost = true
      // Not at once: it may have been found in the middle of a step, or of what the application does.
      queueMicrotask(() => this.#onLost())
    } else if (verb === 'written') {
      if (!this.#hasFailed) this.#onError(error, { stage: 'replica' })
      this.#hasFailed = true
    }
  }

  #isDue(): boolean {
    if (this.#data?.epoch === undefined) return false
    return this.copy.hasRest || this.copy.isChanged || this.#formatPlace(this.#data) !== this.#saved
  }

  #saveNow(isProbe: boolean): void {
    const data = this.#data
    if (data?.epoch === undefined) return
    const text = this.#formatPlace(data)
    if (text === this.#saved && !this.copy.isChanged && !isProbe) return
    const { epoch, position, cursor, ahead, confirmedAt } = data
    const confirmedMs = confirmedAt === undefined ? undefined : Date.now() - (this.#clock.now() - confirmedAt)
    this.copy.save({ epoch, position, cursor, ahead, confirmedMs, texts: this.texts })
    this.#saved = text
    this.#hasFailed = false
  }

  #formatPlace({ epoch, position, cursor, ahead, confirmedAt }: FollowerData): string {
    return JSON.stringify([epoch, position, cursor, ahead, confirmedAt, this.texts])
  }

  #setTimer(delayMs: number): void {
    if (this.#clearTimer !== undefined) return
    this.#clearTimer = this.#clock.setTimer(() => {
      this.#clearTimer = undefined
      const isSaved = this.save() === undefined
      if (isSaved && this.copy.hasRest) this.#sweep()
      if (!isSaved) this.#setTimer(retryMs)
      else if (this.copy.hasRest) this.#setTimer(saveMs)
    }, delayMs)
  }

  #sweep(): void {
    try {
      this.copy.sweep()
    } catch {
      // It was reported; what is left is swept with the next baseline, or after the next start.
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
  if (opened.notice !== undefined) onError(opened.notice, { stage: 'replica' })
  return new Replica(opened, settings)
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
      `indexes is ${describeValue(indexes)}. Give an array of member paths, such as ["address/city"].`,
    )
  }
  if (target.kind === 'resource' && indexes.length > 0) {
    throw new LockstepError(
      'invalid-option',
      `${target.path} is one resource, which has no use for indexes. Leave them out, or follow its collection.`,
    )
  }
  for (const index of indexes) readIndex(index)
  return { file, indexes }
}
