/** The TCP side of the embedded broker: connections are counted, watched and bounded before anybody parses them. */
import { createServer, type Server, type Socket } from 'node:net'
import { LockstepError, quote, type ReportError } from '../contract/index.ts'
import { guardReads } from './packet-guard.ts'

/** A TCP listener that is open. */
export interface Listener {
  /** The real port, also where 0 was asked for. */
  readonly port: number
  /** Cuts all connections. */
  close(): Promise<void>
}

export interface ListenOptions {
  readonly host: string
  readonly port: number
  readonly maxConnections: number
  readonly maxPacketBytes: number
  readonly maxWaitingBytes: number
  readonly report: ReportError
}

const tcpKeepaliveMs = 30_000

/** Hands each connection to `handle`. Errors: `port-taken`, `invalid-option`. */
export async function openListener(
  handle: (socket: Socket) => void,
  options: ListenOptions,
): Promise<Listener> {
  const { maxPacketBytes, report } = options
  const sockets = new Set<Socket>()
  const server = createServer({
    noDelay: true,
    keepAlive: true,
    keepAliveInitialDelay: tcpKeepaliveMs,
    // Below this a slow subscriber is no concern of the others.
    highWaterMark: options.maxWaitingBytes,
  })
  server.maxConnections = options.maxConnections
  server.on('connection', socket => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
    guardReads(socket, maxPacketBytes, () => {
      const text = `A client at ${socket.remoteAddress} sent a packet over ${maxPacketBytes} bytes and was cut. Raise limits.maxPacketBytes if it had a right to.`
      report(new LockstepError('message-too-large', text), { stage: 'embedded broker packet' })
    })
    gatherWrites(socket)
    handle(socket)
  })
  server.on('drop', () => {
    const text = `A client was turned away: ${options.maxConnections} are connected. Raise limits.maxConnections, or use a larger broker.`
    report(new LockstepError('overloaded', text), { stage: 'embedded broker connections' })
  })
  const port = await startListening(server, options)
  server.on('error', error => report(error, { stage: 'embedded broker listener' }))
  return {
    port,
    close: () =>
      new Promise(resolve => {
        server.close(() => resolve())
        for (const socket of sockets) socket.destroy()
      }),
  }
}

/** One write to the network per turn of the event loop, however many messages it holds: it is what fan-out costs. */
function gatherWrites(socket: Socket): void {
  const cork = socket.cork.bind(socket)
  let gathering = false
  // The encoder corks the socket for each packet.
  socket.cork = () => {
    cork()
    if (gathering) return
    gathering = true
    cork()
    setImmediate(() => {
      gathering = false
      socket.uncork()
    })
  }
}

function startListening(server: Server, { host, port }: ListenOptions): Promise<number> {
  return new Promise((resolve, reject) => {
    const fail = (error: unknown): void => reject(listenError(host, port, error))
    server.once('error', fail)
    try {
      server.listen({ host, port }, () => {
        server.off('error', fail)
        const address = server.address()
        resolve(typeof address === 'object' && address !== null ? address.port : port)
      })
    } catch (error) {
      fail(error)
    }
  })
}

function listenError(host: string, port: number, error: unknown): LockstepError {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  if (code === 'EADDRINUSE') {
    return new LockstepError(
      'port-taken',
      `Port ${port} of ${host} is taken, perhaps by another broker. Stop that, or give another port (0 takes any free one).`,
      { cause: error },
    )
  }
  return new LockstepError(
    'invalid-option',
    `The broker cannot listen at ${quote(host)} port ${port} (${code ?? error}). Give an address of this machine and a port you may use.`,
    { cause: error },
  )
}
