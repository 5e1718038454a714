/**
 * The change log in memory: the same promises without durability, for tests, trials and caches.
 *
 * Everything is lost when the process ends, and each log starts with new epochs. Listing a collection sorts it
 * each time, so it is not meant for large ones. PROTOCOL.md §7.
 */
import {
  checkOptions,
  completeMessage,
  createErrorReport,
  type Head,
  isUnder,
  parentOf,
  type ReportError,
  streamOf,
} from '../contract/index.ts'
import {
  type Batch,
  type BatchedChange,
  type BatchedReceipt,
  type ResourceState,
  unknownStream,
} from './batch.ts'
import type {
  ChangeLog,
  ChangesPage,
  LatestPage,
  LoggedChange,
  LogTransaction,
  ReadChangesOptions,
  ReadCollectionOptions,
  Retention,
  StoredItem,
  StoredResource,
  Written,
} from './change-log.ts'
import { CommitListeners } from './commit-listeners.ts'
import { type CommitStore, GroupCommit, type GroupCommitOptions, logClosed } from './group-commit.ts'
import { checkStreamName } from './path.ts'
import { randomId } from './random-id.ts'
import { lastToPrune, PruningClock, readRetention } from './retention.ts'
import { defaultMaxChars, fillPage, isCovered } from './window.ts'

export interface MemoryLogOptions extends GroupCommitOptions {
  /** Hears what fails or is noticed in the background. @default writes to stderr */
  readonly onError?: ReportError
  /** The wall clock, in milliseconds since 1970. @default Date.now */
  readonly now?: () => number
  /** Where to go on from: what another memory log was. @default empty */
  readonly image?: MemoryLogImage
}

/** A change log in memory. */
export interface MemoryLog extends ChangeLog {
  /** All that is committed now, to go on from in another log; an older image is to a newer log what a backup is. */
  image(): MemoryLogImage
}

/** What a memory log held at one moment. It is data: it may be cloned, and stays as it is. */
export interface MemoryLogImage {
  readonly streams: readonly (readonly [string, MemoryStreamImage])[]
  readonly resources: readonly (readonly [string, MemoryResource])[]
  readonly receipts: readonly (readonly [string, BatchedReceipt])[]
}

type MemoryStreamImage = Readonly<Omit<MemoryStream, 'changes'>> & {
  readonly changes: readonly BatchedChange[]
}

interface MemoryStream {
  epoch: string
  head: number
  first: number
  versionFloor: number
  relayed: number
  /** The changes first … head. */
  changes: BatchedChange[]
}

interface MemoryResource extends ResourceState {
  readonly stream: string
  readonly seq: number
}

/** Creates an empty change log in memory. */
export function createMemoryLog(options: MemoryLogOptions = {}): MemoryLog {
  checkOptions('createMemoryLog', options, {
    onError: true,
    now: true,
    image: true,
    maxWaitingWrites: true,
    maxTransactionChanges: true,
    transactionTimeoutMs: true,
  })
  return new OpenMemoryLog(options)
}

class OpenMemoryLog implements MemoryLog {
  readonly #streams = new Map<string, MemoryStream>()
  readonly #resources = new Map<string, MemoryResource>()
  readonly #receipts = new Map<string, BatchedReceipt>()
  readonly #group: GroupCommit
  readonly #listeners: CommitListeners
  readonly #report: ReportError
  readonly #clock: PruningClock
  #closing: Promise<void> | undefined

  constructor(options: MemoryLogOptions) {
    this.#report = createErrorReport(options.onError)
    this.#clock = new PruningClock(options.now ?? Date.now)
    this.#listeners = new CommitListeners(this.#report)
    for (const [stream, state] of options.image?.streams ?? []) {
      this.#streams.set(stream, { ...state, changes: [...state.changes] })
    }
    for (const [path, resource] of options.image?.resources ?? []) this.#resources.set(path, resource)
    for (const [key, receipt] of options.image?.receipts ?? []) this.#receipts.set(key, receipt)
    const store: CommitStore = {
      begin: async () => {},
      commit: batch => this.#apply(batch),
      rollback: () => {},
      stream: stream => this.#streams.get(stream),
      resource: path => this.#resources.get(path),
      receipt: key => this.#receipts.get(key),
      pathsBelow: (path, limit) =>
        this.#existing(below => below !== path && isUnder(below, path)).slice(0, limit),
    }
    this.#group = new GroupCommit(
      store,
      {
        onCommitted: batch => this.#listeners.call(batch.movedHeads()),
        onFailed: error => this.#report(error, { stage: 'commit' }),
        newId: randomId,
      },
      options,
    )
  }

  ensureStreams(streams: readonly string[]): Promise<readonly Head[]> {
    return this.#group.alone(() => {
      streams.forEach(checkStreamName)
      for (const stream of streams) {
        if (this.#streams.has(stream)) continue
        this.#streams.set(stream, {
          epoch: randomId(),
          head: 0,
          first: 1,
          versionFloor: 0,
          relayed: 0,
          changes: [],
        })
      }
      return streams.map(stream => this.#head(stream))
    })
  }

  write<T>(work: (transaction: LogTransaction) => Promise<T>): Promise<Written<T>> {
    return this.#group.write(work)
  }

  async head(stream: string): Promise<Head> {
    return this.#readHead(stream)
  }

  async readResource(path: string): Promise<{ readonly head: Head; readonly resource: StoredResource }> {
    const stream = streamOf(path)
    const head = this.#readHead(stream)
    const found = this.#resources.get(path)
    const version = found?.version ?? this.#stream(stream).versionFloor
    const stateText = found?.stateText
    return { head, resource: { version, stateText, deleted: found !== undefined && stateText === undefined } }
  }

  async readCollection(
    path: string,
    { afterPath = '', limit, maxChars = defaultMaxChars }: ReadCollectionOptions,
  ): Promise<{ readonly head: Head; readonly items: readonly StoredItem[]; readonly more: boolean }> {
    const head = this.#readHead(streamOf(path))
    const paths = this.#existing(item => parentOf(item) === path && item > afterPath)
    const read = (item: string): StoredItem => {
      const { version, stateText } = this.#resources.get(item)!
      return { path: item, version, stateText: stateText! }
    }
    const { items, full } = fillPage(paths, maxChars, read, ({ stateText }) => stateText.length, limit)
    return { head, items, more: full }
  }

  async readChanges(stream: string, options: ReadChangesOptions): Promise<ChangesPage> {
    const { after, limit, maxChars = defaultMaxChars, under } = options
    const head = this.#readHead(stream)
    if (!isCovered(after, head)) return { head, to: after, changes: [] }
    const to = Math.min(head.seq, after + limit)
    const rows = this.#stream(stream).changes.slice(after + 1 - head.first, to + 1 - head.first)
    const wanted = rows.filter(({ path }) => under === undefined || isUnder(path, under))
    const read = (row: BatchedChange): LoggedChange => readChange(head, row)
    const { items, full } = fillPage(wanted, maxChars, read, ({ messageText }) => messageText.length)
    return { head, to: full ? items.at(-1)!.seq : to, changes: items }
  }

  async readLatest(stream: string, options: ReadChangesOptions): Promise<LatestPage> {
    const { after, limit, maxChars = defaultMaxChars, under } = options
    const head = this.#readHead(stream)
    if (!isCovered(after, head)) return { head, to: after, latest: [] }
    const changed = [...this.#resources]
      .filter(([, resource]) => resource.stream === stream && resource.seq > after)
      .map(([path, { seq, version, stateText }]) => ({ path, seq, version, stateText }))
      .sort((a, b) => a.seq - b.seq)
    const to = changed[limit - 1]?.seq ?? head.seq
    const wanted = changed.slice(0, limit).filter(({ path }) => under === undefined || isUnder(path, under))
    const charsOf = (item: { path: string; stateText: string | undefined }): number =>
      item.path.length + (item.stateText?.length ?? 0)
    const { items, full } = fillPage(wanted, maxChars, item => item, charsOf)
    return { head, to: full ? items.at(-1)!.seq : to, latest: items }
  }

  async relayed(stream: string): Promise<number> {
    this.#readHead(stream)
    return this.#stream(stream).relayed
  }

  async setRelayed(stream: string, epoch: string, seq: number): Promise<void> {
    this.#readHead(stream)
    const state = this.#stream(stream)
    if (state.epoch === epoch) state.relayed = Math.max(state.relayed, seq)
  }

  async prune(retention?: Retention): Promise<number> {
    const limits = readRetention(retention)
    const nowMs = this.#clock.nowMs(notice => this.#report(notice, { stage: 'prune' }))
    return await this.#group.alone(() => {
      let deleted = 0
      for (const stream of this.#streams.values()) {
        deleted += pruneChanges(stream, nowMs - limits.maxAgeMs, limits)
      }
      for (const [path, { stream, seq, version, stateText }] of this.#resources) {
        const state = this.#stream(stream)
        if (stateText !== undefined || seq >= state.first) continue
        this.#resources.delete(path)
        state.versionFloor = Math.max(state.versionFloor, version)
      }
      const receipts = [...this.#receipts].sort(([, a], [, b]) => b.timeMs - a.timeMs)
      for (const [index, [key, { timeMs }]] of receipts.entries()) {
        if (index >= limits.maxReceipts || timeMs < nowMs - limits.maxReceiptAgeMs) this.#receipts.delete(key)
      }
      return deleted
    })
  }

  async renewEpoch(stream: string): Promise<Head> {
    const head = await this.#group.alone(() => {
      Object.assign(this.#stream(stream), { epoch: randomId(), head: 0, first: 1, relayed: -1, changes: [] })
      for (const [path, resource] of this.#resources) {
        if (resource.stream === stream) this.#resources.set(path, { ...resource, seq: 0 })
      }
      return this.#head(stream)
    })
    this.#listeners.call([head])
    return head
  }

  image(): MemoryLogImage {
    const streams = [...this.#streams].map(([stream, state]) => {
      const copy: MemoryStreamImage = { ...state, changes: [...state.changes] }
      return [stream, copy] as const
    })
    return { streams, resources: [...this.#resources], receipts: [...this.#receipts] }
  }

  async settle(): Promise<void> {
    if (this.#closing !== undefined) throw logClosed()
  }

  onCommit(listener: (heads: readonly Head[]) => void): () => void {
    return this.#listeners.add(listener)
  }

  close(): Promise<void> {
    this.#closing ??= this.#group.close()
    return this.#closing
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  #apply(batch: Batch): void {
    for (const { path, stream, version, seq, stateText } of batch.resources.values()) {
      this.#resources.set(path, { stream, version, seq, stateText })
    }
    for (const change of batch.changes) this.#stream(change.stream).changes.push(change)
    for (const [key, receipt] of batch.receipts) this.#receipts.set(key, receipt)
    for (const { stream, seq } of batch.movedHeads()) this.#stream(stream).head = seq
  }

  #existing(isWanted: (path: string) => boolean): string[] {
    const paths: string[] = []
    for (const [path, { stateText }] of this.#resources) {
      if (stateText !== undefined && isWanted(path)) paths.push(path)
    }
    return paths.sort()
  }

  #head(stream: string): Head {
    const { epoch, head, first } = this.#stream(stream)
    return { stream, epoch, seq: head, first }
  }

  /** Errors: `log-closed`, `not-found`. */
  #readHead(stream: string): Head {
    if (this.#closing !== undefined) throw logClosed()
    return this.#head(stream)
  }

  /** Errors: `not-found`. */
  #stream(stream: string): MemoryStream {
    const state = this.#streams.get(stream)
    if (state === undefined) throw unknownStream(stream)
    return state
  }
}

function pruneChanges(stream: MemoryStream, oldMs: number, retention: Required<Retention>): number {
  const young = stream.changes.findIndex(({ timeMs }) => timeMs >= oldMs)
  const lastOld = young === -1 ? stream.head : stream.first + young - 1
  const count = lastToPrune(stream.head, lastOld, retention) - stream.first + 1
  if (count <= 0) return 0
  stream.changes.splice(0, count)
  stream.first += count
  return count
}

function readChange({ stream, epoch }: Head, row: BatchedChange): LoggedChange {
  const { seq, event, path, topicPath, version, openText } = row
  return {
    seq,
    event,
    path,
    topicPath,
    version,
    messageText: completeMessage(openText, { stream, epoch, seq }),
  }
}
