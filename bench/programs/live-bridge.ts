/**
 * A web server with a bridge on it, as docs/live.md shows it: it knows its service by the feed and the broker, and wants tickets.
 *
 * The limits on arrivals are raised, since all pages of a benchmark come from one address and at once.
 */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { connectMqtt } from 'lockstep/broker'
import { createTickets, mountBridge, openBridge, type TicketKey } from 'lockstep/live'
import { runProgram } from '../harness/program.ts'

export interface LiveBridgeOptions {
  readonly api: string
  readonly broker: string
  readonly keys: readonly TicketKey[]
}

const arrivals = { maxConnections: 20_000, maxConnectionsPerAddress: 20_000, maxArrivalsPerSecond: 20_000 }

runProgram<LiveBridgeOptions>(async options => {
  const broker = await connectMqtt(options.broker)
  const sources = [{ api: options.api, streams: ['people'], broker }]
  const tickets = createTickets({ keys: options.keys })
  const bridge = await openBridge({ sources, access: { tickets }, limits: arrivals })
  const server = createServer((_request, response) => response.writeHead(404).end())
  mountBridge(bridge, server)
  await new Promise<void>(resolve =>
    server.listen({ port: 0, host: '127.0.0.1', backlog: 4_096 }, () => resolve()),
  )
  return {
    ready: { port: (server.address() as AddressInfo).port },
    async close() {
      await bridge.close()
      await broker.close()
      server.close()
    },
  }
})
