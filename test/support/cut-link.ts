/** A network between a client and a broker that can be cut, closed and held up. */
import { connect, createServer, type Socket } from 'node:net'

export interface CutLink extends AsyncDisposable {
  readonly port: number
  /** Cuts all connections and takes no more. */
  down(): Promise<void>
  /** Takes connections again. */
  up(): Promise<void>
  /** Lets nothing come back from the broker any more, until it goes down or is thawed. */
  freeze(): void
  thaw(): void
}

/** Opens a port that leads to another one of this machine. */
export async function openCutLink(targetPort: number): Promise<CutLink> {
  const sockets = new Set<Socket>()
  const pairs = new Map<Socket, Socket>()
  const server = createServer(near => {
    const far = connect(targetPort, '127.0.0.1')
    pairs.set(far, near)
    for (const [socket, other] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(socket)
      socket.setNoDelay(true)
      socket.pipe(other)
      socket.on('error', () => {})
      socket.once('close', () => {
        sockets.delete(socket)
        pairs.delete(socket)
        other.destroy()
      })
    }
  })
  const listen = (port: number): Promise<void> =>
    new Promise((resolve, reject) => {
      server.once('error', reject)
      server.listen(port, '127.0.0.1', () => resolve())
    })
  await listen(0)
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  const down = (): Promise<void> =>
    new Promise(resolve => {
      server.close(() => resolve())
      for (const socket of sockets) socket.destroy()
    })
  return {
    port,
    down,
    up: () => listen(port),
    freeze() {
      for (const far of pairs.keys()) far.unpipe().pause()
    },
    thaw() {
      for (const [far, near] of pairs) far.pipe(near)
    },
    [Symbol.asyncDispose]: down,
  }
}
