/**
 * Sends the same GET over keep-alive connections, one at a time on each, as fast as it is answered. Requests are written by
 * hand and answers read as bytes, so that one core of load is more than one core of any gateway.
 */
import { connect, type Socket } from 'node:net'
import { runProgram } from '../harness/program.ts'
import { percentile } from '../harness/summary.ts'

export interface GetLoadOptions {
  readonly port: number
  readonly connections: number
  readonly path: string
  /** Further lines of the request's head. */
  readonly fields?: readonly string[]
}

export interface GetLoadResult {
  readonly requests: number
  readonly errors: number
  readonly firstError: string | undefined
  readonly seconds: number
  readonly p50Ms: number
  readonly p99Ms: number
  readonly loadBusy: number
}

runProgram<GetLoadOptions>(async ({ port, connections, path, fields = [] }) => {
  const text = `GET ${path} HTTP/1.1\r\nhost: 127.0.0.1\r\n${fields.map(field => `${field}\r\n`).join('')}\r\n`
  const sockets = new Map<Socket, number>()
  let latencies: number[] = []
  let errors = 0
  let firstError: string | undefined
  let isRunning = false
  let open = 0
  let onEnd: () => void = () => {}
  const send = (socket: Socket): void => {
    sockets.set(socket, performance.now())
    socket.write(text, 'latin1')
  }
  const fail = (reason: string): void => {
    errors++
    firstError ??= reason
  }
  const openOne = (): Promise<void> =>
    new Promise((resolve, reject) => {
      let partial: Buffer | undefined
      const buffer = Buffer.allocUnsafe(16_384)
      const callback = (size: number): boolean => {
        const chunk = buffer.subarray(0, size)
        const bytes = partial === undefined ? chunk : Buffer.concat([partial, chunk])
        const whole = sizeOfAnswer(bytes)
        if (whole === undefined || whole > bytes.length) {
          partial = Buffer.from(bytes)
          return true
        }
        partial = undefined
        latencies.push(performance.now() - sockets.get(socket)!)
        if (bytes[9] !== 0x32 || whole !== bytes.length) fail(bytes.toString('latin1', 0, 600))
        if (isRunning) send(socket)
        else if (--open === 0) onEnd()
        return true
      }
      const socket = connect({ port, host: '127.0.0.1', noDelay: true, onread: { buffer, callback } })
      socket.once('connect', resolve).once('error', reject)
      socket.on('close', () => {
        fail('the connection was closed')
        if (--open === 0) onEnd()
      })
      sockets.set(socket, 0)
    })
  for (let index = 0; index < connections; index++) await openOne()

  async function run({ durationMs }: { durationMs: number }): Promise<GetLoadResult> {
    latencies = []
    errors = 0
    isRunning = true
    open = sockets.size
    const done = new Promise<void>(resolve => {
      onEnd = resolve
    })
    const cpu = process.cpuUsage()
    const startMs = performance.now()
    for (const socket of sockets.keys()) send(socket)
    await new Promise(resolve => setTimeout(resolve, durationMs))
    const ms = performance.now() - startMs
    const { user, system } = process.cpuUsage(cpu)
    const requests = latencies.length
    isRunning = false
    await done
    const sorted = Float64Array.from(latencies.slice(0, requests)).sort()
    const [p50Ms, p99Ms] = [percentile(sorted, 0.5), percentile(sorted, 0.99)]
    return {
      requests,
      errors,
      firstError,
      seconds: ms / 1_000,
      p50Ms,
      p99Ms,
      loadBusy: (user + system) / 1_000 / ms,
    }
  }
  return {
    commands: { run },
    close: () => {
      for (const socket of sockets.keys()) socket.removeAllListeners('close').destroy()
    },
  }
})

/** `undefined` before its head is there. */
function sizeOfAnswer(bytes: Buffer): number | undefined {
  const end = bytes.indexOf('\r\n\r\n', 0, 'latin1')
  if (end === -1) return undefined
  const head = bytes.toString('latin1', 0, end)
  const length = /\r\ncontent-length: *(\d+)/i.exec(head)?.[1]
  if (length !== undefined) return end + 4 + Number(length)
  const last = bytes.indexOf('\r\n0\r\n\r\n', end, 'latin1')
  return last === -1 ? undefined : last + 7
}
