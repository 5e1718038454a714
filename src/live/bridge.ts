/**
 * A bridge: keeps pages live over WebSockets and event streams, on any Node HTTP server.
 *
 * It has no state that a page depends on: any instance can go on with any page from the marker that the page brings. It knows services and brokers
 * only by what they say on the wire. PROTOCOL.md §9.
 */
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import {
  createErrorReport,
  errorCodes,
  isLockstepError,
  LockstepError,
  quote,
  toProblem,
} from '../contract/index.ts'
import { createAccess } from './access.ts'
import { Admission } from './admission.ts'
import { createApiRequest } from './api-request.ts'
import { type BridgeOptions, type BridgeSettings, readBridgeOptions } from './bridge-options.ts'
import { type Counters, count, createCounters } from './counters.ts'
import { EventWire, readHelloBody } from './event-response.ts'
import { createFeed } from './feed.ts'
import { parsePageFrame } from './frame.ts'
import { openMqttSource } from './mqtt-source.ts'
import { Session, type SessionHost, type Wire } from './session.ts'
import { openSseSource } from './sse-source.ts'
import { type StreamKeeper, startStreamKeeper } from './stream-keeper.ts'
import { acceptWebSocket, checkUpgrade } from './websocket.ts'

/** How one stream stands. */
export interface StreamHealth {
  readonly epoch: string | undefined
  /** Up to here the bridge has everything. */
  readonly seq: number
  /** Everything after this number is in memory. */
  readonly start: number
  /** Nothing is known to be missing, and the source has shown that it lives. */
  readonly isLive: boolean
  /** Messages beyond a hole. */
  readonly ahead: number
  readonly backlogChars: number
  /** Pages that wait for the bridge. */
  readonly waiting: number
  /** Different things that pages follow. */
  readonly views: number
}

export interface BridgeHealth {
  /** All streams are live. */
  readonly isLive: boolean
  readonly connections: { readonly websocket: number; readonly events: number }
  readonly streams: Readonly<Record<string, StreamHealth>>
}

export interface Bridge extends AsyncDisposable {
  readonly path: string
  readonly counters: Readonly<Counters>
  /** Takes an `upgrade` of a Node server; `false`, and nothing done, where the path is not the bridge's. */
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): boolean
  /** Answers a request of a page without WebSocket; `false`, and nothing done, where the path is not the bridge's. */
  handle(request: IncomingMessage, response: ServerResponse): boolean
  /** Asks `authorize` again now, for one audience or for all, as after a logout. */
  recheck(audience?: string): void
  health(): BridgeHealth
  /** Sends the pages away with their markers, spread over a while, and ends. Idempotent. */
  close(): Promise<void>
}

/** How long pages have to take their last frame when the bridge closes. */
const closeWithinMs = 3_000
const tickMs = 1_000

/** Opens a bridge; resolves when its streams have been read, or could not be for a while. Errors: `invalid-option`, `invalid-path`. */
export async function openBridge(options: BridgeOptions): Promise<Bridge> {
  const settings = readBridgeOptions(options)
  const { path, limits, clock, random } = settings
  const report = createErrorReport(options.onError)
  const access = createAccess(options.access, () => clock.now(), random)
  const admission = new Admission(limits, clock.now(), random)
  const counters = createCounters()
  const addressOf = options.addressOf ?? addressOfSocket
  const keepers = startKeepers(settings, counters, (error, stream) =>
    report(error, { stage: `live ${stream}` }),
  )
  /** The sessions, with the address that each is counted under. */
  const sessions = new Map<Session, string>()
  const connections = { websocket: 0, events: 0 }
  let closing: Promise<void> | undefined
  let onEmpty: (() => void) | undefined

  const host: SessionHost = {
    streams: keepers,
    access,
    limits: { ...limits, pingEveryMs: settings.pingEveryMs, deadAfterMs: settings.deadAfterMs },
    counters,
    now: () => clock.now(),
    random,
    retryAfterMs: () => admission.retryAfterMs(),
    onError: error => report(error, { stage: 'live page' }),
    onEnd(session) {
      const address = sessions.get(session)
      if (address === undefined) return
      sessions.delete(session)
      admission.leave(address)
      if (sessions.size === 0) onEmpty?.()
    },
  }

  /** Checks whether a page may connect at all, and who it is. Errors: `access-denied`, `overloaded`, `closed`. */
  async function admit<W extends Wire>(
    request: IncomingMessage,
    makeWire: () => W,
  ): Promise<{ readonly session: Session; readonly wire: W }> {
    if (closing !== undefined) throw new LockstepError('closed', 'The bridge is closing. Connect again.')
    checkOrigin(request, settings.origins)
    const address = addressOf(request)
    admission.enter(address, clock.now())
    let session: Session | undefined
    try {
      const audience = await options.audience?.(request)
      const wire = makeWire()
      session = new Session(host, wire, audience)
      counters.accepted += 1
      return { session, wire }
    } finally {
      if (session === undefined) admission.leave(address)
      else sessions.set(session, address)
    }
  }

  /** What cannot be told in a frame, because there is no connection yet. */
  function refuse(error: unknown): { status: number; headers: Record<string, string>; body: string } {
    if (!isLockstepError(error)) report(error, { stage: 'live page' })
    const problem = toProblem(error)
    count(counters.refused, problem.code)
    const headers: Record<string, string> = {
      'content-type': 'application/problem+json; charset=utf-8',
      'cache-control': 'no-store',
    }
    if (errorCodes[problem.code].retry)
      headers['retry-after'] = String(Math.ceil(admission.retryAfterMs() / 1_000))
    return { status: problem.status, headers, body: `${JSON.stringify(problem)}\n` }
  }

  async function upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    socket.on('error', ignore)
    try {
      checkUpgrade(request)
      const { session, wire } = await admit(request, () =>
        acceptWebSocket(request, socket, limits.maxFrameBytes),
      )
      connections.websocket += 1
      socket.once('close', onWebSocketClose)
      wire.start(session, head)
    } catch (error) {
      const { status, headers, body } = refuse(error)
      const lines = Object.entries({
        ...headers,
        connection: 'close',
        'content-length': Buffer.byteLength(body),
      })
      socket.end(
        `HTTP/1.1 ${status} Refused\r\n${lines.map(line => line.join(': ')).join('\r\n')}\r\n\r\n${body}`,
      )
    }
  }

  function onWebSocketClose(): void {
    connections.websocket -= 1
  }

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const cors = corsHeaders(request, settings.origins)
    try {
      if (request.method === 'OPTIONS') {
        checkOrigin(request, settings.origins)
        const allow = {
          'access-control-allow-methods': 'POST',
          'access-control-allow-headers': 'content-type',
        }
        response.writeHead(204, { ...cors, ...allow }).end()
        return
      }
      if (request.method !== 'POST') {
        throw new LockstepError(
          'method-not-allowed',
          `${quote(request.method)} is not for a bridge: connect by WebSocket, or POST a hello.`,
        )
      }
      checkOrigin(request, settings.origins)
      const hello = parsePageFrame(await readHelloBody(request, limits.maxFrameBytes))
      if (hello.type !== 'hello')
        throw new LockstepError('invalid-frame', 'The body of the POST is no hello.')
      const { session, wire } = await admit(request, () => new EventWire(response, cors))
      connections.events += 1
      response.once('close', () => {
        connections.events -= 1
      })
      wire.start(session)
      session.greet(hello)
    } catch (error) {
      if (response.headersSent) response.destroy()
      else {
        const { status, headers, body } = refuse(error)
        const upgrade =
          status === 405
            ? { status: 426, headers: { upgrade: 'websocket', connection: 'upgrade' } }
            : { status, headers: {} }
        response
          .writeHead(upgrade.status, { ...headers, ...cors, ...upgrade.headers, connection: 'close' })
          .end(body)
      }
    }
  }

  let stopTick = clock.setTimer(tick, tickMs)
  function tick(): void {
    stopTick = clock.setTimer(tick, tickMs)
    const nowMs = clock.now()
    for (const session of sessions.keys()) session.tick(nowMs)
    for (const keeper of keepers.values()) keeper.tick()
  }

  async function endAll(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    onEmpty = resolve
    for (const session of [...sessions.keys()]) {
      session.fail(new LockstepError('closed', 'The bridge is closing. Connect again with the marker.'))
    }
    if (sessions.size > 0) {
      const stop = clock.setTimer(resolve, closeWithinMs)
      await promise
      stop()
    }
    stopTick()
    for (const keeper of keepers.values()) keeper.close()
  }

  const close = (): Promise<void> => {
    closing ??= endAll()
    return closing
  }

  await warm(keepers, settings)
  return {
    path,
    counters,
    upgrade(request, socket, head) {
      if (!isAt(path, request)) return false
      void upgrade(request, socket, head)
      return true
    },
    handle(request, response) {
      if (!isAt(path, request)) return false
      void answer(request, response)
      return true
    },
    recheck(audience) {
      for (const session of sessions.keys()) session.recheck(audience)
    },
    health: () => readHealth(keepers, connections),
    close,
    [Symbol.asyncDispose]: close,
  }
}

/** Mounts a bridge on a Node server, before what answers its other requests. */
export function mountBridge(bridge: Bridge, server: Server): void {
  const listeners = server.listeners('request') as ((
    request: IncomingMessage,
    response: ServerResponse,
  ) => void)[]
  server.removeAllListeners('request')
  server.on('request', (request, response) => {
    if (bridge.handle(request, response)) return
    for (const listener of listeners) listener.call(server, request, response)
  })
  server.on('upgrade', (request, socket, head) => {
    // Somebody else's, if there is somebody else.
    if (!bridge.upgrade(request, socket, head) && server.listenerCount('upgrade') === 1) socket.destroy()
  })
}

function startKeepers(
  settings: BridgeSettings,
  counters: Counters,
  onError: (error: unknown, stream: string) => void,
): ReadonlyMap<string, StreamKeeper> {
  const { clock, random, limits, sources } = settings
  const keepers = new Map<string, StreamKeeper>()
  for (const [name, source] of sources) {
    const feed = createFeed(name, createApiRequest(source))
    const prefix = source.topicPrefix === undefined ? feed.topicPrefix : Promise.resolve(source.topicPrefix)
    const keeper = startStreamKeeper({
      name,
      feed,
      openSource: (listener, position) =>
        source.broker === undefined
          ? openSseSource({ stream: name, feed, position, clock, random }, listener)
          : openMqttSource(name, source.broker, prefix, listener),
      limits,
      backlog: { maxMessages: limits.backlogMessages, maxChars: limits.backlogChars },
      warmMessages: limits.warmMessages,
      bookmarkEveryMs: settings.pingEveryMs,
      staleAfterMs: settings.staleAfterMs,
      counters,
      clock,
      random,
      onError: error => onError(error, name),
    })
    keepers.set(name, keeper)
  }
  return keepers
}

async function warm(
  keepers: ReadonlyMap<string, StreamKeeper>,
  { clock, warmWithinMs }: BridgeSettings,
): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  const stop = clock.setTimer(resolve, warmWithinMs)
  await Promise.race([promise, Promise.all([...keepers.values()].map(({ ready }) => ready))])
  stop()
}

function readHealth(
  keepers: ReadonlyMap<string, StreamKeeper>,
  connections: BridgeHealth['connections'],
): BridgeHealth {
  const streams = [...keepers].map(([name, { stream }]): [string, StreamHealth] => {
    const { backlog, isSound, waiting, channels } = stream
    const { epoch, last, start, isBehind, ahead, chars } = backlog
    const isLive = isSound && !isBehind
    return [name, { epoch, seq: last, start, isLive, ahead, backlogChars: chars, waiting, views: channels }]
  })
  return {
    isLive: streams.every(([, { isLive }]) => isLive),
    connections: { ...connections },
    streams: Object.fromEntries(streams),
  }
}

function isAt(path: string, { url = '' }: IncomingMessage): boolean {
  return url.startsWith(path) && (url.length === path.length || url[path.length] === '?')
}

/** A page of another site would connect with its user's cookies. What is no browser says no origin. */
function checkOrigin(request: IncomingMessage, origins: ReadonlySet<string> | undefined): void {
  const { origin } = request.headers
  if (origin === undefined || isOrigin(request, origin, origins)) return
  throw new LockstepError(
    'access-denied',
    `Pages of ${quote(origin)} may not connect here. Add it to the origins of the bridge.`,
  )
}

function isOrigin(
  request: IncomingMessage,
  origin: string,
  origins: ReadonlySet<string> | undefined,
): boolean {
  if (origins !== undefined) return origins.has(origin)
  return URL.canParse(origin) && new URL(origin).host === request.headers.host
}

function corsHeaders(
  request: IncomingMessage,
  origins: ReadonlySet<string> | undefined,
): Record<string, string> {
  const { origin } = request.headers
  const isAllowed = origin !== undefined && origins?.has(origin)
  return {
    vary: 'Origin',
    ...(isAllowed
      ? { 'access-control-allow-origin': origin, 'access-control-allow-credentials': 'true' }
      : {}),
  }
}

/** Of an IPv6 address the half that a provider gives to one customer. */
function addressOfSocket({ socket }: IncomingMessage): string {
  const address = socket.remoteAddress ?? ''
  return address.includes(':') && !address.includes('.') ? address.split(':').slice(0, 4).join(':') : address
}

function ignore(): void {}
