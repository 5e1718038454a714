/**
 * Sends PATCH requests over keep-alive connections, one at a time on each, as fast as they are answered.
 *
 * Requests are written by hand and answers read as bytes, so that one core of load is more than one core of
 * service. Each request changes a random person to a value that was never there; each answer must be 200, and a
 * sample of them must hold the value.
 */
import { connect, type Socket } from 'node:net'
import { runProgram } from '../harness/program.ts'
import { percentile } from '../harness/summary.ts'

export interface LoadOptions {
  readonly port: number
  readonly connections: number
  readonly people: number
}

export interface LoadRequest {
  readonly warmupMs: number
  readonly durationMs: number
}

export interface LoadResult {
  readonly writes: number
  readonly errors: number
  readonly firstError: string | undefined
  readonly seconds: number
  readonly p50Ms: number
  readonly p99Ms: number
  /** The share of its core that the load took. Near 1, it was the load that was measured. */
  readonly loadBusy: number
}

/** One answer in so many is searched for the value that was sent. */
const sampleEvery = 32

runProgram<LoadOptions>(async options => {
  const load = new Load(options)
  await load.connect()
  return {
    commands: {
      warmUp: ({ warmupMs }: LoadRequest) => load.run(warmupMs),
      run: ({ durationMs }: LoadRequest) => load.run(durationMs),
    },
    close: () => load.close(),
  }
})

interface Connection {
  readonly socket: Socket
  sentMs: number
  value: string
  /** Bytes of the answer that are still to come; -1 before its head. */
  left: number
  /** An answer that came in parts; one that came whole is read where it lies. */
  partial: Buffer | undefined
}

class Load {
  readonly #options: LoadOptions
  readonly #connections: Connection[] = []
  #count = 0
  #random = 123_456_789
  #latencies: number[] = []
  #errors = 0
  #firstError: string | undefined
  #running = false
  #open = 0
  #ended: (() => void) | undefined
  readonly #token = Math.random().toString(36).slice(2, 8)

  constructor(options: LoadOptions) {
    this.#options = options
  }

  async connect(): Promise<void> {
    const { connections, port } = this.#options
    for (let index = 0; index < connections; index++) {
      await new Promise<void>((resolve, reject) => {
        const buffer = Buffer.allocUnsafe(16_384)
        const socket = connect({
          port,
          host: '127.0.0.1',
          noDelay: true,
          onread: {
            buffer,
            callback: size => {
              this.#read(connection, buffer.subarray(0, size))
              return true
            },
          },
        })
        const connection: Connection = { socket, sentMs: 0, value: '', left: -1, partial: undefined }
        socket.once('connect', resolve).once('error', reject)
        socket.on('close', () => this.#fail(connection, 'the connection was closed'))
        this.#connections.push(connection)
      })
    }
  }

  async run(durationMs: number): Promise<LoadResult> {
    this.#latencies = []
    this.#errors = 0
    this.#firstError = undefined
    this.#running = true
    this.#open = this.#connections.length
    const done = new Promise<void>(resolve => {
      this.#ended = resolve
    })
    const cpu = process.cpuUsage()
    const startMs = performance.now()
    for (const connection of this.#connections) this.#send(connection)
    await new Promise(resolve => setTimeout(resolve, durationMs))
    const endMs = performance.now()
    const { user, system } = process.cpuUsage(cpu)
    const writes = this.#latencies.length
    this.#running = false
    await done
    const sorted = Float64Array.from(this.#latencies.slice(0, writes)).sort()
    return {
      writes,
      errors: this.#errors,
      firstError: this.#firstError,
      seconds: (endMs - startMs) / 1_000,
      p50Ms: percentile(sorted, 0.5),
      p99Ms: percentile(sorted, 0.99),
      loadBusy: (user + system) / 1_000 / (endMs - startMs),
    }
  }

  close(): void {
    for (const { socket } of this.#connections) socket.removeAllListeners('close').destroy()
  }

  #send(connection: Connection): void {
    const id = this.#nextRandom() % this.#options.people
    const value = `${this.#token}-${(this.#count++).toString(36).padStart(6, '0')}@example.org`
    const body = `{"email":"${value}"}`
    connection.value = value
    connection.sentMs = performance.now()
    connection.socket.write(
      `PATCH /people/person-${id} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n` +
        `content-length: ${body.length}\r\n\r\n${body}`,
      'latin1',
    )
  }

  #read(connection: Connection, chunk: Buffer): void {
    let bytes = chunk
    if (connection.partial !== undefined) {
      bytes = Buffer.concat([connection.partial, chunk])
      connection.partial = undefined
    }
    const size = sizeOfAnswer(bytes)
    if (size === undefined || size > bytes.length) {
      // What lies in the socket's buffer is overwritten by the next read.
      connection.partial = Buffer.from(bytes)
      return
    }
    this.#latencies.push(performance.now() - connection.sentMs)
    const isOk = bytes[9] === 0x32 && bytes[10] === 0x30 && bytes[11] === 0x30
    const isSample = this.#latencies.length % sampleEvery === 0
    if (!isOk || size !== bytes.length || (isSample && !bytes.includes(connection.value))) {
      this.#errors++
      this.#firstError ??= bytes.toString('latin1', 0, 600)
    }
    if (this.#running) this.#send(connection)
    else if (--this.#open === 0) this.#ended?.()
  }

  #fail(connection: Connection, reason: string): void {
    this.#errors++
    this.#firstError ??= reason
    connection.socket.destroy()
    if (--this.#open === 0) this.#ended?.()
  }

  #nextRandom(): number {
    let x = this.#random
    x ^= x << 13
    x ^= x >>> 17
    x ^= x << 5
    this.#random = x
    return x >>> 0
  }
}

const endOfHead = Buffer.from('\r\n\r\n')

/** The size of the whole answer; `undefined` before its head is there. Errors: where it is not told by Content-Length. */
function sizeOfAnswer(bytes: Buffer): number | undefined {
  const end = bytes.indexOf(endOfHead)
  if (end === -1) return undefined
  const head = bytes.toString('latin1', 0, end)
  const length = /\r\ncontent-length: *(\d+)/i.exec(head)?.[1]
  if (length === undefined) throw new Error(`The answer has no Content-Length: ${head}`)
  return end + 4 + Number(length)
}
