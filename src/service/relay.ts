/**
 * The relay ★: reads the change log and publishes it, in order and at least once, and tells the heads.
 *
 * It holds no truth: after a crash it goes on from the log, perhaps repeating some messages. A broker that is
 * down delays messages and nothing else. Any number of relays may run on one log, since the numbers come from
 * the log. PROTOCOL.md §3 and §7.
 */

import type { Broker, Delivery } from '../broker/broker.ts'
import {
  formatHead,
  formatRefMessage,
  formatResetMessage,
  type Head,
  headTopic,
  isLockstepError,
  type ModifiedMessage,
  maxMessageBytes,
  parseHead,
  pathToTopic,
} from '../contract/index.ts'
import type { ChangeLog, LoggedChange } from '../log/change-log.ts'
import type { HeadWatch } from './head-watch.ts'
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

export interface RelayOptions {
  /** Changes of one stream that may be on their way at once. @default 128 */
  readonly windowSize?: number
  /** Larger messages go out without their content, as `ref`. @default 65_536 */
  readonly maxMessageBytes?: number
  /** A longer backlog is replaced by one `reset`. @default 10_000 */
  readonly maxBacklog?: number
  /** How often each stream's head is told. @default 5_000 */
  readonly headEveryMs?: number
  /** How long to wait for an acknowledgement. @default 10_000 */
  readonly publishTimeoutMs?: number
}

export interface Relay extends AsyncDisposable {
  /** Numbers that are in the log but not yet acknowledged by the broker, per stream. */
  lag(): Promise<Readonly<Record<string, number>>>
  /** Stops and remembers how far it came. Idempotent. */
  close(): Promise<void>
}

interface RelayParts {
  readonly log: ChangeLog
  readonly broker: Broker
  readonly watch: HeadWatch
  readonly streams: readonly string[]
  readonly topicPrefix: string
  readonly now: () => number
  readonly onError: (error: unknown, context: { stage: string }) => void
}

const retryDelayMs = { first: 100, most: 5_000 }
/** How often what is published is written down. Publishing again after a crash is harmless. */
const saveEveryMs = 1_000
/** How often the log is looked at without having heard of a commit: others may write to it. */
const pollEveryMs = 1_000

/** Starts to publish the streams of a log. */
export function startRelay(parts: RelayParts, options: RelayOptions = {}): Relay {
  const closing = new AbortController()
  const limits = {
    windowSize: options.windowSize ?? 128,
    maxMessageBytes: options.maxMessageBytes ?? maxMessageBytes,
    maxBacklog: options.maxBacklog ?? 10_000,
    headEveryMs: options.headEveryMs ?? 5_000,
    publishTimeoutMs: options.publishTimeoutMs ?? 10_000,
  }
  const streams = parts.streams.map(stream => new StreamRelay(stream, parts, limits, closing.signal))
  const stopHearing = parts.broker.onConnection(connected => {
    for (const stream of streams) stream.connectionChanged(connected)
  })
  const running = Promise.all(streams.map(stream => stream.run()))
  let closed: Promise<void> | undefined
  const close = (): Promise<void> => {
    closed ??= (async () => {
      stopHearing()
      closing.abort()
      await running
    })()
    return closed
  }
  return {
    async lag() {
      const entries = await Promise.all(
        streams.map(async stream => [stream.name, await stream.lag()] as const),
      )
      return Object.fromEntries(entries)
    },
    close,
    [Symbol.asyncDispose]: close,
  }
}

/** One stream's way to the broker. */
class StreamRelay {
  readonly name: string
  readonly #parts: RelayParts
  readonly #limits: Required<RelayOptions>
  readonly #signal: AbortSignal
  #window: RelayWindow | undefined
  #saved = 0
  #savedAt = 0
  #headDueAt = 0
  #pausedUntil = 0
  #delayMs = retryDelayMs.first
  /** Something happened since the last step began: do not rest. */
  #stirred = false
  #endRest: (() => void) | undefined

  constructor(name: string, parts: RelayParts, limits: Required<RelayOptions>, signal: AbortSignal) {
    this.name = name
    this.#parts = parts
    this.#limits = limits
    this.#signal = signal
  }

  async lag(): Promise<number> {
    const { seq, epoch } = await this.#parts.log.head(this.name)
    return this.#window?.epoch === epoch ? seq - this.#window.acked : seq
  }

  connectionChanged(connected: boolean): void {
    if (this.#window !== undefined) this.#window = noteLost(this.#window, this.#window.turn)
    if (connected) {
      this.#headDueAt = 0
      this.#pausedUntil = 0
      this.#delayMs = retryDelayMs.first
    }
    this.#wake()
  }

  async run(): Promise<void> {
    const hearing = this.#parts.broker
      .subscribe([headTopic(this.name, this.#parts.topicPrefix)], delivery => this.#hearHead(delivery))
      .catch(error => this.#reportUnlessDown(error, 'relay-heads'))
    const stopWatching = this.#parts.watch.onMoved(this.name, () => this.#wake())
    this.#signal.addEventListener('abort', () => this.#wake())
    while (!this.#signal.aborted) {
      try {
        const waitMs = this.#parts.broker.connected ? await this.#step() : pollEveryMs
        if (waitMs > 0) await this.#rest(waitMs)
      } catch (error) {
        this.#report(error, 'relay')
        await this.#rest(this.#backOff())
      }
    }
    stopWatching()
    await this.#save()
    // Where the broker never came up the subscription is still open; the broker's owner ends it by closing it.
    void hearing.then(subscription => subscription?.close())
  }

  /** Publishes what fits into the window and gives the time to rest. */
  async #step(): Promise<number> {
    const now = performance.now()
    if (now < this.#pausedUntil) return this.#pausedUntil - now
    const { log } = this.#parts
    this.#stirred = false
    this.#window ??= createRelayWindow((await log.head(this.name)).epoch, await log.relayed(this.name))
    const window = this.#window
    const room = roomIn(window, this.#limits.windowSize)
    const page = await log.readChanges(this.name, { after: window.sent, limit: Math.max(1, room) })
    if (this.#window.turn !== window.turn) return 0
    this.#tellHead(page.head)
    if (await this.#resetIfNeeded(page.head)) return 0
    if (room === 0 || page.changes.length === 0) {
      await this.#saveNowAndThen()
      return pollEveryMs
    }
    for (const change of page.changes) this.#publish(change)
    return 0
  }

  #publish(change: LoggedChange): void {
    const window = this.#window!
    const { turn } = window
    const { seq } = change
    this.#window = noteSent(window, seq)
    const form = formOf(window, seq)
    if (form === 'skip') {
      this.#report(
        new Error(
          `The broker refuses ${change.path} version ${change.version} in any form; followers will find it in the feed.`,
        ),
        'relay',
      )
      this.#window = noteAcked(this.#window, turn, seq)
      return
    }
    const topic = pathToTopic(change.topicPath, this.#parts.topicPrefix)
    const payload =
      form === 'whole' && !this.#isTooLarge(change.messageText)
        ? change.messageText
        : formatWithoutContent(change)
    this.#parts.broker.publish(topic, payload, { timeoutMs: this.#limits.publishTimeoutMs }).then(
      () => {
        this.#window = noteAcked(this.#window!, turn, seq)
        this.#delayMs = retryDelayMs.first
        this.#wake()
      },
      error => this.#publishFailed(error, turn, seq),
    )
  }

  #publishFailed(error: unknown, turn: number, seq: number): void {
    const window = this.#window!
    if (turn !== window.turn) return
    const isItsOwnFault =
      isLockstepError(error, 'broker-refused') || isLockstepError(error, 'message-too-large')
    this.#window = isItsOwnFault ? noteRefused(window, turn, seq) : noteLost(window, turn)
    this.#reportUnlessDown(error, 'relay')
    this.#pausedUntil = performance.now() + this.#backOff()
    this.#wake()
  }

  /** A new epoch, changes pruned before they were published, or too many of them: one reset says it all. */
  async #resetIfNeeded(head: Head): Promise<boolean> {
    const window = this.#window!
    const isSameEpoch = head.epoch === window.epoch
    if (isSameEpoch && window.sent >= head.first - 1 && head.seq - window.acked <= this.#limits.maxBacklog)
      return false
    const { topicPrefix, now, broker } = this.#parts
    const text = formatResetMessage(head, new Date(now()).toISOString())
    await broker.publish(pathToTopic(`/${this.name}`, topicPrefix), text, {
      timeoutMs: this.#limits.publishTimeoutMs,
    })
    this.#window = jumpTo(this.#window!, head.epoch, head.seq)
    await this.#save()
    return true
  }

  #tellHead(head: Head): void {
    if (performance.now() < this.#headDueAt) return
    this.#headDueAt = performance.now() + this.#limits.headEveryMs
    const { topicPrefix, now, broker } = this.#parts
    const text = formatHead({ ...head, time: new Date(now()).toISOString() })
    broker
      .publish(headTopic(this.name, topicPrefix), text, {
        retain: true,
        timeoutMs: this.#limits.publishTimeoutMs,
      })
      .catch(error => this.#reportUnlessDown(error, 'relay-heads'))
  }

  /** A kept head of this epoch that is ahead of the log says that the log was put back: its numbers must not come again. */
  #hearHead({ payload, retained }: Delivery): void {
    if (!retained) return
    const check = async (): Promise<void> => {
      const told = parseHead(payload)
      const head = await this.#parts.log.head(this.name)
      if (told.stream !== this.name || told.epoch !== head.epoch || told.seq <= head.seq) return
      this.#report(
        new Error(
          `The broker knows ${this.name}:${told.epoch}:${told.seq}, the log ends at ${head.seq}: it was restored. A new epoch begins.`,
        ),
        'relay-heads',
      )
      await this.#parts.log.renewEpoch(this.name)
      this.#wake()
    }
    check().catch(error => this.#report(error, 'relay-heads'))
  }

  #isTooLarge(text: string): boolean {
    const limit = this.#limits.maxMessageBytes
    return text.length > limit || (text.length * 3 > limit && Buffer.byteLength(text) > limit)
  }

  async #saveNowAndThen(): Promise<void> {
    if (performance.now() - this.#savedAt >= saveEveryMs) await this.#save()
  }

  async #save(): Promise<void> {
    const window = this.#window
    if (window === undefined || this.#saved === window.acked) return
    this.#savedAt = performance.now()
    this.#saved = window.acked
    try {
      await this.#parts.log.setRelayed(this.name, window.epoch, window.acked)
    } catch (error) {
      this.#report(error, 'relay')
    }
  }

  #backOff(): number {
    const delayMs = this.#delayMs
    this.#delayMs = Math.min(delayMs * 2, retryDelayMs.most)
    return delayMs * (0.5 + Math.random() / 2)
  }

  /** Something happened: a commit, an acknowledgement, a change of the connection, or the end. */
  #wake(): void {
    this.#stirred = true
    this.#endRest?.()
  }

  /** Rests until something happens, the next head is due, or the time is over. */
  async #rest(ms: number): Promise<void> {
    if (!this.#stirred) {
      const untilHeadMs = this.#parts.broker.connected ? Math.max(1, this.#headDueAt - performance.now()) : ms
      await new Promise<void>(resolve => {
        const timer = setTimeout(resolve, Math.min(ms, untilHeadMs))
        this.#endRest = () => {
          clearTimeout(timer)
          resolve()
        }
      })
      this.#endRest = undefined
    }
    this.#stirred = false
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

function formatWithoutContent(change: LoggedChange): string {
  return change.event === 'deleted'
    ? change.messageText
    : formatRefMessage(JSON.parse(change.messageText) as ModifiedMessage)
}
