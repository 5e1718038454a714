/**
 * The port to a change log: resources, their versions and their numbered changes in one transactional store.
 *
 * An adapter MUST write state, version and change in one transaction, and MUST number the changes of a stream
 * 1, 2, 3 … without a hole, in an order in which each resource's versions follow each other by one. It never
 * interprets a state: states and messages are JSON texts. Paths are canonical (contract/topic.ts); the stream
 * of a path is its first segment. PROTOCOL.md §7.
 */
import type { Head, Marker, PublicMark } from '../contract/index.ts'

/** A resource as it stands. A resource that never was, or whose tombstone is purged, has version `floor` and no state. */
export interface StoredResource {
  /** The next write makes `version + 1`. */
  readonly version: number
  /** The JSON text of the state; `undefined` where there is none. */
  readonly stateText: string | undefined
  /** `true` while a tombstone says that it was there. */
  readonly deleted: boolean
}

/** One row of a collection. */
export interface StoredItem {
  readonly path: string
  readonly version: number
  readonly stateText: string
}

/** A change to make. The log adds the number, and `tx` where the transaction made several changes. */
export interface NewChange {
  readonly event: 'created' | 'modified' | 'deleted'
  /** The canonical path of the resource. */
  readonly path: string
  /** The canonical path of the endpoint that was called: the collection after a POST, else the resource. */
  readonly topicPath: string
  /** MUST be the version read in this transaction + 1. */
  readonly version: number
  /** The JSON text of the state after; `undefined` exactly where the event is `deleted`. */
  readonly stateText: string | undefined
  /** The JSON text of the merge patch that the message carries instead of the state, where there is one. */
  readonly changesText?: string
  /** Milliseconds since 1970. */
  readonly timeMs: number
  readonly cause?: string
  /** Stands in the message. */
  readonly public?: PublicMark
}

/** A change as the log holds it. */
export interface LoggedChange {
  readonly seq: number
  readonly event: 'created' | 'modified' | 'deleted'
  readonly path: string
  readonly topicPath: string
  readonly version: number
  /** The whole message as JSON text, with its `id`. */
  readonly messageText: string
}

/** What a write that may be repeated is remembered by: its answer, to be given again. */
export interface Receipt {
  /** What the work left. */
  readonly text: string
  /** The marker of that work. */
  readonly marker: Marker
}

/**
 * What a unit of work may do inside its transaction. Not to be used after the work has ended. Where one of these calls
 * fails the whole work is undone and rejects, even if it catches the error: it would leave half of what it began.
 */
export interface LogTransaction {
  /** How many more changes this work may make. */
  readonly changesLeft: number
  /** Reads a resource as this transaction sees it, and keeps others from writing it until the end. */
  read(path: string): Promise<StoredResource>
  /** The paths of all existing resources below a resource's path (of nested collections), in order, at most `limit`. */
  readPathsUnder(path: string, limit: number): Promise<readonly string[]>
  /** Writes state and version, and logs the change when the work ends. Errors: `too-many-changes`. */
  write(change: NewChange): Promise<void>
  /** What an earlier work left under the key, if that is still remembered. */
  readReceipt(key: string): Promise<Receipt | undefined>
  /** Leaves a receipt, with the marker of this work, in the same transaction as its changes. Errors: `too-many-changes`. */
  writeReceipt(key: string, text: string, timeMs: number): Promise<void>
}

/** What a unit of work gave. */
export interface Written<T> {
  readonly value: T
  /**
   * A lower bound of what the work saw and wrote, for each stream that it read or wrote. Where the store numbers
   * inside the transaction (SQLite, memory) it is the position of the stream's last change in this work.
   */
  readonly marker: Marker
}

export interface ReadCollectionOptions {
  /** Only items whose path is greater (in code unit order). */
  readonly afterPath?: string
  readonly limit: number
  /** Stop after so many characters of states; at least one item is given. @default 8_388_608 */
  readonly maxChars?: number
}

export interface CollectionPage {
  readonly head: Head
  readonly items: readonly StoredItem[]
  readonly more: boolean
  /** Where only some of what was read is given: how many items were looked at, and the path of the last of them. */
  readonly lookedAt?: { readonly count: number; readonly lastPath: string | undefined }
}

export interface ReadChangesOptions {
  /** Only changes with a greater number. */
  readonly after: number
  /** At most so many changes are looked at, also where `under` leaves most of them out. */
  readonly limit: number
  /** Stop after so many characters of messages; at least one is given. @default 8_388_608 */
  readonly maxChars?: number
  /** Only changes of this resource, or below this path. */
  readonly under?: string
}

/** An interval of the log. Complete: every change in (after, to] that was asked for is here. */
export interface ChangesPage {
  /** Stream, epoch, last and first number, from the same snapshot as the changes. */
  readonly head: Head
  /** The last number covered; equals `after` where nothing follows, or where `after` is outside first - 1 … head. */
  readonly to: number
  readonly changes: readonly LoggedChange[]
}

/** At most one entry per resource: its latest message-worthy state, or its deletion. */
export interface LatestPage {
  readonly head: Head
  readonly to: number
  /** In order of each resource's last change. `stateText` is `undefined` for a deletion. */
  readonly latest: readonly { path: string; seq: number; version: number; stateText: string | undefined }[]
}

/** How long changes are kept. A change goes when it is too old or one too many, but the newest `minRows` stay. */
export interface Retention {
  /** @default 604_800_000 (7 days) */
  readonly maxAgeMs?: number
  /** Per stream. @default 1_000_000 */
  readonly maxRows?: number
  /** Per stream; kept whatever their age. @default 1_000 */
  readonly minRows?: number
  /** How long receipts are kept. @default 86_400_000 (1 day) */
  readonly maxReceiptAgeMs?: number
  /** In all streams together; the oldest go first. @default 100_000 */
  readonly maxReceipts?: number
}

export interface ChangeLog extends AsyncDisposable {
  /** Makes the streams known; a new one gets an epoch and stands at 0. MUST come before any other call on them. */
  ensureStreams(streams: readonly string[]): Promise<readonly Head[]>

  /**
   * Runs `work` in a transaction and resolves when it is durable. Where `work` throws, its own writes are undone,
   * the error is passed on, and no other work is harmed, also where several share one commit.
   * `work` may be run at any later time but is run once. Errors: `overloaded` where too many wait,
   * `transaction-timeout` where work takes over 5 s, `log-failed` where the store fails (nothing was written),
   * `log-replaced`, `log-closed`.
   */
  write<T>(work: (transaction: LogTransaction) => Promise<T>): Promise<Written<T>>

  /** The stream's head. Errors: `not-found` for an unknown stream (so do all reads), `log-failed`, `log-closed`. */
  head(stream: string): Promise<Head>

  /** A resource and its stream's head, from one snapshot. */
  readResource(path: string): Promise<{ readonly head: Head; readonly resource: StoredResource }>

  /** The existing resources of a collection in order of their paths, and the stream's head, from one snapshot. */
  readCollection(path: string, options: ReadCollectionOptions): Promise<CollectionPage>

  /** Changes in order. The caller compares `after` with the page's head: below `first - 1` they are gone. */
  readChanges(stream: string, options: ReadChangesOptions): Promise<ChangesPage>

  /** As readChanges, but what became of each changed resource; its cost goes with resources, not with changes. */
  readLatest(stream: string, options: ReadChangesOptions): Promise<LatestPage>

  /** The last number that is known to be published; 0 at first, -1 in a renewed epoch (nobody was told of it yet). */
  relayed(stream: string): Promise<number>
  /** Remembers it. Need not be durable at once: publishing again is harmless. */
  setRelayed(stream: string, epoch: string, seq: number): Promise<void>

  /** Deletes what retention allows, and tombstones whose deletion is gone. Returns the number of changes deleted. */
  prune(retention?: Retention): Promise<number>

  /** Starts a new epoch: old changes are dropped, numbers begin again; resources and their versions stay. */
  renewEpoch(stream: string): Promise<Head>

  /**
   * Resolves when every change that was committed before the call has its number, and so is in what `head` and the reads
   * give. Where changes are numbered in their transaction (SQLite, memory) there is nothing to wait for. Errors: `log-failed`, `log-closed`.
   */
  settle(): Promise<void>

  /** Calls `listener` after each commit with the heads that moved. Returns a function that ends it. */
  onCommit(listener: (heads: readonly Head[]) => void): () => void

  /** Waits for running work, writes what is pending, and closes. Idempotent. */
  close(): Promise<void>
}
