/**
 * The publications of one MQTT connection that are not acknowledged yet: some in flight, the rest waiting in order.
 *
 * MQTT 5 lets the broker say how many may be in flight (§3.3.4), and a bounded number keeps what is lost at a cut
 * small. It holds nothing over a loss of the connection: whoever publishes decides what to send again.
 */
import { LockstepError, quote } from '../contract/index.ts'
import type { MessageProperties } from './broker.ts'

export interface PublishWindowOptions {
  /** How many may be unacknowledged in all. */
  readonly maxWaiting: number
  /** An acknowledgement is late and none has come since: the connection is of no use any more. */
  readonly onStuck: () => void
}

/** What goes beside the payload. */
export type Beside = MessageProperties

/** What the window needs of a connection. */
export interface PublishLink {
  readonly maxInFlight: number
  /** Sends it and calls back when it is acknowledged, or with the error that the broker answered. */
  send(
    topic: string,
    payload: string | Uint8Array,
    retain: boolean,
    done: (error: LockstepError | undefined) => void,
    beside?: Beside,
  ): void
}

export interface PublishWindow {
  readonly inFlight: number
  /** Resolves at the acknowledgement. Errors: `overloaded`, `timeout`, `invalid-option`, and those of `open` and `shut`. */
  publish(
    topic: string,
    payload: string | Uint8Array,
    retain: boolean,
    timeoutMs: number,
    beside?: Beside,
  ): Promise<void>
  /** Publishes over this connection from now on. */
  open(link: PublishLink): void
  /** Rejects all with the error. */
  shut(error: LockstepError): void
}

/** Makes an empty window that is shut. */
export function createPublishWindow(options: PublishWindowOptions): PublishWindow {
  return new Window(options)
}

type Settle = (error: LockstepError | undefined) => void

class Publication {
  readonly topic: string
  readonly payload: string | Uint8Array
  readonly retain: boolean
  readonly timeoutMs: number
  readonly deadlineMs: number
  readonly beside: Beside | undefined
  sentMs = 0
  #settle: Settle | undefined

  constructor(
    topic: string,
    payload: string | Uint8Array,
    retain: boolean,
    timeoutMs: number,
    settle: Settle,
    beside: Beside | undefined,
  ) {
    this.topic = topic
    this.payload = payload
    this.retain = retain
    this.timeoutMs = timeoutMs
    this.deadlineMs = performance.now() + timeoutMs
    this.beside = beside
    this.#settle = settle
  }

  get settled(): boolean {
    return this.#settle === undefined
  }

  /** Ends the caller's promise; only the first call counts. */
  settle(error: LockstepError | undefined): void {
    this.#settle?.(error)
    this.#settle = undefined
  }
}

class Window implements PublishWindow {
  readonly #options: PublishWindowOptions
  readonly #inFlight = new Set<Publication>()
  readonly #deadline = createDeadline(nowMs => this.#sweep(nowMs))
  #link: PublishLink | undefined
  #waiting: Publication[] = []
  /** Where `waiting` begins: taking from the front of a long array is slow. */
  #first = 0
  #lastAckMs = 0

  constructor(options: PublishWindowOptions) {
    this.#options = options
  }

  get inFlight(): number {
    return this.#inFlight.size
  }

  publish(
    topic: string,
    payload: string | Uint8Array,
    retain: boolean,
    timeoutMs: number,
    beside?: Beside,
  ): Promise<void> {
    const { maxWaiting } = this.#options
    if (this.#inFlight.size + this.#waiting.length - this.#first >= maxWaiting) {
      return Promise.reject(overloadedError(maxWaiting))
    }
    if (!(timeoutMs > 0)) return Promise.reject(timeoutOptionError(timeoutMs))
    return new Promise((resolve, reject) => {
      const settle: Settle = error => (error === undefined ? resolve() : reject(error))
      const publication = new Publication(topic, payload, retain, timeoutMs, settle, beside)
      this.#deadline.notAfter(publication.deadlineMs)
      this.#waiting.push(publication)
      this.#sendNext()
    })
  }

  open(link: PublishLink): void {
    this.#link = link
    this.#lastAckMs = performance.now()
    this.#sendNext()
  }

  shut(error: LockstepError): void {
    const lost = this.#pending()
    this.#link = undefined
    this.#inFlight.clear()
    this.#waiting = []
    this.#first = 0
    this.#deadline.clear()
    for (const publication of lost) publication.settle(error)
  }

  #pending(): Publication[] {
    return [...this.#inFlight, ...this.#waiting.slice(this.#first)]
  }

  #sendNext(): void {
    const link = this.#link
    if (link === undefined) return
    while (this.#first < this.#waiting.length && this.#inFlight.size < link.maxInFlight) {
      const publication = this.#waiting[this.#first++]!
      if (!publication.settled) this.#send(link, publication)
    }
    if (this.#first === this.#waiting.length || this.#first > 1024) {
      this.#waiting.splice(0, this.#first)
      this.#first = 0
    }
  }

  #send(link: PublishLink, publication: Publication): void {
    this.#inFlight.add(publication)
    publication.sentMs = performance.now()
    const done = (error: LockstepError | undefined): void => {
      // What comes after a loss of the connection is not in flight any more.
      if (!this.#inFlight.delete(publication)) return
      this.#lastAckMs = performance.now()
      publication.settle(error)
      this.#sendNext()
    }
    const { topic, payload, retain, beside } = publication
    link.send(topic, payload, retain, done, beside)
  }

  /** Ends what is late, and returns the next deadline. */
  #sweep(nowMs: number): number {
    let nextMs = Number.POSITIVE_INFINITY
    let stuck = false
    for (const publication of this.#pending()) {
      if (publication.settled) continue
      if (publication.deadlineMs > nowMs) {
        nextMs = Math.min(nextMs, publication.deadlineMs)
        continue
      }
      stuck ||= this.#inFlight.has(publication) && this.#lastAckMs < publication.sentMs
      publication.settle(timeoutError(publication))
    }
    if (stuck) this.#options.onStuck()
    return this.#link === undefined ? Number.POSITIVE_INFINITY : nextMs
  }
}

interface Deadline {
  /** Sweeps at this time, if not before. */
  notAfter(timeMs: number): void
  clear(): void
}

/** A longer timer would fire at once. */
const maxTimerMs = 2 ** 31 - 1

/** One timer for all publications. `sweep` returns when it wants to be called again. */
function createDeadline(sweep: (nowMs: number) => number): Deadline {
  let timer: NodeJS.Timeout | undefined
  let armedMs = Number.POSITIVE_INFINITY

  function clear(): void {
    clearTimeout(timer)
    armedMs = Number.POSITIVE_INFINITY
  }

  function notAfter(timeMs: number): void {
    if (timeMs >= armedMs) return
    clear()
    armedMs = timeMs
    const delayMs = Math.min(Math.ceil(timeMs - performance.now()), maxTimerMs)
    timer = setTimeout(() => {
      armedMs = Number.POSITIVE_INFINITY
      notAfter(sweep(performance.now()))
    }, delayMs)
  }

  return { notAfter, clear }
}

function timeoutError({ topic, timeoutMs }: Publication): LockstepError {
  return new LockstepError(
    'timeout',
    `The broker did not acknowledge a message to ${quote(topic)} within ${timeoutMs} ms. It may have arrived; publish it again.`,
  )
}

function timeoutOptionError(timeoutMs: number): LockstepError {
  return new LockstepError('invalid-option', `timeoutMs is ${quote(timeoutMs)}. Give a number above 0.`)
}

function overloadedError(maxWaiting: number): LockstepError {
  return new LockstepError(
    'overloaded',
    `${maxWaiting} messages wait for the broker's acknowledgement. Wait for some of them before publishing more.`,
  )
}
