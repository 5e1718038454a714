/** A monolith that shrinks behind one door: a Lockstep service has taken one route, the old program has the rest. */
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { openGateway } from 'lockstep/gateway'
import { createMemoryLog } from 'lockstep/log'
import { defineResource, openHttpServer, openService } from 'lockstep/service'

// The old program knows nothing of what stands in front of it.
const legacy = createServer((request, response) => {
  response.setHeader('content-type', 'application/json')
  response.end(JSON.stringify({ from: 'the old program', url: request.url }))
}).listen(0, '127.0.0.1')
await once(legacy, 'listening')
const legacyUrl = `http://127.0.0.1:${(legacy.address() as AddressInfo).port}`

const people = defineResource('people', { schema: { type: 'object', required: ['name'] } })
const service = await openService({ resources: [people], log: createMemoryLog() })
const server = await openHttpServer(service, { port: 0 })

const gateway = await openGateway({
  settings: {
    listen: { port: Number(process.env['PORT'] ?? 8080) },
    limits: { drainMs: 100 },
    // To give the route back, take it out of the paths; a gateway that runs takes that with `replace`.
    services: { people: { instances: [server.url], paths: ['/people'] } },
    legacy: { instances: [legacyUrl] },
  },
})
const api = `${gateway.urls['internal']}/api/v1`

const body = JSON.stringify({ id: 'johndoe', name: 'John Doe' })
const headers = { 'content-type': 'application/json' }
const created = await fetch(`${api}/people`, { method: 'POST', headers, body })
console.log(created.status, created.headers.get('location'), created.headers.get('lockstep-topic'))
console.log(await (await fetch(`${api}/orders/7`)).text())
for (const { path, service: name, requests } of gateway.report().routes) console.log(path, name, requests)

await gateway.close()
await server.close()
await service.close()
legacy.close()
