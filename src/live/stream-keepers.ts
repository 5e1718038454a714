/** The streams of a bridge, each with its keeper: which source each is heard from, and how they stand. */
import { createApiRequest } from './api-request.ts'
import type { BridgeSettings } from './bridge-options.ts'
import type { Counters } from './counters.ts'
import { createFeed } from './feed.ts'
import { openMqttSource } from './mqtt-source.ts'
import { openSseSource } from './sse-source.ts'
import { StreamKeeper } from './stream-keeper.ts'

/** By stream. */
export type StreamKeepers = ReadonlyMap<string, StreamKeeper>

/** How one stream stands. */
export interface StreamHealth {
  readonly epoch: string | undefined
  /** Up to here the bridge has everything. */
  readonly seq: number
  /** Everything after this number is in memory. */
  readonly start: number
  /** Nothing is known to be missing, and the source has shown that it lives. */
  readonly isLive: boolean
  /** Messages beyond a hole. */
  readonly ahead: number
  readonly backlogChars: number
  /** Pages that wait for the bridge. */
  readonly waiting: number
  /** Different things that pages follow. */
  readonly views: number
}

export function startStreamKeepers(
  settings: BridgeSettings,
  counters: Counters,
  onError: (error: unknown, stream: string) => void,
): StreamKeepers {
  const { clock, random, limits, sources } = settings
  const keepers = new Map<string, StreamKeeper>()
  for (const [name, source] of sources) {
    const feed = createFeed(name, createApiRequest(source))
    const prefix = source.topicPrefix === undefined ? feed.topicPrefix : Promise.resolve(source.topicPrefix)
    const keeper = new StreamKeeper({
      name,
      feed,
      openSource: (listener, position) =>
        source.broker === undefined
          ? openSseSource(
              { stream: name, feed, position, silenceMs: settings.staleAfterMs, clock, random },
              listener,
            )
          : openMqttSource(name, source.broker, prefix, listener),
      limits,
      backlog: { maxMessages: limits.backlogMessages, maxChars: limits.backlogChars },
      warmMessages: limits.warmMessages,
      bookmarkEveryMs: settings.pingEveryMs,
      staleAfterMs: settings.staleAfterMs,
      counters,
      clock,
      random,
      onError: error => onError(error, name),
    })
    keepers.set(name, keeper)
  }
  return keepers
}

/** Resolves when all feeds have been read, or could not be for a while. */
export async function warmUp(keepers: StreamKeepers, { clock, warmWithinMs }: BridgeSettings): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  const stop = clock.setTimer(resolve, warmWithinMs)
  await Promise.race([promise, Promise.all([...keepers.values()].map(({ ready }) => ready))])
  stop()
}

export function readStreamHealth({ stream }: StreamKeeper): StreamHealth {
  const { backlog, isSound, waiting, channels } = stream
  const { epoch, last, start, isBehind, ahead, chars } = backlog
  const isLive = isSound && !isBehind
  return { epoch, seq: last, start, isLive, ahead, backlogChars: chars, waiting, views: channels }
}
