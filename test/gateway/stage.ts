/** A gateway for a test with plain services behind it, and bytes sent as they are. */
import { once } from 'node:events'
import { createServer, type IncomingMessage, type RequestListener, type Server } from 'node:http'
import { type AddressInfo, connect, createServer as createTcpServer, type Socket } from 'node:net'
import type { TestContext } from 'node:test'
import type { JsonObject } from 'lockstep/contract'
import { type Gateway, type GatewayOptions, openGateway } from 'lockstep/gateway'

export interface Service {
  readonly url: string
  readonly server: Server
  /** What came, in order. */
  readonly requests: IncomingMessage[]
  close(): Promise<void>
}

/** A service that answers as told, and with what it was asked where it is not. */
export async function openTestService(t: TestContext, listener: RequestListener = echo): Promise<Service> {
  const requests: IncomingMessage[] = []
  const server = createServer((request, response) => {
    if (request.url !== '/health') requests.push(request)
    listener(request, response)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const close = async (): Promise<void> => {
    if (!server.listening) return
    const closed = once(server, 'close')
    server.close()
    server.closeAllConnections()
    await closed
  }
  t.after(close)
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, server, requests, close }
}

/** Tells what it was asked. */
export const echo: RequestListener = (request, response) => {
  let body = ''
  request.setEncoding('latin1').on('data', (part: string) => {
    body += part
  })
  request.on('end', () => {
    const { method, url, headers } = request
    response.setHeader('content-type', 'application/json')
    response.end(JSON.stringify({ method, url, headers, body }))
  })
}

/** A server of bytes: each connection is handed over with what came first. */
export async function openRawService(
  t: TestContext,
  onRequest: (socket: Socket, text: string) => void,
): Promise<string> {
  const sockets = new Set<Socket>()
  const server = createTcpServer(socket => {
    sockets.add(socket)
    socket.on('error', () => {}).on('close', () => sockets.delete(socket))
    socket.on('data', data => {
      const text = data.toString('latin1')
      if (text.startsWith('GET /health ')) socket.end('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n')
      else onRequest(socket, text)
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

/** A gateway at a free port; `settings` need no `listen`. */
export async function openTestGateway(
  t: TestContext,
  settings: JsonObject,
  options: Omit<GatewayOptions, 'settings'> = {},
): Promise<Gateway> {
  const gateway = await openGateway({
    onError: () => {},
    ...options,
    settings: { listen: { port: 0 }, limits: { drainMs: 2_000 }, ...settings },
  })
  t.after(() => gateway.close())
  return gateway
}

/** Sends bytes and gives what comes back until the other side closes, or until `until` is in it. */
export function exchangeBytes(url: string, bytes: string, until?: RegExp): Promise<string> {
  const { hostname, port } = new URL(url)
  return new Promise((resolve, reject) => {
    let text = ''
    const socket = connect({ host: hostname, port: Number(port) }, () => socket.write(bytes, 'latin1'))
    const timer = setTimeout(() => {
      socket.destroy()
      reject(new Error(`The other side neither answers nor closes: ${text}`))
    }, 20_000)
    const done = (): void => {
      clearTimeout(timer)
      socket.destroy()
      resolve(text)
    }
    socket.on('data', data => {
      text += data.toString('latin1')
      if (until?.test(text)) done()
    })
    socket.on('close', done).on('error', () => {})
  })
}
