/**
 * How a message enters a peer that runs on `node:http`: by a POST of its own on a connection that stays open, as Nchan takes it too.
 */
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'

/** A server that answers each `POST /publish` when `publish` has been called with the body. */
export function createEntry(publish: (text: string) => void): Server {
  return createServer((request, response) => {
    if (request.method !== 'POST') {
      response.writeHead(404).end()
      return
    }
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      publish(Buffer.concat(chunks).toString())
      response.writeHead(202, { 'content-length': 0 }).end()
    })
  })
}

/** Resolves with the port. The backlog is as long as the others': a thousand may connect at once. */
export function listen(server: Server): Promise<number> {
  return new Promise(resolve => {
    server.keepAliveTimeout = 3_600_000
    server.listen({ port: 0, host: '127.0.0.1', backlog: 4_096 }, () =>
      resolve((server.address() as AddressInfo).port),
    )
  })
}
