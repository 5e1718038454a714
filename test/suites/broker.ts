/**
 * What every broker adapter must do: the port's promises as tests, run on each of them.
 *
 * It speaks to the adapter through the port only; what an adapter adds is tested beside it.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Broker, Delivery, PublishOptions, Subscription } from '../../src/broker/index.ts'
import { formatPath, headTopic, isLockstepError, pathToTopic, topicToPath } from '../../src/contract/index.ts'

/** An adapter and a broker behind it, fresh for each test. */
export interface BrokerSetup extends AsyncDisposable {
  /** A new connection; it need not be up yet. */
  connect(): Promise<Broker>
  /** Where the broker can fail: takes it away without a word, and brings it back with nothing kept. */
  readonly outage?: { down(): Promise<void>; up(): Promise<void> }
  /** Makes the broker acknowledge nothing until it goes down. @default publications of one turn stay open anyway */
  freeze?(): void
}

export interface BrokerSuiteOptions {
  /** The broker lives and dies with its connections: there is no outage to test. */
  readonly cannotFail?: boolean
  /** Why the adapter cannot be tested here. */
  readonly skip?: string | false
}

/** Collects deliveries and waits for them. */
export class Inbox {
  readonly deliveries: Delivery[] = []
  #waiting: { count: number; resolve(): void }[] = []

  readonly listener = (delivery: Delivery): void => {
    this.deliveries.push(delivery)
    this.#waiting = this.#waiting.filter(({ count, resolve }) => {
      if (this.deliveries.length < count) return true
      resolve()
      return false
    })
  }

  get topics(): string[] {
    return this.deliveries.map(delivery => delivery.topic)
  }

  get payloads(): string[] {
    return this.deliveries.map(delivery => delivery.payload)
  }

  /** Resolves when so many have arrived. */
  async reach(count: number): Promise<void> {
    if (this.deliveries.length >= count) return
    await new Promise<void>(resolve => this.#waiting.push({ count, resolve }))
  }

  async reachPayload(payload: string): Promise<void> {
    while (!this.payloads.includes(payload)) await this.reach(this.deliveries.length + 1)
  }
}

/** Resolves when the connection is up, or down. */
export async function connection(broker: Broker, up = true): Promise<void> {
  if (broker.connected === up) return
  await new Promise<void>(resolve => {
    const end = broker.onConnection(now => {
      if (now !== up) return
      end()
      resolve()
    })
  })
}

/** Subscribes and, since messages are in order, ends with a mark of its own: all that came before has come. */
async function drained(broker: Broker, inbox: Inbox, topic: string): Promise<void> {
  const mark = `mark ${Math.random()}`
  await broker.publish(topic, mark)
  await inbox.reachPayload(mark)
}

/** Is it a promise that rejects with the code? */
export function rejects(promise: Promise<unknown>, code: string): Promise<void> {
  return assert.rejects(promise, error => isLockstepError(error) && error.code === code)
}

/** Ids that go wrong where an encoding is not exact; each must come back as it was, and be nobody else's. */
export const difficultIds: readonly string[] = [
  '/',
  '+',
  '#',
  '$',
  '%',
  '*',
  '>',
  '~',
  ' ',
  '...',
  '.hidden',
  'a.b',
  'a b',
  'a/b',
  'a+b',
  '#1',
  '+1',
  '$SYS',
  'a#',
  '%2F',
  '%252F',
  '%00',
  '\u2028',
  '\u2029',
  '\uFEFF',
  '\uFEFFa',
  'é',
  '日本語',
  '🙂',
  '👩‍👩‍👧',
  'ß',
  'İ',
  '\u00AD',
  '\u200D',
  '\u202E',
  '"',
  "'",
  '<b>',
  '&amp;',
  '\\',
  '?',
  ';',
  ':',
  '@',
  '=',
  ',',
  '|',
  '^',
  '`',
  '{}',
  '[]',
  'x__proto__',
  'constructor',
  '-',
  '0',
  'null',
  'A',
  'a',
  'x'.repeat(512),
  '日'.repeat(170),
]

type Check = (setup: BrokerSetup) => Promise<void>

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
  const outageTest = (
    title: string,
    check: (setup: BrokerSetup, outage: NonNullable<BrokerSetup['outage']>) => Promise<void>,
  ): void =>
    test(title, async setup => {
      assert.ok(setup.outage)
      await check(setup, setup.outage)
    })

  describe(`broker port: ${name}`, () => {
    testDelivery(test)
    testTopics(test)
    testRetained(test)
    testSubscriptions(test)
    testClose(test)
    if (options.cannotFail !== true) testOutage(outageTest)
  })
}

type Test = (title: string, check: Check) => void

/** A connection that is up, closed at the end of the scope. */
async function up(setup: BrokerSetup): Promise<Broker> {
  const broker = await setup.connect()
  await connection(broker)
  return broker
}

async function listen(
  broker: Broker,
  filters: readonly string[],
): Promise<Inbox & { subscription: Subscription }> {
  const inbox = new Inbox()
  return Object.assign(inbox, { subscription: await broker.subscribe(filters, inbox.listener) })
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

  test('a message reaches a listener on the connection that published it', async setup => {
    await using broker = await up(setup)
    const inbox = await listen(broker, ['people'])
    await broker.publish('people', 'own')
    await inbox.reach(1)
    assert.deepEqual(inbox.payloads, ['own'])
  })

  test('messages published without waiting arrive in the order of the calls, also over several topics', async setup => {
    await using publisher = await up(setup)
    await using follower = await up(setup)
    const inbox = await listen(follower, ['people/+', 'lockstep/head/people'])
    const expected: string[] = []
    const published: Promise<void>[] = []
    // Brokers drop, and acknowledge, what is over their queue for a subscriber: Mosquitto's holds 1,000.
    for (let index = 0; index < 900; index++) {
      const options: PublishOptions = { retain: index % 10 === 0 }
      const topic = options.retain === true ? headTopic('people') : `people/id-${index % 7}`
      expected.push(`${index}`)
      published.push(publisher.publish(topic, `${index}`, options))
    }
    await Promise.all(published)
    await inbox.reach(expected.length)
    assert.deepEqual(inbox.payloads, expected)
  })

  test('a publication that resolved before another began is delivered before it', async setup => {
    await using publisher = await up(setup)
    await using follower = await up(setup)
    const inbox = await listen(follower, ['a', 'b'])
    for (const topic of ['a', 'b', 'a', 'b']) await publisher.publish(topic, 'x')
    await inbox.reach(4)
    assert.deepEqual(inbox.topics, ['a', 'b', 'a', 'b'])
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

function testTopics(test: Test): void {
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
    assert.deepEqual([...new Set(all.topics)], [...topics, 'people/last'])
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
    const heard = Object.fromEntries(
      filters.map((filter, index) => [filter, [...new Set(inboxes[index]!.topics)]]),
    )
    assert.deepEqual(heard, {
      people: ['people'],
      'people/+': ['people/johndoe'],
      'people/#': topics.slice(0, 4),
      '+/johndoe': ['people/johndoe', 'groups/johndoe'],
      'people/+/friends/#': ['people/johndoe/friends', 'people/johndoe/friends/2'],
      '#': [...topics, 'last'],
      '+/+/+': ['people/johndoe/friends'],
      'people/johndoe': ['people/johndoe'],
    })
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

function testSubscriptions(test: Test): void {
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

  test('hundreds of filters in one subscription all deliver', async setup => {
    await using broker = await up(setup)
    const filters = Array.from({ length: 350 }, (_, index) => `people/${index}`)
    const inbox = await listen(broker, filters)
    await Promise.all(filters.map(topic => broker.publish(topic, 'x')))
    await inbox.reach(filters.length)
    assert.deepEqual(inbox.topics, filters)
  })
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

function testOutage(
  test: (
    title: string,
    check: (setup: BrokerSetup, outage: NonNullable<BrokerSetup['outage']>) => Promise<void>,
  ) => void,
): void {
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
