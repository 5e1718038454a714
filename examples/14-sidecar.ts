/** An API that knows nothing of Lockstep, followed live: the sidecar stands before it and sees what changes. */
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { connect } from 'lockstep/client'
import { createMemoryLog } from 'lockstep/log'
import { openSidecar } from 'lockstep/sidecar'

// Any API in any language: here a few lines with a Map.
const people = new Map([['1', { id: 1, name: 'Ann' }]])
const api = createServer(async (request, response) => {
  const id = request.url!.split('/')[2]
  let body = ''
  for await (const part of request) body += part
  if (request.method === 'PUT') people.set(id!, { id: Number(id), ...JSON.parse(body) })
  const found = id === undefined ? [...people.values()] : people.get(id)
  response.writeHead(found === undefined ? 404 : 200, { 'content-type': 'application/json' })
  response.end(JSON.stringify(found ?? {}))
}).listen(0, '127.0.0.1')
await once(api, 'listening')
const upstream = `http://127.0.0.1:${(api.address() as AddressInfo).port}`

const log = createMemoryLog()
const sidecar = await openSidecar({ upstream, resources: { people: {} }, log, scanEveryMs: 1_000 })
await sidecar.ready

const lockstep = await connect({ api: sidecar.mirrorUrl })
const follower = lockstep.follow('/people')
await follower.ready
console.log([...follower.state.values()])

const next = async (): Promise<void> => {
  const { event, path, state } = await new Promise<{ event: string; path: string; state?: unknown }>(
    resolve => {
      follower.on('change', change => resolve(change as never))
    },
  )
  console.log(event, path, JSON.stringify(state))
}
const through = next()
await fetch(`${sidecar.url}/people/1`, { method: 'PUT', body: JSON.stringify({ name: 'Anna' }) })
await through

// What goes round the sidecar is found by the scan.
const round = next()
await fetch(`${upstream}/people/2`, { method: 'PUT', body: JSON.stringify({ name: 'Bob' }) })
await round

await lockstep.close()
await sidecar.close()
await log.close()
api.close()
