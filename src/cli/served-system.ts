/**
 * The running side of `lockstep serve`: what answers HTTP, what publishes, and how both change while they run.
 *
 * When the file changes, new requests go to a new service on the same change log, while the old one goes on with
 * what it has begun: writes end under the schema that they began under, event streams stay open, but for those of
 * collections that are gone. Publishing is done by a service of its own, which is only replaced when other streams
 * are to be published.
 */
import type { Broker } from 'lockstep/broker'
import type { ChangeLog } from 'lockstep/log'
import { type Exchange, openService, type Reply, type Resource, type Service } from 'lockstep/service'

export interface ServedSystemOptions {
  readonly log: ChangeLog
  readonly broker: Broker
  readonly root: string
  readonly topicPrefix: string
  /** Refuse all writes. */
  readonly readOnly: boolean
  readonly onError: (error: unknown, context: { readonly stage: string }) => void
}

export interface ServedSystem {
  owns(path: string): boolean
  /** Answers a request. Never rejects. */
  handle(exchange: Exchange): Promise<Reply>
  /** Serves other resources from now on. Errors: `invalid-option`, those of the change log; then all is as before. */
  replace(resources: readonly Resource<object>[]): Promise<void>
  /** Ends event streams and relay. Idempotent. */
  close(): Promise<void>
}

/** So many replaced services may go on with their event streams; then the oldest are cut and come back by themselves. */
const maxRetired = 8

/** Begins to serve. Errors: `invalid-option`, those of the change log. */
export async function openServedSystem(
  resources: readonly Resource<object>[],
  options: ServedSystemOptions,
): Promise<ServedSystem> {
  const { log, broker, root, topicPrefix, readOnly, onError } = options
  const openFront = async (resources: readonly Resource<object>[]): Promise<Front> =>
    createFront(await openService({ resources, log, root, topicPrefix, readOnly, onError }), root)
  const openPublisher = async (resources: readonly Resource<object>[]): Promise<Publisher> => ({
    streams: listStreams(resources).join(' '),
    service: await openService({ resources, log, broker, root, topicPrefix, onError }),
  })
  const retired: Front[] = []
  let front = await openFront(resources)
  let publisher = await openPublisher(resources)

  return {
    owns: path => path === root || path.startsWith(`${root}/`),

    async handle(exchange) {
      // Only the service that publishes knows how far behind the broker is.
      const isHealth = exchange.path === `${root}/health` && !publisher.streams.split(' ').includes('health')
      return await (isHealth ? publisher.service : front).handle(exchange)
    },

    async replace(resources) {
      const [oldFront, oldPublisher] = [front, publisher]
      const nextFront = await openFront(resources)
      const streams = listStreams(resources)
      if (streams.join(' ') !== publisher.streams) publisher = await openPublisher(resources)
      front = nextFront
      if (publisher !== oldPublisher) await oldPublisher.service.close()
      retired.push(oldFront)
      for (const each of retired) each.keepStreams(streams)
      void oldFront.retire().then(() => retired.splice(retired.indexOf(oldFront), 1))
      if (retired.length > maxRetired) await retired[0]!.close()
    },

    async close() {
      await Promise.all([front, ...retired].map(each => each.close()))
      await publisher.service.close()
    },
  }
}

interface Publisher {
  readonly streams: string
  readonly service: Service
}

function listStreams(resources: readonly Resource<object>[]): readonly string[] {
  return [...new Set(resources.map(({ route }) => route.split('/', 1)[0]!))].sort()
}

/** One generation of the service, which counts what it has begun. */
interface Front {
  handle(exchange: Exchange): Promise<Reply>
  /** Ends event streams of all other collections: who followed those shall learn that they are gone. */
  keepStreams(streams: readonly string[]): void
  /** Closes when all is done that was begun. */
  retire(): Promise<void>
  close(): Promise<void>
}

function createFront(service: Service, root: string): Front {
  const idle = Promise.withResolvers<void>()
  /** What ends the event streams that are open, with the first segment of their path. */
  const feeds = new Map<AbortController, string>()
  let begun = 0
  let isRetired = false
  const end = (): void => {
    begun--
    if (isRetired && begun === 0) idle.resolve()
  }
  async function* passOn(body: AsyncIterable<string>, finish: () => void): AsyncGenerator<string> {
    try {
      yield* body
    } finally {
      finish()
    }
  }
  const close = async (): Promise<void> => {
    idle.resolve()
    await service.close()
  }
  return {
    async handle(exchange) {
      begun++
      const ending = new AbortController()
      const reply = await service.handle(withEnd(exchange, ending.signal))
      const { body } = reply
      if (body === undefined || typeof body === 'string' || exchange.method === 'HEAD') {
        end()
        return reply
      }
      feeds.set(ending, exchange.path.slice(root.length + 1).split('/', 1)[0]!)
      const finish = (): void => {
        if (feeds.delete(ending)) end()
      }
      // A body that nobody begins to read never comes to its end.
      exchange.signal.addEventListener('abort', finish, { once: true })
      return { ...reply, body: passOn(body, finish) }
    },
    keepStreams(streams) {
      for (const [ending, stream] of feeds) if (!streams.includes(stream)) ending.abort()
    },
    async retire() {
      isRetired = true
      if (begun > 0) await idle.promise
      await close()
    },
    close,
  }
}

/** The request, which can be ended from here too. Only a feed goes on for so long that it has to be. */
function withEnd(exchange: Exchange, ending: AbortSignal): Exchange {
  const { method, path, query, signal } = exchange
  if (!path.endsWith('/_changes')) return exchange
  return {
    method,
    path,
    query,
    header: name => exchange.header(name),
    readBody: maxBytes => exchange.readBody(maxBytes),
    signal: AbortSignal.any([signal, ending]),
  }
}
