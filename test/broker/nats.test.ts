import { connectMqtt } from '../../src/broker/index.ts'
import { testBroker } from '../suites/broker.ts'
import { brokerTraits } from '../suites/broker-traits.ts'
import { skipWithoutNats, startNats } from '../support/nats.ts'

testBroker(
  'NATS with JetStream, MQTT 3.1.1',
  async () => {
    const nats = await startNats()
    return {
      connect: () => connectMqtt(nats.url, { retry: { minDelayMs: 5, maxDelayMs: 20 }, onError: () => {} }),
      outage: { down: nats.kill, up: nats.restart },
      freeze: nats.pause,
      [Symbol.asyncDispose]: nats.stop,
    }
  },
  { skip: skipWithoutNats, traits: brokerTraits.nats },
)
