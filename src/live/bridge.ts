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
import { type BridgeOptions, readBridgeOptions } from './bridge-options.ts'
import { BridgeTelling } from './bridge-telling.ts'
import { type Counters, count, createCounters } from './counters.ts'
import { EventWire, readHelloBody } from './event-response.ts'
import { parsePageFrame } from './frame.ts'
import { checkOrigin, corsHeaders, type Origins } from './origin.ts'
import { SessionTable } from './session-table.ts'
import { readStreamHealth, type StreamHealth, startStreamKeepers, warmUp } from './stream-keepers.ts'
import { acceptWebSocket, checkUpgrade, type Refusal, refuseWebSocket } from './websocket.ts'

export interface BridgeHealth {
  /** `degraded`: it cannot say of each stream that pages are live. `failing`: it is closed. */
  readonly status: 'ok' | 'degraded' | 'failing'
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
  /** Answers a request of a page, or for its health at `{path}/health`; `false`, and nothing done, where the path is not the bridge's. */
  handle(request: IncomingMessage, response: ServerResponse): boolean
  /** Asks `authorize` again now, for one audience or for all, as after a logout. */
  recheck(audience?: string): void
  health(): BridgeHealth
  /** Sends the pages away with their markers, spread over a while, and ends. Idempotent. */
  close(): Promise<void>
}

const tickMs = 1_000

/** Opens a bridge; resolves when its streams have been read, or could not be for a while. Errors: `invalid-option`, `invalid-path`. */
export async function openBridge(options: BridgeOptions): Promise<Bridge> {
  const settings = readBridgeOptions(options)
  const { path, limits, origins, clock, random, pingEveryMs, deadAfterMs } = settings
  const report = createErrorReport(options.onError)
  const admission = new Admission(limits, clock.now(), random)
  const counters = createCounters()
  /** Whole milliseconds: a number with a fraction is an object, and each page keeps several. */
  const now = (): number => Math.round(clock.now())
  const access = createAccess(options.access, now, random)
  const streams = startStreamKeepers(settings, counters, (error, name) =>
    report(error, { stage: `live ${name}` }),
  )
  const onError = (error: unknown): void => report(error, { stage: 'live page' })
  const retryAfterMs = (): number => admission.retryAfterMs()
  const host = {
    streams,
    access,
    limits: { ...limits, pingEveryMs, deadAfterMs },
    counters,
    now,
    random,
    retryAfterMs,
    onError,
  }
  const { audience, addressOf } = options
  const table = new SessionTable({ host, admission, origins, audience, addressOf, counters, clock })
  const door: Door = { table, origins, maxFrameBytes: limits.maxFrameBytes, counters, retryAfterMs, onError }

  const telling = new BridgeTelling(counters, streams, table)

  let stopTick = clock.setTimer(tick, tickMs)
  function tick(): void {
    stopTick = clock.setTimer(tick, tickMs)
    table.tick()
    for (const keeper of streams.values()) keeper.tick()
    telling.tell()
  }

  let closing: Promise<void> | undefined
  const close = (): Promise<void> => {
    closing ??= table.endAll().then(() => {
      stopTick()
      for (const keeper of streams.values()) keeper.close()
      telling.closed()
    })
    return closing
  }
  const health = (): BridgeHealth => {
    const all = [...streams].map(([name, keeper]) => [name, readStreamHealth(keeper)] as const)
    const isLive = all.every(([, stream]) => stream.isLive)
    const status = closing !== undefined ? 'failing' : isLive ? 'ok' : 'degraded'
    return { status, isLive, connections: { ...table.connections }, streams: Object.fromEntries(all) }
  }

  await warmUp(streams, settings)
  return {
    path,
    counters,
    upgrade(request, socket, head) {
      const isOurs = isAt(path, request)
      if (isOurs) void upgrade(door, request, socket, head)
      return isOurs
    },
    handle(request, response) {
      const isOurs = isAt(path, request)
      if (isOurs) void answer(door, request, response)
      else if (settings.hasHealth && isAt(`${path}/health`, request)) {
        answerHealth(request, response, health())
        return true
      }
      return isOurs
    },
    recheck(who) {
      access.recheck(who)
      table.recheck(who)
    },
    health,
    close,
    [Symbol.asyncDispose]: close,
  }
}

/** Mounts a bridge on a Node server, before what answers its other requests. */
export function mountBridge(bridge: Bridge, server: Server): void {
  const listeners = server.listeners('request')
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

/** What those who arrive have to do with. */
interface Door {
  readonly table: SessionTable
  readonly origins: Origins
  readonly maxFrameBytes: number
  readonly counters: Counters
  retryAfterMs(): number
  onError(error: unknown): void
}

async function upgrade(door: Door, request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
  socket.on('error', ignore)
  try {
    checkUpgrade(request)
    const makeWire = () => acceptWebSocket(request, socket, door.maxFrameBytes)
    const { session, wire } = await door.table.admit(request, makeWire)
    wire.start(session, head)
    socket.off('error', ignore)
  } catch (error) {
    refuseWebSocket(socket, refuse(door, error))
  }
}

async function answer(door: Door, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { table, origins, maxFrameBytes } = door
  const cors = corsHeaders(request, origins)
  try {
    checkOrigin(request, origins)
    if (request.method === 'OPTIONS') {
      const allow = { 'access-control-allow-methods': 'POST', 'access-control-allow-headers': 'content-type' }
      response.writeHead(204, { ...cors, ...allow }).end()
      return
    }
    if (request.method !== 'POST') {
      throw new LockstepError(
        'method-not-allowed',
        `${quote(request.method)} is not for a bridge. Connect by WebSocket, or POST a hello.`,
      )
    }
    const hello = parsePageFrame(await readHelloBody(request, maxFrameBytes))
    if (hello.type !== 'hello') throw new LockstepError('invalid-frame', 'The body of the POST is no hello.')
    const { session, wire } = await table.admit(request, () => new EventWire(response, cors))
    wire.start(session)
    session.greet(hello)
  } catch (error) {
    const { status, headers, body } = refuse(door, error)
    if (response.headersSent) response.destroy()
    // What is left of a refused body would otherwise be read as the next request.
    else response.writeHead(status, { ...headers, ...cors, connection: 'close' }).end(body)
  }
}

/** For load balancers and people: 503 only where pages should go elsewhere. */
function answerHealth({ method }: IncomingMessage, response: ServerResponse, health: BridgeHealth): void {
  if (method !== 'GET' && method !== 'HEAD') {
    response.writeHead(405, { allow: 'GET, HEAD' }).end()
    return
  }
  const headers = { 'content-type': 'application/json; charset=utf-8', 'cache-control': 'no-store' }
  response.writeHead(health.status === 'failing' ? 503 : 200, headers)
  response.end(method === 'HEAD' ? undefined : `${JSON.stringify(health, null, 2)}\n`)
}

/** What cannot be told in a frame, because there is no connection yet. */
function refuse({ counters, retryAfterMs, onError }: Door, error: unknown): Refusal {
  if (!isLockstepError(error)) onError(error)
  const problem = toProblem(error)
  count(counters.refused, problem.code)
  const headers: Record<string, string> = {
    'content-type': 'application/problem+json; charset=utf-8',
    'cache-control': 'no-store',
  }
  if (errorCodes[problem.code].retry) headers['retry-after'] = String(Math.ceil(retryAfterMs() / 1_000))
  if (problem.code === 'method-not-allowed') headers['allow'] = 'POST, OPTIONS'
  return { status: problem.status, headers, body: `${JSON.stringify(problem)}\n` }
}

function isAt(path: string, { url = '' }: IncomingMessage): boolean {
  return url.startsWith(path) && (url.length === path.length || url[path.length] === '?')
}

function ignore(): void {}
