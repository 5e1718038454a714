/**
 * The port to where the last values of topics are kept, and the one that keeps them in memory.
 *
 * It decides nothing: which value is the last one is decided by who writes it.
 */
import { LockstepError, matchesTopicFilter, quote } from '../contract/index.ts'
import type { TopicValue } from './value.ts'

export interface ListedValue extends TopicValue {
  readonly topic: string
}

export interface ListRange {
  readonly filter: string
  /** Lists what comes behind this topic. */
  readonly after: string
  readonly limit: number
}

export interface LastValues {
  /** Missing where the topic has none. */
  read(topic: string): TopicValue | undefined
  /** Keeps it, or forgets the topic. Errors: `overloaded` where there are too many topics, those of the file. */
  write(topic: string, value: TopicValue | undefined): void
  /** In the order of UTF-8. */
  list(range: ListRange): readonly ListedValue[]
  /** Resolves when all that was written before is as durable as it gets. */
  flush(): Promise<void>
  /** Idempotent. */
  close(): Promise<void>
}

export interface MemoryLimits {
  readonly maxTopics: number
  readonly maxBytes: number
}

/** Keeps them until the process ends. A value that finds no room takes the older one of its topic along. */
export function createMemoryLastValues({ maxTopics, maxBytes }: MemoryLimits): LastValues {
  const values = new Map<string, TopicValue>()
  let sorted: string[] | undefined
  let bytes = 0
  const sizeOf = (topic: string, value: TopicValue | undefined): number =>
    value === undefined ? 0 : topic.length + value.bytes.length
  return {
    read: topic => values.get(topic),
    write(topic, value) {
      const before = values.get(topic)
      const next = bytes - sizeOf(topic, before) + sizeOf(topic, value)
      const isFull =
        value !== undefined && (next > maxBytes || (before === undefined && values.size >= maxTopics))
      const kept = isFull ? undefined : value
      bytes += sizeOf(topic, kept) - sizeOf(topic, before)
      // A copy: what came is a part of a larger piece of memory.
      if (kept === undefined) values.delete(topic)
      else values.set(topic, { ...kept, bytes: new Uint8Array(kept.bytes) })
      if ((before === undefined) !== (kept === undefined)) sorted = undefined
      if (isFull) throw next > maxBytes ? tooManyBytes(topic, maxBytes) : tooManyTopics(topic, maxTopics)
    },
    list({ filter, after, limit }) {
      sorted ??= [...values.keys()].sort(compareTopics)
      const found: ListedValue[] = []
      for (const topic of sorted) {
        if (found.length === limit) break
        if (compareTopics(topic, after) <= 0 || !matchesTopicFilter(filter, topic)) continue
        found.push({ topic, ...values.get(topic)! })
      }
      return found
    },
    flush: async () => {},
    close: async () => {},
  }
}

/** As SQLite and brokers compare: by bytes. */
export function compareTopics(one: string, other: string): number {
  return Buffer.compare(Buffer.from(one), Buffer.from(other))
}

export function tooManyTopics(topic: string, maxTopics: number): LockstepError {
  return new LockstepError(
    'overloaded',
    `The value of ${quote(topic)} is not kept: there are ${maxTopics} topics with a value. Narrow the filters, or raise limits.maxTopics.`,
  )
}

function tooManyBytes(topic: string, maxBytes: number): LockstepError {
  return new LockstepError(
    'overloaded',
    `The value of ${quote(topic)} is not kept: values of ${maxBytes} bytes are. Narrow the filters, raise limits.maxBytes, or keep them in a file.`,
  )
}
