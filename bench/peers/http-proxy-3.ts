/** `http-proxy-3` with a keep-alive agent: no key, no limit. */
import { Agent, createServer } from 'node:http'
import { createProxyServer } from 'http-proxy-3'
import { runProgram } from '../harness/program.ts'

runProgram(async ({ upstream }: { upstream: string }) => {
  const proxy = createProxyServer({
    target: upstream,
    agent: new Agent({ keepAlive: true, maxSockets: 256 }),
  })
  const server = createServer((request, response) => void proxy.web(request, response))
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  return { ready: { port: typeof address === 'object' ? address?.port : undefined, path: '/api/v1/small' } }
})
