/**
 * Who listens to which topic filters on one connection, kept by every adapter.
 *
 * Filters are counted, so that each is subscribed once however many listen. A delivery goes to each listener once,
 * even where several of its filters match. It knows nothing of networks. PROTOCOL.md §2.
 */
import {
  isTopicFilter,
  LockstepError,
  matchesTopicFilter,
  maxTopicBytes,
  quote,
  type ReportError,
} from '../contract/index.ts'
import type { Delivery } from './broker.ts'

// biome-ignore lint/suspicious/noControlCharactersInRegex: a NUL is what is looked for
const notInTopics = /[+#\u0000]/

/** One call of `subscribe`. */
export interface Listening {
  readonly filters: readonly string[]
  readonly listener: (delivery: Delivery) => void
}

/** The listeners of one connection. */
export interface SubscriptionTable {
  readonly filterCount: number
  /** Enters a listener. Errors: `invalid-topic` for what is no topic filter. */
  add(filters: readonly string[], listener: (delivery: Delivery) => void): Listening
  /** Ends it and returns the filters that nobody else holds. Idempotent. */
  remove(listening: Listening): string[]
  /** Calls the listeners whose filters match. What they throw is reported. */
  dispatch(delivery: Delivery): void
  /** Calls this listener, unless it has ended. What it throws is reported. */
  deliver(listening: Listening, delivery: Delivery): void
  /** Ends all. */
  clear(): void
}

export function createSubscriptionTable(reportError: ReportError): SubscriptionTable {
  // Followers of single resources listen to exact topics: they are looked up, only patterns are tried one by one.
  const exact = new Map<string, Set<Listening>>()
  const patterns = new Map<string, Set<Listening>>()
  const held = new Set<Listening>()
  const sideOf = (filter: string): Map<string, Set<Listening>> => (isPattern(filter) ? patterns : exact)

  function matching(topic: string): Set<Listening> {
    const found = new Set(exact.get(topic))
    for (const [filter, listenings] of patterns) {
      if (!matchesTopicFilter(filter, topic)) continue
      for (const listening of listenings) found.add(listening)
    }
    return found
  }

  function deliver(listening: Listening, delivery: Delivery): void {
    // An earlier listener of the same delivery may have ended this one.
    if (!held.has(listening)) return
    try {
      listening.listener(delivery)
    } catch (error) {
      reportError(error, { stage: 'broker listener' })
    }
  }

  return {
    get filterCount() {
      return exact.size + patterns.size
    },

    add(filters, listener) {
      for (const filter of filters) checkFilter(filter)
      const listening: Listening = { filters: [...new Set(filters)], listener }
      for (const filter of listening.filters) {
        const side = sideOf(filter)
        const others = side.get(filter)
        if (others === undefined) side.set(filter, new Set([listening]))
        else others.add(listening)
      }
      held.add(listening)
      return listening
    },

    remove(listening) {
      held.delete(listening)
      return listening.filters.filter(filter => {
        const side = sideOf(filter)
        const listenings = side.get(filter)
        if (listenings?.delete(listening) !== true || listenings.size > 0) return false
        return side.delete(filter)
      })
    },

    deliver,

    dispatch(delivery) {
      for (const listening of matching(delivery.topic)) deliver(listening, delivery)
    },

    clear() {
      held.clear()
      exact.clear()
      patterns.clear()
    },
  }
}

/** Refuses what no broker accepts as the topic of a message. Errors: `invalid-topic`, `broker-refused` for `$`. */
export function checkTopic(topic: string): void {
  if (topic === '' || notInTopics.test(topic) || Buffer.byteLength(topic) > maxTopicBytes) {
    throw new LockstepError(
      'invalid-topic',
      `Nothing can be published to ${quote(topic)}: a topic is not empty, at most ${maxTopicBytes} bytes, and without "+", "#" and NUL.`,
    )
  }
  if (topic.startsWith('$')) {
    throw new LockstepError(
      'broker-refused',
      `Nothing can be published to ${quote(topic)}: topics that begin with "$" belong to the broker.`,
    )
  }
}

/** Holds the filter a wildcard? */
export function isPattern(filter: string): boolean {
  return filter.includes('+') || filter.includes('#')
}

function checkFilter(filter: string): void {
  if (isTopicFilter(filter)) return
  throw new LockstepError(
    'invalid-topic',
    `${quote(filter)} is not a topic filter: "+" stands alone in its level, "#" alone in the last one.`,
  )
}
