import { after, before } from 'node:test'
import { connectMqtt } from '../../src/broker/index.ts'
import { testBroker } from '../suites/broker.ts'
import { prefixTopics } from '../suites/shared-broker.ts'
import { openCutLink } from '../support/cut-link.ts'
import { type RabbitMq, skipWithoutRabbitMq, startRabbitMq } from '../support/rabbitmq.ts'

let rabbit: RabbitMq
let count = 0

before(async () => {
  if (skipWithoutRabbitMq !== false) return
  rabbit = await startRabbitMq({
    users: { all: 'pw' },
    definitions: [
      JSON.stringify({
        permissions: [{ user: 'all', vhost: '/', configure: '.*', write: '.*', read: '.*' }],
      }),
    ],
  })
})
after(() => rabbit?.stop())

testBroker(
  'RabbitMQ with its MQTT plugin, MQTT 3.1.1',
  async () => {
    const link = await openCutLink(rabbit.port)
    const prefix = `test${++count}/`
    const connect = (): ReturnType<typeof connectMqtt> =>
      connectMqtt(`mqtt://all:pw@127.0.0.1:${link.port}`, {
        retry: { minDelayMs: 5, maxDelayMs: 20 },
        onError: () => {},
      })
    return {
      connect: async () => prefixTopics(await connect(), prefix),
      outage: { down: link.down, up: link.up },
      freeze: link.freeze,
      [Symbol.asyncDispose]: () => link[Symbol.asyncDispose](),
    }
  },
  { skip: skipWithoutRabbitMq },
)
