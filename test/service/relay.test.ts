/** The relay between a log and a broker: PROTOCOL.md §3, with outages, refusals, backlogs and restarts. */
import assert from 'node:assert/strict'
import test from 'node:test'
import type { Broker, Delivery } from '../../src/broker/broker.ts'
import { createMemoryHub } from '../../src/broker/memory.ts'
import { isLockstepError, type JsonObject, LockstepError } from '../../src/contract/index.ts'
import { createMemoryLog } from '../../src/log/memory.ts'
import { eventually, hear, openTestService, people, type TestService } from '../support/service.ts'

const parse = ({ payload }: Delivery): JsonObject => JSON.parse(payload)
const ids = (deliveries: readonly Delivery[]): string[] =>
  deliveries.map(delivery => `${parse(delivery)['id']}`)
/** The numbers in the order of their first coming. */
const numbers = (deliveries: readonly Delivery[]): number[] => [
  ...new Set(ids(deliveries).map(id => Number(id.split(':')[2]))),
]
const upTo = (count: number): number[] => Array.from({ length: count }, (_, index) => index + 1)

async function writePeople({ ask }: TestService, count: number, from = 0): Promise<void> {
  for (let index = from; index < from + count; index++) {
    const answer = await ask('POST', '/people', { body: { id: `p${index}`, name: `Person ${index}` } })
    assert.equal(answer.status, 201)
  }
}

/** A connection whose publications may be refused or lost by the test. */
function tamper(
  broker: Broker,
  fault: (topic: string, payload: string) => LockstepError | undefined,
): Broker {
  return {
    get connected() {
      return broker.connected
    },
    async publish(topic, payload, options) {
      const error = fault(topic, String(payload))
      if (error !== undefined) throw error
      await broker.publish(topic, payload, options)
    },
    subscribe: (filters, listener) => broker.subscribe(filters, listener),
    onConnection: listener => broker.onConnection(listener),
    close: () => broker.close(),
    [Symbol.asyncDispose]: () => broker.close(),
  }
}

test('3.9 each change is published once, in order, as the feed tells it, on the topic of the endpoint', async () => {
  const hub = createMemoryHub()
  await using heard = await hear(hub.connect(), 'people/#')
  await using api = await openTestService({ broker: hub.connect() })
  await api.ask('POST', '/people', { body: { id: 'ann', name: 'Ann' } })
  await api.ask('PATCH', '/people/ann', { body: { name: 'Anne' } })
  await api.ask('PUT', '/people/bob', { body: { name: 'Bob' } })
  await api.ask('POST', '/people/bob/friends', { body: { id: 'ann' } })
  await api.ask('DELETE', '/people/bob')
  const deliveries = await heard.until(({ length }) => length >= 6)
  assert.deepEqual(deliveries.map(parse), await api.changes('people'))
  assert.deepEqual(
    deliveries.map(({ topic }) => topic),
    ['people', 'people/ann', 'people/bob', 'people/bob/friends', 'people/bob/friends/ann', 'people/bob'],
  )
  assert.ok(deliveries.every(({ retained }) => !retained))
})

test('2.2 a topic prefix stands before the topics of messages, resets and heads', async () => {
  const hub = createMemoryHub()
  await using heard = await hear(hub.connect(), '#')
  await using api = await openTestService({ broker: hub.connect(), topicPrefix: 'acme/prod/', root: '/api' })
  await api.ask('POST', '/api/people', { body: { id: 'ann', name: 'Ann' } })
  await heard.until(deliveries => deliveries.some(({ topic }) => topic === 'acme/prod/people'))
  await api.log.renewEpoch('people')
  const deliveries = await heard.until(all => all.some(({ payload }) => payload.includes('"reset"')))
  const topics = [...new Set(deliveries.map(({ topic }) => topic))].sort()
  assert.deepEqual(topics, [
    'acme/prod/lockstep/head/people',
    'acme/prod/lockstep/head/projects',
    'acme/prod/people',
  ])
})

test('a broker that is down from the start delays messages and nothing else', async () => {
  const hub = createMemoryHub()
  hub.stop()
  await using api = await openTestService({ broker: hub.connect() })
  await writePeople(api, 50)
  assert.deepEqual(await api.service.relayLag(), { people: 50, projects: 0 })
  const hearing = hear(hub.connect(), 'people/#')
  hub.start()
  await using heard = await hearing
  assert.deepEqual(numbers(await heard.until(all => numbers(all).length === 50)), upTo(50))
  await eventually(async () => (await api.service.relayLag())['people'] === 0)
})

test('writes go on at their pace while the broker goes down and comes up, and no message is lost or out of order', async () => {
  const hub = createMemoryHub()
  await using heard = await hear(hub.connect(), 'people/#')
  await using api = await openTestService({ broker: hub.connect() })
  for (let round = 0; round < 4; round++) {
    await writePeople(api, 25, round * 25)
    if (round % 2 === 0) hub.stop()
    else hub.start()
  }
  const deliveries = await heard.until(all => numbers(all).length === 100)
  assert.deepEqual(numbers(deliveries), upTo(100))
})

test('while the broker is down and writes come in, the process rests', async () => {
  const hub = createMemoryHub()
  hub.stop()
  await using api = await openTestService({ broker: hub.connect() })
  await writePeople(api, 1)
  const before = process.cpuUsage()
  for (let turn = 0; turn < 20; turn++) await new Promise(resolve => setTimeout(resolve, 5))
  const { user, system } = process.cpuUsage(before)
  assert.ok(user + system < 80_000, `it used ${(user + system) / 1_000} ms of 100 ms`)
})

test('3.9 after a failure everything from the first message without acknowledgement goes out again', async () => {
  const hub = createMemoryHub()
  await using heard = await hear(hub.connect(), 'people/#')
  const published: number[] = []
  let failures = 2
  const broker = tamper(hub.connect(), (topic, payload) => {
    if (!topic.startsWith('people')) return undefined
    const seq = Number(JSON.parse(payload).version)
    published.push(seq)
    if (seq !== 3 || failures-- <= 0) return undefined
    return new LockstepError('timeout', 'The broker did not answer.')
  })
  await using api = await openTestService({ broker })
  await api.service.transaction(async tx => {
    await tx.create(people, { id: 'ann', name: 'Ann' })
    for (let age = 2; age <= 6; age++) await tx.patch(people, 'ann', { age })
  })
  const deliveries = await heard.until(all => numbers(all).length === 6 && ids(all).at(-1)!.endsWith(':6'))
  assert.deepEqual(numbers(deliveries).sort(), upTo(6))
  assert.deepEqual(published.slice(published.lastIndexOf(3)), [3, 4, 5, 6])
  assert.equal(published.filter(seq => seq === 3).length, 3)
  assert.ok(api.errors.splice(0).every(({ error }) => isLockstepError(error, 'timeout')))
})

test('3.5 a message over the limit goes out as ref; the feed has it whole', async () => {
  const hub = createMemoryHub()
  await using heard = await hear(hub.connect(), 'people/#')
  await using api = await openTestService({ broker: hub.connect(), relay: { maxMessageBytes: 400 } })
  const body = { id: 'ann', name: 'é'.repeat(150) }
  await api.ask('POST', '/people', { body })
  await api.ask('PATCH', '/people/ann', { body: { name: 'é'.repeat(151) } })
  await api.ask('PATCH', '/people/ann', { body: { name: 'Ann' } })
  const [created, modified, small] = (await heard.until(({ length }) => length === 3)).map(parse)
  const [whole] = await api.changes('people')
  const { state, ...envelope } = whole!
  assert.deepEqual(state, body)
  assert.deepEqual(created, { ...envelope, ref: true })
  assert.equal(modified!['ref'], true)
  assert.equal('changes' in modified!, false)
  assert.deepEqual(small!['changes'], { name: 'Ann' })
})

test('a message that the broker finds too large goes out as ref at once', async () => {
  const hub = createMemoryHub()
  await using heard = await hear(hub.connect(), 'people/#')
  const broker = tamper(hub.connect(), (_topic, payload) =>
    payload.length > 300 ? new LockstepError('message-too-large', 'It is over 300 bytes.') : undefined,
  )
  await using api = await openTestService({ broker })
  await api.ask('POST', '/people', { body: { id: 'ann', name: 'A'.repeat(300) } })
  await writePeople(api, 2)
  const deliveries = await heard.until(all => numbers(all).length === 3)
  assert.deepEqual(numbers(deliveries), [1, 2, 3])
  assert.equal(parse(deliveries[0]!)['ref'], true)
  assert.equal(api.errors.splice(0).length, 1)
})

test('a message that breaks the connection goes out as ref at last, and the others arrive', async () => {
  const hub = createMemoryHub()
  await using heard = await hear(hub.connect(), 'people/#')
  const broker = tamper(hub.connect(), (_topic, payload) => {
    if (!payload.includes('"poison"')) return undefined
    hub.stop()
    setImmediate(() => hub.start())
    return new LockstepError('broker-unreachable', 'The connection is lost.')
  })
  await using api = await openTestService({ broker })
  await api.service.transaction(async tx => {
    for (const name of ['a', 'b', 'poison', 'c', 'd']) await tx.put(people, name, { name })
  })
  const deliveries = await heard.until(all => numbers(all).length === 5)
  assert.deepEqual(numbers(deliveries), upTo(5))
  const forms = deliveries.map(parse).filter(({ resource }) => resource === '/people/poison')
  assert.ok(forms.every(message => message['ref'] === true))
  assert.ok(
    deliveries.map(parse).every(({ resource, ref }) => (resource === '/people/poison') === (ref === true)),
  )
})

test('a change that the broker refuses in any form is reported and left out, and the others arrive', async () => {
  const hub = createMemoryHub()
  await using heard = await hear(hub.connect(), 'people/#')
  const broker = tamper(hub.connect(), topic =>
    topic === 'people/p1' ? new LockstepError('message-too-large', 'This topic takes nothing.') : undefined,
  )
  await using api = await openTestService({ broker })
  await writePeople(api, 2)
  await api.ask('PATCH', '/people/p1', { body: { age: 3 } })
  await api.ask('PATCH', '/people/p0', { body: { age: 3 } })
  const deliveries = await heard.until(all => numbers(all).includes(4))
  assert.deepEqual(numbers(deliveries), [1, 2, 4])
  const reports = api.errors.splice(0).map(({ error }) => String(error))
  assert.match(reports.at(-1)!, /refuses \/people\/p1 version 2 in any form/)
})

test('an onError that throws does not stop the relay', async () => {
  const hub = createMemoryHub()
  await using heard = await hear(hub.connect(), 'people/#')
  const broker = tamper(hub.connect(), topic =>
    topic === 'people/p1' ? new LockstepError('message-too-large', 'This topic takes nothing.') : undefined,
  )
  const onError = (): never => {
    throw new Error('the reporter fails')
  }
  await using api = await openTestService({ broker, onError })
  await writePeople(api, 2)
  await api.ask('PATCH', '/people/p1', { body: { age: 3 } })
  await api.ask('PATCH', '/people/p0', { body: { age: 3 } })
  assert.deepEqual(numbers(await heard.until(all => numbers(all).includes(4))), [1, 2, 4])
})

test('3.6 a backlog over the limit is replaced by one reset at its end', async () => {
  const hub = createMemoryHub()
  hub.stop()
  await using api = await openTestService({ broker: hub.connect(), relay: { maxBacklog: 10 } })
  await writePeople(api, 11)
  const hearing = hear(hub.connect(), 'people/#')
  hub.start()
  await using heard = await hearing
  await heard.until(({ length }) => length === 1)
  await writePeople(api, 1, 11)
  const [reset, next] = await heard.until(({ length }) => length === 2)
  const { epoch } = await api.log.head('people')
  assert.equal(reset!.topic, 'people')
  assert.deepEqual(
    { ...parse(reset!), time: '' },
    { event: 'reset', resource: '/people', id: `people:${epoch}:11`, time: '' },
  )
  assert.equal(parse(next!)['id'], `people:${epoch}:12`)
})

test('3.6 a backlog up to the limit is told one by one', async () => {
  const hub = createMemoryHub()
  hub.stop()
  await using api = await openTestService({ broker: hub.connect(), relay: { maxBacklog: 10 } })
  await writePeople(api, 10)
  const hearing = hear(hub.connect(), 'people/#')
  hub.start()
  await using heard = await hearing
  assert.deepEqual(numbers(await heard.until(({ length }) => length === 10)), upTo(10))
})

test('3.6 changes that were pruned before they were published are replaced by a reset', async () => {
  const hub = createMemoryHub()
  hub.stop()
  await using api = await openTestService({ broker: hub.connect() })
  await writePeople(api, 6)
  await api.log.prune({ maxRows: 2, minRows: 1 })
  const hearing = hear(hub.connect(), 'people/#')
  hub.start()
  await using heard = await hearing
  const [reset] = await heard.until(({ length }) => length === 1)
  assert.equal(parse(reset!)['event'], 'reset')
  assert.match(String(parse(reset!)['id']), /:6$/)
})

test('3.6 7.5 a new epoch is told by one reset, not again after a restart, and messages go on in it', async () => {
  const hub = createMemoryHub()
  await using log = createMemoryLog()
  await using heard = await hear(hub.connect(), 'people/#')
  await using api = await openTestService({ broker: hub.connect(), log })
  await writePeople(api, 2)
  await heard.until(({ length }) => length === 2)
  const { epoch } = await log.renewEpoch('people')
  const reset = parse((await heard.until(({ length }) => length === 3))[2]!)
  assert.deepEqual([reset['event'], reset['id']], ['reset', `people:${epoch}:0`])
  await eventually(async () => (await log.relayed('people')) === 0)
  await api.service.close()
  await using again = await openTestService({ broker: hub.connect(), log })
  await writePeople(again, 1, 2)
  const next = parse((await heard.until(({ length }) => length === 4))[3]!)
  assert.deepEqual([next['event'], next['id']], ['created', `people:${epoch}:1`])
})

test('a relay that starts with a renewed epoch publishes the reset first', async () => {
  const hub = createMemoryHub()
  await using log = createMemoryLog()
  const { service } = await openTestService({ log })
  await service.transaction(tx => tx.create(people, { id: 'ann', name: 'Ann' }))
  await service.close()
  await log.renewEpoch('people')
  await using heard = await hear(hub.connect(), 'people/#')
  await using api = await openTestService({ broker: hub.connect(), log })
  await writePeople(api, 1)
  const events = (await heard.until(all => all.some(({ payload }) => payload.includes('"p0"')))).map(parse)
  assert.equal(events[0]!['event'], 'reset')
})

test('a relay that starts again goes on where it was', async () => {
  const hub = createMemoryHub()
  await using log = createMemoryLog()
  await using heard = await hear(hub.connect(), 'people/#')
  const first = await openTestService({ broker: hub.connect(), log })
  await writePeople(first, 3)
  await eventually(async () => (await first.service.relayLag())['people'] === 0)
  await first.service.close()
  const silent = await openTestService({ log })
  await writePeople(silent, 2, 3)
  await silent.service.close()
  await using second = await openTestService({ broker: hub.connect(), log })
  await heard.until(({ length }) => length >= 5)
  await writePeople(second, 1, 5)
  assert.deepEqual(
    ids(await heard.until(({ length }) => length === 6)).map(id => Number(id.split(':')[2])),
    upTo(6),
  )
})

test('3.8 heads come at the start, every headEveryMs, at once after a reconnect, and are retained', async () => {
  const hub = createMemoryHub()
  const heads = await hear(hub.connect(), 'lockstep/head/people')
  await using api = await openTestService({
    broker: hub.connect(),
    relay: { headEveryMs: 20 },
    now: () => Date.parse('2026-01-31T12:00:00.000Z'),
  })
  await heads.until(({ length }) => length >= 3)
  await writePeople(api, 2)
  const { epoch } = await api.log.head('people')
  const deliveries = await heads.until(all => parse(all.at(-1)!)['seq'] === 2)
  assert.deepEqual(parse(deliveries.at(-1)!), {
    stream: 'people',
    epoch,
    seq: 2,
    first: 1,
    time: '2026-01-31T12:00:00.000Z',
  })
  await using late = await hear(hub.connect(), 'lockstep/head/people')
  const [kept] = await late.until(({ length }) => length > 0)
  assert.equal(kept!.retained, true)
})

test('3.8 after a reconnect the head is told at once, however long the interval is', async () => {
  const hub = createMemoryHub()
  await using heads = await hear(hub.connect(), 'lockstep/head/people')
  await using _api = await openTestService({ broker: hub.connect(), relay: { headEveryMs: 3_600_000 } })
  const live = (all: readonly Delivery[]): Delivery[] => all.filter(({ retained }) => !retained)
  await heads.until(all => live(all).length === 1)
  hub.stop()
  hub.start()
  await heads.until(all => live(all).length === 2)
})

test('3.8 a kept head of this epoch that is ahead of the log is reported once, and harms nothing', async () => {
  const hub = createMemoryHub()
  await using log = createMemoryLog()
  await log.ensureStreams(['people'])
  const { epoch } = await log.head('people')
  const other = hub.connect()
  const lie = (): Promise<void> => {
    const told = JSON.stringify({ stream: 'people', epoch, seq: 900, first: 1 })
    return other.publish('lockstep/head/people', told, { retain: true })
  }
  await lie()
  await using heard = await hear(hub.connect(), 'people/#')
  // The relay hears each head that is kept whenever its connection comes up; its own head is told right after.
  await using heads = await hear(hub.connect(), 'lockstep/head/people')
  const own = (): number => heads.deliveries.filter(delivery => parse(delivery)['seq'] !== 900).length
  await using api = await openTestService({ broker: hub.connect(), log })
  await heads.until(() => own() === 1)
  await lie()
  hub.stop()
  hub.start()
  await heads.until(() => own() >= 2)
  await writePeople(api, 1)
  const [message] = await heard.until(({ length }) => length === 1)
  assert.equal(parse(message!)['id'], `people:${epoch}:1`)
  const reports = api.errors.splice(0).map(({ error, stage }) => `${stage}: ${error}`)
  assert.equal(reports.length, 1)
  assert.match(reports[0]!, /relay-heads: .*keeps people:.*:900 .*ends at 0\..*guard file/)
})

test('heads that are not kept, of another epoch, behind, or no heads at all, change nothing', async () => {
  const hub = createMemoryHub()
  await using log = createMemoryLog()
  const other = hub.connect()
  await log.ensureStreams(['people', 'projects'])
  const { epoch } = await log.head('people')
  await other.publish(
    'lockstep/head/people',
    JSON.stringify({ stream: 'people', epoch: 'x', seq: 9, first: 1 }),
    {
      retain: true,
    },
  )
  await other.publish('lockstep/head/projects', '{"poisoned": [', { retain: true })
  await using heads = await hear(hub.connect(), 'lockstep/head/people')
  await using api = await openTestService({ broker: hub.connect(), log, relay: { headEveryMs: 10 } })
  await other.publish('lockstep/head/people', JSON.stringify({ stream: 'people', epoch, seq: 9, first: 1 }))
  const seen = heads.deliveries.length
  await heads.until(({ length }) => length >= seen + 3)
  assert.equal((await log.head('people')).epoch, epoch)
  assert.ok(isLockstepError(api.errors.splice(0)[0]?.error, 'invalid-json'))
})

test('7.6 two relays on one log publish everything, each message at most twice', async () => {
  const hub = createMemoryHub()
  await using log = createMemoryLog()
  await using heard = await hear(hub.connect(), 'people/#')
  const one = await openTestService({ broker: hub.connect(), log })
  const two = await openTestService({ broker: hub.connect(), log })
  await Promise.all([writePeople(one, 20), writePeople(two, 20, 20)])
  const deliveries = await heard.until(({ length }) => length === 80)
  for (const seq of upTo(40)) assert.equal(ids(deliveries).filter(id => id.endsWith(`:${seq}`)).length, 2)
  await one.service.close()
  await two.service.close()
})

test('7.6 a relay that was cut off does not tell again what another one has published', async () => {
  const hub = createMemoryHub()
  await using log = createMemoryLog()
  await using heard = await hear(hub.connect(), 'people/#')
  const inner = hub.connect()
  let isUp = true
  const listeners: ((connected: boolean) => void)[] = []
  const connectCut = (connected: boolean): void => {
    isUp = connected
    for (const listener of listeners) listener(connected)
  }
  const told: string[] = []
  const broker: Broker = {
    ...tamper(inner, () => undefined),
    get connected() {
      return isUp
    },
    publish(topic, payload, options) {
      if (topic.startsWith('people')) told.push(String(payload))
      return inner.publish(topic, payload, options)
    },
    onConnection(listener) {
      listeners.push(listener)
      return () => {}
    },
  }
  await using cut = await openTestService({ broker, log, relay: { maxBacklog: 5 } })
  await using other = await openTestService({ broker: hub.connect(), log })
  await writePeople(cut, 1)
  await heard.until(({ length }) => length === 2)
  connectCut(false)
  await writePeople(other, 10, 1)
  await eventually(async () => (await log.relayed('people')) === 11)
  told.length = 0
  connectCut(true)
  await writePeople(other, 1, 11)
  await heard.until(all => ids(all).filter(id => id.endsWith(':12')).length === 2)
  assert.deepEqual(
    told.map(text => JSON.parse(text).id.split(':')[2]),
    ['12'],
  )
})

test('relayLag counts what the broker has not acknowledged, also before the broker was ever up', async () => {
  const hub = createMemoryHub()
  await using log = createMemoryLog()
  const first = await openTestService({ broker: hub.connect(), log })
  await writePeople(first, 3)
  await eventually(async () => (await first.service.relayLag())['people'] === 0)
  await first.service.close()
  hub.stop()
  await using second = await openTestService({ broker: hub.connect(), log })
  assert.deepEqual(await second.service.relayLag(), { people: 0, projects: 0 })
  await writePeople(second, 2, 3)
  assert.deepEqual(await second.service.relayLag(), { people: 2, projects: 0 })
  await using without = await openTestService()
  assert.deepEqual(await without.service.relayLag(), {})
})

test('close does not wait for a broker that gives no answer', async () => {
  const hub = createMemoryHub()
  const broker = tamper(hub.connect(), () => undefined)
  const silent: Broker = { ...broker, connected: true, publish: () => new Promise(() => {}) }
  const api = await openTestService({ broker: silent })
  await api.log.renewEpoch('people')
  await api[Symbol.asyncDispose]()
})

test('options of the relay that cannot be used are refused at the start', async () => {
  for (const relay of [
    { windowSize: 0 },
    { headEveryMs: 0.5 },
    { maxBacklog: -1 },
    { publishTimeoutMs: Number.NaN },
    { publishTimeoutMs: 2 ** 31 },
    { headEveryMs: 2 ** 31 },
  ]) {
    await assert.rejects(openTestService({ relay }), error => isLockstepError(error, 'invalid-option'))
  }
})
