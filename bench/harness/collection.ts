/**
 * A collection that is served from memory without a server: what a follower asks is answered at once, so that
 * only the follower is measured.
 */
import type { Broker, Delivery } from 'lockstep/broker'
import { createPerson, type Person } from './people.ts'

export interface ServedCollection {
  /** Answers as `fetch` does, with pages of 1,000 people, or with an empty page of the feed. */
  readonly fetch: typeof fetch
  /** A broker that is up; `deliver` gives its subscribers a message. */
  readonly broker: Broker
  deliver(delivery: Delivery): void
  /** What all people measure as JSON, in bytes. */
  readonly jsonBytes: number
}

const pageSize = 1_000

/** Position of the baseline: the messages go on from there. */
export const baseline = { stream: 'people', epoch: 'bench', seq: 1 } as const

/** `size` people, all in version 1. Their JSON is made when it is asked for, and not kept. */
export function serveCollection(size: number): ServedCollection {
  const listeners = new Set<(delivery: Delivery) => void>()
  let jsonBytes = 0
  const answer = (url: URL): Response => {
    const headers: Record<string, string> = {
      'content-type': 'application/json',
      'lockstep-marker': 'people:bench:1',
    }
    if (url.pathname === '/people/_changes') {
      const { stream, epoch, seq } = baseline
      const page = { stream, epoch, after: seq, to: seq, head: seq, first: 1, changes: [] }
      return new Response(JSON.stringify(page), { headers })
    }
    const from = Number(url.searchParams.get('from') ?? 0)
    const to = Math.min(size, from + pageSize)
    const people: Person[] = []
    for (let number = from; number < to; number++) people.push(createPerson(number))
    const body = JSON.stringify(people)
    // Without the brackets and commas of the list.
    jsonBytes += Buffer.byteLength(body) - people.length - 1
    const versions = people.map(() => 1).join(',')
    headers['lockstep-versions'] = versions
    if (to < size) headers['link'] = `</people?from=${to}>; rel="next"`
    return new Response(body, { headers })
  }
  const broker: Broker = {
    connected: true,
    publish: async () => {},
    async subscribe(_filters, listener) {
      listeners.add(listener)
      const close = async (): Promise<void> => void listeners.delete(listener)
      return { close, [Symbol.asyncDispose]: close }
    },
    onConnection: () => () => {},
    close: async () => {},
    [Symbol.asyncDispose]: async () => {},
  }
  return {
    fetch: async input => answer(new URL(input instanceof Request ? input.url : input)),
    broker,
    deliver(delivery) {
      for (const listener of listeners) listener(delivery)
    },
    get jsonBytes() {
      return jsonBytes
    },
  }
}

/** A message as a PATCH of one member makes it. */
export function createChange(change: { number: number; version: number; seq: number }): Delivery {
  const { number, version, seq } = change
  const topic = `people/person-${number}`
  const message = {
    event: 'modified',
    changes: { email: `changed-${seq}@mail.example.com` },
    resource: `/${topic}`,
    version,
    time: '2026-01-31T12:00:00.000Z',
    cause: 'q3f8m2k9w1',
    id: `${baseline.stream}:${baseline.epoch}:${seq}`,
  }
  return { topic, payload: JSON.stringify(message), retained: false }
}
