/**
 * What the embedded broker keeps for its clients: retained messages, and nothing else.
 *
 * Aedes asks a store for sessions, offline queues and wills. All sessions are clean here, so there is nothing to
 * keep, and nothing that could grow while a client is away. It follows Aedes' interface for persistence.
 */
import { Readable } from 'node:stream'
import type { AedesPublishPacket, Client } from 'aedes'
import type { RetainedMessages } from './retained-messages.ts'

/** The part of a client that a store sees. */
type ClientId = Pick<Client, 'id'>

interface Numbered {
  readonly messageId?: number
}

export class EmbeddedStore {
  readonly #retained: RetainedMessages<Buffer>
  /** QoS 2 messages between PUBLISH and PUBREL, by client; Aedes limits how many. */
  readonly #incoming = new Map<string, Set<number | undefined>>()

  constructor(retained: RetainedMessages<Buffer>) {
    this.#retained = retained
  }

  /** Aedes insists on an async function here. */
  async setup(): Promise<void> {}

  createRetainedStreamCombi(filters: readonly string[]): Readable {
    return Readable.from(this.#retainedPackets(filters))
  }

  *#retainedPackets(filters: readonly string[]): Iterable<Partial<AedesPublishPacket>> {
    for (const filter of filters) {
      for (const [topic, payload] of this.#retained.matching(filter)) {
        yield { cmd: 'publish', topic, payload, qos: 1, retain: true }
      }
    }
  }

  async cleanSubscriptions(): Promise<void> {}
  async subscriptionsByClient(): Promise<readonly never[]> {
    return []
  }
  async subscriptionsByTopic(): Promise<readonly never[]> {
    return []
  }

  async outgoingEnqueueCombi(): Promise<void> {}
  async outgoingClearMessageId(): Promise<void> {}
  outgoingStream(): Readable {
    return Readable.from([])
  }

  async incomingStorePacket(client: ClientId, packet: Numbered): Promise<void> {
    const ids = this.#incoming.get(client.id)
    if (ids === undefined) this.#incoming.set(client.id, new Set([packet.messageId]))
    else ids.add(packet.messageId)
  }
  async incomingGetPacket(client: ClientId, packet: Numbered): Promise<Numbered> {
    if (this.#incoming.get(client.id)?.has(packet.messageId) === true) return packet
    throw new Error('no such packet')
  }
  async incomingDelPacket(client: ClientId, packet: Numbered): Promise<void> {
    this.#incoming.get(client.id)?.delete(packet.messageId)
  }
  async cleanIncoming(client: ClientId): Promise<void> {
    this.#incoming.delete(client.id)
  }

  /** Wills are for other brokers to publish; Aedes remembers its own clients' by itself. */
  async putWill(): Promise<void> {}
  async delWill(): Promise<void> {}
  streamWill(): Readable {
    return Readable.from([])
  }
}
