/** Several instances of a service on one PostgreSQL: written through any of them, followed at another, one killed. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createMemoryHub } from '../../src/broker/memory.ts'
import { connect } from '../../src/client/connection.ts'
import { openPostgresLog } from '../../src/log/postgres.ts'
import { type HttpServer, openHttpServer } from '../../src/service/http/node.ts'
import { defineResource } from '../../src/service/resource.ts'
import { openService, type Service } from '../../src/service/service.ts'
import { skipWithoutPostgres, startPostgres } from '../support/postgres.ts'

const people = defineResource('people', { schema: { type: 'object' } })

test('what is written through any instance reaches followers of each, also after the server was killed and came back', {
  skip: skipWithoutPostgres,
}, async () => {
  await using postgres = await startPostgres()
  const hub = createMemoryHub()
  const instances: { readonly service: Service; readonly server: HttpServer; close(): Promise<void> }[] = []
  for (const hasRelay of [true, true, false]) {
    const log = await openPostgresLog({ url: postgres.url(), onError: () => {} })
    const broker = hasRelay ? hub.connect() : undefined
    const service = await openService({ resources: [people], log, broker, onError: () => {} })
    const server = await openHttpServer(service, { port: 0 })
    const close = async (): Promise<void> => {
      await server.close()
      await service.close()
      await log.close()
    }
    instances.push({ service, server, close })
  }
  const connections = await Promise.all([
    connect({ api: instances[0]!.server.url, broker: hub.connect(), onError: () => {} }),
    connect({ api: instances[2]!.server.url, onError: () => {} }),
  ])
  const followers = connections.map(connection => connection.follow('/people'))
  await Promise.all(followers.map(follower => follower.ready))

  const patch = async (n: number): Promise<void> => {
    const url = `${instances[n % 3]!.server.url}/people/${n % 7}`
    const init = {
      method: 'PUT',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ n }),
    }
    // While the server is away the instances say so.
    for (;;) {
      const { status } = await fetch(url, init)
      if (status < 300) return
      assert.equal(status, 503)
    }
  }
  await Promise.all(Array.from({ length: 100 }, (_, n) => patch(n)))
  await postgres.kill()
  const meanwhile = Promise.all(Array.from({ length: 20 }, (_, n) => patch(100 + n)))
  await postgres.start()
  await meanwhile
  await Promise.all(Array.from({ length: 100 }, (_, n) => patch(200 + n)))

  const response = await fetch(`${instances[1]!.server.url}/people`)
  const truth = (await response.json()) as { readonly id: string }[]
  const marker = response.headers.get('lockstep-marker')!
  for (const follower of followers) {
    await follower.atLeast(marker)
    assert.deepEqual(
      [...follower.state.values()].sort((a, b) => (String(a['id']) < String(b['id']) ? -1 : 1)),
      truth,
    )
  }
  await Promise.all(connections.map(connection => connection.close()))
  await Promise.all(instances.map(instance => instance.close()))
})
