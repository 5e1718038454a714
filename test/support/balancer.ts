/**
 * A small load balancer for tests: each request goes to the next of several servers, whoever it comes from.
 *
 * It knows nothing of the protocol and looks at no health: where nobody listens it tries the next server, and where an answer
 * breaks off, so does its own.
 */
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface Balancer extends AsyncDisposable {
  readonly url: string
  /** How many requests each server has answered, in their order. */
  readonly answered: readonly number[]
}

/** Starts it before the servers at these URLs. */
export async function startBalancer(servers: readonly string[]): Promise<Balancer> {
  const answered = servers.map(() => 0)
  let turn = 0

  /** `tried` servers before this one did not listen. */
  const pass = (asked: IncomingMessage, body: Buffer, reply: ServerResponse, tried = 0): void => {
    if (reply.destroyed) return
    const server = turn++ % servers.length
    const { method, url = '/', headers } = asked
    // A connection for each request: one that is kept may be closed just as the next request goes out.
    const options = { method, headers: { ...headers, connection: 'close' }, agent: false }
    const passed = request(new URL(url, servers[server]), options)
    passed.once('response', answer => {
      answered[server]!++
      const { connection: _, ...answerHeaders } = answer.headers
      reply.writeHead(answer.statusCode!, answerHeaders)
      answer.once('error', () => reply.destroy())
      answer.pipe(reply)
    })
    passed.once('error', error => {
      if (reply.headersSent) return void reply.destroy()
      const isRefused = 'code' in error && error.code === 'ECONNREFUSED'
      if (isRefused && tried + 1 < servers.length) return pass(asked, body, reply, tried + 1)
      reply.writeHead(isRefused ? 503 : 502).end()
    })
    reply.once('close', () => passed.destroy())
    passed.end(body)
  }

  const balancer = createServer((asked, reply) => {
    const chunks: Buffer[] = []
    asked.on('data', chunk => chunks.push(chunk))
    asked.once('end', () => pass(asked, Buffer.concat(chunks), reply))
  })
  await new Promise<void>(resolve => balancer.listen(0, '127.0.0.1', resolve))
  const { port } = balancer.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}`,
    answered,
    [Symbol.asyncDispose]: () =>
      new Promise(resolve => {
        balancer.close(() => resolve())
        balancer.closeAllConnections()
      }),
  }
}
