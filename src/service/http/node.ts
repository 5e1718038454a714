/**
 * Fits the service to `node:http`: a request listener that mounts in any Node server, and a server of its own
 * with its limits set. Backpressure is kept: a slow reader of an event stream slows its own stream only.
 */
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import {
  checkCount,
  checkMethods,
  checkOptions,
  createErrorReport,
  LockstepError,
  maxTimerMs,
  quote,
  type ReportError,
} from '../../contract/index.ts'
import { Deadlines } from './deadlines.ts'
import { type Exchange, type HttpHandler, type Reply, replyToError } from './exchange.ts'
import { isUnread, readBody, takeRest } from './node-body.ts'
import { Pipeline } from './pipeline.ts'

export type NodeListener = (request: IncomingMessage, response: ServerResponse, next?: () => void) => void

export interface NodeListenerOptions {
  /** How long a body may take to arrive. @default 30_000 */
  readonly bodyTimeoutMs?: number
  /** Bytes of answers that clients have not taken yet; past it requests are answered with 503. @default 268_435_456 */
  readonly maxUnsentBytes?: number
  /** Hears of answers that could not be sent. @default writes to stderr */
  readonly onError?: ReportError
}

/** Makes a listener for `node:http`, Express and their like; paths that are not the service's go to `next` where there is one. */
export function createNodeListener(service: HttpHandler, options: NodeListenerOptions = {}): NodeListener {
  checkHandler('createNodeListener', service)
  const bodyTimeoutMs = checkCount('bodyTimeoutMs', options.bodyTimeoutMs ?? 30_000, { max: maxTimerMs })
  const deadlines = new Deadlines(bodyTimeoutMs)
  const maxUnsentBytes = checkCount('maxUnsentBytes', options.maxUnsentBytes ?? 268_435_456)
  const report = createErrorReport(options.onError)
  const pipeline = new Pipeline()
  let unsentBytes = 0

  async function answer(
    request: IncomingMessage,
    response: ServerResponse,
    exchange: Exchange,
  ): Promise<void> {
    const reply =
      unsentBytes > maxUnsentBytes
        ? replyToError(overloaded(unsentBytes), {}, () => {})
        : await service.handle(exchange)
    const bytes = typeof reply.body === 'string' ? Buffer.byteLength(reply.body) : 0
    if (bytes > 0 && !response.closed) {
      unsentBytes += bytes
      response.once('close', () => {
        unsentBytes -= bytes
      })
    }
    await send(request, response, reply)
  }

  return (request, response, next) => {
    const url = cutOrigin(request.url ?? '/')
    const mark = url.indexOf('?')
    const path = mark === -1 ? url : url.slice(0, mark)
    if (next !== undefined && !service.owns(path)) {
      next()
      return
    }
    const exchange = new NodeExchange(request, response, {
      path,
      query: mark === -1 ? '' : url.slice(mark + 1),
      deadlines,
    })
    const start = (): void => {
      answer(request, response, exchange).catch(error => {
        report(error, { stage: 'response' })
        response.destroy()
      })
    }
    // Requests that a client sends ahead are answered one after another: at once they would all be held in memory.
    const { socket } = request
    // Of a connection that was cut, the requests that came in the same piece are told of all the same.
    if (socket.destroyed) return
    try {
      pipeline.add(socket, response, start)
    } catch (error) {
      report(error, { stage: 'pipeline' })
    }
  }
}

function overloaded(unsentBytes: number): LockstepError {
  return new LockstepError(
    'overloaded',
    `${unsentBytes} bytes of answers wait for clients to take them. Try again shortly.`,
  )
}

/** A proxy's client may write the whole URL into the request line (RFC 9112 §3.2.2). */
function cutOrigin(url: string): string {
  return url.startsWith('/') ? url : url.replace(/^[A-Za-z][A-Za-z0-9+.-]*:\/\/[^/?#]*/, '')
}

export interface HttpServerOptions extends NodeListenerOptions {
  /** 0 takes any free one. */
  readonly port: number
  /** @default '127.0.0.1' */
  readonly host?: string
  /** @default 10_000 */
  readonly maxConnections?: number
  /**
   * A connection on which nothing moves for so long in the middle of a request or answer is cut: a client that
   * takes nothing of what it asked for must not hold its place. @default 120_000
   */
  readonly idleTimeoutMs?: number
}

export interface HttpServer extends AsyncDisposable {
  readonly url: string
  readonly port: number
  /** Stops listening and ends open streams; requests that run get `graceMs` to finish. Idempotent. */
  close(graceMs?: number): Promise<void>
}

const sweepEveryMs = 20

/** Opens an HTTP server for a service. Errors: `port-taken`, `invalid-option`. */
export async function openHttpServer(service: HttpHandler, options: HttpServerOptions): Promise<HttpServer> {
  checkHandler('openHttpServer', service)
  checkOptions('openHttpServer', options, {
    port: true,
    host: true,
    maxConnections: true,
    idleTimeoutMs: true,
    bodyTimeoutMs: true,
    maxUnsentBytes: true,
    onError: true,
  })
  const { host = '127.0.0.1' } = options
  const port = checkCount('port', options.port, { min: 0, max: 65_535 })
  const maxConnections = checkCount('maxConnections', options.maxConnections ?? 10_000)
  const idleTimeoutMs = checkCount('idleTimeoutMs', options.idleTimeoutMs ?? 120_000, { max: maxTimerMs })
  const server = createServer({
    headersTimeout: 15_000,
    requestTimeout: 60_000,
    keepAliveTimeout: 60_000,
    maxHeaderSize: 16_384,
    connectionsCheckingInterval: 5_000,
  })
  server.maxConnections = maxConnections
  server.timeout = idleTimeoutMs
  server.on('request', createNodeListener(service, options))
  server.listen(port, host)
  try {
    await once(server, 'listening')
  } catch (cause) {
    throw listenError(host, port, cause)
  }
  const address = server.address() as AddressInfo
  let closing: Promise<void> | undefined
  const close = (graceMs = 2_000): Promise<void> => {
    closing ??= new Promise(resolve => {
      const timer = setTimeout(() => server.closeAllConnections(), graceMs)
      // A connection whose last request ends only now stays open for the next one, and nobody tells.
      const sweep = setInterval(() => server.closeIdleConnections(), sweepEveryMs)
      server.close(() => {
        clearTimeout(timer)
        clearInterval(sweep)
        resolve()
      })
    })
    return closing
  }
  return {
    url: `http://${host.includes(':') ? `[${host}]` : host}:${address.port}`,
    port: address.port,
    close,
    [Symbol.asyncDispose]: () => close(),
  }
}

function listenError(host: string, port: number, cause: unknown): LockstepError {
  const { code = String(cause) } = cause as NodeJS.ErrnoException
  if (code === 'EADDRINUSE') {
    return new LockstepError(
      'port-taken',
      `Port ${port} on ${host} is taken. Stop the program that listens there, or choose another port.`,
      { cause },
    )
  }
  return new LockstepError(
    'invalid-option',
    `The server cannot listen at ${quote(host)} port ${port} (${code}). Give an address of this machine and a port you may use.`,
    { cause },
  )
}

function checkHandler(where: string, service: HttpHandler): void {
  const advice = 'Give what openService resolves with: await openService(…).'
  checkMethods(`The service of ${where}`, service, ['handle', 'owns'], advice)
}

interface NodeTarget {
  readonly path: string
  readonly query: string
  readonly deadlines: Deadlines
}

/** A class, since an object literal with a getter costs several microseconds each time. */
class NodeExchange implements Exchange {
  readonly method: string
  readonly path: string
  readonly query: string
  readonly #request: IncomingMessage
  readonly #response: ServerResponse
  readonly #deadlines: Deadlines
  #controller: AbortController | undefined

  constructor(request: IncomingMessage, response: ServerResponse, target: NodeTarget) {
    this.method = request.method ?? 'GET'
    this.path = target.path
    this.query = target.query
    this.#request = request
    this.#response = response
    this.#deadlines = target.deadlines
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      const created = new AbortController()
      this.#controller = created
      if (this.#response.closed) created.abort()
      else this.#response.once('close', () => created.abort())
    }
    return this.#controller.signal
  }

  header(name: string): string | undefined {
    const value = this.#request.headers[name]
    return Array.isArray(value) ? value.join(', ') : value
  }

  readBody(maxBytes: number): Promise<string> {
    return readBody(this.#request, maxBytes, this.#deadlines)
  }
}

async function send(request: IncomingMessage, response: ServerResponse, reply: Reply): Promise<void> {
  const headers: Record<string, string | number> = reply.headers
  const { body } = reply
  // What is left of a refused body would otherwise be read as the next request.
  const isCut = isUnread(request)
  if (isCut) headers['connection'] = 'close'
  const isHead = request.method === 'HEAD'
  if (body === undefined || typeof body === 'string' || isHead) {
    if (typeof body === 'string') headers['content-length'] = Buffer.byteLength(body)
    response.writeHead(reply.status, headers)
    if (isCut && !isHead && body !== undefined) {
      response.write(body)
      await takeRest(request)
      response.end()
    } else response.end(isHead ? undefined : body)
    return
  }
  response.writeHead(reply.status, headers)
  response.flushHeaders()
  reply.cut?.addEventListener('abort', () => response.destroy())
  try {
    for await (const part of body) {
      if (response.destroyed) break
      if (!response.write(part)) await untilDrained(response)
    }
    response.end()
  } catch {
    // The stream's own code has reported the error; a cut connection tells the client to come back.
    response.destroy()
  }
}

/** Resolves when the client has taken what was written, or is gone. */
function untilDrained(response: ServerResponse): Promise<void> {
  return new Promise(resolve => {
    const done = (): void => {
      response.off('drain', done).off('close', done)
      resolve()
    }
    response.on('drain', done).on('close', done)
    if (response.closed) done()
  })
}
