/**
 * A broker as a source: it hints at changes and heads.
 *
 * The broker may lose, repeat and reorder; nothing here makes up for it, since the follower does. The prefix of
 * the topics is learned from the API's first response. PROTOCOL.md §2, §3, §6.1.
 */
import type { Broker, Delivery, SubscribeOptions, Subscription } from '../broker/broker.ts'
import {
  headTopic,
  isReservedTopic,
  type ParsedPath,
  parentOf,
  parseHead,
  parseMessage,
  parsePosition,
  pathToTopic,
} from '../contract/index.ts'
import type { Source, SourceListener, SourceRequest } from './source.ts'

export interface MqttSourceOptions extends SourceRequest {
  /** It need not be connected. */
  readonly broker: Broker
  /** What stands before the topics, once it is known. */
  readonly topicPrefix: Promise<string>
}

/** A subscription that can be ended before the broker has acknowledged it. */
interface Hearing {
  readonly isHeard: boolean
  end(): void
}

export function openMqttSource(options: MqttSourceOptions, listener: SourceListener): Source {
  const { target, broker, topicPrefix } = options
  let isClosed = false

  const main = hear(prefix => [headTopic(target.stream, prefix), ...filtersOf(target, prefix)])
  let creations = options.hearsCreations ? hearCreations() : undefined

  const stopWatching = broker.onConnection(isUp => {
    if (!isUp) listener.onDown()
    else if (isAllHeard()) listener.onUp()
  })

  function hearCreations(): Hearing {
    const collection = parentOf(target.path)
    return hear(prefix => [pathToTopic(collection, prefix)])
  }

  function isAllHeard(): boolean {
    return main.isHeard && creations?.isHeard !== false
  }

  function hear(toFilters: (prefix: string) => readonly string[]): Hearing {
    let subscription: Subscription | undefined
    let isEnded = false
    let isRefused = false
    const tellUp = (): void => {
      if (!isEnded && broker.connected && isAllHeard()) listener.onUp()
    }
    const options: SubscribeOptions = {
      onRefused(error) {
        isRefused = true
        if (!isEnded) listener.onError(error)
      },
      onGranted() {
        isRefused = false
        tellUp()
      },
    }
    const begin = async (): Promise<void> => {
      const prefix = await topicPrefix
      if (isEnded) return
      const heads = headTopic(target.stream, prefix)
      const onDelivery = (delivery: Delivery): void => {
        if (!isEnded) receive(delivery, heads)
      }
      subscription = await broker.subscribe(toFilters(prefix), onDelivery, options)
      if (isEnded) await subscription.close()
      else tellUp()
    }
    begin().catch(error => {
      if (!isEnded) listener.onError(error)
    })
    return {
      get isHeard() {
        return subscription !== undefined && !isRefused
      },
      end() {
        isEnded = true
        subscription?.close().catch(report)
      },
    }
  }

  function receive({ topic, payload, retained }: Delivery, heads: string): void {
    try {
      if (topic === heads) {
        const head = parseHead(payload)
        if (head.stream === target.stream) listener.onHead(head, retained)
        return
      }
      // Whoever may ask for a write must not be able to say that it was made.
      if (isReservedTopic(topic)) return
      const message = parseMessage(payload)
      if (message === undefined) return
      const { stream, epoch, seq } = parsePosition(message.id)
      if (stream === target.stream) listener.onMessage({ epoch, seq, message })
    } catch (error) {
      listener.onError(error)
    }
  }

  function report(error: unknown): void {
    if (!isClosed) listener.onError(error)
  }

  return {
    hearCreations(wanted) {
      creations?.end()
      creations = wanted ? hearCreations() : undefined
    },
    close() {
      isClosed = true
      stopWatching()
      main.end()
      creations?.end()
    },
  }
}

/**
 * A collection hears its whole stream, since only then can it count. A nested collection hears itself and what
 * is below, a resource itself.
 */
function filtersOf({ kind, path, segments, stream }: ParsedPath, prefix: string): readonly string[] {
  if (kind === 'resource') return [pathToTopic(path, prefix)]
  return [`${segments.length === 1 ? pathToTopic(`/${stream}`, prefix) : pathToTopic(path, prefix)}/#`]
}
