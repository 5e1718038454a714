/**
 * What a stream of messages is, whichever way it is sent: last values first, then what comes, as far as its reader may read it.
 *
 * Nothing waits without bound: a reader that does not keep up is cut, and finds the last values when it comes back.
 */
import { matchesTopicFilter } from '../contract/index.ts'
import { mayRead, type TopicRights } from './rights.ts'
import type { TopicHub } from './topic-hub.ts'
import { formatEntry } from './value.ts'

/** What a stream is sent over. */
export interface StreamSink {
  /** Bytes that wait for the reader. */
  readonly unsentBytes: number
  send(entry: string): void
  /** Says nothing for long: keeps what is between awake. */
  ping(): void
  /** Ends it: with the code of an error, or `closed`. */
  end(code: 'closed' | 'too-slow' | 'access-denied'): void
}

export interface StreamOptions {
  readonly hub: TopicHub
  readonly filter: string
  readonly sink: StreamSink
  readonly rights: TopicRights
  /** Asks again what the reader may do. */
  readonly recheck: () => Promise<TopicRights | undefined>
  readonly withLast: boolean
  readonly maxLast: number
  readonly maxUnsentBytes: number
  readonly pingEveryMs: number
  readonly recheckEveryMs: number
}

export interface TopicStream {
  end(code: 'closed' | 'too-slow' | 'access-denied'): void
  /** The reader has gone. */
  gone(): void
}

/** Starts it at once. `onEnd` is called once. */
export function startTopicStream(options: StreamOptions, onEnd: () => void): TopicStream {
  const { hub, filter, sink, maxUnsentBytes } = options
  let { rights } = options
  let isOver = false
  const gone = (): void => {
    if (isOver) return
    isOver = true
    stopListening()
    clearInterval(pinging)
    clearInterval(rechecking)
    onEnd()
  }
  const end: TopicStream['end'] = code => {
    if (isOver) return
    gone()
    sink.end(code)
  }
  const send = (entry: string): void => {
    if (isOver) return
    sink.send(entry)
    if (sink.unsentBytes > maxUnsentBytes) end('too-slow')
  }
  const stopListening = hub.listen(message => {
    if (matchesTopicFilter(filter, message.topic) && mayRead(rights, message.topic))
      send(formatEntry(message.topic, message))
  })
  const pinging = setInterval(() => sink.ping(), options.pingEveryMs)
  const rechecking = setInterval(() => {
    options.recheck().then(
      next => {
        if (next === undefined || next.read.length === 0) end('access-denied')
        else rights = next
      },
      () => end('access-denied'),
    )
  }, options.recheckEveryMs)
  if (options.withLast) {
    for (const { topic, ...value } of hub.values.list({ filter, after: '', limit: options.maxLast }))
      if (hub.shows(topic) && mayRead(rights, topic)) send(formatEntry(topic, value, true))
  }
  return { end, gone }
}
