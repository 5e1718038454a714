/** The last message of each topic that was published with `retain`, up to a number of topics. */
import { matchesTopicFilter } from '../contract/index.ts'
import { isPattern } from './subscriptions.ts'

export interface RetainedMessages<T> {
  /** Keeps it, or forgets the topic where the value is `undefined`. `false` where there are too many topics. */
  set(topic: string, value: T | undefined): boolean
  /** What is kept for a filter. Topics with `$` match no wildcard. */
  matching(filter: string): Iterable<readonly [topic: string, value: T]>
}

export function createRetainedMessages<T>(maxTopics: number): RetainedMessages<T> {
  const kept = new Map<string, T>()
  return {
    set(topic, value) {
      if (value === undefined) {
        kept.delete(topic)
        return true
      }
      if (kept.size >= maxTopics && !kept.has(topic)) return false
      kept.set(topic, value)
      return true
    },

    *matching(filter) {
      if (isPattern(filter)) {
        for (const entry of kept) if (matchesTopicFilter(filter, entry[0])) yield entry
        return
      }
      const value = kept.get(filter)
      if (value !== undefined) yield [filter, value]
    },
  }
}
