/**
 * The sidecar's port: the mirror below its root, everything else to the API.
 *
 * A write is noted on disk before it is sent. Answers about what is mirrored say where its changes are, and a marker that was read before
 * the API was asked.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import {
  formatMarker,
  type Head,
  isUnder,
  LockstepError,
  parentOf,
  pathToTopic,
  streamOf,
} from '../contract/index.ts'
import type { NodeListener } from '../service/index.ts'
import { openSocket, type ResponseHead, type Upstream } from '../upstream/index.ts'
import type { Doubts, Reason } from './doubts.ts'
import { Forwarding, type Outcome, sendProblem } from './forwarding.ts'
import type { IntentJournal } from './intent-journal.ts'
import { formatRequestFields } from './message-fields.ts'
import type { Observer } from './observer.ts'
import type { Shadow } from './shadow.ts'
import type { Target, TargetTable } from './target-table.ts'
import { type ClientWrite, judgeEnd, listDoubts, listHeld } from './write-outcome.ts'

export interface FrontOptions {
  readonly upstream: Upstream
  readonly table: TargetTable
  readonly journal: IntentJournal
  readonly doubts: Doubts
  readonly observer: Observer
  readonly shadow: Shadow
  /** Answers below {@link root}. */
  readonly mirror: NodeListener
  readonly root: string
  readonly topicPrefix: string
  readonly passesHost: boolean
  readonly maxInFlight: number
  readonly onError: (error: unknown, context: { readonly stage: string }) => void
}

/** More than so many paths in doubt are held in memory no longer: their collections are. */
const maxDoubts = 50_000
const maxKeptBytes = 262_144
const safeMethods = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE'])
const idForm = /^[\x21-\x7e]{1,128}$/

/** The server, not listening yet. */
export function createFrontServer(front: Front): Server {
  const server = createServer({
    headersTimeout: 15_000,
    requestTimeout: 0,
    keepAliveTimeout: 65_000,
    maxHeaderSize: 65_536,
    connectionsCheckingInterval: 5_000,
  })
  server.timeout = 0
  server.on('request', (request, response) => front.handle(request, response))
  server.on('checkContinue', (request, response) => front.handle(request, response))
  server.on('upgrade', (request, socket, head) => void front.upgrade(request, socket, head))
  return server
}

export class Front {
  readonly #options: FrontOptions
  readonly #markers = new Map<string, { readonly head: Head; readonly text: string }>()
  readonly #tunnels = new Set<Duplex>()
  readonly #idPrefix = Math.random().toString(36).slice(2, 10)
  #lastId = 0
  #inFlight = 0

  constructor(options: FrontOptions) {
    this.#options = options
  }

  handle(request: IncomingMessage, response: ServerResponse): void {
    const { root, mirror, maxInFlight } = this.#options
    const target = cutOrigin(request.url ?? '/')
    const mark = target.indexOf('?')
    const path = mark === -1 ? target : target.slice(0, mark)
    if (isUnder(path, root)) {
      mirror(request, response)
      return
    }
    if (this.#inFlight >= maxInFlight) {
      sendProblem(
        response,
        new LockstepError('overloaded', 'There is too much to do. Try again shortly.'),
        true,
      )
      return
    }
    this.#inFlight++
    try {
      this.#forward(request, response, target, path)
    } catch (error) {
      this.#inFlight--
      this.#options.onError(error, { stage: 'request' })
      if (!response.headersSent) sendProblem(response, error, true)
    }
  }

  #forward(request: IncomingMessage, response: ServerResponse, target: string, path: string): void {
    const { table } = this.#options
    const method = request.method ?? 'GET'
    const rules = table.findRules(method, path)
    const found = table.find(path)
    const isWrite = !safeMethods.has(method)
    if ((isWrite && found !== undefined) || rules.length > 0) {
      this.#write(request, response, target, { method, target: isWrite ? found : undefined, rules })
      return
    }
    const isMirrored = found !== undefined && !found.isBelow
    this.#send(request, response, {
      target,
      isWrite,
      answerFields: isMirrored ? this.#makeFields(found) : undefined,
      maxKeptBytes: 0,
      onDone: () => {},
    })
  }

  #write(request: IncomingMessage, response: ServerResponse, target: string, write: ClientWrite): void {
    const { table, journal } = this.#options
    const held = listHeld(table, write)
    const go = (): void => this.#sendWrite(request, response, target, write, held)
    try {
      const written = journal.hold(held)
      if (written === undefined) go()
      else written.then(go, error => this.#refuse(request, response, error))
    } catch (error) {
      this.#refuse(request, response, error)
    }
  }

  /** Nothing was sent. */
  #refuse(request: IncomingMessage, response: ServerResponse, error: unknown): void {
    this.#inFlight--
    this.#options.onError(error, { stage: 'intent' })
    sendProblem(response, error, !request.complete)
    request.resume()
  }

  #sendWrite(
    request: IncomingMessage,
    response: ServerResponse,
    target: string,
    write: ClientWrite,
    held: readonly string[],
  ): void {
    const { doubts, observer } = this.#options
    const given = request.headers['x-request-id']
    const cause = typeof given === 'string' && idForm.test(given) ? given : this.#makeId()
    const begun = write.target?.kind === 'resource' && doubts.size < maxDoubts ? write.target.path : undefined
    if (begun !== undefined) doubts.begin(begun, performance.now())
    const makeFields = write.target && this.#makeFields(write.target)
    this.#send(request, response, {
      target,
      isWrite: true,
      answerFields: head => ({ ...makeFields?.(head), 'x-request-id': cause }),
      maxKeptBytes: write.rules.length > 0 || write.method === 'POST' ? maxKeptBytes : 0,
      onDone: outcome => {
        this.#end(write, outcome, { cause, held, begun })
        observer.pump()
      },
    })
  }

  #end(write: ClientWrite, outcome: Outcome, { cause, held, begun }: Begun): void {
    const { table, doubts, journal } = this.#options
    const nowMs = performance.now()
    const how = judgeEnd(outcome)
    const paths = how === 'refused' ? [] : listDoubts(table, write, outcome)
    let left = paths.length
    const onSeen = (): void => {
      if (--left <= 0) journal.release(held)
    }
    if (paths.length === 0) journal.release(held)
    // What was not refused is among the paths.
    if (begun !== undefined && how === 'refused') doubts.end(begun, how, {}, nowMs)
    for (const path of paths) {
      const reason: Reason = { cause, onSeen, isPut: write.method === 'PUT' }
      if (path === begun) doubts.end(path, how, reason, nowMs)
      else if (how !== 'refused') doubts.raise(this.#bounded(path), how, reason, nowMs)
    }
  }

  #bounded(path: string): string {
    const { doubts } = this.#options
    const isCollection = path.split('/').length % 2 === 0
    return isCollection || doubts.has(path) || doubts.size < maxDoubts ? path : parentOf(path)
  }

  #send(
    request: IncomingMessage,
    response: ServerResponse,
    options: Omit<ConstructorParameters<typeof Forwarding>[3], 'host'>,
  ): void {
    const { upstream, passesHost } = this.#options
    new Forwarding(request, response, upstream, {
      ...options,
      host: passesHost ? request.headers.host : undefined,
      onDone: outcome => {
        this.#inFlight--
        options.onDone(outcome)
      },
    }).start()
  }

  /** What answers about a mirrored path carry. The marker is read now, before the API is asked. */
  #makeFields({ path }: Target): (head: ResponseHead) => Record<string, string> {
    const { root, topicPrefix } = this.#options
    const marker = this.#marker(path)
    return () => ({
      link: `<${root}/${streamOf(path)}/_changes>; rel="changes"`,
      'lockstep-topic': pathToTopic(path, topicPrefix),
      'lockstep-marker': marker,
    })
  }

  #marker(path: string): string {
    const head = this.#options.shadow.head(path)
    const known = this.#markers.get(head.stream)
    if (known?.head === head) return known.text
    const text = formatMarker([{ stream: head.stream, epoch: head.epoch, seq: head.seq }])
    this.#markers.set(head.stream, { head, text })
    return text
  }

  #makeId(): string {
    this.#lastId++
    return `${this.#idPrefix}-${this.#lastId.toString(36)}`
  }

  /** A WebSocket, or whatever else both sides agree on: once it is open its bytes pass as they are. */
  async upgrade(request: IncomingMessage, client: Duplex, head: Buffer): Promise<void> {
    const { upstream, passesHost } = this.#options
    client.on('error', () => client.destroy())
    this.#tunnels.add(client)
    try {
      const instance = upstream.choose(performance.now())
      const socket = await openSocket(instance.address, upstream.options.connectTimeoutMs)
      const { rawHeaders, headers, method = 'GET', url = '/' } = request
      const fields = formatRequestFields({
        rawFields: rawHeaders,
        host: (passesHost ? headers.host : undefined) ?? instance.address.authority,
        clientHost: headers.host,
        clientAddress: request.socket.remoteAddress ?? 'unknown',
        isTls: false,
      })
      const upgrade = `connection: upgrade\r\nupgrade: ${headers.upgrade ?? 'websocket'}\r\n`
      socket.on('error', () => client.destroy())
      socket.on('close', () => client.destroy())
      client.on('close', () => socket.destroy())
      socket.write(`${method} ${cutOrigin(url)} HTTP/1.1\r\n${fields}${upgrade}\r\n`, 'latin1')
      socket.write(head)
      socket.pipe(client).pipe(socket)
    } catch {
      client.end('HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\ncontent-length: 0\r\n\r\n')
    }
    client.on('close', () => this.#tunnels.delete(client))
  }

  close(): void {
    for (const socket of this.#tunnels) socket.destroy()
  }
}

interface Begun {
  readonly cause: string
  readonly held: readonly string[]
  /** The resource whose writing was told to the doubts. */
  readonly begun: string | undefined
}

/** A proxy's client may write the whole URL into the request line (RFC 9112 §3.2.2). */
function cutOrigin(url: string): string {
  return url.startsWith('/') ? url : url.replace(/^[A-Za-z][A-Za-z0-9+.-]*:\/\/[^/?#]*/, '') || '/'
}
