/** A small system to watch: a service on a socket, its broker in memory, and a connection that follows it. */
import { createMemoryHub } from '../../src/broker/memory.ts'
import { type Connection, connect } from '../../src/client/connection.ts'
import { openHttpServer } from '../../src/service/http/node.ts'
import type { ServiceOptions } from '../../src/service/service.ts'
import { openTestService, projects, type TestService } from './service.ts'

export interface ObservedSystem extends AsyncDisposable {
  readonly api: TestService
  readonly url: string
  readonly hub: ReturnType<typeof createMemoryHub>
  readonly lockstep: Connection
}

/** Opens it; whatever is to be watched from its beginning is watched before. */
export async function openObservedSystem(options: Partial<ServiceOptions> = {}): Promise<ObservedSystem> {
  const opened = new AsyncDisposableStack()
  const hub = createMemoryHub()
  const publisher = opened.use(hub.connect())
  const api = opened.use(await openTestService({ broker: publisher, resources: [projects], ...options }))
  const { url } = opened.use(await openHttpServer(api.service, { port: 0 }))
  const broker = opened.use(hub.connect())
  const lockstep = opened.use(await connect({ api: url, broker }))
  return { api, url, hub, lockstep, [Symbol.asyncDispose]: () => opened.disposeAsync() }
}
