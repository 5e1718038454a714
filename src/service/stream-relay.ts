/**
 * Relays one stream: the driver around the window, with the clock, the log and the broker.
 *
 * One loop takes steps; whatever happens (a commit, an acknowledgement, the connection) only wakes it. What goes
 * out when, and what is done after a failure, is decided in relay-window.ts. PROTOCOL.md §3.
 */
import type { Broker, Delivery } from '../broker/broker.ts'
import {
  type CloudEventAttributes,
  formatHead,
  formatPosition,
  formatRefMessage,
  formatResetMessage,
  type Head,
  headTopic,
  isLockstepError,
  type Message,
  type ModifiedMessage,
  parseHead,
  pathToTopic,
  type ReportError,
  toCloudEventAttributes,
} from '../contract/index.ts'
import type { ChangeLog, ChangesPage, LoggedChange } from '../log/change-log.ts'
import type { HeadWatch } from './head-watch.ts'
import type { RelayOptions } from './relay-options.ts'
import { RelayTelling } from './relay-telling.ts'
import {
  createRelayWindow,
  formOf,
  jumpTo,
  noteAcked,
  noteLost,
  noteRefused,
  noteSent,
  type RelayWindow,
  roomIn,
} from './relay-window.ts'

/** What a relay works with. */
export interface RelayParts {
  readonly log: ChangeLog
  readonly broker: Broker
  readonly watch: HeadWatch
  readonly topicPrefix: string
  readonly now: () => number
  readonly onError: ReportError
}

/** How far a stream is published. */
export interface Progress {
  /** Everything up to here is acknowledged by the broker. */
  readonly relayed: number
  /** How long the relay has waited for the next acknowledgement; 0 where it waits for none. */
  readonly waitingMs: number
}

const retryDelayMs = { first: 100, most: 5_000 }
/** How often what is published is written down. Publishing again after a crash is harmless. */
const saveEveryMs = 100
/** How often the log is looked at without having heard of a commit: others may write to it. */
const pollEveryMs = 1_000

export class StreamRelay {
  readonly name: string
  readonly #parts: RelayParts
  readonly #options: Required<RelayOptions>
  readonly #signal: AbortSignal
  readonly #telling: RelayTelling
  #window: RelayWindow | undefined
  #saved: { readonly epoch: string; readonly acked: number } | undefined
  #savedAt = 0
  #headDueAt = 0
  /** The last kept head that was found ahead of the log. */
  #reportedHead: string | undefined
  #pausedUntil = 0
  #delayMs = retryDelayMs.first
  /** The log holds changes that did not fit into the window. */
  #hasMore = false
  /** Something happened since the last step began: do not rest. */
  #stirred = false
  #endRest: (() => void) | undefined
  #isWakingSoon = false
  /** The connection came up and nothing was published on it yet. */
  #isResuming = false

  constructor(name: string, parts: RelayParts, options: Required<RelayOptions>, signal: AbortSignal) {
    this.name = name
    this.#parts = parts
    this.#options = options
    this.#signal = signal
    this.#telling = new RelayTelling(name)
  }

  /** How many numbers of the log the broker has not acknowledged. */
  async lag(): Promise<number> {
    const head = await this.#parts.log.head(this.name)
    return head.seq - (await this.progress(head)).relayed
  }

  /** How far the relay is, on the way to a head. */
  async progress({ epoch }: Head): Promise<Progress> {
    const window = this.#window
    const acked =
      window === undefined
        ? await this.#parts.log.relayed(this.name)
        : window.epoch === epoch
          ? window.acked
          : 0
    return { relayed: Math.max(0, acked), waitingMs: this.#telling.waitingMs }
  }

  connectionChanged(connected: boolean): void {
    this.#telling.connection(connected)
    if (connected) {
      this.#isResuming = true
      this.#headDueAt = 0
      this.#pausedUntil = 0
      this.#delayMs = retryDelayMs.first
    } else if (this.#window !== undefined) {
      this.#window = noteLost(this.#window, this.#window.turn)
    }
    this.#wake()
  }

  /** Relays until the signal aborts. Never rejects. */
  async run(): Promise<void> {
    const { broker, watch, topicPrefix } = this.#parts
    const hearing = broker
      .subscribe([headTopic(this.name, topicPrefix)], delivery => this.#hearHead(delivery), {
        onRefused: error => this.#report(error, 'relay-heads'),
      })
      .catch(error => this.#reportUnlessDown(error, 'relay-heads'))
    const stopWatching = watch.onMoved(this.name, () => this.#wake())
    this.#signal.addEventListener('abort', () => this.#wake())
    while (!this.#signal.aborted) {
      this.#stirred = false
      await this.#telling.lag(broker.connected, () => this.lag())
      await this.#rest(broker.connected ? await this.#tryStep() : pollEveryMs)
    }
    stopWatching()
    this.#telling.closed()
    await this.#save()
    // Where the broker never came up the subscription is still open; the broker's owner ends it by closing it.
    void hearing.then(subscription => subscription?.close())
  }

  /** Makes a step and gives the time to rest after it. What failed is tried again, later each time. */
  async #tryStep(): Promise<number> {
    const pauseMs = this.#pausedUntil - performance.now()
    if (pauseMs > 0) return pauseMs
    try {
      if (await this.#step()) return 0
      return Math.min(pollEveryMs, Math.max(1, this.#headDueAt - performance.now()))
    } catch (error) {
      if (this.#window !== undefined) this.#window = noteLost(this.#window, this.#window.turn)
      this.#reportUnlessDown(error, 'relay')
      return this.#pause()
    }
  }

  /** Publishes what fits into the window. `true` where there may be more to do at once. */
  async #step(): Promise<boolean> {
    await this.#resume()
    const window = this.#window!
    const room = roomIn(window, this.#options.windowSize)
    const page = await this.#readPage(window.sent, room)
    if (this.#window!.turn !== window.turn) return true
    this.#tellHead(page.head)
    if (this.#isOutOfReach(page.head)) {
      await this.#publishReset(page.head)
      return true
    }
    for (const change of page.changes) {
      // Publishing may tell at once that the connection is gone.
      if (this.#window!.turn !== window.turn) return true
      this.#publish(change)
    }
    this.#hasMore = this.#window!.sent < page.head.seq
    if (page.changes.length === 0) await this.#saveNowAndThen()
    return this.#hasMore && roomIn(this.#window!, this.#options.windowSize) > 0
  }

  /** While this relay was cut off another one on the same log may have gone on: what it published is not told again. */
  async #resume(): Promise<void> {
    const { log } = this.#parts
    if (!this.#isResuming && this.#window !== undefined) return
    const { epoch } = await log.head(this.name)
    const relayed = await log.relayed(this.name)
    this.#isResuming = false
    const window = this.#window
    if (window === undefined) this.#window = createRelayWindow(epoch, relayed)
    else if (window.epoch === epoch && window.acked < relayed) {
      this.#window = jumpTo(window, epoch, relayed)
      this.#telling.jumped()
    }
  }

  async #readPage(after: number, limit: number): Promise<Pick<ChangesPage, 'head' | 'changes'>> {
    if (limit > 0) return await this.#parts.log.readChanges(this.name, { after, limit })
    return { head: await this.#parts.log.head(this.name), changes: [] }
  }

  #publish(change: LoggedChange): void {
    const { topicPrefix, broker } = this.#parts
    const { turn } = this.#window!
    const { seq } = change
    const form = formOf(this.#window!, seq)
    this.#window = noteSent(this.#window!, seq)
    if (form === 'skip') {
      const left = `${change.path} version ${change.version}`
      this.#report(
        new Error(`The broker refuses ${left} in any form; followers will find it in the feed.`),
        'relay',
      )
      this.#window = noteAcked(this.#window, turn, seq)
      return
    }
    this.#telling.sent()
    const isWhole = form === 'whole' && !this.#isTooLarge(change.messageText)
    const payload = isWhole ? change.messageText : formatWithoutContent(change)
    const timeoutMs = this.#options.publishTimeoutMs
    const attributes = (): CloudEventAttributes => attributesOf(payload)
    broker.publish(pathToTopic(change.topicPath, topicPrefix), payload, { timeoutMs, attributes }).then(
      () => this.#published(turn, seq),
      error => this.#publishFailed(error, turn, seq),
    )
  }

  #published(turn: number, seq: number): void {
    const window = noteAcked(this.#window!, turn, seq)
    if (window === this.#window) return
    this.#telling.published(seq, window.acked < window.sent)
    this.#window = window
    this.#delayMs = retryDelayMs.first
    if (this.#hasMore) this.#wakeSoon()
  }

  /** One step for all acknowledgements of a turn. To wait for more of them would let a broker's delayed packets stall us. */
  #wakeSoon(): void {
    if (this.#isWakingSoon) return
    this.#isWakingSoon = true
    setImmediate(() => {
      this.#isWakingSoon = false
      this.#wake()
    })
  }

  #publishFailed(error: unknown, turn: number, seq: number): void {
    const window = this.#window!
    if (turn !== window.turn || this.#signal.aborted) return
    const isTooLarge = isLockstepError(error, 'message-too-large')
    this.#window =
      isTooLarge || isLockstepError(error, 'broker-refused')
        ? noteRefused(window, turn, seq, isTooLarge)
        : noteLost(window, turn)
    this.#reportUnlessDown(error, 'relay')
    if (!isTooLarge) this.#pause()
    this.#wake()
  }

  /** A new epoch, changes pruned before they were published, or too many of them: one reset says it all. */
  #isOutOfReach(head: Head): boolean {
    const { epoch, sent, acked } = this.#window!
    return head.epoch !== epoch || sent < head.first - 1 || head.seq - acked > this.#options.maxBacklog
  }

  async #publishReset(head: Head): Promise<void> {
    const { topicPrefix, now, broker } = this.#parts
    const text = formatResetMessage(head, new Date(now()).toISOString())
    const timeoutMs = this.#options.publishTimeoutMs
    const attributes = (): CloudEventAttributes => attributesOf(text)
    const done = broker.publish(pathToTopic(`/${this.name}`, topicPrefix), text, { timeoutMs, attributes })
    if (!(await this.#untilClosing(done))) return
    this.#window = jumpTo(this.#window!, head.epoch, head.seq)
    this.#telling.reset(head.seq)
    await this.#save()
  }

  #tellHead(head: Head): void {
    if (performance.now() < this.#headDueAt) return
    const { headEveryMs, publishTimeoutMs: timeoutMs } = this.#options
    this.#headDueAt = performance.now() + headEveryMs
    const { topicPrefix, now, broker } = this.#parts
    const text = formatHead({ ...head, time: new Date(now()).toISOString() })
    broker
      .publish(headTopic(this.name, topicPrefix), text, { retain: true, timeoutMs })
      .catch(error => this.#reportUnlessDown(error, 'relay-heads'))
  }

  /**
   * A kept head of this epoch that is ahead of the log says that the log was put back, or that somebody lies: whoever
   * may publish can leave one. So it is reported, once, and nothing is done about it.
   */
  #hearHead({ payload, retained, topic }: Delivery): void {
    if (!retained) return
    const { log } = this.#parts
    const check = async (): Promise<void> => {
      const told = parseHead(payload)
      const head = await log.head(this.name)
      if (told.stream !== this.name || told.epoch !== head.epoch || told.seq <= head.seq) return
      const ahead = formatPosition(told)
      if (ahead === this.#reportedHead) return
      this.#reportedHead = ahead
      this.#report(
        new Error(
          `The broker keeps ${ahead} as the head, and the log ends at ${head.seq}. Was the database set back, stop the service, delete the guard file beside the database and start again: that begins a new epoch. If not, somebody else publishes to ${topic}: allow that to the service alone.`,
        ),
        'relay-heads',
      )
    }
    check().catch(error => this.#report(error, 'relay-heads'))
  }

  #isTooLarge(text: string): boolean {
    const limit = this.#options.maxMessageBytes
    return text.length > limit || (text.length * 3 > limit && Buffer.byteLength(text) > limit)
  }

  async #saveNowAndThen(): Promise<void> {
    if (performance.now() - this.#savedAt >= saveEveryMs) await this.#save()
  }

  async #save(): Promise<void> {
    const window = this.#window
    if (window === undefined || window.acked < 0) return
    const { epoch, acked } = window
    if (this.#saved?.epoch === epoch && this.#saved.acked === acked) return
    this.#savedAt = performance.now()
    this.#saved = { epoch, acked }
    try {
      await this.#parts.log.setRelayed(this.name, epoch, acked)
    } catch (error) {
      this.#report(error, 'relay')
    }
  }

  /** Lets the next step wait, longer each time. */
  #pause(): number {
    const delayMs = this.#delayMs * (0.5 + Math.random() / 2)
    this.#delayMs = Math.min(this.#delayMs * 2, retryDelayMs.most)
    this.#pausedUntil = performance.now() + delayMs
    return delayMs
  }

  /** Something happened: a commit, an acknowledgement, a change of the connection, or the end. */
  #wake(): void {
    this.#stirred = true
    this.#endRest?.()
  }

  /** Rests until the time is over or something happens; not at all where it has since the last step began. */
  async #rest(ms: number): Promise<void> {
    if (ms <= 0 || this.#stirred) return
    await new Promise<void>(resolve => {
      const timer = setTimeout(resolve, ms)
      this.#endRest = () => {
        clearTimeout(timer)
        resolve()
      }
    })
    this.#endRest = undefined
  }

  /** Waits for a call of the broker, but not beyond the relay's end. `false` where the end came first. */
  #untilClosing(call: Promise<void>): Promise<boolean> {
    return new Promise((resolve, reject) => {
      const end = (): void => resolve(false)
      this.#signal.addEventListener('abort', end)
      call.then(() => resolve(true), reject).finally(() => this.#signal.removeEventListener('abort', end))
    })
  }

  /** That a broker is down is told by its adapter, once; the relay waits. */
  #reportUnlessDown(error: unknown, stage: string): void {
    if (!isLockstepError(error, 'broker-unreachable') && !isLockstepError(error, 'closed'))
      this.#report(error, stage)
  }

  #report(error: unknown, stage: string): void {
    this.#parts.onError(error, { stage })
  }
}

function attributesOf(messageText: string): CloudEventAttributes {
  return toCloudEventAttributes(JSON.parse(messageText) as Message)
}

function formatWithoutContent(change: LoggedChange): string {
  return change.event === 'deleted'
    ? change.messageText
    : formatRefMessage(JSON.parse(change.messageText) as ModifiedMessage)
}
