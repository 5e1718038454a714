/** An embedded broker for tests, and raw clients that it has accepted. */
import assert from 'node:assert/strict'
import {
  type EmbeddedBroker,
  type EmbeddedBrokerOptions,
  openEmbeddedBroker,
} from '../../src/broker/index.ts'
import { Reports } from '../support/reports.ts'
import {
  connectPacket,
  openRawClient,
  packetTypes,
  type RawClient,
  type RawConnect,
  subscribePacket,
} from './raw-client.ts'

const publishers = { service: 'a good password', other: 'a second secret' }
export const service = { username: 'service', password: 'a good password' }

export type Opened = EmbeddedBroker & { reports: Reports }

/** Opens one at a free port. */
export async function open(options: EmbeddedBrokerOptions = {}): Promise<Opened> {
  const reports = new Reports()
  const broker = await openEmbeddedBroker({ port: 0, publishers, onError: reports.onError, ...options })
  return Object.assign(broker, { reports })
}

/** A raw client that the broker has accepted. */
export async function visit(broker: EmbeddedBroker, options: RawConnect = {}): Promise<RawClient> {
  const client = await openRawClient(broker.port)
  client.send(connectPacket(options))
  const connack = await client.packet(packetTypes.connack)
  assert.equal(connack[3], 0, 'the broker refused the connection')
  return client
}

/** Subscribes and resolves with the return codes. */
export async function subscribed(client: RawClient, filters: readonly string[], qos = 1): Promise<number[]> {
  client.send(subscribePacket(filters, qos))
  return [...(await client.packet(packetTypes.suback)).subarray(4)]
}

/** Waits for what has no event: that the broker has seen a connection end. */
export async function until(isTrue: () => boolean): Promise<void> {
  while (!isTrue()) await new Promise(resolve => setImmediate(resolve))
}

/** The payload of a PUBLISH packet. */
export function payloadOf(publish: Buffer, qos: number): string {
  const start = publish[1]! >= 0x80 ? 3 : 2
  const topicLength = publish.readUInt16BE(start)
  return publish.subarray(start + 2 + topicLength + (qos === 0 ? 0 : 2)).toString()
}
