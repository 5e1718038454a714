/** What a broker's listener heard, and waits for it and for connections. */
import assert from 'node:assert/strict'
import type { Broker, Delivery } from '../../src/broker/index.ts'
import { isLockstepError } from '../../src/contract/index.ts'

/** Collects deliveries and waits for them. */
export class Inbox {
  readonly deliveries: Pick<Delivery, 'topic' | 'payload' | 'retained'>[] = []
  /** With all that came with them. */
  readonly wholes: Delivery[] = []
  #waiting: { count: number; resolve(): void }[] = []

  readonly listener = (delivery: Delivery): void => {
    const { topic, payload, retained } = delivery
    this.deliveries.push({ topic, payload, retained })
    this.wholes.push(delivery)
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

/** Is it a promise that rejects with the code? */
export function rejects(promise: Promise<unknown>, code: string): Promise<void> {
  return assert.rejects(promise, error => isLockstepError(error) && error.code === code)
}
