/** RabbitMQ takes seconds to start: there is one for all that is tested with it, the AMQP consumers too. */
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { after, before, describe, it } from 'node:test'
import { type Channel, type ConsumeMessage, connect as connectAmqp } from 'amqplib'
import rhea from 'rhea'
import { type Broker, connectMqtt } from '../../src/broker/index.ts'
import { openHttpServer } from '../../src/service/http/node.ts'
import { testBroker } from '../suites/broker.ts'
import { makeOrders, type Orders, testBrokerOperation } from '../suites/broker-operation.ts'
import { prefixTopics } from '../suites/shared-broker.ts'
import { freePort } from '../support/broker-program.ts'
import { openCutLink } from '../support/cut-link.ts'
import { connection } from '../support/inbox.ts'
import { type RabbitMq, skipWithoutRabbitMq, startRabbitMq } from '../support/rabbitmq.ts'
import { openTestService } from '../support/service.ts'

let orders: Orders
let rabbit: RabbitMq
let tlsPort = 0

before(async () => {
  if (skipWithoutRabbitMq !== false) return
  orders = await makeOrders('rabbitmq')
  tlsPort = await freePort()
  rabbit = await start(orders)
})
after(() => rabbit?.stop())

/** Besides the users of the rules there is one who may do all, and a small queue for clients whose ids begin with "slow". */
function start({ acl, passwords, certificates }: Orders): Promise<RabbitMq> {
  const all = { user: 'all', vhost: '/', configure: '.*', write: '.*', read: '.*' }
  const small = { 'max-length': 10 }
  const policy = { vhost: '/', name: 'small', pattern: '^mqtt-subscription-slow', definition: small }
  const tls = [
    `mqtt.listeners.ssl.1 = 127.0.0.1:${tlsPort}`,
    'ssl_options.cacertfile = {dir}/ca.crt',
    'ssl_options.certfile = {dir}/server.crt',
    'ssl_options.keyfile = {dir}/server.key',
    'ssl_options.verify = verify_peer',
    'ssl_options.fail_if_no_peer_cert = true',
    'mqtt.ssl_cert_login = true',
    'ssl_cert_login_from = common_name',
  ]
  return startRabbitMq({
    users: { ...passwords, all: 'pw' },
    definitions: [
      acl,
      JSON.stringify({ permissions: [all], policies: [{ ...policy, 'apply-to': 'queues', priority: 0 }] }),
    ],
    plugins: ['rabbitmq_mqtt', 'rabbitmq_amqp1_0'],
    ...(certificates === undefined
      ? {}
      : {
          config: tls.join('\n'),
          files: {
            'ca.crt': certificates.ca,
            'server.crt': certificates.server.cert,
            'server.key': certificates.server.key,
          },
        }),
  })
}

testBrokerOperation('RabbitMQ with its MQTT plugin', {
  kind: 'rabbitmq',
  orders: () => orders,
  start: async () => ({ ...rabbit, tlsPort, [Symbol.asyncDispose]: async () => {} }),
  skip: skipWithoutRabbitMq,
})

let count = 0

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

interface Writer extends AsyncDisposable {
  readonly url: string
  changes(): Promise<{ event: string; resource: string; id: string }[]>
  /** Makes a change of each kind. */
  writeAll(): Promise<void>
}

/** A service with the rights of one. A broker may acknowledge messages and lose them: those to `lost` are. */
async function openWriter(lost?: string): Promise<Writer> {
  const broker = await connectMqtt(`mqtt://127.0.0.1:${rabbit.port}`, {
    username: 'service',
    password: orders.passwords['service']!,
    onError: () => {},
  })
  await connection(broker)
  const liar: Broker = Object.assign(prefixTopics(broker, ''), {
    publish: async (...[topic, payload, options]: Parameters<Broker['publish']>) => {
      if (topic !== lost) await broker.publish(topic, payload, options)
    },
  })
  const service = await openTestService({ broker: liar })
  const server = await openHttpServer(service.service, { port: 0 })
  return {
    url: server.url,
    changes: async () => [...(await service.changes('people'))] as Awaited<ReturnType<Writer['changes']>>,
    async writeAll() {
      const headers = { 'if-none-match': '*' }
      await service.ask('POST', '/people', { body: { id: 'a.b', name: 'first' } })
      await service.ask('PATCH', '/people/a%2Eb', { body: { name: 'second' } })
      await service.ask('PUT', '/people/a%2Eb/friends/2', { body: { since: 2014 }, headers })
      await service.ask('DELETE', '/people/a%2Eb')
    },
    async [Symbol.asyncDispose]() {
      await server.close()
      await service.service.close()
      await broker.close()
    },
  }
}

const routingKeys = [
  'people',
  'people.a%2Eb',
  'people.a%2Eb.friends.2',
  'people.a%2Eb.friends.2',
  'people.a%2Eb',
]

describe('AMQP consumers on RabbitMQ', { skip: skipWithoutRabbitMq }, () => {
  it('by AMQP 0-9-1 a reader hears the messages as they are, in order, under keys with dots', async () => {
    await using writer = await openWriter()
    const amqp = await connectAmqp(amqpUrl('reader'))
    const channel = await amqp.createChannel()
    const { queue } = await channel.assertQueue('', { exclusive: true })
    await channel.bindQueue(queue, 'amq.topic', 'people.#')
    const heard: ConsumeMessage[] = []
    const all = Promise.withResolvers<void>()
    await channel.consume(queue, delivery => {
      if (delivery !== null && heard.push(delivery) === routingKeys.length) all.resolve()
    })
    await writer.writeAll()
    await all.promise
    await amqp.close()
    assert.deepEqual(
      heard.map(({ fields }) => fields.routingKey),
      routingKeys,
    )
    assert.deepEqual(
      heard.map(({ content }) => JSON.parse(content.toString())),
      await writer.changes(),
    )
  })

  it('by AMQP 1.0 too', async () => {
    await using writer = await openWriter()
    const container = rhea.create_container()
    const client = container.connect({
      port: rabbit.amqpPort,
      host: '127.0.0.1',
      username: 'reader',
      password: orders.passwords['reader'],
      reconnect: false,
    })
    const receiver = client.open_receiver('/topic/people.#')
    await once(receiver, 'receiver_open')
    const heard: unknown[] = []
    const all = Promise.withResolvers<void>()
    receiver.on('message', ({ message }) => {
      if (heard.push(JSON.parse(message.body.content.toString())) === routingKeys.length) all.resolve()
    })
    await writer.writeAll()
    await all.promise
    client.close()
    await once(client, 'connection_close')
    assert.deepEqual(heard, await writer.changes())
  })

  it('by AMQP a reader hears nothing that it may not read, and publishes nothing', async () => {
    const forbidden: readonly ((channel: Channel, queue: string) => PromiseLike<unknown>)[] = [
      (channel, queue) => channel.bindQueue(queue, 'amq.topic', 'people.#'),
      (channel, queue) => channel.bindQueue(queue, 'amq.topic', '#'),
      channel => channel.assertQueue('a-name-of-its-own'),
      async channel => {
        channel.publish('amq.topic', 'projects', Buffer.from('forged'))
        const [error] = await once(channel, 'error')
        throw error
      },
    ]
    for (const act of forbidden) {
      const amqp = await connectAmqp(amqpUrl('guest'))
      const channel = await amqp.createChannel()
      channel.on('error', () => {})
      const { queue } = await channel.assertQueue('', { exclusive: true })
      await channel.bindQueue(queue, 'amq.topic', 'projects.#')
      await assert.rejects(async () => await act(channel, queue), /ACCESS_REFUSED|ACCESS-REFUSED/)
      await amqp.close()
    }
  })

  it('09-amqp prints each change once, and from the feed what the queue missed', async t => {
    await using writer = await openWriter('people/a%2Eb/friends/2')
    const example = new URL('../../examples/09-amqp.ts', import.meta.url).pathname
    const child = spawn(process.execPath, ['--conditions=lockstep-source', example], {
      env: { ...process.env, API: new URL(writer.url).origin, AMQP: amqpUrl('reader') },
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    t.after(() => stop(child))
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
    assert.match((await lines.next()).value ?? '', /^from people:\w+:0$/)
    await writer.writeAll()
    const printed: string[] = []
    for (const _ of routingKeys) printed.push((await lines.next()).value ?? '')
    assert.deepEqual(
      printed,
      (await writer.changes()).map(({ event, resource, id }) => `${event} ${resource} ${id}`),
    )
  })
})

function amqpUrl(user: string): string {
  return `amqp://${user}:${encodeURIComponent(orders.passwords[user]!)}@127.0.0.1:${rabbit.amqpPort}`
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  child.kill()
  await once(child, 'exit')
}
