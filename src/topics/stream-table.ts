/** The streams that are open, of any kind, up to a number. */
import type { IncomingMessage } from 'node:http'
import { LockstepError } from '../contract/index.ts'
import type { TopicRights } from './rights.ts'
import type { TopicHub } from './topic-hub.ts'
import { type StreamSink, startTopicStream, type TopicStream } from './topic-stream.ts'
import type { TopicsSettings } from './topics-options.ts'

export interface NewStream {
  readonly request: IncomingMessage
  readonly filter: string
  readonly rights: TopicRights
  readonly sink: StreamSink
  readonly withLast: boolean
}

/** Last values that a stream begins with at most; a list has them all, page by page. */
const maxLast = 1_000

export class StreamTable {
  readonly #settings: TopicsSettings
  readonly #hub: TopicHub
  readonly #streams = new Set<TopicStream>()

  constructor(settings: TopicsSettings, hub: TopicHub) {
    this.#settings = settings
    this.#hub = hub
  }

  get count(): number {
    return this.#streams.size
  }

  /** Errors: `too-many-followers`. */
  checkRoom(): void {
    const { maxStreams } = this.#settings.limits
    if (this.#streams.size < maxStreams) return
    throw new LockstepError('too-many-followers', `${maxStreams} streams are open. Come back later.`)
  }

  open({ request, filter, rights, sink, withLast }: NewStream): TopicStream {
    const { access, limits, pingEveryMs, recheckEveryMs } = this.#settings
    // It may end while it begins, where its reader takes nothing: then there is no stream to take out yet.
    const place: { stream?: TopicStream; isOver?: true } = {}
    const stream = startTopicStream(
      {
        hub: this.#hub,
        filter,
        sink,
        rights,
        withLast,
        recheck: async () => await access(request),
        maxLast,
        maxUnsentBytes: limits.maxUnsentBytes,
        pingEveryMs,
        recheckEveryMs,
      },
      () => {
        place.isOver = true
        if (place.stream !== undefined) this.#streams.delete(place.stream)
      },
    )
    place.stream = stream
    if (place.isOver !== true) this.#streams.add(stream)
    return stream
  }

  close(): void {
    for (const stream of [...this.#streams]) stream.end('closed')
  }
}
