/** A broker as a source of one stream: it hints at changes and heads; see mqtt-source.ts of the client. PROTOCOL.md §3, §6.1. */
import type { Broker, Delivery, Subscription } from '../broker/broker.ts'
import {
  headTopic,
  isReservedTopic,
  parseHead,
  parseMessage,
  parsePosition,
  pathToTopic,
} from '../contract/index.ts'
import { type HeardSource, type SourceListener, toEntry } from './source.ts'

/** Hears a stream on a broker, which the caller closes, as soon as it is known where topics begin. */
export function openMqttSource(
  stream: string,
  broker: Broker,
  topicPrefix: Promise<string>,
  listener: SourceListener,
): HeardSource {
  let subscription: Subscription | undefined
  let isClosed = false
  const report = (error: unknown): void => {
    if (!isClosed) listener.onError(error)
  }

  const begin = async (): Promise<void> => {
    const prefix = await topicPrefix
    if (isClosed) return
    const heads = headTopic(stream, prefix)
    const filters = [heads, `${pathToTopic(`/${stream}`, prefix)}/#`]
    subscription = await broker.subscribe(filters, delivery => {
      if (isClosed) return
      try {
        receive(delivery, heads)
      } catch (error) {
        listener.onError(error)
      }
    })
    if (isClosed) await subscription.close()
    else if (broker.connected) listener.onUp()
  }
  begin().catch(report)

  function receive({ topic, payload, retained }: Delivery, heads: string): void {
    if (topic === heads) {
      const head = parseHead(payload)
      // What the broker had kept may be of any age: it is no sign that the service lives.
      if (head.stream === stream) listener.onHead(head.epoch, head.seq, !retained)
      return
    }
    // Whoever may ask for a write must not be able to say that it was made.
    if (isReservedTopic(topic)) return
    const message = parseMessage(payload)
    if (message === undefined) return
    const { epoch, seq, stream: own } = parsePosition(message.id)
    if (own !== stream) return
    // Without its content, or as the end of a history: the feed says more.
    if (message.event === 'reset' || ('ref' in message && message.ref)) listener.onHead(epoch, seq, false)
    else listener.onEntry(epoch, toEntry(seq, message, payload))
  }

  const stopWatching = broker.onConnection(isUp => {
    if (isClosed) return
    if (!isUp) listener.onDown()
    else if (subscription !== undefined) listener.onUp()
  })
  return {
    close() {
      isClosed = true
      stopWatching()
      subscription?.close().catch(() => {})
    },
  }
}
