/** A proxy before an API that does what proxies do: takes headers away, changes paths, holds answers back. */
import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { TestContext } from 'node:test'

export interface ProxyOptions {
  /** Response headers that it takes away. */
  readonly drops?: readonly string[]
  /** Changes the response's headers. */
  readonly rewrite?: (headers: IncomingHttpHeaders) => IncomingHttpHeaders
  /** What it puts before the path. */
  readonly before?: string
  /** Refuses all paths that end like this. */
  readonly refuses?: string
}

/** Opens it before a server and returns its URL. */
export async function openProxy(t: TestContext, target: string, options: ProxyOptions): Promise<string> {
  const { drops = [], rewrite = headers => headers, before = '', refuses } = options
  const server = createServer((incoming, outgoing) => {
    const { method, headers, url = '/' } = incoming
    if (refuses !== undefined && url.split('?', 1)[0]!.endsWith(refuses)) {
      outgoing.writeHead(404).end('not here')
      return
    }
    const forward = request(target + before + url, { method, headers }, answer => {
      const kept = Object.entries(rewrite(answer.headers)).filter(([name]) => !drops.includes(name))
      outgoing.writeHead(answer.statusCode ?? 502, Object.fromEntries(kept))
      answer.pipe(outgoing)
      outgoing.on('close', () => answer.destroy())
    })
    forward.on('error', () => outgoing.destroy())
    incoming.pipe(forward)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}
