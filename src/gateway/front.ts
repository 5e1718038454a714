/**
 * One port of the gateway: `node:http` with every limit set, and what is done with each request that comes in.
 *
 * In this order: the path is brought to one form, the route is found, the face says whether it has that operation, the
 * admission whether this client may; then the request goes to the service.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { createSecureServer, type SecureServerOptions } from 'node:http2'
import { createServer as createTlsServer } from 'node:https'
import type { Duplex } from 'node:stream'
import { isLockstepError, LockstepError } from '../contract/index.ts'
import type { Admission, Admitter } from './admission.ts'
import { problemAnswer, sendAnswer } from './answer.ts'
import { plainly } from './comparison.ts'
import { Exchange } from './exchange.ts'
import { type Incoming, readIncoming } from './incoming.ts'
import { OpenStreams } from './open-streams.ts'
import type { OwnPages } from './own-pages.ts'
import type { GatewayAnswer } from './request.ts'
import { listFields } from './response-fields.ts'
import type { Route } from './route-table.ts'
import type { Routing } from './routing.ts'
import { runTunnel } from './tunnel.ts'
import { hasBody } from './upstream-head.ts'
import type { Visibility } from './visibility.ts'

/** What decides about requests now. A reload replaces it; a request goes by the one it began with. */
export interface Rule {
  readonly routing: Routing
  readonly admitter: Admitter | undefined
  readonly ownPages: OwnPages | undefined
  readonly visibility: Visibility | undefined
}

/** One request, as it is told in the log. */
export interface GatewayLogEntry {
  readonly time: string
  readonly id: string
  readonly method: string
  /** Without the query and any API key, which are nobody's business. */
  readonly path: string
  /** 0 where the client left before there was an answer. */
  readonly status: number
  readonly code: string | undefined
  readonly durationMs: number
  readonly face: string
  readonly service: string | undefined
  readonly version: string | undefined
  readonly client: string
}

export interface FrontOptions {
  /** Which port it is, for the routes; `undefined` is that of the gateway. */
  readonly port: number | undefined
  readonly rule: () => Rule
  readonly onRequest: ((entry: GatewayLogEntry) => void) | undefined
  readonly onError: (error: unknown, stage: string) => void
  /** How many requests there are, over all ports. */
  readonly load: { inFlight: number; refused: number }
}

export interface FrontServerOptions {
  readonly tls: { readonly cert: string | Buffer; readonly key: string | Buffer } | undefined
  readonly http2: boolean
  readonly maxConnections: number
  readonly requestTimeoutMs: number
}

const keepAliveMs = 65_000
/** At one time on one connection of HTTP/2. */
const maxStreams = 128

/** The server, not listening yet. */
export function createFrontServer(front: Front, options: FrontServerOptions): Server {
  const { tls, http2, maxConnections, requestTimeoutMs } = options
  const limits = {
    insecureHTTPParser: false,
    headersTimeout: Math.min(15_000, requestTimeoutMs),
    requestTimeout: requestTimeoutMs,
    keepAliveTimeout: keepAliveMs,
    maxHeaderSize: 16_384,
    connectionsCheckingInterval: 2_000,
    // Any other upgrade is a request without one.
    shouldUpgradeCallback: (request: IncomingMessage): boolean =>
      request.headers.upgrade?.toLowerCase() === 'websocket' && request.method === 'GET',
  }
  const server =
    tls === undefined
      ? createServer(limits)
      : http2
        ? createHttp2Server({ ...limits, ...tls, allowHTTP1: true })
        : createTlsServer({ ...limits, ...tls, ALPNProtocols: ['http/1.1'] })
  server.maxConnections = maxConnections
  server.timeout = 0
  server.on('request', (request, response) => front.handle(request, response))
  server.on('checkContinue', (request, response) => front.handle(request, response))
  server.on('upgrade', (request, socket, head) => front.upgrade(request, socket, head))
  return server
}

/** Node ends idle connections of HTTP/1.1 by itself, sessions of HTTP/2 not. */
function createHttp2Server(options: SecureServerOptions): Server {
  const server = createSecureServer({ ...options, settings: { maxConcurrentStreams: maxStreams } })
  server.on('session', session => {
    // What runs on it goes on; it only takes nothing new.
    session.setTimeout(keepAliveMs, () => session.close())
  })
  return server as unknown as Server
}

export class Front {
  readonly #options: FrontOptions
  readonly streams: OpenStreams = new OpenStreams()

  constructor(options: FrontOptions) {
    this.#options = options
  }

  handle(request: IncomingMessage, response: ServerResponse): void {
    const startMs = performance.now()
    const { load } = this.#options
    const rule = this.#options.rule()
    let incoming: Incoming
    try {
      incoming = this.#read(request, rule)
    } catch (error) {
      if (!isLockstepError(error)) this.#options.onError(error, 'request')
      this.#answer(request, response, problemAnswer(error), ['connection', 'close'])
      return
    }
    if (load.inFlight >= rule.routing.settings.limits.maxInFlight) {
      load.refused++
      const error = new LockstepError('overloaded', 'The gateway has too much to do. Try again shortly.')
      this.#answer(request, response, problemAnswer(error), [])
      return
    }
    load.inFlight++
    let isDone = false
    const done = (status: number, error?: LockstepError): void => {
      if (isDone) return
      isDone = true
      load.inFlight--
      this.#tell(incoming, status, error, startMs)
    }
    const visit: Visit = { request, response, incoming, rule, done }
    try {
      const decided = this.#decide(incoming, rule)
      if (decided instanceof Promise) {
        decided.then(
          decision => this.#carryOut(visit, decision),
          error => this.#fail(visit, error),
        )
      } else this.#carryOut(visit, decided)
    } catch (error) {
      this.#fail(visit, error)
    }
  }

  /** The same for a WebSocket: it is admitted as a GET is. */
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    const startMs = performance.now()
    socket.on('error', () => socket.destroy())
    void this.#upgrade(request, socket, head, startMs)
  }

  async #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer, startMs: number): Promise<void> {
    let incoming: Incoming | undefined
    let isTold = false
    const tell = (status: number, error?: LockstepError): void => {
      if (isTold || incoming === undefined) return
      isTold = true
      this.#tell(incoming, status, error, startMs)
    }
    try {
      const rule = this.#options.rule()
      incoming = this.#read(request, rule)
      const { answer, admission, route } = await this.#decide(incoming, rule)
      if (answer !== undefined || route === undefined) {
        tell(writeAnswer(socket, answer ?? problemAnswer(notFound(incoming.path)), admission, incoming.id))
        return
      }
      const { requestHeaders, responseHeaders, stillHolds } = admission
      await runTunnel(request, socket, incoming, {
        route,
        requestHeaders,
        responseHeaders,
        stillHolds,
        streams: this.streams,
        head,
        onDone: tell,
      })
    } catch (error) {
      if (!isLockstepError(error)) this.#options.onError(error, 'upgrade')
      const status = socket.destroyed ? 0 : writeAnswer(socket, problemAnswer(error), {}, incoming?.id)
      tell(status, isLockstepError(error) ? error : undefined)
    }
  }

  #read(request: IncomingMessage, { routing }: Rule): Incoming {
    const { trustedHops } = routing.settings
    const tableOf = (host: string) => routing.tableOf(this.#options.port, host)
    return readIncoming(request, { trustedHops, tableOf })
  }

  /** What is to be done. An answer of our own, or else the route, with what was admitted. */
  #decide(incoming: Incoming, rule: Rule): Decision | Promise<Decision> {
    const { admitter } = rule
    if (incoming.method === 'OPTIONS') {
      const answer = admitter?.preflight?.(incoming)
      if (answer !== undefined) return { answer, admission: {}, route: undefined }
    }
    const route = this.#visibleRoute(incoming, rule)
    // What a face does not have, no part hears of as if it had.
    const seen = route === incoming.route ? incoming : hide(incoming)
    return this.#admit(seen, rule)
  }

  #admit(incoming: Incoming, rule: Rule): Decision | Promise<Decision> {
    const { admitter } = rule
    const { route } = incoming
    if (admitter === undefined) return this.#withPages(incoming, rule, route, {})
    const admission = admitter.admit(incoming)
    if (admission instanceof Promise)
      return admission.then(admitted => this.#withPages(incoming, rule, route, admitted))
    return this.#withPages(incoming, rule, route, admission)
  }

  #visibleRoute(incoming: Incoming, { visibility }: Rule): Route | undefined {
    const { route, face, method, pathInService } = incoming
    if (route === undefined || incoming.method === 'TRACE') return undefined
    // Without documents nothing says what is public.
    const isVisible =
      visibility === undefined
        ? face === 'internal'
        : visibility.isVisible(face, route.service, method, pathInService ?? '/', route.version)
    if (isVisible) return route
    if (route.outside !== '') throw notFound(incoming.path)
    return undefined
  }

  /** Own pages stand beside the services, and before the legacy program, which has the rest. */
  #withPages(
    incoming: Incoming,
    { ownPages }: Rule,
    route: Route | undefined,
    admission: Admission,
  ): Decision | Promise<Decision> {
    if (admission.refused !== undefined) return { answer: admission.refused, admission, route }
    const isRest = route === undefined || route.outside === ''
    if (!isRest || ownPages === undefined) return { answer: undefined, admission, route }
    const answer = ownPages.answer(incoming)
    if (answer instanceof Promise) return answer.then(page => ({ answer: page, admission, route }))
    return { answer, admission, route }
  }

  #carryOut(
    { request, response, incoming, rule, done }: Visit,
    { answer, admission, route }: Decision,
  ): void {
    if (response.destroyed) {
      done(0)
      return
    }
    if (answer !== undefined || route === undefined) {
      const fields = listFields(admission.responseHeaders)
      fields.push('x-request-id', incoming.id)
      done(this.#answer(request, response, answer ?? problemAnswer(notFound(incoming.path)), fields))
      return
    }
    const { requestHeaders, responseHeaders, stillHolds } = admission
    const tee = rule.routing.comparisons.get(route)?.begin(incoming, requestHeaders)
    new Exchange(request, response, incoming, {
      route,
      requestHeaders: tee === undefined ? requestHeaders : { ...requestHeaders, ...plainly },
      responseHeaders,
      stillHolds,
      streams: this.streams,
      tee,
      onDone: done,
    }).start()
  }

  #fail({ request, response, incoming, done }: Visit, error: unknown): void {
    const isOurs = isLockstepError(error)
    if (!isOurs) this.#options.onError(error, 'request')
    if (response.headersSent || response.destroyed) {
      response.destroy()
      done(0)
      return
    }
    const status = this.#answer(request, response, problemAnswer(error), ['x-request-id', incoming.id])
    done(status, isOurs ? error : undefined)
  }

  /** What is left of a body that nobody reads would be read as the next request. */
  #answer(
    request: IncomingMessage,
    response: ServerResponse,
    answer: GatewayAnswer,
    fields: readonly string[],
  ): number {
    const isBodyToCome = hasBody(request)
    const isCut = isBodyToCome && !request.complete && !fields.includes('connection')
    const status = sendAnswer(response, answer, isCut ? [...fields, 'connection', 'close'] : fields)
    if (isBodyToCome) request.resume()
    return status
  }

  #tell(incoming: Incoming, status: number, error: LockstepError | undefined, startMs: number): void {
    const durationMs = performance.now() - startMs
    const { route, id, method, path, face, remoteAddress } = incoming
    route?.traffic.count(status, durationMs)
    const { onRequest } = this.#options
    if (onRequest === undefined) return
    try {
      onRequest({
        time: new Date().toISOString(),
        id,
        method,
        path: path.includes('lsk_') ? path.replaceAll(/lsk_[\w-]{16,}/g, 'lsk_…') : path,
        status,
        code: error?.code,
        durationMs: Math.round(durationMs * 1_000) / 1_000,
        face,
        service: route?.service,
        version: route?.version,
        client: remoteAddress,
      })
    } catch (failure) {
      this.#options.onError(failure, 'log')
    }
  }
}

/** One request while it is here. */
interface Visit {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly incoming: Incoming
  readonly rule: Rule
  readonly done: (status: number, error?: LockstepError) => void
}

interface Decision {
  readonly answer: GatewayAnswer | undefined
  readonly admission: Admission
  readonly route: Route | undefined
}

function hide(incoming: Incoming): Incoming {
  const { service: _, pathInService: __, ...rest } = incoming
  return { ...rest, route: undefined }
}

function notFound(path: string): LockstepError {
  return new LockstepError('not-found', `There is nothing at ${path}.`)
}

/** There is no `ServerResponse` for what asked to be a WebSocket. */
function writeAnswer(
  socket: Duplex,
  answer: GatewayAnswer,
  admission: Admission,
  id: string | undefined,
): number {
  const { status, headers = {}, body = '' } = answer
  const all = {
    ...admission.responseHeaders,
    ...headers,
    ...(id === undefined ? {} : { 'x-request-id': id }),
  }
  let text = `HTTP/1.1 ${status} \r\nconnection: close\r\ncontent-length: ${Buffer.byteLength(body)}\r\n`
  for (const [name, value] of Object.entries(all))
    for (const each of [value ?? []].flat()) text += `${name}: ${each}\r\n`
  socket.write(`${text}\r\n`, 'latin1')
  socket.end(body)
  return status
}
