/** `@fastify/http-proxy` with what it is by default: no key, no limit. */
import proxy from '@fastify/http-proxy'
import fastify from 'fastify'
import { runProgram } from '../harness/program.ts'

runProgram(async ({ upstream }: { upstream: string }) => {
  const app = fastify()
  await app.register(proxy, { upstream, prefix: '/api/v1' })
  await app.listen({ port: 0, host: '127.0.0.1' })
  const address = app.server.address()
  return {
    ready: { port: typeof address === 'object' ? address?.port : undefined, path: '/api/v1/small' },
    close: () => app.close(),
  }
})
