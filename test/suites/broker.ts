/**
 * What every broker adapter must do: the port's promises as tests, run on each of them.
 *
 * It speaks to the adapter through the port only; what an adapter adds is tested beside it.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Delivery, PublishOptions } from '../../src/broker/index.ts'
import { formatPath, headTopic, isLockstepError, pathToTopic, topicToPath } from '../../src/contract/index.ts'
import { difficultIds } from '../support/difficult-ids.ts'
import { rejects } from '../support/inbox.ts'
import { testOutage } from './broker-outage.ts'
import { type BrokerSetup, type Check, drained, listen, type Test, up } from './broker-setup.ts'
import type { BrokerTraits } from './broker-traits.ts'

export interface BrokerSuiteOptions {
  /** The broker lives and dies with its connections: there is no outage to test. */
  readonly cannotFail?: boolean
  /** Where it is not in order over all filters, or takes a limited number of them. */
  readonly traits?: Pick<BrokerTraits, 'order' | 'maxFilters'>
  /** Why the adapter cannot be tested here. */
  readonly skip?: string | false
}

/** Registers the suite for one adapter. */
export function testBroker(
  name: string,
  open: () => Promise<BrokerSetup>,
  options: BrokerSuiteOptions = {},
): void {
  const test = (title: string, check: Check): void => {
    it(title, { skip: options.skip ?? false }, async () => {
      await using setup = await open()
      await check(setup)
    })
  }
  describe(`broker port: ${name}`, () => {
    testDelivery(test)
    testOrder(test, options)
    testTopics(test, options)
    testRetained(test)
    testSubscriptions(test, options)
    testClose(test)
    if (options.cannotFail !== true) testOutage(test)
  })
}

function testDelivery(test: Test): void {
  test('a message reaches a listener on another connection as it was published', async setup => {
    await using publisher = await up(setup)
    await using follower = await up(setup)
    const inbox = await listen(follower, ['people/johndoe'])
    await publisher.publish('people/johndoe', '{"event":"deleted"}')
    await inbox.reach(1)
    assert.deepEqual(inbox.deliveries, [
      { topic: 'people/johndoe', payload: '{"event":"deleted"}', retained: false },
    ])
  })

  test('bytes that are no text arrive as they were published, also as a retained message', async setup => {
    await using publisher = await up(setup)
    await using follower = await up(setup)
    const inbox = await listen(follower, ['raw/image'])
    const bytes = Buffer.from([0x00, 0xff, 0xfe, 0x0a, 0x80])
    await publisher.publish('raw/image', bytes, { retain: true })
    await inbox.reach(1)
    assert.deepEqual(Buffer.from(inbox.wholes[0]?.bytes ?? []), bytes)
    await using later = await up(setup)
    const kept = await listen(later, ['raw/image'])
    await kept.reach(1)
    assert.deepEqual(Buffer.from(kept.wholes[0]?.bytes ?? []), bytes)
    assert.equal(kept.wholes[0]?.retained, true)
    await publisher.publish('raw/image', '', { retain: true })
  })

  test('a message reaches a listener on the connection that published it', async setup => {
    await using broker = await up(setup)
    const inbox = await listen(broker, ['people'])
    await broker.publish('people', 'own')
    await inbox.reach(1)
    assert.deepEqual(inbox.payloads, ['own'])
  })

  test('large payloads, text of all planes and the empty payload arrive unchanged', async setup => {
    await using publisher = await up(setup)
    await using follower = await up(setup)
    const inbox = await listen(follower, ['people'])
    const payloads = ['x'.repeat(200_000), '日本語🙂\u0000\uFEFF\u2028'.repeat(5_000), '']
    for (const payload of payloads) await publisher.publish('people', payload)
    await inbox.reach(payloads.length)
    assert.deepEqual(inbox.payloads, payloads)
  })

  test('a listener that throws harms neither the others nor the connection', async setup => {
    await using broker = await up(setup)
    const before = await listen(broker, ['people'])
    await broker.subscribe(['people'], () => {
      throw new Error('thrown by a listener, on purpose')
    })
    const after = await listen(broker, ['people'])
    await broker.publish('people', '1')
    await broker.publish('people', '2')
    await Promise.all([before.reach(2), after.reach(2)])
    assert.deepEqual(
      [before.payloads, after.payloads],
      [
        ['1', '2'],
        ['1', '2'],
      ],
    )
    assert.equal(broker.connected, true)
  })
}

function testOrder(test: Test, { traits }: BrokerSuiteOptions): void {
  const ordersByFilter = traits?.order === 'for each filter'
  const scope = ordersByFilter ? 'for each filter' : 'also over several filters'

  test(`messages published without waiting arrive in the order of the calls, ${scope}`, async setup => {
    await using publisher = await up(setup)
    await using follower = await up(setup)
    const inbox = await listen(follower, ['people/+', 'lockstep/head/people'])
    const expected: Delivery[] = []
    const published: Promise<void>[] = []
    // Brokers drop, and acknowledge, what is over their queue for a subscriber: Mosquitto's holds 1,000.
    for (let index = 0; index < 900; index++) {
      const options: PublishOptions = { retain: index % 10 === 0 }
      const topic = options.retain === true ? headTopic('people') : `people/id-${index % 7}`
      expected.push({ topic, payload: `${index}`, retained: false })
      published.push(publisher.publish(topic, `${index}`, options))
    }
    await Promise.all(published)
    await inbox.reach(expected.length)
    if (!ordersByFilter) assert.deepEqual(inbox.deliveries, expected)
    for (const isHead of [true, false]) {
      const ofFilter = ({ topic }: Delivery): boolean => (topic === headTopic('people')) === isHead
      assert.deepEqual(inbox.deliveries.filter(ofFilter), expected.filter(ofFilter))
    }
  })

  test('a publication that resolved before another began is delivered before it', async setup => {
    await using publisher = await up(setup)
    await using follower = await up(setup)
    const inbox = await listen(follower, ['people/+'])
    const topics = ['people/a', 'people/b', 'people/a', 'people/b']
    for (const topic of topics) await publisher.publish(topic, 'x')
    await inbox.reach(4)
    assert.deepEqual(inbox.topics, topics)
  })
}

function testTopics(test: Test, { traits }: BrokerSuiteOptions): void {
  const ordersByFilter = traits?.order === 'for each filter'
  test('each difficult id is one topic, comes back unchanged and is no wildcard', async setup => {
    await using publisher = await up(setup)
    await using follower = await up(setup)
    const all = await listen(follower, ['people/+'])
    const topics = difficultIds.map(id => pathToTopic(formatPath(['people', id]).path))
    assert.equal(new Set(topics).size, difficultIds.length)
    const single = await Promise.all(topics.map(topic => listen(follower, [topic])))
    await Promise.all(topics.map((topic, index) => publisher.publish(topic, `${index}`)))
    await Promise.all(single.map(inbox => inbox.reach(1)))
    await drained(publisher, all, 'people/last')
    // A broker may deliver once for each filter that matches: what counts is what was heard, and in which order.
    const [heard, expected] = [[...new Set(all.topics)], [...topics, 'people/last']]
    assert.deepEqual(ordersByFilter ? heard.sort() : heard, ordersByFilter ? expected.sort() : expected)
    assert.deepEqual(
      topics.map(topic => topicToPath(topic)),
      difficultIds.map(id => formatPath(['people', id]).path),
    )
    assert.deepEqual(
      single.map(inbox => [...new Set(inbox.payloads)]),
      topics.map((_, index) => [`${index}`]),
    )
  })

  test('composed and decomposed spellings of an id are one topic', async setup => {
    await using broker = await up(setup)
    const inbox = await listen(broker, [pathToTopic(formatPath(['people', 'Ame\u0301lie']).path)])
    await broker.publish(pathToTopic(formatPath(['people', 'Am\u00E9lie']).path), 'x')
    await inbox.reach(1)
  })

  test('filters match as MQTT says', async setup => {
    await using broker = await up(setup)
    const filters = [
      'people',
      'people/+',
      'people/#',
      '+/johndoe',
      'people/+/friends/#',
      '#',
      '+/+/+',
      'people/johndoe',
    ]
    const inboxes = await Promise.all(filters.map(filter => listen(broker, [filter])))
    const topics = [
      'people',
      'people/johndoe',
      'people/johndoe/friends',
      'people/johndoe/friends/2',
      'groups',
      'groups/johndoe',
    ]
    for (const topic of topics) await broker.publish(topic, 'x')
    await drained(broker, inboxes[5]!, 'last')
    const arranged = (heard: Iterable<string>): string[] =>
      ordersByFilter ? [...new Set(heard)].sort() : [...new Set(heard)]
    const heard = filters.map((filter, index) => [filter, arranged(inboxes[index]!.topics)] as const)
    const expected: Record<string, string[]> = {
      people: ['people'],
      'people/+': ['people/johndoe'],
      'people/#': topics.slice(0, 4),
      '+/johndoe': ['people/johndoe', 'groups/johndoe'],
      'people/+/friends/#': ['people/johndoe/friends', 'people/johndoe/friends/2'],
      '#': [...topics, 'last'],
      '+/+/+': ['people/johndoe/friends'],
      'people/johndoe': ['people/johndoe'],
    }
    for (const [filter, found] of heard) assert.deepEqual(found, arranged(expected[filter]!), filter)
  })

  test('what is no topic or no filter is refused without harm', async setup => {
    await using broker = await up(setup)
    for (const topic of ['', 'people/+', '#', 'people/#', 'a\u0000b', 'x'.repeat(65_536)]) {
      await rejects(broker.publish(topic, 'x'), 'invalid-topic')
    }
    await rejects(broker.publish('$SYS/x', 'x'), 'broker-refused')
    for (const filter of ['', '#/a', 'a#', 'a+/b', 'a/#/b', 'a\u0000b']) {
      await rejects(
        broker.subscribe([filter], () => {}),
        'invalid-topic',
      )
    }
    const inbox = await listen(broker, ['people'])
    await broker.publish('people', 'still here')
    await inbox.reach(1)
  })

  test('a payload over the limit is refused and the connection stays', async setup => {
    await using broker = await up(setup)
    await rejects(broker.publish('people', 'x'.repeat(2_000_000)), 'message-too-large')
    await broker.publish('people', 'small')
    assert.equal(broker.connected, true)
  })
}

function testRetained(test: Test): void {
  test('a retained message is delivered to an exact filter later, marked as retained', async setup => {
    await using publisher = await up(setup)
    await using follower = await up(setup)
    const early = await listen(follower, [headTopic('people')])
    await publisher.publish(headTopic('people'), 'old', { retain: true })
    await publisher.publish(headTopic('people'), 'new', { retain: true })
    await early.reach(2)
    assert.deepEqual(
      early.deliveries.map(delivery => delivery.retained),
      [false, false],
    )
    await using latecomer = await up(setup)
    const late = await listen(latecomer, [headTopic('people')])
    await late.reach(1)
    assert.deepEqual(late.deliveries, [{ topic: headTopic('people'), payload: 'new', retained: true }])
  })

  test('a second listener on a filter of the same connection hears the retained message too', async setup => {
    await using broker = await up(setup)
    await broker.publish(headTopic('people'), 'head', { retain: true })
    const first = await listen(broker, [headTopic('people')])
    await first.reach(1)
    const second = await listen(broker, [headTopic('people')])
    await second.reach(1)
    assert.deepEqual(second.payloads, ['head'])
  })

  test('an empty retained message deletes what was retained; other messages are not retained', async setup => {
    await using publisher = await up(setup)
    await publisher.publish('a', 'kept', { retain: true })
    await publisher.publish('a', '', { retain: true })
    await publisher.publish('b', 'not kept')
    await using follower = await up(setup)
    const inbox = await listen(follower, ['a', 'b', 'end'])
    await drained(publisher, inbox, 'end')
    assert.deepEqual(inbox.topics, ['end'])
  })
}

function testSubscriptions(test: Test, { traits }: BrokerSuiteOptions): void {
  const ordersByFilter = traits?.order === 'for each filter'
  const maxFilters = traits?.maxFilters ?? 350

  test('a closed subscription hears nothing more, and another with the same filter goes on', async setup => {
    await using broker = await up(setup)
    const ended = await listen(broker, ['people/+', 'only'])
    const stays = await listen(broker, ['people/+'])
    await broker.publish('people/1', 'both')
    await Promise.all([ended.reach(1), stays.reach(1)])
    await ended.subscription.close()
    await ended.subscription.close()
    await broker.publish('only', 'nobody')
    await broker.publish('people/1', 'one')
    await stays.reachPayload('one')
    assert.deepEqual(ended.payloads, ['both'])
    assert.deepEqual(stays.payloads, ['both', 'one'])
  })

  test('a listener that closes its subscription in a delivery is not called again', async setup => {
    await using broker = await up(setup)
    const calls: string[] = []
    const subscription = await broker.subscribe(['people'], delivery => {
      calls.push(delivery.payload)
      subscription.close()
    })
    const other = await listen(broker, ['people'])
    await Promise.all([broker.publish('people', '1'), broker.publish('people', '2')])
    await other.reach(2)
    assert.deepEqual(calls, ['1'])
  })

  test('a filter can be subscribed again after its last listener has gone', async setup => {
    await using broker = await up(setup)
    const first = await listen(broker, ['people'])
    await first.subscription.close()
    const second = await listen(broker, ['people'])
    await broker.publish('people', 'again')
    await second.reach(1)
    assert.deepEqual([first.payloads, second.payloads], [[], ['again']])
  })

  test(`${maxFilters} filters in one subscription all deliver`, async setup => {
    await using broker = await up(setup)
    const filters = Array.from({ length: maxFilters }, (_, index) => `people/${index}`)
    const inbox = await listen(broker, filters)
    await Promise.all(filters.map(topic => broker.publish(topic, 'x')))
    await inbox.reach(filters.length)
    const heard = ordersByFilter ? new Set(inbox.topics) : inbox.topics
    assert.deepEqual(heard, ordersByFilter ? new Set(filters) : filters)
  })

  if (traits?.maxFilters !== undefined) {
    test(`more than ${maxFilters} filters of one connection are refused`, async setup => {
      await using broker = await up(setup)
      const filters = Array.from({ length: maxFilters + 1 }, (_, index) => `people/${index}`)
      await rejects(
        broker.subscribe(filters, () => {}),
        'broker-refused',
      )
    })
  }
}

function testClose(test: Test): void {
  test('close ends all: listeners are silent, calls reject, it can be called again', async setup => {
    const broker = await up(setup)
    await using other = setup.outage === undefined ? undefined : await up(setup)
    const inbox = await listen(broker, ['people'])
    const changes: boolean[] = []
    broker.onConnection(now => changes.push(now))
    const pending = broker.publish('people', 'pending').catch((error: unknown) => error)
    await Promise.all([broker.close(), broker.close()])
    await broker.close()
    const outcome = await pending
    assert.ok(outcome === undefined || isLockstepError(outcome, 'closed'), `${outcome}`)
    assert.equal(broker.connected, false)
    assert.deepEqual(changes, [false])
    await rejects(broker.publish('people', 'x'), 'closed')
    await rejects(
      broker.subscribe(['people'], () => {}),
      'closed',
    )
    await inbox.subscription.close()
    const heard = inbox.deliveries.length
    if (other !== undefined) await drained(other, await listen(other, ['people']), 'people')
    assert.equal(inbox.deliveries.length, heard)
  })

  test('a connection listener that was removed is not called', async setup => {
    const broker = await up(setup)
    const calls: string[] = []
    const removed = broker.onConnection(() => calls.push('removed'))
    broker.onConnection(() => calls.push('kept'))
    removed()
    removed()
    await broker.close()
    assert.deepEqual(calls, ['kept'])
  })

  test('a connection listener that throws harms no other', async setup => {
    const broker = await up(setup)
    const calls: boolean[] = []
    broker.onConnection(() => {
      throw new Error('thrown by a connection listener, on purpose')
    })
    broker.onConnection(now => calls.push(now))
    await broker.close()
    assert.deepEqual(calls, [false])
  })
}
