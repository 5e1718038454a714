/**
 * The gateway as a whole: its ports, what decides about requests now, and how that is replaced while requests run.
 *
 * A new configuration takes effect between two requests. What began goes on as it began: an instance that is taken out
 * gets no more requests, and those that it has come to their end.
 */
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import type { Server } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { resolve } from 'node:path'
import {
  checkOptions,
  createErrorReport,
  type Json,
  LockstepError,
  quote,
  type ReportError,
} from '../contract/index.ts'
import { createAdminServer } from './admin.ts'
import type { Admitter } from './admission.ts'
import { createFrontServer, Front, type GatewayLogEntry, type Rule } from './front.ts'
import type { OwnPages } from './own-pages.ts'
import { type GatewayHealth, type GatewayReport, makeHealth, makeReport } from './report.ts'
import { createRouting, type Routing } from './routing.ts'
import type { GatewaySettings } from './settings.ts'
import { checkGatewaySettings } from './settings-reader.ts'
import type { Visibility } from './visibility.ts'

/** The parts beside routes and services. Each may be missing. */
export interface GatewayParts {
  /** Who may. @default everyone */
  readonly admitter?: Admitter | undefined
  /** @default none */
  readonly ownPages?: OwnPages | undefined
  /** What each face has. @default the internal face everything, others nothing */
  readonly visibility?: Visibility | undefined
}

export interface GatewayOptions extends GatewayParts {
  /** The configuration as docs/gateway.md describes it. */
  readonly settings: Json
  /** Where the files that it names are. @default the working directory */
  readonly folder?: string
  /** Is told of each request when it has ended. @default nobody */
  readonly onRequest?: (entry: GatewayLogEntry) => void
  /** Is told of what fails in the background: health checks, parts. @default writes to stderr */
  readonly onError?: ReportError
}

export interface Gateway extends AsyncDisposable {
  /** Where clients come in, by face. */
  readonly urls: Readonly<Record<string, string>>
  readonly adminUrl: string | undefined
  health(): GatewayHealth
  report(): GatewayReport
  /**
   * Takes over a new configuration, and new parts, which replace all of the old ones; those are closed. Gives what waits
   * for the next start: ports. Errors: `invalid-option`; then everything stays as it was.
   */
  replace(settings: Json, parts: GatewayParts): Promise<readonly string[]>
  /**
   * Takes no more connections, ends event streams and WebSockets, whose clients come back, lets what else runs end within `limits.drainMs`,
   * and closes the parts. Idempotent.
   */
  close(): Promise<void>
}

/** Opens a gateway. Errors: `invalid-option`, `port-taken`. */
export async function openGateway(options: GatewayOptions): Promise<Gateway> {
  checkOptions('openGateway', options, {
    settings: true,
    folder: true,
    admitter: true,
    ownPages: true,
    visibility: true,
    onRequest: true,
    onError: true,
  })
  const gateway = new OpenGateway(options, checkGatewaySettings(options.settings))
  try {
    await gateway.listen()
  } catch (error) {
    await gateway.close()
    throw error
  }
  return gateway
}

const sweepEveryMs = 20

/** One port. */
interface Door {
  /** As the configuration has it. */
  readonly port: number | undefined
  readonly server: Server
  readonly front: Front
  /** All that are open, of WebSockets and HTTP/2 too, which the server does not end by itself. */
  readonly sockets: ReadonlySet<Socket>
}

class OpenGateway implements Gateway {
  readonly #options: GatewayOptions
  readonly #report: ReportError
  readonly #startedMs = performance.now()
  readonly #load = { inFlight: 0, refused: 0 }
  readonly #doors: Door[] = []
  readonly #draining = new Set<Promise<void>>()
  #admin: Server | undefined
  #rule: Rule
  #closing: Promise<void> | undefined

  constructor(options: GatewayOptions, settings: GatewaySettings) {
    this.#options = options
    this.#report = createErrorReport(options.onError)
    const { admitter, ownPages, visibility } = options
    this.#rule = { routing: createRouting(settings, this.#report), admitter, ownPages, visibility }
  }

  get urls(): Readonly<Record<string, string>> {
    const { faces, listen } = this.#routing.settings
    const scheme = listen.tls === undefined ? 'http' : 'https'
    return Object.fromEntries(
      [...faces].map(([name, face]) => {
        const found = this.#doors.find(({ port }) => port === face.port)
        return [name, `${scheme}://${authority(face.host ?? listen.host, found?.server)}`]
      }),
    )
  }

  get adminUrl(): string | undefined {
    const { admin } = this.#routing.settings
    return this.#admin === undefined || admin === undefined
      ? undefined
      : `http://${authority(admin.host, this.#admin)}`
  }

  get #routing(): Routing {
    return this.#rule.routing
  }

  health(): GatewayHealth {
    return makeHealth(this.#routing, this.#startedMs, performance.now())
  }

  report(): GatewayReport {
    return makeReport(this.#routing)
  }

  async listen(): Promise<void> {
    const { settings, upstreams } = this.#routing
    const { listen, limits, faces, admin } = settings
    const tls = await this.#readTls(settings)
    for (const port of new Set([...faces.values()].map(face => face.port))) {
      const front = new Front({
        port,
        rule: () => this.#rule,
        onRequest: this.#options.onRequest,
        onError: (error, stage) => this.#report(error, { stage }),
        load: this.#load,
      })
      const server = createFrontServer(front, { ...limits, tls, http2: listen.http2 })
      const sockets = new Set<Socket>()
      server.on('connection', socket => {
        sockets.add(socket)
        socket.once('close', () => sockets.delete(socket))
      })
      this.#doors.push({ port, server, front, sockets })
      await listenAt(server, listen.host, port ?? listen.port)
    }
    if (admin !== undefined) {
      this.#admin = createAdminServer({
        routing: () => this.#routing,
        load: () => ({
          ...this.#load,
          connections: this.#doors.reduce((sum, { sockets }) => sum + sockets.size, 0),
        }),
        startedMs: this.#startedMs,
      })
      await listenAt(this.#admin, admin.host, admin.port)
    }
    for (const upstream of upstreams) upstream.start()
  }

  async replace(value: Json, parts: GatewayParts): Promise<readonly string[]> {
    const settings = checkGatewaySettings(value)
    const before = this.#rule
    const routing = createRouting(settings, this.#report, before.routing)
    const tls = await this.#readTls(settings)
    if (this.#closing !== undefined) throw new LockstepError('closed', 'The gateway is closed.')
    const { admitter, ownPages, visibility } = parts
    for (const upstream of routing.upstreams) upstream.start()
    this.#rule = { routing, admitter, ownPages, visibility }
    if (tls !== undefined) for (const { server } of this.#doors) setCertificate(server, tls)
    const { drainMs } = settings.limits
    this.#drain(
      before.routing.upstreams
        .filter(upstream => !routing.upstreams.includes(upstream))
        .map(upstream => upstream.close(drainMs)),
    )
    const used: readonly unknown[] = [admitter, ownPages]
    this.#drain(
      [before.admitter, before.ownPages]
        .filter(part => part !== undefined && !used.includes(part))
        .map(part => part!.close()),
    )
    return listWaiting(before.routing.settings, settings)
  }

  #drain(endings: readonly Promise<void>[]): void {
    for (const ending of endings) {
      const watched: Promise<void> = ending
        .catch(error => this.#report(error, { stage: 'drain' }))
        .finally(() => this.#draining.delete(watched))
      this.#draining.add(watched)
    }
  }

  close(): Promise<void> {
    this.#closing ??= this.#end()
    return this.#closing
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async #end(): Promise<void> {
    const { drainMs } = this.#routing.settings.limits
    await Promise.all(this.#doors.map(door => closeDoor(door, drainMs)))
    await Promise.all(this.#routing.upstreams.map(upstream => upstream.close(0)))
    await Promise.all(this.#draining)
    await this.#rule.admitter?.close()
    await this.#rule.ownPages?.close()
    const admin = this.#admin
    if (admin?.listening === true) {
      await new Promise(done => {
        admin.close(done)
        admin.closeAllConnections()
      })
    }
  }

  async #readTls({ listen: { tls } }: GatewaySettings): Promise<{ cert: Buffer; key: Buffer } | undefined> {
    if (tls === undefined) return undefined
    const [cert, key] = await Promise.all([this.#readFile(tls.cert), this.#readFile(tls.key)])
    return { cert, key }
  }

  async #readFile(name: string): Promise<Buffer> {
    const path = resolve(this.#options.folder ?? '.', name)
    return await readFile(path).catch(cause => {
      throw new LockstepError('invalid-option', `The file ${quote(path)} cannot be read (${cause.code}).`, {
        cause,
      })
    })
  }
}

/** Ports and the like are taken once. */
function listWaiting(before: GatewaySettings, after: GatewaySettings): string[] {
  const doors = ({ listen, faces, admin, limits }: GatewaySettings): Record<string, unknown> => ({
    'listen.host': listen.host,
    'listen.port': listen.port,
    'listen.http2': listen.http2,
    'listen.tls': listen.tls !== undefined,
    admin: admin && `${admin.host} ${admin.port}`,
    'faces.*.port': [...new Set([...faces.values()].map(face => face.port))].sort().join(),
    'limits.maxConnections': limits.maxConnections,
    'limits.requestTimeoutMs': limits.requestTimeoutMs,
  })
  const [old, now] = [doors(before), doors(after)]
  return Object.keys(now).filter(name => old[name] !== now[name])
}

function setCertificate(server: Server, tls: { cert: Buffer; key: Buffer }): void {
  if ('setSecureContext' in server)
    (server as unknown as { setSecureContext(of: object): void }).setSecureContext(tls)
}

async function listenAt(server: Server, host: string, port: number): Promise<void> {
  server.listen(port, host)
  try {
    await once(server, 'listening')
  } catch (cause) {
    const { code = String(cause) } = cause as NodeJS.ErrnoException
    throw new LockstepError(
      code === 'EADDRINUSE' ? 'port-taken' : 'invalid-option',
      code === 'EADDRINUSE'
        ? `Port ${port} on ${host} is taken. Stop the program that listens there, or choose another port.`
        : `The gateway cannot listen at ${quote(host)} port ${port} (${code}). Give an address of this machine and a port you may use.`,
      { cause },
    )
  }
}

function closeDoor({ server, front, sockets }: Door, graceMs: number): Promise<void> {
  if (!server.listening) return Promise.resolve()
  return new Promise(resolved => {
    const timer = setTimeout(() => {
      for (const socket of sockets) socket.destroy()
    }, graceMs)
    // A connection whose last request ends only now stays open for the next one, and nobody tells.
    const sweep = setInterval(() => server.closeIdleConnections?.(), sweepEveryMs)
    server.close(() => {
      clearTimeout(timer)
      clearInterval(sweep)
      resolved()
    })
    front.streams.leave()
  })
}

function authority(host: string, server: Server | undefined): string {
  const port = (server?.address() as AddressInfo | null | undefined)?.port
  return `${host.includes(':') ? `[${host}]` : host}:${port}`
}
