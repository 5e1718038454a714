/** The broker suite's part on outages: what a connection does while the broker is away, and when it is back. */
import assert from 'node:assert/strict'
import { connection, Inbox, rejects } from '../support/inbox.ts'
import { type BrokerSetup, drained, listen, type Test, up } from './broker-setup.ts'

type OutageCheck = (setup: BrokerSetup, outage: NonNullable<BrokerSetup['outage']>) => Promise<void>

export function testOutage(register: Test): void {
  const test = (title: string, check: OutageCheck): void =>
    register(title, async setup => {
      assert.ok(setup.outage)
      await check(setup, setup.outage)
    })

  test('while the broker is down publications are rejected at once and none is sent later', async (setup, outage) => {
    await using broker = await up(setup)
    const inbox = await listen(broker, ['people'])
    await Promise.all([connection(broker, false), outage.down()])
    await rejects(broker.publish('people', 'lost'), 'broker-unreachable')
    await outage.up()
    await connection(broker)
    await drained(broker, inbox, 'people')
    assert.ok(!inbox.payloads.includes('lost'))
  })

  test('publications without acknowledgement are rejected when the broker dies', async (setup, outage) => {
    await using broker = await up(setup)
    setup.freeze?.()
    const pending = Array.from({ length: 50 }, (_, index) => broker.publish('people', `${index}`))
    const outcomes = Promise.all(pending.map(promise => rejects(promise, 'broker-unreachable')))
    await Promise.all([connection(broker, false), outage.down()])
    await outcomes
    await outage.up()
  })

  test('after a restart the subscriptions are renewed before the connection counts as up', async (setup, outage) => {
    await using publisher = await up(setup)
    await using follower = await up(setup)
    const inboxes = await Promise.all(
      ['people/+', 'groups/#', 'people/1'].map(filter => listen(follower, [filter])),
    )
    const ended = await listen(follower, ['people/+'])
    await ended.subscription.close()
    await Promise.all([connection(publisher, false), connection(follower, false), outage.down()])
    await outage.up()
    await connection(publisher)
    // Published in the very call that says "up": whoever looks for gaps from here on misses nothing after it.
    if (!follower.connected) {
      await new Promise<void>(resolve => {
        const end = follower.onConnection(() => {
          end()
          publisher.publish('people/1', 'after').then(resolve, resolve)
        })
      })
    } else await publisher.publish('people/1', 'after')
    await inboxes[0]!.reachPayload('after')
    await inboxes[2]!.reachPayload('after')
    assert.deepEqual(ended.payloads, [])
  })

  test('a subscription that is asked for while the broker is down resolves when it is up', async (setup, outage) => {
    await using broker = await up(setup)
    await Promise.all([connection(broker, false), outage.down()])
    const inbox = new Inbox()
    let resolved = false
    const subscribed = broker.subscribe(['people'], inbox.listener).then(subscription => {
      resolved = true
      return subscription
    })
    await rejects(broker.publish('people', 'x'), 'broker-unreachable')
    assert.equal(resolved, false)
    await outage.up()
    await subscribed
    await connection(broker)
    await broker.publish('people', 'y')
    await inbox.reachPayload('y')
  })

  test('a connection can be made while the broker is down, and closed', async (setup, outage) => {
    await outage.down()
    const never = await setup.connect()
    const subscribed = rejects(
      never.subscribe(['people'], () => {}),
      'closed',
    )
    await never.close()
    await subscribed
    await using broker = await setup.connect()
    assert.equal(broker.connected, false)
    await outage.up()
    await connection(broker)
    await broker.publish('people', 'x')
  })

  test('several outages in a row are told one by one', async (setup, outage) => {
    await using broker = await up(setup)
    const changes: boolean[] = []
    broker.onConnection(now => changes.push(now))
    for (let round = 0; round < 2; round++) {
      await Promise.all([connection(broker, false), outage.down()])
      await outage.up()
      await connection(broker)
    }
    assert.deepEqual(changes, [false, true, false, true])
  })
}
