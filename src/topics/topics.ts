/**
 * The REST view of any MQTT topic: last values, publishing, streams, and a page for people, on any Node HTTP server.
 *
 * It needs no service and knows nothing of resources; writing resources over MQTT is in writes.ts. PROTOCOL.md §16.
 */
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import { createErrorReport } from '../contract/index.ts'
import { createMemoryLastValues } from './last-values.ts'
import { openSqliteLastValues } from './sqlite-last-values.ts'
import { StreamTable } from './stream-table.ts'
import { TopicHub } from './topic-hub.ts'
import { answerTopics, type TopicsContext } from './topics-handler.ts'
import { readTopicsOptions, type TopicsOptions } from './topics-options.ts'
import { upgradeTopics } from './topics-socket.ts'

export interface Topics extends AsyncDisposable {
  readonly root: string
  /** Event streams and WebSockets that are open. */
  readonly streams: number
  /** Answers a request; `false`, and nothing done, where the path is not below the root. */
  handle(request: IncomingMessage, response: ServerResponse): boolean
  /** Takes an `upgrade` of a Node server; `false`, and nothing done, where the path is not below the root. */
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): boolean
  /** Ends all streams and the subscription, and closes the file. The broker stays open. Idempotent. */
  close(): Promise<void>
}

/** Opens the view; it answers at once, also while the broker cannot be reached. Errors: `invalid-option`. */
export async function openTopics(options: TopicsOptions): Promise<Topics> {
  const settings = readTopicsOptions(options)
  const { root, filters, limits, now } = settings
  const report = createErrorReport(options.onError)
  const { maxTopics, maxBytes } = limits
  const values =
    options.file === undefined
      ? createMemoryLastValues({ maxTopics, maxBytes })
      : openSqliteLastValues({ file: options.file, maxTopics, report })
  const hub = new TopicHub({ broker: options.broker, filters, values, maxTopics, now, report })
  const streams = new StreamTable(settings, hub)
  const context: TopicsContext = { settings, hub, streams, report }
  hub.start()
  let closing: Promise<void> | undefined
  const close = (): Promise<void> => {
    closing ??= (async () => {
      streams.close()
      await hub.close()
    })()
    return closing
  }
  return {
    root,
    get streams() {
      return streams.count
    },
    handle(request, response) {
      const isOurs = isBelow(root, request)
      if (isOurs) void answerTopics(context, request, response)
      return isOurs
    },
    upgrade(request, socket, head) {
      const isOurs = isBelow(root, request)
      if (isOurs) void upgradeTopics(context, request, socket, head)
      return isOurs
    },
    close,
    [Symbol.asyncDispose]: close,
  }
}

/** Mounts the view on a Node server, before what answers its other requests. */
export function mountTopics(topics: Topics, server: Server): void {
  const listeners = server.listeners('request')
  server.removeAllListeners('request')
  server.on('request', (request, response) => {
    if (topics.handle(request, response)) return
    for (const listener of listeners) listener.call(server, request, response)
    if (listeners.length === 0) response.writeHead(404).end()
  })
  server.on('upgrade', (request, socket, head) => {
    if (!topics.upgrade(request, socket, head) && server.listenerCount('upgrade') === 1) socket.destroy()
  })
}

function isBelow(root: string, { url = '' }: IncomingMessage): boolean {
  return url.startsWith(root) && (url.length === root.length || '/?'.includes(url[root.length]!))
}
