/**
 * One connection to an instance of a service: sends one request at a time, and hands the response to whoever asked.
 *
 * A connection is used again only where both sides are at rest: the request was sent whole, the response read whole, and
 * nothing came besides.
 */
import { connect, isIP, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { LockstepError } from '../contract/index.ts'
import { type ResponseHead, ResponseParser } from './response-parser.ts'

/** Where an instance listens. */
export interface InstanceAddress {
  readonly host: string
  readonly port: number
  readonly isTls: boolean
  /** As it stands in `Host`. */
  readonly authority: string
}

/** Hears what becomes of one request. After `onEnd`, `onUpgrade` or `onFailure` it hears no more. */
export interface ResponseSink {
  onHead(head: ResponseHead): void
  onBody(part: Buffer): void
  /** All that has come is handed over: the time to pass it on. */
  onSettled(): void
  onEnd(): void
  onUpgrade(rest: Buffer): void
  onFailure(error: LockstepError): void
  /** The socket takes more of the request's body. */
  onDrain(): void
}

/** Is told when a connection may be used again, and when it is gone. */
export interface ConnectionOwner {
  onFree(connection: UpstreamConnection): void
  onGone(connection: UpstreamConnection): void
}

const maxKeepMs = 30_000

export class UpstreamConnection {
  readonly socket: Socket
  /** Requests that were sent on it before. */
  uses = 0
  /** When the request that runs is given up, by the clock of its pool; `Infinity` while nothing is waited for. */
  deadlineMs: number = Number.POSITIVE_INFINITY
  /** How long it may rest until it is used again: less than the other side keeps it. */
  keepMs: number = maxKeepMs
  /** The other side closed it, or the network did: an idempotent request may be sent again elsewhere. */
  isLost = false
  readonly #owner: ConnectionOwner
  readonly #parser = new ResponseParser()
  #sink: ResponseSink | undefined
  #isSent = true
  #isGone = false

  constructor(socket: Socket, owner: ConnectionOwner) {
    this.socket = socket
    this.#owner = owner
    socket.setNoDelay(true)
    socket.on('data', (chunk: Buffer) => this.#take(chunk))
    socket.on('drain', () => this.#sink?.onDrain())
    socket.on('end', () => this.#end())
    socket.on('error', cause => this.#fail(describeLoss(cause), true))
    socket.on('close', () => this.#fail(describeLoss(undefined), true))
  }

  get isUsable(): boolean {
    return !this.#isGone && this.#sink === undefined && !this.socket.destroyed
  }

  /** Sends a request's head and, where it is complete with it, all of it. */
  send(
    method: string,
    text: string,
    sink: ResponseSink,
    options: { isComplete: boolean; mayUpgrade?: boolean },
  ): void {
    this.#sink = sink
    this.#isSent = options.isComplete
    this.uses++
    this.#parser.begin(method, this.#reader(sink), options.mayUpgrade)
    this.socket.write(text, 'latin1')
  }

  /** Sends a part of the body. `false`: wait for `onDrain`. */
  write(part: Buffer | string): boolean {
    return this.socket.write(part, 'latin1')
  }

  /** The request was sent whole. */
  finish(): void {
    this.#isSent = true
  }

  /** Gives up: nobody hears of it, and the connection is gone. */
  destroy(): void {
    this.#sink = undefined
    this.#leave()
  }

  /** Gives up, and tells so. */
  fail(error: LockstepError): void {
    this.#fail(error, false)
  }

  #reader(sink: ResponseSink) {
    return {
      onHead: (head: ResponseHead) => {
        if (head.keepSeconds !== undefined)
          this.keepMs = Math.min(maxKeepMs, Math.max(0, head.keepSeconds - 1) * 1_000)
        sink.onHead(head)
      },
      onBody: (part: Buffer) => sink.onBody(part),
      onUpgrade: (rest: Buffer) => {
        this.#sink = undefined
        this.#isGone = true
        this.deadlineMs = Number.POSITIVE_INFINITY
        this.socket.removeAllListeners()
        this.#owner.onGone(this)
        sink.onUpgrade(rest)
      },
      onEnd: () => {
        this.#sink = undefined
        this.deadlineMs = Number.POSITIVE_INFINITY
        sink.onEnd()
      },
    }
  }

  #take(chunk: Buffer): void {
    const sink = this.#sink
    try {
      this.#parser.feed(chunk)
    } catch (error) {
      this.#fail(error as LockstepError, false)
      return
    }
    if (this.#isGone) return
    if (this.#sink !== undefined) sink?.onSettled()
    else if (this.#parser.isReusable && this.#isSent) this.#owner.onFree(this)
    else this.#leave()
  }

  #end(): void {
    try {
      this.#parser.end()
    } catch (cause) {
      this.#fail(describeLoss(cause), true)
    }
    this.#leave()
  }

  #fail(error: LockstepError, isLost: boolean): void {
    const sink = this.#sink
    this.#sink = undefined
    this.#leave()
    if (isLost && sink !== undefined) this.isLost = true
    sink?.onFailure(error)
  }

  #leave(): void {
    if (this.#isGone) return
    this.#isGone = true
    this.deadlineMs = Number.POSITIVE_INFINITY
    this.socket.destroy()
    this.#owner.onGone(this)
  }
}

/** Connects. Errors: `api-unreachable`, `timeout`. */
export function openSocket(address: InstanceAddress, timeoutMs: number): Promise<Socket> {
  const { host, port, isTls, authority } = address
  return new Promise((resolve, reject) => {
    const socket = isTls
      ? connectTls({
          host,
          port,
          ...(isIP(host) === 0 ? { servername: host } : {}),
          ALPNProtocols: ['http/1.1'],
        })
      : connect({ host, port })
    const done = (error?: LockstepError): void => {
      clearTimeout(timer)
      socket.off('error', onError).off(isTls ? 'secureConnect' : 'connect', done as () => void)
      if (error instanceof LockstepError) {
        socket.on('error', () => {}).destroy()
        reject(error)
      } else resolve(socket)
    }
    const onError = (cause: Error): void =>
      done(new LockstepError('api-unreachable', 'No connection to the service could be made.', { cause }))
    const onTimeout = (cause: Error): void =>
      done(
        new LockstepError('timeout', `No connection to the service came up within ${timeoutMs} ms.`, {
          cause,
        }),
      )
    const timer = setTimeout(
      // Where it stands is for the log: the message goes to whoever asked.
      () => onTimeout(new Error(`connecting to ${authority}`)),
      timeoutMs,
    )
    socket.on('error', onError).on(isTls ? 'secureConnect' : 'connect', done as () => void)
  })
}

function describeLoss(cause: unknown): LockstepError {
  return new LockstepError(
    'api-unreachable',
    'The connection to the service was lost before its answer was complete.',
    {
      cause,
    },
  )
}
