/**
 * Publishes the changes of a log to a broker and tells how long it took: through Lockstep's relay, or with mqtt.js
 * alone and as many messages in flight as it is told.
 *
 * The changes are made before the clock starts. It runs from the acknowledgement of the first tenth to that of
 * the last change: by then both are warm.
 */

import { type Broker, connectMqtt, openEmbeddedBroker } from 'lockstep/broker'
import { openSqliteLog, type SqliteLog } from 'lockstep/log'
import { defineResource, openService } from 'lockstep/service'
import { connectAsync } from 'mqtt'
import { createPerson, personSchema } from '../harness/people.ts'
import { runProgram } from '../harness/program.ts'

export interface RelayOptions {
  readonly file: string
  readonly changes: number
  /** `embedded`, or the URL of one. */
  readonly broker: string
  /** Where given, mqtt.js publishes so many at once; else the relay does. */
  readonly inFlight?: number
}

export interface RelayResult {
  readonly messages: number
  readonly seconds: number
  readonly cpuUs: number
}

interface Message {
  readonly topic: string
  readonly payload: string
}

const people = 1_000
const perTransaction = 500
const resource = defineResource('people', { schema: personSchema })

runProgram<RelayOptions>(async options => {
  const log = await openSqliteLog({ file: options.file })
  await fill(log, options.changes)
  return {
    commands: {
      publish: () => (options.inFlight === undefined ? relay(log, options) : publishAlone(log, options)),
    },
    close: () => log.close(),
  }
})

/** One creation of each person, then modifications, as patches make them. */
async function fill(log: SqliteLog, changes: number): Promise<void> {
  await using service = await openService({ resources: [resource], log })
  for (let done = 0; done < changes; ) {
    const end = Math.min(changes, done + perTransaction)
    await service.transaction(async tx => {
      for (; done < end; done++) {
        const person = createPerson(done % people)
        if (done < people) await tx.create(resource, person)
        else await tx.patch(resource, person.id, { email: `changed-${done}@mail.example.com` })
      }
    })
  }
}

/** Counts acknowledgements, and stops the clock at the last one. */
function createMeter(changes: number): { acknowledged(): void; readonly result: Promise<RelayResult> } {
  const warm = Math.floor(changes / 10)
  const { promise, resolve } = Promise.withResolvers<RelayResult>()
  let count = 0
  let startMs = 0
  let cpu = process.cpuUsage()
  return {
    acknowledged() {
      count++
      if (count === warm) {
        startMs = performance.now()
        cpu = process.cpuUsage()
      } else if (count === changes) {
        const seconds = (performance.now() - startMs) / 1_000
        const { user, system } = process.cpuUsage(cpu)
        resolve({ messages: changes - warm, seconds, cpuUs: user + system })
      }
    },
    result: promise,
  }
}

async function relay(log: SqliteLog, { broker: address, changes }: RelayOptions): Promise<RelayResult> {
  const meter = createMeter(changes)
  await using broker = await openBroker(address)
  const counted: Broker = {
    get connected() {
      return broker.connected
    },
    publish(topic, payload, options) {
      const published = broker.publish(topic, payload, options)
      if (options?.retain !== true) published.then(meter.acknowledged)
      return published
    },
    subscribe: (filters, listener) => broker.subscribe(filters, listener),
    onConnection: listener => broker.onConnection(listener),
    close: () => broker.close(),
    [Symbol.asyncDispose]: () => broker.close(),
  }
  await using _service = await openService({
    resources: [resource],
    log,
    broker: counted,
    relay: { maxBacklog: changes },
  })
  return await meter.result
}

async function openBroker(address: string): Promise<Broker> {
  if (address === 'embedded') return await openEmbeddedBroker({ port: 0 })
  const broker = await connectMqtt(address)
  if (!broker.connected) {
    await new Promise<void>(resolve => {
      const stop = broker.onConnection(() => {
        stop()
        resolve()
      })
    })
  }
  return broker
}

/** The same payloads, all in memory already, published by mqtt.js with a fixed number in flight. */
async function publishAlone(
  log: SqliteLog,
  { broker, changes, inFlight = 1 }: RelayOptions,
): Promise<RelayResult> {
  const messages = await readMessages(log)
  const meter = createMeter(changes)
  const client = await connectAsync(broker, { protocolVersion: 4 })
  let next = 0
  const publishNext = (): void => {
    const message = messages[next++]
    if (message === undefined) return
    client.publish(message.topic, message.payload, { qos: 1 }, error => {
      if (error) throw error
      meter.acknowledged()
      publishNext()
    })
  }
  for (let count = 0; count < inFlight; count++) publishNext()
  const result = await meter.result
  await client.endAsync(true)
  return result
}

async function readMessages(log: SqliteLog): Promise<Message[]> {
  const messages: Message[] = []
  for (let after = 0; ; ) {
    const page = await log.readChanges('people', { after, limit: 10_000 })
    for (const { topicPath, messageText } of page.changes) {
      messages.push({ topic: topicPath.slice(1), payload: messageText })
    }
    if (page.to >= page.head.seq) return messages
    after = page.to
  }
}
