import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { connectMqtt } from '../../src/broker/index.ts'
import { isLockstepError } from '../../src/contract/index.ts'
import { connection, Inbox, rejects } from '../support/inbox.ts'
import { open, payloadOf, service, subscribed, until, visit } from './embedded-visit.ts'
import {
  connectPacket,
  disconnectPacket,
  openRawClient,
  packetTypes,
  pingPacket,
  publishPacket,
  subscribePacket,
  unsubscribePacket,
} from './raw-client.ts'

describe('embedded broker: quality of service and sessions', () => {
  it('keeps no session: who comes back with clean session off finds none, and no old messages', async () => {
    await using broker = await open()
    const first = await visit(broker, { clientId: 'phone', clean: false })
    assert.deepEqual(await subscribed(first, ['people']), [1])
    first.send(disconnectPacket)
    await first.closed
    await broker.publish('people', 'while away')
    await using again = await openRawClient(broker.port)
    again.send(connectPacket({ clientId: 'phone', clean: false }))
    const connack = await again.packet(packetTypes.connack)
    assert.deepEqual([...connack], [0x20, 2, 0, 0], 'session present must be 0')
    assert.deepEqual(await subscribed(again, ['people']), [1])
    await broker.publish('people', 'after')
    assert.equal(payloadOf(await again.packet(packetTypes.publish), 1), 'after')
  })

  it('delivers QoS 2 and QoS 0 as QoS 1, so that no message is taken for a repetition and dropped', async () => {
    await using broker = await open()
    await using follower = await visit(broker)
    await subscribed(follower, ['people'], 2)
    await using publisher = await visit(broker, service)
    const pubrec = 5
    const qualities = [1, 0, 1, 2, 0, 1, 0, 2]
    qualities.forEach((qos, index) => {
      publisher.send(publishPacket('people', `${index}`, qos, 10 + index))
    })
    await publisher.packet(pubrec)
    const heard: string[] = []
    for (let index = 0; index < qualities.length; index++) {
      const publish = await follower.packet(packetTypes.publish)
      assert.equal((publish[0]! >> 1) & 3, 1)
      heard.push(payloadOf(publish, 1))
    }
    assert.deepEqual(heard.sort(), ['0', '1', '2', '3', '4', '5', '6', '7'])
  })

  it('delivers to a QoS 0 subscription at QoS 0', async () => {
    await using broker = await open()
    await using follower = await visit(broker)
    await subscribed(follower, ['people'], 0)
    await broker.publish('people', 'x')
    const publish = await follower.packet(packetTypes.publish)
    assert.equal(publish[0], 0x30)
    assert.equal(payloadOf(publish, 0), 'x')
  })

  it('does not let an UNSUBSCRIBE undo a SUBSCRIBE that came after it', async () => {
    await using broker = await open()
    await using client = await visit(broker)
    await subscribed(client, ['people'])
    client.send(Buffer.concat([unsubscribePacket(['people']), subscribePacket(['people'])]))
    await client.packet(packetTypes.suback)
    await broker.publish('people', 'x')
    await client.packet(packetTypes.publish)
  })

  it('refuses MQTT 5 with return code 1', async () => {
    await using broker = await open()
    await using client = await openRawClient(broker.port)
    const mqtt5 = connectPacket({ protocolLevel: 5 })
    // MQTT 5 has properties, here none, before the client id.
    client.send(
      Buffer.concat([Buffer.from([0x10, mqtt5[1]! + 1]), mqtt5.subarray(2, 12), Buffer.from([0, 0, 0])]),
    )
    assert.equal((await client.packet(packetTypes.connack))[3], 1)
    await client.closed
  })
})

describe('embedded broker: limits', () => {
  it('cuts who announces a packet over the limit before it has come', async () => {
    await using broker = await open({ limits: { maxPacketBytes: 1_000 } })
    await using client = await visit(broker, service)
    client.send(Buffer.from([0x32, 0xff, 0xff, 0xff, 0x7f, 0, 1]))
    await client.closed
    assert.equal((await broker.reports.stage('embedded broker packet')).code, 'message-too-large')
    await using before = await openRawClient(broker.port)
    before.send(Buffer.from([0x10, 0xff, 0xff, 0xff, 0x7f]))
    await before.closed
  })

  it('takes a packet of exactly the limit and refuses one byte more, from inside too', async () => {
    await using broker = await open({ limits: { maxPacketBytes: 1_000 } })
    const inbox = new Inbox()
    await broker.subscribe(['t'], inbox.listener)
    // Header 3, topic 3, packet id 2.
    await using client = await visit(broker, service)
    client.send(publishPacket('t', 'x'.repeat(992)))
    await client.packet(packetTypes.puback)
    client.send(publishPacket('t', 'x'.repeat(993)))
    await client.closed
    await broker.publish('t', 'x'.repeat(990))
    await rejects(broker.publish('t', 'x'.repeat(993)), 'message-too-large')
    await inbox.reach(2)
    assert.deepEqual(
      inbox.payloads.map(payload => payload.length),
      [992, 990],
    )
  })

  it('turns away who comes when all places are taken, and takes the next when one is free', async () => {
    await using broker = await open({ limits: { maxConnections: 2 } })
    const first = await visit(broker)
    await using _second = await visit(broker)
    assert.equal(broker.clients, 2)
    await using third = await openRawClient(broker.port)
    await third.closed
    assert.equal((await broker.reports.stage('embedded broker connections')).code, 'overloaded')
    first.send(disconnectPacket)
    await first.closed
    for (;;) {
      const next = await openRawClient(broker.port)
      next.send(connectPacket())
      const taken = await next.packet(packetTypes.connack).then(
        () => true,
        () => false,
      )
      await next[Symbol.asyncDispose]()
      if (taken) break
    }
  })

  it('refuses filters over the number a client may have, and frees those it gives up', async () => {
    await using broker = await open({ limits: { maxSubscriptions: 2 } })
    await using client = await visit(broker)
    assert.deepEqual(await subscribed(client, ['a', 'b', 'c']), [1, 1, 128])
    assert.deepEqual(await subscribed(client, ['a']), [1])
    client.send(Buffer.concat([unsubscribePacket(['a']), subscribePacket(['c'])]))
    const suback = await client.packet(packetTypes.suback)
    assert.equal(suback[4], 1)
  })

  it('bounds the characters of all filters of a client', async () => {
    await using broker = await open({ limits: { maxPacketBytes: 2_000 } })
    await using client = await visit(broker)
    assert.deepEqual(await subscribed(client, ['a'.repeat(1_500)]), [1])
    assert.deepEqual(await subscribed(client, ['b'.repeat(1_500), 'c']), [128, 1])
  })

  it('bounds the retained topics: inside is told, outside is delivered and reported', async () => {
    await using broker = await open({ limits: { maxRetained: 1 } })
    await broker.publish('head/a', '1', { retain: true })
    await rejects(broker.publish('head/b', '1', { retain: true }), 'overloaded')
    await broker.publish('head/a', '2', { retain: true })
    const inbox = new Inbox()
    await broker.subscribe(['head/+'], inbox.listener)
    await using publisher = await connectMqtt(broker.url, service)
    await connection(publisher)
    await publisher.publish('head/b', 'outside', { retain: true })
    assert.equal((await broker.reports.stage('embedded broker retain')).code, 'overloaded')
    await inbox.reach(2)
    assert.deepEqual(inbox.payloads, ['2', 'outside'])
  })

  it('cuts a connection that says nothing', async () => {
    await using broker = await open({ connectTimeoutMs: 20 })
    await using silent = await openRawClient(broker.port)
    await silent.closed
  })

  it('cuts a client that breaks its keepalive promise', async () => {
    await using broker = await open()
    await using client = await visit(broker, { keepaliveSeconds: 1 })
    await client.closed
  })

  it('cuts a subscriber that never reads, and holds up the others no longer than the drain timeout', async () => {
    await using broker = await open({ drainTimeoutMs: 50, limits: { maxWaitingBytes: 65_536 } })
    await using frozen = await visit(broker)
    await subscribed(frozen, ['people'])
    frozen.socket.pause()
    await using reader = await connectMqtt(broker.url)
    const inbox = new Inbox()
    await reader.subscribe(['people'], inbox.listener)
    const payload = 'x'.repeat(100_000)
    const count = 400
    // 40 MB: far more than the sockets of the frozen one can hold.
    for (let index = 0; index < count; index++) await broker.publish('people', payload)
    await inbox.reach(count)
    await until(() => broker.clients === 1)
    frozen.socket.resume()
    await frozen.closed
  })

  it('survives garbage', async () => {
    await using broker = await open()
    for (const bytes of [
      [0, 0],
      [0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
      [0x10, 0],
      [0x30, 0],
      [0x82, 2, 0, 0],
    ]) {
      await using client = await openRawClient(broker.port)
      client.send(Buffer.from(bytes))
      await client.closed
    }
    await using inside = await visit(broker)
    inside.send(Buffer.from([0x82, 5, 0, 1, 0, 9, 0x61]))
    await inside.closed
    await using client = await visit(broker)
    assert.deepEqual(await subscribed(client, ['people']), [1])
  })
})

describe('embedded broker: life', () => {
  it('says that its port is taken', async () => {
    await using broker = await open()
    await assert.rejects(open({ port: broker.port }), error => {
      assert.ok(isLockstepError(error, 'port-taken'))
      assert.match(error.message, new RegExp(`Port ${broker.port} of 127\\.0\\.0\\.1 is taken`))
      return true
    })
  })

  it('refuses an address that is not ours, a port that is none and a limit that is none', async () => {
    await rejects(open({ host: '192.0.2.1' }), 'invalid-option')
    await rejects(open({ port: 70_000 }), 'invalid-option')
    await rejects(open({ limits: { maxConnections: 0 } }), 'invalid-option')
  })

  it('gives a URL that can be connected to, also where it listens everywhere', async () => {
    await using broker = await open({ host: '0.0.0.0' })
    assert.equal(broker.url, `mqtt://127.0.0.1:${broker.port}`)
    await using client = await connectMqtt(broker.url)
    await connection(client)
  })

  it('closes: cuts its clients and frees the port', async () => {
    const broker = await open()
    await using client = await visit(broker)
    await using silent = await openRawClient(broker.port)
    await broker.close()
    await Promise.all([client.closed, silent.closed])
    await using next = await open({ port: broker.port })
    assert.equal(next.port, broker.port)
    await broker.close()
  })

  it('keeps nothing of clients that have gone', async () => {
    await using broker = await open()
    for (let index = 0; index < 200; index++) {
      await using client = await visit(broker, { clientId: `${index}` })
      await subscribed(client, [`people/${index}`])
    }
    await broker.publish('people/0', 'x')
    await using last = await visit(broker)
    await until(() => broker.clients === 1)
    last.send(pingPacket)
    await last.packet(packetTypes.pingresp)
  })
})
