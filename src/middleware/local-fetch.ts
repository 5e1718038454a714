/**
 * Asks a `node:http` listener of this very process, without a port: real HTTP over a pair of streams in memory, so that the application
 * meets a request as any other.
 */
import { Agent, createServer, type IncomingMessage, request, type ServerResponse } from 'node:http'
import { type Duplex, duplexPair, Readable } from 'node:stream'
import type { FetchHandler } from '../service/index.ts'

/** Answers a request of `node:http`: what `createServer` takes; an Express application is one. */
export type Listener = (request: IncomingMessage, response: ServerResponse) => unknown

/** Connections at a time; further requests wait. */
const maxConnections = 32

/** Makes a `fetch` that a listener answers; requests without a body only. */
export function createLocalFetch(listener: Listener): FetchHandler {
  const server = createServer((request, response) => void listener(request, response))
  const agent = new LocalAgent({ keepAlive: true, maxSockets: maxConnections })
  agent.connect = socket => server.emit('connection', socket)
  return async given => {
    const { pathname, search } = new URL(given.url)
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      request({
        agent,
        host: 'localhost',
        method: given.method,
        path: pathname + search,
        headers: Object.fromEntries(given.headers),
      })
        .on('response', resolve)
        .on('error', reject)
        .end()
    })
    const { statusCode: status = 502, rawHeaders } = response
    const headers = new Headers()
    for (let index = 0; index < rawHeaders.length; index += 2)
      headers.append(rawHeaders[index]!, rawHeaders[index + 1]!)
    if (status === 204 || status === 304) {
      response.resume()
      return new Response(null, { status, headers })
    }
    return new Response(Readable.toWeb(response) as ReadableStream<Uint8Array>, { status, headers })
  }
}

class LocalAgent extends Agent {
  connect: (socket: Duplex) => void = () => {}

  override createConnection(): Duplex {
    const [own, other] = duplexPair()
    this.connect(asSocket(other))
    return asSocket(own)
  }
}

/** A stream in memory has no network to set up, and keeps no process alive. */
function asSocket(stream: Duplex): Duplex {
  const same = (): Duplex => stream
  return Object.assign(stream, {
    setKeepAlive: same,
    setNoDelay: same,
    setTimeout: same,
    ref: same,
    unref: same,
  })
}
