/** Topics of its own for each test, on a broker that takes too long to start to have one for each. */
import type { Broker } from '../../src/broker/index.ts'

/** Puts a prefix before all topics and filters, and takes it away from what is delivered. */
export function prefixTopics(broker: Broker, prefix: string): Broker {
  // What no broker takes must be seen to be refused.
  const toTopic = (topic: string): string => (/^$|^\$/.test(topic) ? topic : `${prefix}${topic}`)
  return {
    get connected() {
      return broker.connected
    },
    publish: (topic, payload, options) => broker.publish(toTopic(topic), payload, options),
    subscribe: (filters, listener, options) =>
      broker.subscribe(
        filters.map(toTopic),
        delivery => listener({ ...delivery, topic: delivery.topic.slice(prefix.length) }),
        options,
      ),
    onConnection: listener => broker.onConnection(listener),
    close: () => broker.close(),
    [Symbol.asyncDispose]: () => broker.close(),
  }
}
