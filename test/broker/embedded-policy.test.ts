import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { connectMqtt } from '../../src/broker/index.ts'
import { connection, Inbox } from '../support/inbox.ts'
import { open, service, subscribed, visit } from './embedded-visit.ts'
import {
  connectPacket,
  openRawClient,
  packetTypes,
  pingPacket,
  publishPacket,
  type RawConnect,
} from './raw-client.ts'

describe('embedded broker: who may do what', () => {
  it('lets anyone subscribe, and disconnects who publishes without credentials', async () => {
    await using broker = await open()
    const inbox = new Inbox()
    await broker.subscribe(['#'], inbox.listener)
    await using stranger = await visit(broker)
    assert.deepEqual(await subscribed(stranger, ['people/#']), [1])
    stranger.send(publishPacket('people/johndoe', 'forged'))
    await stranger.closed
    const { code, text } = await broker.reports.stage('embedded broker publish')
    assert.equal(code, 'broker-refused')
    assert.match(text, /"people\/johndoe".*without a publisher/)
    await broker.publish('people', 'true')
    await inbox.reach(1)
    assert.deepEqual(inbox.payloads, ['true'])
  })

  it('lets a publisher publish with its password, and hears all it publishes', async () => {
    await using broker = await open()
    const inbox = new Inbox()
    await broker.subscribe(['people/+'], inbox.listener)
    await using publisher = await connectMqtt(broker.url, service)
    await connection(publisher)
    await publisher.publish('people/johndoe', 'from outside')
    await inbox.reach(1)
    assert.deepEqual(inbox.payloads, ['from outside'])
  })

  for (const [name, options] of Object.entries({
    'a wrong password': { username: 'service', password: 'wrong' },
    'no password': { username: 'service' },
    'an empty password': { username: 'service', password: '' },
    "another publisher's password": { username: 'service', password: 'a second secret' },
    'an unknown name': { username: 'nobody', password: '' },
    'the name of an inherited property': { username: 'constructor', password: 'x' },
    'an empty name': { username: '', password: '' },
  } satisfies Record<string, RawConnect>)) {
    it(`refuses ${name} with return code 4 and closes`, async () => {
      await using broker = await open()
      await using client = await openRawClient(broker.port)
      client.send(connectPacket(options))
      const connack = await client.packet(packetTypes.connack)
      assert.equal(connack[3], 4)
      await client.closed
      assert.doesNotMatch(JSON.stringify(broker.reports.all), /second secret|good password/)
    })
  }

  it('lets only named readers in where there are some, and they do not publish', async () => {
    await using broker = await open({ readers: { page: 'to read' } })
    await using stranger = await openRawClient(broker.port)
    stranger.send(connectPacket())
    assert.equal((await stranger.packet(packetTypes.connack))[3], 5)
    await using wrong = await openRawClient(broker.port)
    wrong.send(connectPacket({ username: 'page', password: 'wrong' }))
    assert.equal((await wrong.packet(packetTypes.connack))[3], 4)
    const inbox = new Inbox()
    await broker.subscribe(['#'], inbox.listener)
    const will = { topic: 'people', payload: 'forged' }
    await using reader = await visit(broker, { username: 'page', password: 'to read', will })
    assert.deepEqual(await subscribed(reader, ['people']), [1])
    await using publisher = await visit(broker, service)
    publisher.send(publishPacket('people', 'true'))
    await reader.packet(packetTypes.publish)
    reader.send(publishPacket('people', 'forged'))
    await reader.closed
    await broker.publish('end', 'end')
    await inbox.reach(2)
    assert.deepEqual(inbox.payloads, ['true', 'end'])
  })

  it('reports a flood of wrong passwords once', async () => {
    await using broker = await open()
    for (let attempt = 0; attempt < 5; attempt++) {
      await using client = await openRawClient(broker.port)
      client.send(connectPacket({ username: 'service', password: `${attempt}` }))
      await client.closed
    }
    assert.equal(broker.reports.all.length, 1)
  })

  it('refuses topics that begin with "$" to subscribers and publishers alike', async () => {
    await using broker = await open()
    await using client = await visit(broker, service)
    assert.deepEqual(
      await subscribed(client, ['$SYS/#', '$share/group/people', 'people', '$']),
      [128, 128, 1, 128],
    )
    client.send(publishPacket('$SYS/broker', 'x'))
    await client.closed
  })

  it('answers a filter that is none with a failure', async () => {
    await using broker = await open()
    await using client = await visit(broker)
    assert.deepEqual(await subscribed(client, ['a+', 'ok/+']), [128, 1])
  })

  it('publishes the will of a publisher and no will of a stranger', async () => {
    await using broker = await open()
    const inbox = new Inbox()
    await broker.subscribe(['#'], inbox.listener)
    const stranger = await visit(broker, { will: { topic: 'people', payload: 'forged', retain: true } })
    stranger.socket.resetAndDestroy()
    await stranger.closed
    const publisher = await visit(broker, { ...service, will: { topic: 'devices/1', payload: 'gone' } })
    publisher.socket.resetAndDestroy()
    await inbox.reach(1)
    assert.deepEqual(inbox.payloads, ['gone'])
    const late = new Inbox()
    await broker.subscribe(['people', 'end'], late.listener)
    await broker.publish('end', 'end')
    await late.reach(1)
    assert.deepEqual(late.payloads, ['end'])
  })

  it('lets no stranger throw a publisher out by its client id', async () => {
    await using broker = await open()
    await using publisher = await visit(broker, { ...service, clientId: 'relay-1' })
    await using stranger = await visit(broker, { clientId: 'relay-1' })
    await using same = await visit(broker, { clientId: 'relay-1' })
    await stranger.closed
    publisher.send(pingPacket)
    await publisher.packet(packetTypes.pingresp)
    same.send(pingPacket)
    await same.packet(packetTypes.pingresp)
  })
})
