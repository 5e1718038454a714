/**
 * What those who run a broker do to it, on real programs with the rules that `lockstep acl` prints: logins, rights,
 * certificates, slow readers, kills. Brokers differ in it; how is in broker-traits.ts, and shown by the tests.
 */
import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import { connectAsync, type IPublishPacket } from 'mqtt'
import { type Broker, type ConnectMqttOptions, connectMqtt } from '../../src/broker/index.ts'
import { listRights } from '../../src/cli/acl-rights.ts'
import { type AclBroker, formatAcl } from '../../src/cli/acl-text.ts'
import { connect as connectClient } from '../../src/client/connection.ts'
import type { CollectionFollower } from '../../src/client/follower.ts'
import { headTopic, type JsonObject } from '../../src/contract/index.ts'
import { type Certificates, makeCertificates, skipWithoutOpenssl } from '../support/certificates.ts'
import { type CutLink, openCutLink } from '../support/cut-link.ts'
import { connection, Inbox, rejects } from '../support/inbox.ts'
import { Reports } from '../support/reports.ts'
import { openTestService } from '../support/service.ts'
import { drained, listen } from './broker-setup.ts'
import { type BrokerTraits, brokerTraits } from './broker-traits.ts'

export interface OperatedBroker extends AsyncDisposable {
  /** Where users log in with a password. */
  readonly port: number
  /** Where they log in with a certificate. */
  readonly tlsPort?: number | undefined
  /** As a power cut does. */
  kill(): Promise<void>
  restart(): Promise<void>
}

/** What a broker is started with. */
export interface Orders {
  /** What `lockstep acl` prints for it. */
  readonly acl: string
  readonly passwords: Readonly<Record<string, string>>
  /** Where it speaks TLS and openssl is there. The common names are those of the users. */
  readonly certificates: Certificates | undefined
}

export interface OperationOptions {
  readonly kind: AclBroker
  /** @default new ones */
  readonly orders?: () => Orders
  readonly start: (orders: Orders) => Promise<OperatedBroker>
  readonly skip: string | false
}

const passwords = { service: 'service password', reader: 'reader password', guest: 'guest password' }
type User = keyof typeof passwords
/** Short waits: what is refused or down is tried again while the test runs. */
const retry = { minDelayMs: 5, maxDelayMs: 50 }

/** A broker that was started, and ways to it. */
interface Stage {
  readonly broker: OperatedBroker
  readonly certificates: Certificates | undefined
  readonly reports: Reports
  connect(user: User, options?: ConnectMqttOptions, port?: number): Promise<Broker>
}

type Check = (stage: Stage) => Promise<void>
type Test = (title: string, check: Check, skip?: string | false) => void

/** Registers the tests for one broker, which is started once. */
export function testBrokerOperation(name: string, options: OperationOptions): void {
  describe(`broker in operation: ${name}`, { skip: options.skip }, () => {
    let broker: OperatedBroker
    let certificates: Certificates | undefined
    before(async () => {
      const orders = options.orders?.() ?? (await makeOrders(options.kind))
      certificates = orders.certificates
      broker = await options.start(orders)
    })
    after(() => broker?.[Symbol.asyncDispose]())
    const test: Test = (title, check, skip = false) => {
      it(title, { skip }, async () => {
        const reports = new Reports()
        const connect: Stage['connect'] = (user, more = {}, port = broker.port) => {
          const login = { username: user, password: passwords[user] }
          return connectMqtt(`mqtt://127.0.0.1:${port}`, {
            ...login,
            retry,
            onError: reports.onError,
            ...more,
          })
        }
        await check({ broker, certificates, reports, connect })
      })
    }
    const traits = brokerTraits[options.kind]
    testLogin(test, traits)
    testRights(test, traits)
    testCertificates(test, traits)
    testSlowReader(test, traits)
    testKill(test)
  })
}

/** Orders for a broker that others of its file use too. */
export async function makeOrders(kind: AclBroker): Promise<Orders> {
  const isTried = brokerTraits[kind].tlsLogin !== 'none' && skipWithoutOpenssl === false
  const certificates = isTried ? await makeCertificates(Object.keys(passwords)) : undefined
  return { acl: rulesFor(kind), passwords, certificates }
}

function rulesFor(kind: AclBroker): string {
  const readers = [
    { user: 'reader', streams: undefined },
    { user: 'guest', streams: ['projects'] },
  ]
  return formatAcl(
    kind,
    listRights({ streams: ['people', 'projects'], topicPrefix: '', service: 'service', readers }),
  )
}

function testLogin(test: Test, { protocolVersions }: BrokerTraits): void {
  for (const protocolVersion of protocolVersions) {
    test(`a wrong password is told by MQTT ${shown(protocolVersion)}, and tried again`, async ({
      connect,
      reports,
    }) => {
      await using wrong = await connect('service', { password: 'wrong', protocolVersion })
      const { code, text } = await reports.stage('mqtt connection')
      assert.equal(code, 'broker-refused')
      assert.match(text, /password/)
      assert.equal(wrong.connected, false)
    })
  }

  if (!protocolVersions.includes(5)) {
    test('MQTT 5 is not spoken, and the report says what to set', async ({ connect, reports }) => {
      await using _five = await connect('service', { protocolVersion: 5 })
      const { text } = await reports.stage('mqtt connection')
      assert.match(
        text,
        /does not speak MQTT 5\. Set protocolVersion to 4|Some brokers do so when they do not speak MQTT 5/,
      )
    })
  }
}

function shown(protocolVersion: 4 | 5): string {
  return protocolVersion === 4 ? '3.1.1' : '5'
}

function testRights(test: Test, { refusal, forbidden, protocolVersions }: BrokerTraits): void {
  for (const protocolVersion of protocolVersions) {
    test(`each reader hears what it may read, by MQTT ${shown(protocolVersion)}`, async ({
      connect,
      reports,
    }) => {
      await using service = await up(connect('service', { protocolVersion }))
      await using reader = await up(connect('reader', { protocolVersion }))
      await using guest = await up(connect('guest', { protocolVersion }))
      const all = await listen(reader, ['people/#', 'projects/#', headTopic('people')])
      const some = await listen(guest, ['projects/#'])
      await service.publish('people', '1')
      await service.publish('people/johndoe', '2')
      await service.publish('projects/x', '3')
      await service.publish(headTopic('people'), '4')
      await all.reach(4)
      await drained(service, some, 'projects')
      assert.deepEqual(new Set(all.payloads.slice(0, 4)), new Set(['1', '2', '3', '4']))
      assert.deepEqual(some.topics, ['projects/x', 'projects'])
      assert.deepEqual(reports.all, [])
    })
  }

  test(`a subscription without the right to read is ${refusal}`, async ({ connect, reports }) => {
    await using service = await up(connect('service'))
    for (const filter of ['people/#', '#']) {
      await using guest = await up(connect('guest'))
      const inbox = new Inbox()
      const subscribed = guest.subscribe([filter], inbox.listener)
      if (refusal === 'refused') await rejects(subscribed, 'broker-refused')
      else if (refusal === 'answered by closing the connection') {
        subscribed.catch(() => {})
        const { text } = await reports.find(report => report.text.includes(JSON.stringify(filter)))
        assert.match(text, /closed it while it was asked for a subscription to ".*#".*may not read/)
      } else {
        await subscribed
        const allowed = await listen(guest, ['projects'])
        await service.publish('people/1', 'secret')
        await drained(service, allowed, 'projects')
        assert.ok(!inbox.payloads.includes('secret'))
      }
    }
  })

  test(`a message without the right to publish is ${forbidden}`, async ({ connect }) => {
    await using service = await up(connect('service'))
    await using witness = await up(connect('reader'))
    const heard = await listen(witness, ['people/#', 'projects/#'])
    for (const user of ['reader', 'guest'] as const) {
      await using forger = await up(connect(user))
      const forged = forger.publish('people/johndoe', 'forged')
      if (forbidden === 'answered by closing the connection') await rejects(forged, 'broker-unreachable')
      else await forged
    }
    await drained(service, heard, 'people')
    await drained(service, heard, 'projects')
    assert.ok(!heard.payloads.includes('forged'))
  })

  if (protocolVersions.includes(5)) {
    test('by MQTT 5 a change is a CloudEvent too, in binary mode; a head is none', async ({
      broker,
      connect,
    }) => {
      const url = `mqtt://127.0.0.1:${broker.port}`
      const login = { username: 'reader', password: passwords.reader }
      const plain = await connectAsync(url, { ...login, protocolVersion: 5 })
      const heard: IPublishPacket[] = []
      const all = Promise.withResolvers<void>()
      plain.on('message', (_topic, _payload, packet) => {
        if (heard.push(packet) === 2) all.resolve()
      })
      await plain.subscribeAsync(['people/#', headTopic('projects')], { qos: 1 })
      await using publisher = await up(connect('service', { protocolVersion: 5 }))
      await using service = await openTestService({ broker: publisher })
      await service.ask('PUT', '/people/a.b', { body: { name: 'x' } })
      await all.promise
      await plain.endAsync(true)
      await service.service.close()
      const [head, change] = heard.sort((one, other) => (one.topic < other.topic ? -1 : 1))
      const message = JSON.parse(`${change!.payload}`) as Record<string, unknown>
      assert.deepEqual(
        { ...change!.properties?.userProperties },
        {
          specversion: '1.0',
          id: message['id'],
          source: '/people',
          type: 'lockstep.created',
          subject: '/people/a%2Eb',
          time: message['time'],
        },
      )
      assert.equal(change!.properties?.contentType, 'application/json')
      assert.equal(head!.properties?.userProperties, undefined)
    })

    test('a message without the right to publish is refused by MQTT 5', async ({ connect }) => {
      await using forger = await up(connect('guest', { protocolVersion: 5 }))
      await rejects(forger.publish('people/johndoe', 'forged'), 'broker-refused')
      assert.equal(forger.connected, true)
    })
  }
}

function testCertificates(test: Test, { tlsLogin }: BrokerTraits): void {
  const wantsPasswordToo = tlsLogin === 'certificate and password'
  const skip = tlsLogin === 'none' ? 'cannot: this broker speaks no TLS' : skipWithoutOpenssl

  test(
    wantsPasswordToo
      ? 'over TLS users come in with a certificate and a password'
      : 'over TLS users are who their certificates say, with the rights of those',
    async ({ broker, certificates, reports }) => {
      const open = (user: User): Promise<Broker> => {
        const { ca, clients } = certificates!
        const login = wantsPasswordToo ? { username: user, password: passwords[user] } : {}
        const url = `mqtts://127.0.0.1:${broker.tlsPort}`
        return connectMqtt(url, { ca, ...clients[user], ...login, retry, onError: reports.onError })
      }
      await using service = await up(open('service'))
      await using guest = await up(open('guest'))
      const heard = await listen(guest, ['projects/#'])
      await service.publish('people/1', 'for others')
      await drained(service, heard, 'projects/1')
      assert.deepEqual(heard.topics, ['projects/1'])
      assert.deepEqual(reports.all, [])
    },
    skip,
  )

  test(
    'over TLS nobody comes in without a certificate of the authority, and nobody is talked to whose authority is unknown',
    async ({ broker, certificates }) => {
      const { ca, clients } = certificates!
      const others = await makeCertificates(['service'])
      const login = { username: 'service', password: passwords.service }
      const strangers: ConnectMqttOptions[] = [
        { ca },
        { ca, ...others.clients['service']! },
        { ...clients['service']! },
      ]
      for (const options of strangers) {
        const reports = new Reports()
        const url = `mqtts://127.0.0.1:${broker.tlsPort}`
        await using stranger = await connectMqtt(url, {
          ...login,
          ...options,
          retry,
          onError: reports.onError,
        })
        await reports.stage('mqtt connection')
        assert.equal(stranger.connected, false)
      }
    },
    skip,
  )
}

function testSlowReader(test: Test, { slowReader }: BrokerTraits): void {
  test(`what a reader does not take is ${slowReader}, and holds up nobody; later it hears again, in order`, async ({
    broker,
    connect,
  }) => {
    await using link = await openCutLink(broker.port)
    await using service = await up(connect('service'))
    await using slow = await up(connect('reader', { clientId: 'slow' }, link.port))
    const heard = await listen(slow, ['people/+'])
    const count = 300
    link.freeze()
    for (let each = 0; each < count; each++) await service.publish('people/1', `${each}`)
    link.thaw()
    // A mark may be dropped too, as long as there is no room.
    while (!heard.payloads.includes('mark')) {
      await service.publish('people/1', 'mark')
      await Promise.race([heard.reachPayload('mark'), setTimeout(20)])
    }
    const numbers = heard.payloads.filter(payload => payload !== 'mark').map(Number)
    assert.deepEqual(
      numbers,
      [...numbers].sort((a, b) => a - b),
    )
    if (slowReader === 'dropped') assert.ok(numbers.length < count, 'nothing was dropped')
    else assert.equal(numbers.length, count)
  })

  test('a follower that was slow has what the API has', async ({ broker, connect }) => {
    await using link = await openCutLink(broker.port)
    await using stage = await follow(link, connect)
    const { write, follower } = stage
    await write('before', 'x')
    link.freeze()
    for (let each = 0; each < 100; each++) await write(`p${each % 7}`, `${each}`)
    link.thaw()
    const marker = await write('after', 'x')
    await follower.atLeast(marker)
    const expected = { before: 'x', after: 'x' }
    for (let each = 93; each < 100; each++) Object.assign(expected, { [`p${each % 7}`]: `${each}` })
    const names = [...follower.state].map(([id, state]) => [id, state['name']])
    assert.deepEqual(Object.fromEntries(names), expected)
  })
}

interface Following extends AsyncDisposable {
  readonly follower: CollectionFollower<JsonObject>
  /** Writes a person and returns the marker. */
  write(id: string, name: string): Promise<string>
}

/** A service that publishes with its rights, and a follower with a reader's, live. */
async function follow(link: CutLink, connect: Stage['connect']): Promise<Following> {
  const broker = await up(connect('service'))
  const service = await openTestService({ broker })
  const readerBroker = await up(connect('reader', { clientId: 'slow-follower' }, link.port))
  const lockstep = await connectClient({
    api: 'http://service.test',
    fetch: (input, init) => service.service.fetch(new Request(input, init)),
    broker: readerBroker,
  })
  const follower = lockstep.follow('/people') as CollectionFollower<JsonObject>
  await follower.ready
  return {
    follower,
    async write(id, name) {
      const { status, headers } = await service.ask('PUT', `/people/${id}`, { body: { name } })
      assert.ok(status < 300, `${status}`)
      return headers.get('lockstep-marker')!
    },
    async [Symbol.asyncDispose]() {
      await lockstep.close()
      await readerBroker.close()
      await service.service.close()
      await broker.close()
      await service[Symbol.asyncDispose]()
    },
  }
}

function testKill(test: Test): void {
  test('after a kill and a restart the service publishes again and readers hear again', async ({
    broker,
    connect,
  }) => {
    await using service = await up(connect('service'))
    await using reader = await up(connect('reader'))
    const heard = await listen(reader, ['people/#'])
    await Promise.all([connection(service, false), connection(reader, false), broker.kill()])
    await rejects(service.publish('people', 'lost'), 'broker-unreachable')
    await broker.restart()
    await Promise.all([connection(service), connection(reader)])
    await drained(service, heard, 'people')
    assert.ok(!heard.payloads.includes('lost'))
  })
}

async function up(opening: Promise<Broker>): Promise<Broker> {
  const broker = await opening
  await connection(broker)
  return broker
}
