/** The view of topics on a server of its own, beside a broker. */
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createParser, type EventSourceMessage } from 'eventsource-parser'
import type { Broker } from '../../src/broker/index.ts'
import { mountTopics, openTopics, type Topics, type TopicsOptions } from '../../src/topics/index.ts'

export interface View extends AsyncDisposable {
  readonly topics: Topics
  /** With the root, without a slash. */
  readonly url: string
  readonly errors: unknown[]
}

export async function openView(broker: Broker, options: Partial<TopicsOptions> = {}): Promise<View> {
  const errors: unknown[] = []
  const onError = (error: unknown): void => {
    errors.push(error)
  }
  const topics = await openTopics({ broker, access: 'anyone', onError, ...options })
  const server = createServer()
  mountTopics(topics, server)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return {
    topics,
    url: `http://127.0.0.1:${port}${topics.root}`,
    errors,
    async [Symbol.asyncDispose]() {
      await topics.close()
      server.closeAllConnections()
      await new Promise(resolve => server.close(resolve))
    },
  }
}

export interface Entry {
  readonly topic: string
  readonly value?: unknown
  readonly text?: string
  readonly base64?: string
  readonly last?: true
}

/** Reads an event stream: `next` waits for an entry. */
export async function openEvents(
  url: string,
  headers: Record<string, string> = {},
): Promise<{ next(): Promise<Entry>; close(): void }> {
  const controller = new AbortController()
  const response = await fetch(url, {
    headers: { accept: 'text/event-stream', ...headers },
    signal: controller.signal,
  })
  if (response.status !== 200 || response.body === null) throw new Error(`${response.status}`)
  const entries: Entry[] = []
  let wake = (): void => {}
  const parser = createParser({
    onEvent(event: EventSourceMessage) {
      entries.push(JSON.parse(event.data) as Entry)
      wake()
    },
  })
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader()
  const pump = async (): Promise<void> => {
    for (;;) {
      const { done, value } = await reader.read()
      if (done) return
      parser.feed(value)
    }
  }
  pump().catch(() => {})
  return {
    async next() {
      while (entries.length === 0) await new Promise<void>(resolve => (wake = resolve))
      return entries.shift()!
    },
    close: () => controller.abort(),
  }
}

/** Asks until the answer is this status: what was published over MQTT arrives when it arrives. */
export async function untilStatus(url: string, status: number, init: RequestInit = {}): Promise<Response> {
  for (;;) {
    const response = await fetch(url, init)
    if (response.status === status) return response
    await response.arrayBuffer()
    await new Promise(resolve => setTimeout(resolve, 10))
  }
}
