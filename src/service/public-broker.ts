/**
 * A broker that tells the public too: beside each message of the service, what the public may hear of it, on topics of its own.
 *
 * The relay publishes as ever and waits for both. What the public does not hear leaves a hole in the numbers of its topics, which
 * followers close by the feed. PROTOCOL.md §13.
 */
import type { Broker } from '../broker/broker.ts'
import {
  type CloudEventAttributes,
  formatHead,
  formatPosition,
  formatResetMessage,
  headTopic,
  type JsonObject,
  type Message,
  type Position,
  parseHead,
  parsePosition,
  publicEpochOf,
  toCloudEventAttributes,
} from '../contract/index.ts'
import type { Faces } from './audience.ts'
import { projectMessage } from './projection.ts'

export interface PublicTopics {
  readonly topicPrefix: string
  readonly publicTopicPrefix: string
}

interface Publication {
  readonly topic: string
  readonly payload: string
  readonly attributes?: () => CloudEventAttributes
}

/** Makes a broker whose `publish` tells the public too. */
export function createPublicBroker(broker: Broker, faces: Faces, topics: PublicTopics): Broker {
  return {
    get connected() {
      return broker.connected
    },
    async publish(topic, payload, options = {}) {
      const own = broker.publish(topic, payload, options)
      // The relay publishes texts only.
      const told = typeof payload === 'string' ? tell(topic, payload, faces, topics) : undefined
      if (told === undefined) return await own
      const { attributes } = told
      const other = broker.publish(told.topic, told.payload, { ...options, attributes })
      await Promise.all([own, other])
    },
    subscribe: (filters, listener, options) => broker.subscribe(filters, listener, options),
    onConnection: listener => broker.onConnection(listener),
    close: () => broker.close(),
    [Symbol.asyncDispose]: () => broker.close(),
  }
}

function tell(
  topic: string,
  payload: string,
  faces: Faces,
  { topicPrefix, publicTopicPrefix }: PublicTopics,
): Publication | undefined {
  const below = topic.slice(topicPrefix.length)
  if (below.startsWith('lockstep/head/')) {
    const head = parseHead(payload)
    const epoch = epochOf(faces, head)
    if (epoch === undefined) return undefined
    return { topic: headTopic(head.stream, publicTopicPrefix), payload: formatHead({ ...head, epoch }) }
  }
  const message = JSON.parse(payload) as JsonObject
  const position = parsePosition(String(message['id']))
  const epoch = epochOf(faces, position)
  if (epoch === undefined) return undefined
  const place: Position = { ...position, epoch }
  const reset = (): Publication =>
    withAttributes(
      `${publicTopicPrefix}${position.stream}`,
      formatResetMessage(place, String(message['time'])),
    )
  if (message['event'] === 'reset') return reset()
  const told = projectMessage(faces.faceOf(String(message['resource'])), message)
  if (told === 'untellable') return reset()
  if (told === undefined) return undefined
  const text = JSON.stringify({ ...told.message, id: formatPosition(place) })
  return withAttributes(publicTopicPrefix + below, text)
}

function withAttributes(topic: string, payload: string): Publication {
  return { topic, payload, attributes: () => toCloudEventAttributes(JSON.parse(payload) as Message) }
}

function epochOf(
  { ruleOf }: Faces,
  { stream, epoch }: Position | { stream: string; epoch: string },
): string | undefined {
  const rule = ruleOf(stream)
  return rule === undefined ? undefined : publicEpochOf(epoch, rule)
}
