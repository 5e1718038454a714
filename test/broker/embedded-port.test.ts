import { connectMqtt, openEmbeddedBroker } from '../../src/broker/index.ts'
import { testBroker } from '../suites/broker.ts'

const quiet = { onError: () => {} }

testBroker(
  'embedded, in its process',
  async () => {
    const broker = await openEmbeddedBroker({ port: 0, ...quiet })
    return { connect: async () => broker, [Symbol.asyncDispose]: () => broker.close() }
  },
  { cannotFail: true },
)

testBroker('embedded, over TCP', async () => {
  const publishers = { service: 'a password' }
  let broker = await openEmbeddedBroker({ port: 0, publishers, ...quiet })
  const { port, url } = broker
  return {
    connect: () =>
      connectMqtt(url, {
        username: 'service',
        password: 'a password',
        retry: { minDelayMs: 5, maxDelayMs: 20 },
        ...quiet,
      }),
    outage: {
      down: () => broker.close(),
      async up() {
        broker = await openEmbeddedBroker({ port, publishers, ...quiet })
      },
    },
    [Symbol.asyncDispose]: () => broker.close(),
  }
})
