/** The port for those who run the gateway: `/health`, `/metrics`, `/routes`. It only reads, and is never a client's. */
import { createServer, type Server } from 'node:http'
import { sendAnswer } from './answer.ts'
import { formatMetrics, type GatewayLoad } from './metrics-text.ts'
import { makeHealth, makeReport } from './report.ts'
import type { GatewayAnswer } from './request.ts'
import type { Routing } from './routing.ts'

export interface AdminOptions {
  readonly routing: () => Routing
  readonly load: () => GatewayLoad
  readonly startedMs: number
}

/** The server, not listening yet. */
export function createAdminServer({ routing, load, startedMs }: AdminOptions): Server {
  const server = createServer({ headersTimeout: 5_000, requestTimeout: 5_000 }, (request, response) => {
    const path = (request.url ?? '/').replace(/\?.*$/s, '')
    const answer =
      request.method === 'GET' || request.method === 'HEAD'
        ? answerTo(path)
        : { status: 405, headers: { allow: 'GET, HEAD' } }
    sendAnswer(response, answer, ['cache-control', 'no-store'])
  })
  const answerTo = (path: string): GatewayAnswer => {
    const nowMs = performance.now()
    if (path === '/metrics') {
      const headers = { 'content-type': 'text/plain; version=0.0.4; charset=utf-8' }
      return { status: 200, headers, body: formatMetrics(routing(), load(), nowMs) }
    }
    if (path === '/routes') return json(200, makeReport(routing()))
    if (path !== '/health') return json(404, { paths: ['/health', '/metrics', '/routes'] })
    const health = makeHealth(routing(), startedMs, nowMs)
    return json(health.status === 'failing' ? 503 : 200, health)
  }
  server.maxConnections = 100
  return server
}

function json(status: number, value: object): GatewayAnswer {
  return { status, headers: { 'content-type': 'application/json' }, body: `${JSON.stringify(value)}\n` }
}
