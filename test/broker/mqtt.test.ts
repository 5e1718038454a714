import assert from 'node:assert/strict'
import type { Socket } from 'node:net'
import { describe, it } from 'node:test'
import { openEmbeddedBroker } from '../../src/broker/index.ts'
import { connection, Inbox, rejects } from '../support/inbox.ts'
import {
  answers,
  connect,
  open,
  openScriptedBroker,
  puback,
  publish,
  type ScriptedBroker,
  subscribe,
  unsubscribe,
} from './scripted-broker.ts'

describe('connectMqtt: subscriptions', () => {
  it('is up only when each subscription is acknowledged, at first and again', async () => {
    let hold: { packet: Buffer; socket: Socket } | undefined
    let held = Promise.withResolvers<void>()
    await using broker = await openScriptedBroker((type, packet, socket) => {
      if (type === connect) socket.write(answers.accept)
      if (type !== subscribe) return
      hold = { packet, socket }
      held.resolve()
    })
    const letGo = (): void => void hold!.socket.write(answers.granted(hold!.packet, [1, 1]))
    await using client = await open(broker.url)
    const changes: boolean[] = []
    client.onConnection(now => changes.push(now))
    const subscribed = client.subscribe(['a', 'b'], () => {})
    for (let round = 0; round < 2; round++) {
      await held.promise
      held = Promise.withResolvers()
      assert.equal(client.connected, false)
      await rejects(client.publish('t', 'x'), 'broker-unreachable')
      letGo()
      await connection(client)
      await subscribed
      if (round === 0) broker.cut()
      if (round === 0) await connection(client, false)
    }
    assert.deepEqual(changes, [true, false, true])
  })

  it('rejects a filter that the broker refuses, and leaves the other subscriptions alone', async () => {
    await using broker = await openEmbeddedBroker({ port: 0 })
    await using client = await open(broker.url)
    const inbox = new Inbox()
    const refused = new Inbox()
    await client.subscribe(['people'], inbox.listener)
    await rejects(client.subscribe(['groups', '$SYS/#', 'people'], refused.listener), 'broker-refused')
    await broker.publish('groups', 'x')
    await broker.publish('people', 'x')
    await inbox.reach(1)
    assert.deepEqual([inbox.topics, refused.topics], [['people'], []])
  })

  /** Grants or refuses each SUBSCRIBE in its turn, and the last way from then on. */
  async function openJudge(...codes: number[]): Promise<ScriptedBroker & { asked(): number }> {
    let asked = 0
    const broker = await openScriptedBroker((type, packet, socket) => {
      if (type === connect) socket.write(answers.accept)
      if (type === unsubscribe) socket.write(answers.unsubscribed(packet))
      if (type === subscribe) {
        socket.write(answers.granted(packet, [codes[asked] ?? codes.at(-1)!]))
        asked++
      }
    })
    return Object.assign(broker, { asked: () => asked })
  }

  it('reports a filter that was granted and is refused after a reconnect, stays up and asks until it is granted again', async () => {
    await using broker = await openJudge(1, 0x80, 0x80, 0x80, 1)
    await using client = await open(broker.url)
    const granted = Promise.withResolvers<void>()
    await client.subscribe(['t'], () => {}, { onGranted: granted.resolve })
    await connection(client)
    await Promise.all([connection(client, false), broker.cut()])
    const { code, text } = await client.reports.stage('mqtt subscription')
    assert.equal(code, 'broker-refused')
    assert.match(text, /refused the subscription to "t"\. Give this user the right to read it/)
    await connection(client)
    await granted.promise
    assert.equal(broker.asked(), 5)
    assert.equal(client.reports.all.filter(({ stage }) => stage === 'mqtt subscription').length, 1)
  })

  it('asks again for what is refused at first where somebody hears of it, tells it once, and resolves meanwhile', async () => {
    await using broker = await openJudge(0x80, 0x80, 0x80, 1)
    await using client = await open(broker.url)
    const told: string[] = []
    const granted = Promise.withResolvers<void>()
    await client.subscribe(['t'], () => {}, {
      onRefused: ({ code }) => void told.push(code),
      onGranted() {
        told.push('granted')
        granted.resolve()
      },
    })
    assert.deepEqual(told, ['broker-refused'])
    await connection(client)
    await granted.promise
    assert.deepEqual(told, ['broker-refused', 'granted'])
    assert.equal(broker.asked(), 4)
    assert.deepEqual(client.reports.all, [])
  })

  it('tells a refusal again after it was granted in between, and asks no more when the subscription is closed', async () => {
    await using broker = await openJudge(0x80, 1, 0x80, 0x80, 0x80)
    await using client = await open(broker.url)
    const told: string[] = []
    let wake = (): void => {}
    const tell = (what: string) => (): void => {
      told.push(what)
      wake()
    }
    const until = async (count: number): Promise<void> => {
      while (told.length < count) await new Promise<void>(resolve => (wake = resolve))
    }
    const subscription = await client.subscribe(['t'], () => {}, {
      onRefused: tell('refused'),
      onGranted: tell('granted'),
    })
    await until(2)
    await Promise.all([connection(client, false), broker.cut()])
    await until(3)
    await subscription.close()
    await connection(client)
    assert.deepEqual(told, ['refused', 'granted', 'refused'])
    const asked = broker.asked()
    // A later subscription is answered after all that may still be asked for.
    await client.subscribe(['other'], () => {}, { onRefused: () => {} })
    assert.ok(broker.asked() <= asked + 1)
  })

  it('leaves a broker that does not answer a SUBSCRIBE, and tries again', async () => {
    let round = 0
    await using broker = await openScriptedBroker((type, packet, socket) => {
      if (type === connect) socket.write(answers.accept)
      if (type === subscribe && round++ > 0) socket.write(answers.granted(packet, [1]))
    })
    await using client = await open(broker.url, { connectTimeoutMs: 30 })
    await client.subscribe(['t'], () => {})
    await connection(client)
    assert.match(client.reports.all[0]!.text, /acknowledged no subscription/)
  })

  it('unsubscribes when the last listener of a filter has gone, and waits for the answer before it subscribes again', async () => {
    const log: string[] = []
    let unsubscribed: (() => void) | undefined
    let asked = Promise.withResolvers<void>()
    await using broker = await openScriptedBroker((type, packet, socket) => {
      if (type === connect) socket.write(answers.accept)
      if (type === subscribe) {
        log.push('subscribe')
        socket.write(answers.granted(packet, [1]))
      }
      if (type === unsubscribe) {
        log.push('unsubscribe')
        unsubscribed = () => void socket.write(answers.unsubscribed(packet))
        asked.resolve()
      }
    })
    await using client = await open(broker.url)
    await connection(client)
    const first = await client.subscribe(['t'], () => {})
    const second = await client.subscribe(['t'], () => {})
    await first.close()
    await second.close()
    const third = client.subscribe(['t'], () => {})
    await asked.promise
    log.push('answer')
    unsubscribed!()
    await third
    assert.deepEqual(log, ['subscribe', 'subscribe', 'unsubscribe', 'answer', 'subscribe'])
    asked = Promise.withResolvers()
  })
})

describe('connectMqtt: publications', () => {
  it('lets an MQTT 5 broker lower the number in flight', async () => {
    const seen: (() => void)[] = []
    let arrived = Promise.withResolvers<void>()
    await using broker = await openScriptedBroker((type, packet, socket) => {
      if (type === connect) socket.write(answers.acceptOneInFlight)
      if (type !== publish) return
      seen.push(() => void socket.write(puback(packet)))
      arrived.resolve()
    })
    await using client = await open(broker.url, { protocolVersion: 5 })
    await connection(client)
    const published = [client.publish('t', '1'), client.publish('t', '2')]
    for (let index = 0; index < 2; index++) {
      await arrived.promise
      arrived = Promise.withResolvers()
      assert.equal(seen.length, index + 1)
      seen[index]!()
      await published[index]
    }
  })

  it('sends no more than the limit in flight, and the rest in order', async () => {
    const seen: string[] = []
    const open_: (() => void)[] = []
    let arrived = Promise.withResolvers<void>()
    await using broker = await openScriptedBroker((type, packet, socket) => {
      if (type === connect) socket.write(answers.accept)
      if (type !== publish) return
      seen.push(packet.subarray(7).toString())
      open_.push(() => void socket.write(puback(packet)))
      arrived.resolve()
    })
    await using client = await open(broker.url, { limits: { maxInFlight: 1, maxWaiting: 3 } })
    await connection(client)
    const published = ['1', '2', '3'].map(payload => client.publish('t', payload))
    await rejects(client.publish('t', '4'), 'overloaded')
    for (let index = 0; index < 3; index++) {
      await arrived.promise
      arrived = Promise.withResolvers()
      assert.deepEqual(seen, ['1', '2', '3'].slice(0, index + 1))
      open_[index]!()
      await published[index]
    }
  })

  it('rejects a publication that is not acknowledged in time, and leaves a broker that acknowledges nothing', async () => {
    const published: string[] = []
    await using broker = await openScriptedBroker((type, packet, socket) => {
      if (type === connect) socket.write(answers.accept)
      if (type === publish) published.push(packet.subarray(7).toString())
    })
    await using client = await open(broker.url)
    await connection(client)
    const patient = rejects(client.publish('t', 'patient'), 'broker-unreachable')
    const hasty = rejects(client.publish('t', 'hasty', { timeoutMs: 20 }), 'timeout')
    await Promise.all([patient, hasty, connection(client, false)])
    await connection(client)
    assert.match(client.reports.all[0]!.text, /acknowledges nothing/)
    assert.equal(broker.connections, 2)
    assert.deepEqual(published, ['patient', 'hasty'], 'nothing is sent again by itself')
  })

  it('drops a delivery over the limit and reports it', async () => {
    await using broker = await openEmbeddedBroker({ port: 0 })
    await using client = await open(broker.url, { limits: { maxPayloadBytes: 10 } })
    const inbox = new Inbox()
    await client.subscribe(['people'], inbox.listener)
    await broker.publish('people', 'x'.repeat(11))
    await broker.publish('people', 'x'.repeat(10))
    await inbox.reach(1)
    assert.deepEqual(inbox.payloads, ['x'.repeat(10)])
    assert.equal((await client.reports.stage('mqtt message')).code, 'message-too-large')
  })

  it('counts bytes, not characters', async () => {
    await using broker = await openEmbeddedBroker({ port: 0, publishers: { a: 'b' } })
    await using client = await open(broker.url, {
      username: 'a',
      password: 'b',
      limits: { maxPayloadBytes: 9 },
    })
    await connection(client)
    await client.publish('t', '日本語')
    await rejects(client.publish('t', '日本語!'), 'message-too-large')
  })
})
