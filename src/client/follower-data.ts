/**
 * What a follower knows, what it hears (events) and what it wants done (effects): plain data.
 *
 * No promises, timers, clocks or sockets are in here; times are milliseconds of a clock that never goes back.
 * PROTOCOL.md §6.
 */
import type { Head, JsonObject, LockstepError, Message, ParsedPath } from '../contract/index.ts'
import type { Change } from './change.ts'
import { type Copy, createCopy, type IncomingContent } from './copy.ts'
import { followerLimits } from './follower-limits.ts'

/** `nested` is a collection below a resource: it hears a part of its stream only, so holes in the numbers say nothing. */
export type FollowerKind = 'collection' | 'nested' | 'resource'

/** `refreshing`: a copy is held, and a new baseline is on its way. The others as in {@link FollowerStatus}. */
export type FollowerState = 'connecting' | 'refreshing' | 'catching-up' | 'live' | 'stale' | 'closed'

/**
 * What the application is shown. `connecting`: nothing is held yet · `catching-up`: the copy may be behind and is
 * being mended · `live`: changes arrive as they are made · `stale`: no source is heard, or the API does not
 * answer; the copy has an age · `closed`.
 */
export type FollowerStatus = 'connecting' | 'catching-up' | 'live' | 'stale' | 'closed'

/** A message with its place, read from its `id`. */
export interface NumberedMessage {
  readonly epoch: string
  readonly seq: number
  readonly message: Message
}

/** Everything that may be seen in (`after`, `to`] is in `changes`. */
export interface Interval {
  readonly epoch: string
  readonly after: number
  readonly to: number
  /** The last number of the stream at that time, where it is known. */
  readonly head?: number
  /** At most one change per resource: what it is now. */
  readonly compact: boolean
  readonly changes: readonly NumberedMessage[]
}

export interface Item {
  readonly id: string
  readonly version: number
  readonly state: JsonObject
}

/** What a GET of one resource said; `same` is 304. */
export type ResourceAnswer =
  | {
      readonly found: 'whole'
      readonly epoch: string
      readonly seq: number
      readonly version: number
      readonly state: JsonObject
    }
  | { readonly found: 'same' | 'absent'; readonly epoch: string; readonly seq: number }

/** A question to the API. */
export type Ask =
  | { readonly kind: 'items'; readonly next: string | undefined }
  | {
      readonly kind: 'resource'
      readonly path: string
      readonly held: { epoch: string; version: number } | undefined
    }
  | { readonly kind: 'feed'; readonly epoch: string; readonly after: number; readonly compact: boolean }

/** What a follower hears. Answers carry the `generation` of their question; other generations are ignored. */
export type FollowerEvent =
  /** Once, first. `listenFirst`: the source can be opened before the first answer of the API. */
  | { readonly type: 'start'; readonly listenFirst: boolean }
  /** The source is up: whatever is published from now on is on its way. Also after a change of what it hears. */
  | { readonly type: 'source-up' }
  | { readonly type: 'source-down' }
  /** A hint: it may be late, repeated, out of order. */
  | { readonly type: 'message'; readonly message: NumberedMessage }
  /** A hint; `retained` may be of any age. */
  | { readonly type: 'head'; readonly head: Head; readonly retained: boolean }
  /** From an ordered source: it proves what it says. */
  | { readonly type: 'interval'; readonly interval: Interval }
  /** An ordered source cannot go on from the position. */
  | { readonly type: 'gone' }
  | { readonly type: 'page'; readonly generation: number; readonly interval: Interval }
  | {
      readonly type: 'items'
      readonly generation: number
      readonly epoch: string
      readonly seq: number
      readonly items: readonly Item[]
      readonly next: string | undefined
    }
  | { readonly type: 'resource'; readonly generation: number; readonly answer: ResourceAnswer }
  | {
      readonly type: 'failed'
      readonly generation: number
      readonly error: LockstepError
      readonly retryAfterMs?: number
    }
  | { readonly type: 'ready'; readonly token: number }
  | { readonly type: 'refresh'; readonly token: number; readonly timeoutMs: number }
  | {
      readonly type: 'at-least'
      readonly token: number
      readonly epoch: string
      readonly seq: number
      readonly timeoutMs: number
    }
  | { readonly type: 'tick' }
  /** What was held is no more, or cannot be relied on: all begins anew. */
  | { readonly type: 'lost' }
  | { readonly type: 'close' }

/** What a follower wants done, in order. */
export type Effect =
  /** Open the source; an ordered one after the position. Replaces one that is open. */
  | { readonly type: 'listen'; readonly after: { epoch: string; seq: number } | undefined }
  | { readonly type: 'unlisten' }
  /** Hear the collection's topic too, or no more; `source-up` follows when it is heard. */
  | { readonly type: 'creations'; readonly wanted: boolean }
  /** Ask the API; any other question is over. */
  | { readonly type: 'ask'; readonly generation: number; readonly ask: Ask }
  | { readonly type: 'abort' }
  | { readonly type: 'change'; readonly change: Change<JsonObject> }
  | { readonly type: 'status'; readonly status: FollowerStatus }
  /** Tell the application what it should look after. */
  | { readonly type: 'report'; readonly error: LockstepError }
  | { readonly type: 'settle'; readonly token: number; readonly error: LockstepError | undefined }

/** What makes an answer a proof: when it was asked for, and whether the source was up from then on. */
export interface Origin {
  readonly sentAt: number
  certain: boolean
  /** The claim of the heads when it was asked for: the answer settles it. */
  readonly claim: number
}

export interface OpenQuestion extends Origin {
  readonly generation: number
  readonly ask: Ask
  /** Counts baselines: a refresh is served by one that began after it was asked for. */
  readonly serial: number
}

/** A baseline of which not all pages are there yet. */
export interface Incoming extends Origin {
  readonly epoch: string
  readonly seq: number
  readonly serial: number
  /** Older than the copy, but the API insists. */
  readonly isOld: boolean
  /** The highest number that a page of it may hold effects of. */
  ahead: number
  next: string | undefined
  readonly content: IncomingContent
}

/** Changes on their way into the copy; while one of them waits for its resource, the others wait behind it. */
export interface Queue {
  readonly interval: Interval
  at: number
  /** Of an answer of the feed; what was pushed has none. */
  readonly origin: Origin | undefined
  /** May the position move with each change? Not while older changes are still to come. */
  readonly isClaimable: boolean
}

/** What an ordered source brought while a question was open, joined. */
export interface Pushed {
  readonly epoch: string
  readonly after: number
  to: number
  head: number | undefined
  readonly changes: NumberedMessage[]
}

/** A call of the application that waits for the copy. */
export type Wait =
  | { readonly kind: 'ready'; readonly token: number; readonly deadline: number }
  | {
      readonly kind: 'refresh'
      readonly token: number
      readonly deadline: number
      readonly timeoutMs: number
      readonly serial: number
    }
  | {
      readonly kind: 'marker'
      readonly token: number
      readonly deadline: number
      readonly timeoutMs: number
      readonly epoch: string
      readonly seq: number
    }

/** Stands for "no time": later than all. */
export const never: number = Number.POSITIVE_INFINITY

/** When the follower wants to be woken, and for what. */
export interface Deadlines {
  /** Ask the API, whatever else is known: a retry, a poll, a suspicion. */
  ask: number
  /** Fill the hole, if it is still there. */
  hole: number
  /** Look whether the head was reached. */
  head: number
  /** Nothing was heard for too long. */
  silence: number
  /** The source had time enough to come up. */
  patience: number
  /** The first of the waiting calls has waited long enough. */
  wait: number
}

/** Everything that a follower knows. Only the functions of the machine change it. */
export interface FollowerData {
  readonly kind: FollowerKind
  readonly stream: string
  readonly path: string
  /** The decoded id of a followed resource; `''` otherwise. */
  readonly id: string
  /** Does the source prove intervals (SSE), or does it only hint (MQTT)? */
  readonly isOrdered: boolean
  /** So many changes behind, latest states are asked for instead of all changes. */
  readonly compactBeyond: number
  state: FollowerState
  /** The epoch of the copy; `undefined` before the first baseline. */
  epoch: string | undefined
  /** The epoch of a copy that was lost: nothing older than it was is taken in its place. */
  lostEpoch: string | undefined
  /** Every change up to here is in the copy: what is claimed. */
  position: number
  /** Where the feed goes on. Above the position while latest states are taken in, which are complete only at the head. */
  cursor: number
  /** The copy may hold effects of changes up to here: an answer that is older is ignored. */
  ahead: number
  readonly copy: Copy
  /** When the copy was last known to be what the API had; `undefined` before. */
  confirmedAt: number | undefined
  /** Epochs that were left, each until when it is not taken up again. */
  retired: readonly { readonly epoch: string; readonly until: number }[]
  isSourceUp: boolean
  /** The source is up but nothing was heard for too long. */
  isSilent: boolean
  /** An ordered source is open or being opened. */
  isListening: boolean
  /** Nothing that happened since the last proof can have been missed without a trace. */
  isCertain: boolean
  /** Was it ever live? Then others were too, and all begin again at the same moment. */
  wasLive: boolean
  hearsCreations: boolean
  sourceFailures: number
  lastHeadSeq: number
  /** The highest head that was told and not reached yet. */
  claim: number
  /** Another epoch that was heard of, about which the API has not been asked yet. */
  alarm: string | undefined
  /** No alarm about the epoch is believed before this time. */
  calmUntil: number
  /** The last epoch that was heard of and is not the API's. */
  foreign: { readonly epoch: string; readonly isTold: boolean } | undefined
  /** By id: hints that came too early, or while a question is open. */
  readonly buffer: Map<string, NumberedMessage>
  /** Answers in a row that did not close the hole. */
  vainFills: number
  queue: Queue | undefined
  pushed: Pushed | undefined
  mustRelisten: boolean
  question: OpenQuestion | undefined
  generation: number
  /** Failures in a row. */
  attempts: number
  /** Since when all answers were older than the copy; \`never\` where the last was not. */
  olderSince: number
  lastAskedAt: number
  /** The head of the last page, which tells how far to go. */
  feedHead: number
  wantsBaseline: boolean
  serial: number
  incoming: Incoming | undefined
  readonly waits: Wait[]
  vainWaits: number
  readonly deadlines: Deadlines
}

export interface FollowerSettings {
  readonly path: ParsedPath
  readonly isOrdered: boolean
  /** @default one page of the feed */
  readonly compactBeyond?: number
  /** @default a copy in memory */
  readonly copy?: Copy
  /** What the copy holds already, from before a restart. */
  readonly kept?: KeptPlace
}

/** Where a copy was when it was kept, in the terms of {@link FollowerData}. */
export type KeptPlace = Pick<FollowerData, 'position' | 'cursor' | 'ahead' | 'confirmedAt'> & {
  readonly epoch: string
}

/** What a follower knows at first: nothing, or what it kept. */
export function createFollowerData(settings: FollowerSettings): FollowerData {
  const { path, isOrdered, compactBeyond = followerLimits.feedPage, copy = createCopy(), kept } = settings
  const isResource = path.kind === 'resource'
  return {
    kind: isResource ? 'resource' : path.segments.length === 1 ? 'collection' : 'nested',
    stream: path.stream,
    path: path.path,
    id: isResource ? path.segments.at(-1)! : '',
    isOrdered,
    compactBeyond,
    // What was kept is shown at once. How old it may be is known; whether it is up to date, only the API can tell.
    state: kept === undefined ? 'connecting' : 'catching-up',
    epoch: undefined,
    lostEpoch: undefined,
    position: 0,
    cursor: 0,
    ahead: 0,
    confirmedAt: undefined,
    ...kept,
    copy,
    retired: [],
    isSourceUp: false,
    isSilent: false,
    isListening: false,
    isCertain: false,
    wasLive: false,
    hearsCreations: isResource,
    sourceFailures: 0,
    lastHeadSeq: 0,
    claim: 0,
    alarm: undefined,
    calmUntil: 0,
    foreign: undefined,
    buffer: new Map(),
    vainFills: 0,
    queue: undefined,
    pushed: undefined,
    mustRelisten: false,
    question: undefined,
    generation: 0,
    attempts: 0,
    olderSince: never,
    lastAskedAt: 0,
    feedHead: 0,
    wantsBaseline: false,
    serial: 0,
    incoming: undefined,
    waits: [],
    vainWaits: 0,
    deadlines: { ask: never, hole: never, head: never, silence: never, patience: never, wait: never },
  }
}

/** One step of the machine: the data, the inputs that are not in it, and the effects so far. */
export interface Step {
  readonly m: FollowerData
  readonly now: number
  /** In [0, 1). */
  readonly random: () => number
  readonly effects: Effect[]
}
