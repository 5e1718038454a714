/**
 * The running side of `lockstep serve`: what answers HTTP, what publishes, and how both change while they run.
 *
 * When the file changes, new requests go to a new service on the same change log, while the old one goes on with
 * what it has begun: writes end under the schema that they began under, event streams stay open. Publishing is
 * done by a service of its own, which is only replaced when other streams are to be published.
 */
import type { Broker } from 'lockstep/broker'
import { LockstepError, toProblem } from 'lockstep/contract'
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
  const { log, broker, root, topicPrefix, onError } = options
  const openFront = async (resources: readonly Resource<object>[]): Promise<Front> =>
    createFront(await openService({ resources, log, root, topicPrefix, onError }))
  const openPublisher = async (resources: readonly Resource<object>[]): Promise<Publisher> => ({
    streams: listStreams(resources),
    service: await openService({ resources, log, broker, root, topicPrefix, onError }),
  })
  const retired: Front[] = []
  let front = await openFront(resources)
  let publisher = await openPublisher(resources)

  return {
    owns: path => path === root || path.startsWith(`${root}/`),

    async handle(exchange) {
      const isWrite = !['GET', 'HEAD', 'OPTIONS'].includes(exchange.method)
      if (isWrite && options.readOnly) return refuseWrite(exchange)
      // Only the service that publishes knows how far behind the broker is.
      const isHealth = exchange.path === `${root}/health` && !publisher.streams.split(' ').includes('health')
      return await (isHealth ? publisher.service : front).handle(exchange)
    },

    async replace(resources) {
      const [oldFront, oldPublisher] = [front, publisher]
      const nextFront = await openFront(resources)
      if (listStreams(resources) !== publisher.streams) publisher = await openPublisher(resources)
      front = nextFront
      if (publisher !== oldPublisher) await oldPublisher.service.close()
      retired.push(oldFront)
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

function listStreams(resources: readonly Resource<object>[]): string {
  return [...new Set(resources.map(({ route }) => route.split('/', 1)[0]))].sort().join(' ')
}

/** One generation of the service, which counts what it has begun. */
interface Front {
  handle(exchange: Exchange): Promise<Reply>
  /** Closes when all is done that was begun. */
  retire(): Promise<void>
  close(): Promise<void>
}

function createFront(service: Service): Front {
  const idle = Promise.withResolvers<void>()
  let begun = 0
  let isRetired = false
  const end = (): void => {
    begun--
    if (isRetired && begun === 0) idle.resolve()
  }
  async function* passOn(body: AsyncIterable<string>): AsyncGenerator<string> {
    try {
      yield* body
    } finally {
      end()
    }
  }
  const close = async (): Promise<void> => {
    idle.resolve()
    await service.close()
  }
  return {
    async handle(exchange) {
      begun++
      const reply = await service.handle(exchange)
      const { body } = reply
      if (body === undefined || typeof body === 'string' || exchange.method === 'HEAD') {
        end()
        return reply
      }
      return { ...reply, body: passOn(body) }
    },
    async retire() {
      isRetired = true
      if (begun > 0) await idle.promise
      await close()
    },
    close,
  }
}

function refuseWrite({ method }: Exchange): Reply {
  const message = `${method} is not allowed: this service was started with --read-only.`
  const problem = toProblem(new LockstepError('method-not-allowed', message))
  return {
    status: problem.status,
    headers: { 'content-type': 'application/problem+json; charset=utf-8', allow: 'GET, HEAD, OPTIONS' },
    body: `${JSON.stringify(problem)}\n`,
  }
}
