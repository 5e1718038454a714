/**
 * What was there before: a program with one resource still in it, `/api/v1/tickets`. It is plain `node:http` and knows
 * nothing of Lockstep, of the gateway in front of it, or of the services that took its other routes.
 */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'

interface Ticket {
  readonly id: string
  readonly title: string
  readonly project: string
}

const tickets: readonly Ticket[] = [
  { id: '1', title: 'The logo is too small', project: 'website' },
  { id: '2', title: 'Say what the sandbox is for', project: 'sandbox' },
]

const server = createServer((request, response) => {
  const { pathname } = new URL(request.url ?? '/', 'http://localhost')
  const match = /^\/api\/v1\/tickets(?:\/(\w+))?$/.exec(pathname)
  const id = match?.[1]
  const found = match === null ? undefined : id === undefined ? tickets : tickets.find(each => each.id === id)
  response.writeHead(found === undefined ? 404 : 200, { 'content-type': 'application/json' })
  response.end(JSON.stringify(found ?? { error: 'There is nothing here.' }))
})
server.listen(Number(process.env['SERVICE_PORT'] ?? 0), '127.0.0.1', () => {
  process.send?.({ url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` })
})
process.on('SIGINT', () => {})
process.on('SIGTERM', () => process.exit(0))
process.on('disconnect', () => process.exit(0))
