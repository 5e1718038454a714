/**
 * A web server with a bridge on it, as docs/live.md shows it: it knows its service by the feed and the broker, and its pages have tickets.
 *
 * The limits on arrivals are raised, since all pages of a benchmark come from one address and at once.
 */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { connectMqtt } from 'lockstep/broker'
import { createPages, createTickets, mountBridge, openBridge } from 'lockstep/live'
import { runProgram } from '../harness/program.ts'

export interface LiveBridgeOptions {
  readonly api: string
  readonly broker: string
}

/** What pages say in their hello: each has a ticket of its own. */
export interface LiveTags {
  readonly marker: string
  readonly tickets: readonly string[]
}

const arrivals = { maxConnections: 20_000, maxConnectionsPerAddress: 20_000, maxArrivalsPerSecond: 20_000 }

runProgram<LiveBridgeOptions>(async options => {
  const broker = await connectMqtt(options.broker)
  const sources = [{ api: options.api, streams: ['people'], broker }]
  const tickets = createTickets({ keys: [{ id: 'bench', secret: 'b'.repeat(32) }] })
  const bridge = await openBridge({ sources, access: { tickets }, limits: arrivals })
  const pages = createPages({ sources, tickets })
  const server = createServer((_request, response) => response.writeHead(404).end())
  mountBridge(bridge, server)
  await new Promise<void>(resolve =>
    server.listen({ port: 0, host: '127.0.0.1', backlog: 4_096 }, () => resolve()),
  )
  return {
    ready: { port: (server.address() as AddressInfo).port },
    commands: {
      /** The page is rendered once, and given to so many users, each with a ticket of their own. */
      async tags({ count }: { count: number }): Promise<LiveTags> {
        const { tag } = await pages.read({ people: '/people' }, { audience: 'user-0' })
        const { marker, follow } = JSON.parse(/>(.*)</.exec(tag)![1]!)
        const users = Array.from({ length: count }, (_, number) => `user-${number}`)
        return { marker, tickets: users.map(audience => tickets.issue({ audience, follow })) }
      },
      counters: () => bridge.counters,
    },
    async close() {
      await bridge.close()
      await broker.close()
      server.close()
    },
  }
})
