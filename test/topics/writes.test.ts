/** Writing resources over MQTT: the same as REST, with answers, on MQTT 3.1.1 and 5. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { connectAsync, type IClientOptions, type MqttClient } from 'mqtt'
import { type Broker, connectMqtt, createMemoryHub, openEmbeddedBroker } from '../../src/broker/index.ts'
import { connect } from '../../src/client/index.ts'
import { createMemoryLog } from '../../src/log/memory.ts'
import { createFetchHandler } from '../../src/service/index.ts'
import { openService, type Service, type ServiceOptions } from '../../src/service/service.ts'
import { openWrites, type WritesOptions } from '../../src/topics/index.ts'
import { formatMosquittoPasswords, skipWithoutMosquitto, startMosquitto } from '../support/mosquitto.ts'
import { people } from '../support/service.ts'

interface Answer {
  readonly status: number
  readonly correlation?: string
  readonly headers: Readonly<Record<string, string>>
  readonly body?: {
    readonly name?: string
    readonly code?: string
    readonly email?: string
    readonly id?: string
  }
}

interface Setup extends AsyncDisposable {
  readonly service: Service
  readonly errors: unknown[]
}

async function open(
  broker: Broker,
  options: Partial<WritesOptions> = {},
  serviceOptions: Partial<ServiceOptions> = {},
): Promise<Setup> {
  const log = createMemoryLog()
  const errors: unknown[] = []
  const onError = (error: unknown): void => {
    errors.push(error)
  }
  const service = await openService({ resources: [people], log, broker, onError, ...serviceOptions })
  const writes = await openWrites({ broker, service, authorize: 'anyone', onError, ...options })
  return {
    service,
    errors,
    async [Symbol.asyncDispose]() {
      await writes.close()
      await service.close()
      await log.close()
    },
  }
}

/** A device on a broker in memory: sends envelopes and waits for their answers. */
async function createDevice(broker: Broker): Promise<(topic: string, envelope: object) => Promise<Answer>> {
  const waiting = new Map<string, (answer: Answer) => void>()
  await broker.subscribe(['replies/device'], ({ payload }) => {
    const answer = JSON.parse(payload) as Answer
    waiting.get(answer.correlation ?? '')?.(answer)
  })
  let count = 0
  return (topic, envelope) => {
    const correlation = `c${count++}`
    const { promise, resolve } = Promise.withResolvers<Answer>()
    const sent = { reply: 'replies/device', correlation, ...envelope }
    waiting.set(sent.correlation, resolve)
    return broker.publish(topic, JSON.stringify(sent)).then(() => promise)
  }
}

describe('writes over MQTT', () => {
  it('creates, replaces, modifies and deletes as REST does, and publishes the changes', async () => {
    const hub = createMemoryHub()
    await using broker = hub.connect()
    await using setup = await open(broker)
    const write = await createDevice(hub.connect())
    const events: string[] = []
    await hub.connect().subscribe(['people/#'], ({ topic, payload }) => {
      if (!topic.includes('_')) events.push(`${topic} ${(JSON.parse(payload) as { event: string }).event}`)
    })

    const created = await write('people/_post', { body: { id: 'ann', name: 'Ann' } })
    assert.equal(created.status, 201)
    assert.equal(created.headers['location'], '/people/ann')
    assert.equal(created.body?.name, 'Ann')
    const put = await write('people/bob/_put', { body: { name: 'Bob' } })
    assert.equal(put.status, 201)
    const patched = await write('people/ann/_patch', { body: { email: 'ann@example.com' } })
    assert.equal(patched.status, 200)
    assert.match(patched.headers['lockstep-marker'] ?? '', /^people:/)
    const deleted = await write('people/bob/_delete', {})
    assert.equal(deleted.status, 204)
    assert.equal(deleted.body, undefined)

    const rest = await setup.service.fetch(new Request('http://local/people/ann'))
    assert.equal(rest.headers.get('etag'), patched.headers['etag'])
    assert.deepEqual(await rest.json(), { id: 'ann', name: 'Ann', email: 'ann@example.com' })
    const told = ['people created', 'people/bob created', 'people/ann modified', 'people/bob deleted']
    while (events.length < told.length) await new Promise(resolve => setImmediate(resolve))
    assert.deepEqual(events, told)
  })

  it('answers what REST answers where a write is refused', async () => {
    const hub = createMemoryHub()
    await using broker = hub.connect()
    await using _setup = await open(broker)
    const write = await createDevice(hub.connect())
    assert.equal((await write('people/_post', { body: { id: 'ann', name: 'Ann' } })).status, 201)
    const cases: [string, object, number, string][] = [
      ['people/ann/_patch', { body: { name: '' } }, 422, 'invalid-state'],
      ['people/ann/_patch', { body: { name: 'B' }, ifMatch: '"x:9"' }, 412, 'precondition-failed'],
      ['people/nobody/_patch', { body: { name: 'B' } }, 404, 'not-found'],
      ['people/_post', { body: { id: 'ann', name: 'Ann' } }, 409, 'already-exists'],
      ['cities/oslo/_put', { body: {} }, 404, 'not-found'],
      ['people/ann/_patch', { body: { name: 'x'.repeat(20_000) } }, 413, 'body-too-large'],
      ['people/ann/_patch', { name: 'raw' }, 400, 'invalid-request'],
      ['people/ann%40home/_patch', { body: {}, contentType: 'text/plain' }, 415, 'unsupported-media-type'],
      ['people/a.b/_patch', { body: {} }, 400, 'invalid-topic'],
      ['people/+lost/_patch'.replace('+', ''), {}, 400, 'invalid-json'],
    ]
    for (const [topic, envelope, status, code] of cases) {
      const answer = await write(topic, envelope)
      assert.deepEqual([topic, answer.status, answer.body?.code], [topic, status, code])
    }
  })

  it('makes a write once, however often it is sent with one correlation', async () => {
    const hub = createMemoryHub()
    await using broker = hub.connect()
    await using setup = await open(broker)
    const write = await createDevice(hub.connect())
    const first = await write('people/_post', { body: { name: 'Ann' }, correlation: 'once' })
    const again = await write('people/_post', { body: { name: 'Ann' }, correlation: 'once' })
    assert.equal(again.status, 201)
    assert.equal(again.headers['idempotency-replayed'], 'true')
    assert.equal(again.body?.id, first.body?.id)
    const other = await write('people/_post', { body: { name: 'Zoe' }, correlation: 'once' })
    assert.equal(other.body?.code, 'idempotency-key-reused')
    const list = await setup.service.fetch(new Request('http://local/people'))
    assert.equal(((await list.json()) as unknown[]).length, 1)
  })

  it('does not mix up two writers that use the same correlation', async () => {
    const hub = createMemoryHub()
    await using broker = hub.connect()
    await using setup = await open(broker, { prefix: 'devices/{user}/', replies: 'devices/{user}/replies' })
    const device = hub.connect()
    for (const user of ['a', 'b']) {
      const { promise, resolve } = Promise.withResolvers<Answer>()
      await device.subscribe([`devices/${user}/replies`], ({ payload }) =>
        resolve(JSON.parse(payload) as Answer),
      )
      const envelope = { reply: `devices/${user}/replies`, correlation: '1', body: { name: user } }
      await device.publish(`devices/${user}/people/_post`, JSON.stringify(envelope))
      assert.equal((await promise).status, 201)
    }
    const list = await setup.service.fetch(new Request('http://local/people'))
    assert.equal(((await list.json()) as unknown[]).length, 2)
  })

  it('makes the writes to one resource in the order in which they came', async () => {
    const hub = createMemoryHub()
    await using broker = hub.connect()
    await using setup = await open(broker)
    const write = await createDevice(hub.connect())
    await write('people/ann/_put', { body: { name: 'Ann' } })
    const answers = await Promise.all(
      Array.from({ length: 50 }, (_, age) => write('people/ann/_patch', { body: { age } })),
    )
    assert.deepEqual([...new Set(answers.map(({ status }) => status))], [200])
    const ann = await setup.service.fetch(new Request('http://local/people/ann'))
    assert.equal(((await ann.json()) as { age: number }).age, 49)
  })

  it('asks who writes, and tells the service', async () => {
    const hub = createMemoryHub()
    await using broker = hub.connect()
    const asked: unknown[] = []
    const seen: (string | undefined)[] = []
    await using _setup = await open(
      broker,
      {
        prefix: 'devices/{user}/',
        replies: 'replies/#',
        authorize: ({ user, token, method, path }) => {
          asked.push({ user, token, method, path })
          return user === 'lamp' ? { 'x-device': user } : false
        },
      },
      {
        principal: exchange => {
          seen.push(exchange.header('x-device'), exchange.header('authorization'))
          return exchange.header('x-device')
        },
      },
    )
    const write = await createDevice(hub.connect())
    const made = await write('devices/lamp/people/ann/_put', { body: { name: 'Ann' }, token: 't0' })
    assert.equal(made.status, 201)
    assert.deepEqual(asked, [{ user: 'lamp', token: 't0', method: 'PUT', path: '/people/ann' }])
    assert.deepEqual(seen, ['lamp', 'Bearer t0'])
    const refused = await write('devices/stranger/people/ann/_delete', {})
    assert.deepEqual([refused.status, refused.body?.code], [403, 'access-denied'])
  })

  it('writes nothing where the answer would go to a topic that is not for answers, and sends nothing there', async () => {
    const hub = createMemoryHub()
    await using broker = hub.connect()
    await using setup = await open(broker)
    const device = hub.connect()
    const heard: string[] = []
    await device.subscribe(['people/#', 'lockstep/#'], ({ topic }) => {
      if (topic !== 'lockstep/head/people') heard.push(topic)
    })
    for (const reply of ['people/ann', 'lockstep/head/zoo', 'repliesx', '']) {
      const envelope = { reply, correlation: 'x', body: { id: 'ann', name: 'Ann' } }
      await device.publish('people/_post', JSON.stringify(envelope))
    }
    const write = await createDevice(hub.connect())
    assert.equal((await write('people/zoe/_put', { body: { name: 'Zoe' } })).status, 201)
    assert.equal(setup.errors.length, 4)
    assert.equal((await setup.service.fetch(new Request('http://local/people/ann'))).status, 404)
    // What was asked for is on the topics too; answers would have been beside it.
    assert.deepEqual(
      heard.filter(topic => !topic.endsWith('_post') && !topic.endsWith('_put') && topic !== 'people/zoe'),
      [],
    )
  })

  it('ignores a retained write, which would be made again at each start', async () => {
    const hub = createMemoryHub()
    await using broker = hub.connect()
    await hub.connect().publish('people/ann/_put', '{"body":{"name":"Ann"}}', { retain: true })
    await using setup = await open(broker)
    while (setup.errors.length === 0) await new Promise(resolve => setImmediate(resolve))
    assert.match(String(setup.errors[0]), /retained/)
    assert.equal((await setup.service.fetch(new Request('http://local/people/ann'))).status, 404)
  })

  it('lets no follower take a write for a message, whatever it says', async () => {
    const hub = createMemoryHub()
    await using broker = hub.connect()
    await using setup = await open(broker, { authorize: () => false })
    const made = await setup.service.fetch(
      new Request('http://local/people', {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: '{"id":"ann","name":"Ann"}',
      }),
    )
    const id = made.headers.get('lockstep-marker') ?? ''
    await using lockstep = await connect({
      api: 'http://local',
      broker: hub.connect(),
      fetch: request => createFetchHandler(setup.service)(new Request(request)),
    } as Parameters<typeof connect>[0])
    const followed = lockstep.follow('/people')
    await followed.ready
    const forged = {
      event: 'modified',
      id: id.replace(/\d+$/, seq => String(Number(seq) + 1)),
      resource: '/people/ann',
      version: 2,
      time: '2026-01-01T00:00:00Z',
      state: { id: 'ann', name: 'Forged' },
    }
    const device = hub.connect()
    await device.publish('people/ann/_patch', JSON.stringify(forged))
    const write = await createDevice(device)
    assert.equal((await write('people/ann/_patch', { body: {} })).status, 403)
    assert.equal((followed.state as ReadonlyMap<string, { name: string }>).get('ann')?.name, 'Ann')
  })

  it('knows on the embedded broker who has published', async () => {
    await using broker = await openEmbeddedBroker({ port: 0, publishers: { lamp: 'secret' } })
    const asked: unknown[] = []
    await using _setup = await open(broker, {
      authorize: ({ publisher }) => {
        asked.push(publisher)
        return true
      },
    })
    const device = await connectDevice(broker.url, {
      username: 'lamp',
      password: 'secret',
      clientId: 'lamp-1',
    })
    try {
      const answer = await askEnvelope(device, 'people/ann/_put', { body: { name: 'Ann' } })
      assert.equal(answer.status, 201)
      assert.deepEqual(asked, [{ clientId: 'lamp-1', username: 'lamp' }])
    } finally {
      await device.endAsync()
    }
  })
})

function connectDevice(url: string, options: IClientOptions): Promise<MqttClient> {
  return connectAsync(url, { reconnectPeriod: 0, ...options })
}

async function askEnvelope(device: MqttClient, topic: string, envelope: object): Promise<Answer> {
  const { promise, resolve } = Promise.withResolvers<Answer>()
  device.once('message', (_topic, payload) => resolve(JSON.parse(payload.toString()) as Answer))
  const reply = 'replies/raw'
  await device.subscribeAsync(reply, { qos: 1 })
  await device.publishAsync(topic, JSON.stringify({ reply, correlation: 'r', ...envelope }), { qos: 1 })
  return await promise
}

describe('writes over MQTT on Mosquitto', { skip: skipWithoutMosquitto }, () => {
  it('answers MQTT 5 by response topic and correlation data, the payload being the body', async () => {
    await using mosquitto = await startMosquitto()
    await using broker = await connectMqtt(mosquitto.url, { protocolVersion: 5 })
    await using _setup = await open(broker)
    const device = await connectDevice(mosquitto.url, { protocolVersion: 5 })
    try {
      await device.subscribeAsync('replies/five', { qos: 1 })
      const ask = async (
        topic: string,
        payload: string,
        userProperties?: Record<string, string>,
        contentType = 'application/json',
      ) => {
        const { promise, resolve } = Promise.withResolvers<{
          answer: Answer
          correlation: string | undefined
        }>()
        device.once('message', (_topic, answer, packet) =>
          resolve({
            answer: JSON.parse(answer.toString()) as Answer,
            correlation: packet.properties?.correlationData?.toString('hex'),
          }),
        )
        const correlationData = Buffer.from([0, 255, ask.count++])
        await device.publishAsync(topic, payload, {
          qos: 1,
          properties: {
            responseTopic: 'replies/five',
            correlationData,
            contentType,
            ...(userProperties && { userProperties }),
          },
        })
        const answered = await promise
        assert.equal(answered.correlation, correlationData.toString('hex'))
        return answered.answer
      }
      ask.count = 0
      const created = await ask('people/ann/_put', '{"name":"Ann","tags":["a"]}')
      assert.equal(created.status, 201)
      const etag = created.headers['etag'] ?? ''
      const patched = await ask(
        'people/ann/_patch',
        '[{"op":"add","path":"/tags/-","value":"b"}]',
        { 'if-match': etag },
        'application/json-patch+json',
      )
      assert.equal(patched.status, 200)
      const stale = await ask('people/ann/_patch', '{"email":"a@example.com"}', { 'if-match': etag })
      assert.equal(stale.body?.code, 'precondition-failed')
      const deleted = await ask('people/ann/_delete', '')
      assert.equal(deleted.status, 204)
      // Properties without a name among them are none.
      await broker.publish('replies/none', '{}', { properties: { attributes: {} } })
    } finally {
      await device.endAsync()
    }
  })

  it('takes envelopes of MQTT 3.1.1 on the same connection, and believes the user in a topic that the broker guards', async () => {
    const passwords = { service: 's', lamp: 'l', thief: 't' }
    await using mosquitto = await startMosquitto({
      config: 'allow_anonymous false\npassword_file {dir}/passwords\nacl_file {dir}/acl',
      files: {
        passwords: formatMosquittoPasswords(passwords),
        acl: 'user service\ntopic readwrite #\npattern write devices/%u/#\npattern read replies/%u\n',
      },
    })
    const url = (user: keyof typeof passwords): string =>
      mosquitto.url.replace('//', `//${user}:${passwords[user]}@`)
    await using broker = await connectMqtt(url('service'), { protocolVersion: 5 })
    const users: unknown[] = []
    await using setup = await open(broker, {
      prefix: 'devices/{user}/',
      replies: 'replies/{user}',
      authorize: ({ user }) => {
        users.push(user)
        return true
      },
    })
    const devices = await Promise.all([
      connectDevice(url('lamp'), { protocolVersion: 4 }),
      connectDevice(url('thief'), { protocolVersion: 4 }),
    ])
    const [lamp, thief] = devices
    try {
      await lamp.subscribeAsync('replies/lamp', { qos: 1 })
      const { promise, resolve } = Promise.withResolvers<Answer>()
      lamp.once('message', (_topic, payload) => resolve(JSON.parse(payload.toString()) as Answer))
      await thief.publishAsync('devices/lamp/people/_post', '{"body":{"id":"stolen","name":"T"}}', { qos: 1 })
      const envelope = { reply: 'replies/lamp', correlation: 'é1', body: { id: 'ann', name: 'Ann' } }
      await lamp.publishAsync('devices/lamp/people/_post', JSON.stringify(envelope), { qos: 1 })
      const answer = await promise
      assert.deepEqual([answer.status, answer.correlation], [201, 'é1'])
      assert.deepEqual(users, ['lamp'])
      assert.equal((await setup.service.fetch(new Request('http://local/people/stolen'))).status, 404)
    } finally {
      await Promise.all(devices.map(device => device.endAsync()))
    }
  })
})
