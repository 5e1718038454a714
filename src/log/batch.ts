/**
 * A batch: what several units of work have done on top of the committed state, before any of it is stored.
 *
 * A work never writes to the store. It reads through three layers (its own writes, those of the works before it
 * in the batch, the committed state) and its writes stay in memory until it ends well. To undo a work is to
 * forget it, so a work that fails cannot harm another one, and the store is written in one go, without
 * savepoints, each resource once. Pure: no I/O, no clock. PROTOCOL.md §7.
 */
import {
  formatOpenMessage,
  type Head,
  isUnder,
  LockstepError,
  maxMarkerStreams,
  type Position,
  quote,
  streamOf,
} from '../contract/index.ts'
import type { LogTransaction, NewChange, Receipt, StoredResource } from './change-log.ts'

/** A stream as it is committed. */
export interface StreamState {
  readonly epoch: string
  readonly head: number
  readonly first: number
  /** The greatest version of any resource whose tombstone was purged. */
  readonly versionFloor: number
}

/** A row of a resource; `stateText` is `undefined` in a tombstone. */
export interface ResourceState {
  readonly version: number
  readonly stateText: string | undefined
  /** Do transactions of the application record it, which do not wait for this one? Then it is not written here. */
  readonly recorded?: boolean
}

/** What a batch needs to see of the store. MUST NOT change what it tells while works run. */
export interface CommittedState {
  stream(stream: string): StreamState | undefined
  resource(path: string): ResourceState | undefined
  /** The paths of existing resources strictly below `path`, in order. */
  pathsBelow(path: string, limit: number): readonly string[]
  receipt(key: string): Receipt | undefined
}

/** A resource as the batch leaves it. */
export interface BatchedResource extends ResourceState {
  readonly path: string
  readonly stream: string
  /** The number of its last change. */
  readonly seq: number
  /** Does the store hold it now, not deleted? */
  readonly exists: boolean
}

/** A numbered change, its message still without the id. */
export interface BatchedChange {
  readonly stream: string
  readonly seq: number
  readonly event: NewChange['event']
  readonly path: string
  readonly topicPath: string
  readonly version: number
  readonly timeMs: number
  readonly openText: string
}

/** A receipt as the batch leaves it. */
export interface BatchedReceipt extends Receipt {
  readonly timeMs: number
}

export interface BatchOptions {
  /** How many changes one work may make. */
  readonly maxTransactionChanges: number
  /** Makes the id of a transaction with several changes. */
  readonly newId: () => string
}

interface Known extends ResourceState {
  /** Does the store hold it, not deleted? */
  readonly exists: boolean
  /** Has it ever been there, as far as is remembered? */
  readonly remembered: boolean
}

/** How many characters of states, patches and receipts one work may write: they are held in memory until it ends. */
const maxTransactionSize = 67_108_864
/** How many characters one receipt may have: many of them are kept. */
const maxReceiptSize = 16_777_216

/** Collects works. `changes`, `resources` and `movedHeads()` are what the store has to write. */
export class Batch {
  readonly changes: BatchedChange[] = []
  readonly resources: Map<string, BatchedResource> = new Map()
  readonly receipts: Map<string, BatchedReceipt> = new Map()
  /** How many characters of states and messages wait to be written. */
  size = 0
  readonly #committed: CommittedState
  readonly #options: BatchOptions
  readonly #streams = new Map<string, { readonly state: StreamState; head: number }>()

  constructor(committed: CommittedState, options: BatchOptions) {
    this.#committed = committed
    this.#options = options
  }

  /** Begins a unit of work. */
  open(): BatchTransaction {
    return new BatchTransaction(this, this.#committed, this.#options.maxTransactionChanges)
  }

  /**
   * Takes in what an ended work wrote, all or nothing, and gives the marker of what it saw and wrote.
   * Errors: `too-many-changes` where it is about more streams than a marker may name.
   */
  accept(transaction: BatchTransaction): Position[] {
    const { changes } = transaction
    if (transaction.streams.size > maxMarkerStreams) {
      throw new LockstepError(
        'too-many-changes',
        `One transaction may read and write ${maxMarkerStreams} top-level collections, and not ${transaction.streams.size}. Split it into several.`,
      )
    }
    const tx = changes.length > 1 ? { id: this.#options.newId(), n: changes.length } : undefined
    const openTexts = changes.map(change => formatOpenChange(change, tx))
    for (const [index, change] of changes.entries()) {
      const stream = streamOf(change.path)
      const seq = ++this.#stream(stream).head
      const { event, path, topicPath, version, timeMs, stateText } = change
      const openText = openTexts[index]!
      this.changes.push({ stream, seq, event, path, topicPath, version, timeMs, openText })
      const exists = transaction.existed(path)
      this.resources.set(path, { path, stream, version, seq, stateText, exists })
      this.size += openText.length + (stateText?.length ?? 0)
    }
    const marker = [...transaction.streams].sort().map(stream => {
      const { state, head } = this.#stream(stream)
      return { stream, epoch: state.epoch, seq: head }
    })
    for (const [key, { text, timeMs }] of transaction.receipts) {
      this.receipts.set(key, { text, timeMs, marker })
      this.size += key.length + text.length
    }
    return marker
  }

  /** The heads of the streams that moved, as they stand after the batch. */
  movedHeads(): Head[] {
    const heads: Head[] = []
    for (const [stream, { state, head }] of this.#streams) {
      if (head !== state.head) heads.push({ stream, epoch: state.epoch, seq: head, first: state.first })
    }
    return heads
  }

  /** Errors: `not-found` for an unknown stream. */
  streamState(stream: string): StreamState {
    return this.#stream(stream).state
  }

  #stream(stream: string): { readonly state: StreamState; head: number } {
    const known = this.#streams.get(stream)
    if (known !== undefined) return known
    const state = this.#committed.stream(stream)
    if (state === undefined) throw unknownStream(stream)
    const entry = { state: { ...state }, head: state.head }
    this.#streams.set(stream, entry)
    return entry
  }
}

/** One unit of work in a batch. Every call rejects once it has ended. */
export class BatchTransaction implements LogTransaction {
  readonly changes: NewChange[] = []
  /** The streams that it read or wrote. */
  readonly streams: Set<string> = new Set()
  readonly receipts: Map<string, { readonly text: string; readonly timeMs: number }> = new Map()
  readonly #batch: Batch
  readonly #committed: CommittedState
  readonly #maxChanges: number
  readonly #written = new Map<string, Known>()
  readonly #read = new Map<string, Known>()
  #size = 0
  #ended = false
  #reason: Error | undefined
  #failure: { readonly error: unknown } | undefined

  constructor(batch: Batch, committed: CommittedState, maxChanges: number) {
    this.#batch = batch
    this.#committed = committed
    this.#maxChanges = maxChanges
  }

  get changesLeft(): number {
    return this.#maxChanges - this.changes.length
  }

  /** The first call that failed: nothing of the work may be kept then. */
  get failure(): { readonly error: unknown } | undefined {
    return this.#failure
  }

  async read(path: string): Promise<StoredResource> {
    return this.#call(() => {
      const { version, stateText, remembered } = this.#look(path)
      return { version, stateText, deleted: remembered && stateText === undefined }
    })
  }

  async readPathsUnder(path: string, limit: number): Promise<readonly string[]> {
    return this.#call(() => this.#readPathsUnder(path, limit))
  }

  async write(change: NewChange): Promise<void> {
    this.#call(() => this.#write(change))
  }

  async readReceipt(key: string): Promise<Receipt | undefined> {
    return this.#call(() => {
      const found = this.#batch.receipts.get(key) ?? this.#committed.receipt(key)
      return found && { text: found.text, marker: found.marker }
    })
  }

  async writeReceipt(key: string, text: string, timeMs: number): Promise<void> {
    this.#call(() => {
      if (text.length > maxReceiptSize) {
        throw new LockstepError(
          'too-many-changes',
          `What is kept to repeat the answer has ${text.length} characters; ${maxReceiptSize} are allowed. Split the transaction into several, or do it without a key.`,
        )
      }
      this.#take(text.length)
      this.receipts.set(key, { text, timeMs })
    })
  }

  /** Ends it: later calls reject, with `reason` where there is one. */
  end(reason?: Error): void {
    this.#ended = true
    this.#reason = reason
  }

  /** Did the store hold it, not deleted, when the batch began? */
  existed(path: string): boolean {
    return this.#written.get(path)?.exists ?? false
  }

  #call<T>(action: () => T): T {
    this.#checkOpen()
    try {
      return action()
    } catch (error) {
      this.#failure ??= { error }
      throw error
    }
  }

  #readPathsUnder(path: string, limit: number): readonly string[] {
    const stream = streamOf(path)
    this.#batch.streamState(stream)
    this.streams.add(stream)
    const changed = new Map<string, ResourceState>()
    for (const layer of [this.#batch.resources, this.#written]) {
      for (const [below, state] of layer) {
        if (below !== path && isUnder(below, path)) changed.set(below, state)
      }
    }
    // The committed rows that this transaction sees otherwise are left out, so as many more are asked for.
    const committed = this.#committed.pathsBelow(path, limit + changed.size)
    const paths = committed.filter(below => !changed.has(below))
    for (const [below, { stateText }] of changed) if (stateText !== undefined) paths.push(below)
    return paths.sort().slice(0, limit)
  }

  #write(change: NewChange): void {
    const { path, version, stateText } = change
    const known = this.#look(path)
    if (known.recorded === true) throw recordedElsewhere(path)
    checkChange(change, known)
    if (this.changesLeft === 0) throw this.#tooMuch()
    this.#take((stateText?.length ?? 0) + (change.changesText?.length ?? 0))
    this.#written.set(path, { version, stateText, remembered: true, exists: known.exists })
    this.changes.push(change)
  }

  #take(size: number): void {
    this.#size += size
    if (this.#size > maxTransactionSize) throw this.#tooMuch()
  }

  #tooMuch(): LockstepError {
    return new LockstepError(
      'too-many-changes',
      `One transaction may make ${this.#maxChanges} changes of ${maxTransactionSize} characters in all, with what is kept to repeat its answer. Split it into several.`,
    )
  }

  #look(path: string): Known {
    const own = this.#written.get(path) ?? this.#read.get(path)
    if (own !== undefined) return own
    const stream = streamOf(path)
    const { versionFloor } = this.#batch.streamState(stream)
    this.streams.add(stream)
    const known = this.#lookBelow(path, versionFloor)
    this.#read.set(path, known)
    return known
  }

  #lookBelow(path: string, versionFloor: number): Known {
    const batched = this.#batch.resources.get(path)
    if (batched !== undefined) return { ...batched, remembered: true }
    const committed = this.#committed.resource(path)
    if (committed === undefined) {
      return { version: versionFloor, stateText: undefined, exists: false, remembered: false }
    }
    return { ...committed, exists: committed.stateText !== undefined, remembered: true }
  }

  #checkOpen(): void {
    if (!this.#ended) return
    throw this.#reason ?? new Error('The work has ended: its transaction cannot be used any more.')
  }
}

export function unknownStream(stream: string): LockstepError {
  return new LockstepError('not-found', `There is no stream ${quote(stream)}.`)
}

function recordedElsewhere(path: string): LockstepError {
  return new LockstepError(
    'invalid-option',
    `${path} is recorded by transactions of the application, so it cannot be written by the service too. Write it there, and open the service with readOnly: true.`,
  )
}

/** A change that does not follow from what is there is a mistake of the caller's code, not of a client. */
function checkChange(change: NewChange, known: Known): void {
  const { event, path, version, stateText, changesText, timeMs } = change
  const faults = [
    version !== known.version + 1 && `the version ${version} does not follow ${known.version}`,
    (event === 'created') !== (known.stateText === undefined) && `it is ${event}, but ${describe(known)}`,
    (event === 'deleted') !== (stateText === undefined) && 'exactly a deletion has no state',
    changesText !== undefined && event !== 'modified' && `a change of the kind ${event} has no patch`,
    // The range of a JavaScript Date: beyond it the message's time cannot be written.
    !(Math.abs(timeMs) <= 8.64e15) && `the time ${timeMs} is none`,
  ]
  const fault = faults.find(text => text !== false)
  if (fault !== undefined) throw new Error(`The change of ${quote(path)} cannot be logged: ${fault}.`)
}

function describe({ stateText }: Known): string {
  return stateText === undefined ? 'nothing is there' : 'it is there'
}

/** The message of a change without its id; `tx` where the transaction made several. */
export function formatOpenChange(
  change: NewChange,
  tx: { readonly id: string; readonly n: number } | undefined,
): string {
  return formatOpenMessage({
    event: change.event,
    resource: change.path,
    version: change.version,
    time: new Date(change.timeMs).toISOString(),
    cause: change.cause,
    tx,
    stateText: change.stateText,
    changesText: change.changesText,
    public: change.public,
  })
}
