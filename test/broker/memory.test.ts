import { createMemoryHub } from '../../src/broker/index.ts'
import { testBroker } from '../suites/broker.ts'

testBroker('memory', async () => {
  const hub = createMemoryHub({ onError: () => {}, maxPayloadBytes: 262_144 })
  return {
    connect: async () => hub.connect(),
    outage: {
      down: async () => hub.stop(),
      up: async () => hub.start(),
    },
    async [Symbol.asyncDispose]() {},
  }
})
