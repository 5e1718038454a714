/**
 * The publications of one MQTT connection that are not acknowledged yet: some in flight, the rest waiting in order.
 *
 * MQTT 5 lets the broker say how many may be in flight (§3.3.4), and a bounded number keeps what is lost at a cut
 * small. It holds nothing over a loss of the connection: whoever publishes decides what to send again.
 */
import { LockstepError, quote } from '../contract/index.ts'

export interface PublishWindowOptions {
  /** How many may be unacknowledged in all. */
  readonly maxWaiting: number
  /** An acknowledgement is late and none has come since: the connection is of no use any more. */
  readonly onStuck: () => void
}

/** What the window needs of a connection. */
export interface PublishLink {
  readonly maxInFlight: number
  /** Sends it and calls back when it is acknowledged, or with the error that the broker answered. */
  send(
    topic: string,
    payload: string,
    retain: boolean,
    done: (error: LockstepError | undefined) => void,
  ): void
}

export interface PublishWindow {
  readonly inFlight: number
  /** Resolves at the acknowledgement. Errors: `overloaded`, `timeout`, `invalid-option`, and those of `open` and `shut`. */
  publish(topic: string, payload: string, retain: boolean, timeoutMs: number): Promise<void>
  /** Publishes over this connection from now on. */
  open(link: PublishLink): void
  /** Rejects all with the error. */
  shut(error: LockstepError): void
}

interface Publication {
  readonly topic: string
  readonly payload: string
  readonly retain: boolean
  readonly timeoutMs: number
  readonly deadlineMs: number
  sentMs: number
  /** Ends the caller's promise; only the first call counts. */
  readonly settle: (error: LockstepError | undefined) => void
  settled: boolean
}

export function createPublishWindow(options: PublishWindowOptions): PublishWindow {
  let link: PublishLink | undefined
  const inFlight = new Set<Publication>()
  let waiting: Publication[] = []
  /** Where `waiting` begins: taking from the front of a long array is slow. */
  let first = 0
  let lastAckMs = 0
  const deadline = createDeadline(sweep)

  function sendNext(): void {
    while (link !== undefined && first < waiting.length && inFlight.size < link.maxInFlight) {
      const publication = waiting[first++]!
      if (!publication.settled) send(link, publication)
    }
    if (first === waiting.length || first > 1024) {
      waiting = waiting.slice(first)
      first = 0
    }
  }

  function send(over: PublishLink, publication: Publication): void {
    inFlight.add(publication)
    publication.sentMs = performance.now()
    over.send(publication.topic, publication.payload, publication.retain, error => {
      // What comes after a loss of the connection is not in flight any more.
      if (!inFlight.delete(publication)) return
      lastAckMs = performance.now()
      publication.settle(error)
      sendNext()
    })
  }

  function sweep(nowMs: number): number {
    let nextMs = Number.POSITIVE_INFINITY
    let stuck = false
    for (const publication of [...inFlight, ...waiting.slice(first)]) {
      if (publication.settled) continue
      if (publication.deadlineMs > nowMs) {
        nextMs = Math.min(nextMs, publication.deadlineMs)
        continue
      }
      stuck ||= inFlight.has(publication) && lastAckMs < publication.sentMs
      publication.settle(timeoutError(publication))
    }
    if (stuck) options.onStuck()
    return link === undefined ? Number.POSITIVE_INFINITY : nextMs
  }

  return {
    get inFlight() {
      return inFlight.size
    },

    publish(topic, payload, retain, timeoutMs) {
      if (inFlight.size + waiting.length - first >= options.maxWaiting) {
        return Promise.reject(overloadedError(options.maxWaiting))
      }
      if (!(timeoutMs > 0)) return Promise.reject(timeoutOptionError(timeoutMs))
      return new Promise((resolve, reject) => {
        const publication: Publication = {
          topic,
          payload,
          retain,
          timeoutMs,
          deadlineMs: performance.now() + timeoutMs,
          sentMs: 0,
          settled: false,
          settle(error) {
            publication.settled = true
            if (error === undefined) resolve()
            else reject(error)
          },
        }
        deadline.notAfter(publication.deadlineMs)
        if (link !== undefined && first === waiting.length && inFlight.size < link.maxInFlight) {
          send(link, publication)
        } else waiting.push(publication)
      })
    },

    open(next) {
      link = next
      lastAckMs = performance.now()
      sendNext()
    },

    shut(error) {
      const lost = [...inFlight, ...waiting.slice(first)]
      link = undefined
      inFlight.clear()
      waiting = []
      first = 0
      deadline.clear()
      for (const publication of lost) publication.settle(error)
    },
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
