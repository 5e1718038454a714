/** A whole system in a test's own process, for commands that look at one: API, broker, people. */
import type { TestContext } from 'node:test'
import { type EmbeddedBroker, openEmbeddedBroker } from 'lockstep/broker'
import { createMemoryLog } from 'lockstep/log'
import { defineResource, type HttpServer, openHttpServer, openService, type Service } from 'lockstep/service'

export const people = defineResource('people', {
  schema: { type: 'object', required: ['name'], properties: { name: { type: 'string' } } },
})

export interface System {
  readonly service: Service
  readonly server: HttpServer
  readonly broker: EmbeddedBroker
  /** The API root. */
  readonly api: string
  /** Writes a name over HTTP. */
  put(id: string, name: string): Promise<void>
}

export interface SystemOptions {
  readonly root?: string
  readonly topicPrefix?: string
  readonly health?: boolean
}

export async function openSystem(t: TestContext, options: SystemOptions = {}): Promise<System> {
  const log = createMemoryLog()
  const broker = await openEmbeddedBroker({ port: 0 })
  const relay = { headEveryMs: 100 }
  const service = await openService({ resources: [people], log, broker, relay, ...options })
  const server = await openHttpServer(service, { port: 0 })
  t.after(async () => {
    await server.close(0)
    await service.close()
    await broker.close()
    await log.close()
  })
  return {
    service,
    server,
    broker,
    api: server.url + (options.root ?? ''),
    async put(id, name) {
      await service.transaction(tx => tx.put(people, id, { name }))
    },
  }
}
