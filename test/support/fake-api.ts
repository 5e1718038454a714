/** An HTTP server that answers as a test tells it, over a real socket: also late, half, or not at all. */
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface FakeRequest {
  readonly method: string
  /** Path and query. */
  readonly url: string
  readonly headers: IncomingMessage['headers']
}

export interface FakeReply {
  readonly status?: number
  readonly headers?: Readonly<Record<string, string>>
  /** Sent as JSON where it is no string. */
  readonly body?: unknown
}

/** A reply; or a function that writes it by itself. */
export type FakeAnswer = FakeReply | ((response: ServerResponse) => void)

export interface FakeApi extends AsyncDisposable {
  readonly url: string
  readonly requests: FakeRequest[]
  /** What answers from now on. */
  answer: (request: FakeRequest) => FakeAnswer
}

export async function openFakeApi(answer: FakeApi['answer']): Promise<FakeApi> {
  const requests: FakeRequest[] = []
  const server = createServer((incoming, response) => {
    const request = { method: incoming.method!, url: incoming.url!, headers: incoming.headers }
    requests.push(request)
    const reply = api.answer(request)
    if (typeof reply === 'function') {
      reply(response)
      return
    }
    const { status = 200, headers = {}, body } = reply
    response.writeHead(status, { 'content-type': 'application/json', ...headers })
    response.end(typeof body === 'string' || body === undefined ? body : JSON.stringify(body))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const api: FakeApi = {
    url: `http://127.0.0.1:${port}`,
    requests,
    answer,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise(done => server.close(done))
    },
  }
  return api
}

/** The headers of every answer about a mirrored path. */
export function mirrorHeaders(
  path: string,
  marker: string,
  more: Readonly<Record<string, string>> = {},
): Record<string, string> {
  const [stream] = marker.split(':')
  return {
    'lockstep-marker': marker,
    'lockstep-topic': path.slice(1),
    link: `</${stream}/_changes>; rel="changes"`,
    ...more,
  }
}
