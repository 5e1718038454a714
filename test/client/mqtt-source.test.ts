import assert from 'node:assert/strict'
import { EventEmitter, once } from 'node:events'
import test from 'node:test'
import type { Broker, SubscribeOptions } from '../../src/broker/broker.ts'
import { createMemoryHub, type MemoryHub } from '../../src/broker/memory.ts'
import { openMqttSource } from '../../src/client/mqtt-source.ts'
import type { Source, SourceListener } from '../../src/client/source.ts'
import { formatHead, LockstepError, parsePath } from '../../src/contract/index.ts'

interface Stage {
  readonly hub: MemoryHub
  readonly source: Source
  /** What the source said, in order; emits each as `heard`. */
  readonly heard: string[]
  /** Resolves when the source has said it (again, where it has already). */
  until(what: string): Promise<void>
  publish(topic: string, value: unknown): Promise<void>
}

interface Given {
  readonly prefix?: Promise<string>
  readonly creations?: boolean
  readonly wrap?: (broker: Broker) => Broker
}

function open(path: string, given: Given = {}): Stage {
  const { prefix = Promise.resolve(''), creations = false, wrap = broker => broker } = given
  const hub = createMemoryHub()
  const heard: string[] = []
  const events = new EventEmitter()
  const say = (what: string): void => {
    heard.push(what)
    events.emit('heard')
  }
  const listener: SourceListener = {
    onUp: () => say('up'),
    onDown: () => say('down'),
    onMessage: ({ seq, message }) => say(`${message.event} ${message.resource} ${seq}`),
    onHead: ({ seq }, retained) => say(`head ${seq}${retained ? ' retained' : ''}`),
    onInterval: () => say('interval'),
    onGone: () => say('gone'),
    onError: error => say(`error ${(error as { code?: string }).code}`),
  }
  const publisher = hub.connect()
  const options = { target: parsePath(path), after: undefined, hearsCreations: creations }
  const source = openMqttSource({ ...options, broker: wrap(hub.connect()), topicPrefix: prefix }, listener)
  return {
    hub,
    source,
    heard,
    async until(what) {
      const count = heard.filter(one => one === what).length
      while (heard.filter(one => one === what).length <= count) await once(events, 'heard')
    },
    publish: (topic, value) =>
      publisher.publish(topic, typeof value === 'string' ? value : JSON.stringify(value), {
        retain: topic.includes('lockstep/head'),
      }),
  }
}

function message(seq: number, resource: string): object {
  const stream = resource.split('/')[1]
  return { event: 'deleted', resource, version: 2, id: `${stream}:e1:${seq}` }
}

function head(seq: number, stream = 'people'): string {
  return formatHead({ stream, epoch: 'e1', seq, first: 1 })
}

test('a collection hears its whole stream and its heads, below the prefix', async () => {
  const { until, publish, heard } = open('/people', { prefix: Promise.resolve('acme/') })
  await until('up')
  await publish('acme/people', message(1, '/people/a'))
  await publish('acme/people/a', message(2, '/people/a'))
  await publish('acme/people/a/friends/b', message(3, '/people/a/friends/b'))
  await publish('people/a', message(4, '/people/a'))
  await publish('acme/orders', message(5, '/orders/1'))
  await publish('acme/lockstep/head/orders', head(9, 'orders'))
  await publish('acme/lockstep/head/people', head(7))
  assert.deepEqual(heard, [
    'up',
    'deleted /people/a 1',
    'deleted /people/a 2',
    'deleted /people/a/friends/b 3',
    'head 7',
  ])
})

test('a nested collection hears itself and what is below it', async () => {
  const { until, publish, heard } = open('/people/a/friends')
  await until('up')
  for (const [seq, resource] of ['/people/a', '/people/a/friends/b', '/people/b/friends/c'].entries()) {
    await publish(resource.slice(1), message(seq, resource))
  }
  await publish('people/a/friends', message(9, '/people/a/friends/z'))
  assert.deepEqual(heard, ['up', 'deleted /people/a/friends/b 1', 'deleted /people/a/friends/z 9'])
})

test("a resource hears its own topic, and its collection's while that is wanted", async () => {
  const { until, publish, heard, source } = open('/people/a', { creations: true })
  await until('up')
  await publish('people', message(1, '/people/a'))
  source.hearCreations(false)
  await publish('people', message(2, '/people/a'))
  await publish('people/a', message(3, '/people/a'))
  source.hearCreations(true)
  await until('up')
  await publish('people', message(4, '/people/a'))
  assert.deepEqual(heard, ['up', 'deleted /people/a 1', 'deleted /people/a 3', 'up', 'deleted /people/a 4'])
})

test('a head that the broker kept is told as such', async () => {
  const { until, publish, heard, source, hub } = open('/people')
  await until('up')
  await publish('lockstep/head/people', head(7))
  const later: string[] = []
  const { promise, resolve } = Promise.withResolvers<void>()
  const listener = {
    onUp() {},
    onDown() {},
    onMessage() {},
    onHead: (_head: object, retained: boolean) => {
      later.push(retained ? 'retained' : 'live')
      resolve()
    },
    onInterval() {},
    onGone() {},
    onError() {},
  }
  const target = parsePath('/people')
  const request = { target, after: undefined, hearsCreations: false, topicPrefix: Promise.resolve('') }
  const other = openMqttSource({ ...request, broker: hub.connect() }, listener)
  await promise
  assert.deepEqual([heard.at(-1), later], ['head 7', ['retained']])
  other.close()
  source.close()
})

test('it says when the connection is lost, and when all is heard again', async () => {
  const { until, hub, heard } = open('/people')
  await until('up')
  hub.stop()
  hub.start()
  assert.deepEqual(heard, ['up', 'down', 'up'])
})

test('nothing is heard before the prefix is known', async () => {
  const { promise, resolve } = Promise.withResolvers<string>()
  const { until, publish, heard } = open('/people', { prefix: promise })
  await publish('x/people', message(1, '/people/a'))
  assert.deepEqual(heard, [])
  resolve('x/')
  await until('up')
  await publish('x/people', message(2, '/people/a'))
  assert.deepEqual(heard, ['up', 'deleted /people/a 2'])
})

test('a payload that cannot be read is reported and does no harm', async () => {
  const { until, publish, heard } = open('/people')
  await until('up')
  await publish('people/a', 'no json')
  await publish('people/a', { event: 'archived' })
  await publish('people/a', { ...message(1, '/people/a'), id: 'orders:e1:1' })
  await publish('lockstep/head/people', '{}')
  await publish('lockstep/head/people', head(3, 'orders'))
  await publish('people/a', message(2, '/people/a'))
  assert.deepEqual(heard, [
    'up',
    'error invalid-json',
    'error invalid-json',
    'error invalid-json',
    'deleted /people/a 2',
  ])
})

test('after it is closed nothing is heard, and its subscriptions are gone', async () => {
  const { until, publish, heard, source } = open('/people/a', { creations: true })
  await until('up')
  source.close()
  await publish('people/a', message(1, '/people/a'))
  await publish('people', message(2, '/people/a'))
  assert.deepEqual(heard, ['up'])
})

test('it can be closed before anything is known', async () => {
  const { promise, resolve } = Promise.withResolvers<string>()
  const { publish, heard, source } = open('/people', { prefix: promise })
  source.close()
  resolve('')
  await publish('people', message(1, '/people/a'))
  await publish('people', message(2, '/people/a'))
  assert.deepEqual(heard, [])
})

test('what the broker refuses is told, and it is up only while all is granted', async () => {
  let options: SubscribeOptions | undefined
  const { until, heard, hub } = open('/people', {
    wrap: broker => ({
      get connected() {
        return broker.connected
      },
      publish: (...call) => broker.publish(...call),
      subscribe(filters, listener, given) {
        options = given
        options?.onRefused?.(new LockstepError('broker-refused', 'on purpose'))
        return broker.subscribe(filters, listener)
      },
      onConnection: listener => broker.onConnection(listener),
      close: () => broker.close(),
      [Symbol.asyncDispose]: () => broker.close(),
    }),
  })
  await until('error broker-refused')
  // The source has its subscription one turn after the refusal.
  await new Promise(setImmediate)
  options!.onGranted!()
  hub.stop()
  options!.onRefused!(new LockstepError('broker-refused', 'on purpose'))
  hub.start()
  options!.onGranted!()
  assert.deepEqual(heard, ['error broker-refused', 'up', 'down', 'error broker-refused', 'up'])
})
