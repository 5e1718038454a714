/**
 * One request of a client and the API's answer, passed on as they are. Both bodies are streamed, each as fast as its reader takes it.
 *
 * A write goes on where its client leaves: what becomes of it has to be known. It is sent once, and never again.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { TLSSocket } from 'node:tls'
import { isLockstepError, LockstepError, toProblem } from '../contract/index.ts'
import type { Instance, ResponseHead, ResponseSink, Upstream, UpstreamConnection } from '../upstream/index.ts'
import { formatRequestFields, makeAnswerFields } from './message-fields.ts'

export interface ForwardingOptions {
  /** The target as the API is sent it. */
  readonly target: string
  /** `undefined`: that of the API's own address. */
  readonly host: string | undefined
  /** Is the outcome to be known? Then it is not given up where the client leaves. */
  readonly isWrite: boolean
  /** Set on the answer. */
  readonly answerFields: ((head: ResponseHead) => Readonly<Record<string, string>> | undefined) | undefined
  /** How much of the bodies is kept for who wants to know what was said; 0 for nothing. */
  readonly maxKeptBytes: number
  /** Called once. */
  readonly onDone: (outcome: Outcome) => void
}

/** What is known of a request at its end. */
export interface Outcome {
  /** `undefined` where the API did not answer, or not to the end. */
  readonly head: ResponseHead | undefined
  /** Was any of it sent? */
  readonly isSent: boolean
  /** As far as they were kept whole. */
  readonly sentBody: Buffer | undefined
  readonly answerBody: Buffer | undefined
}

/** Up to so much is sent to the client as one text together with its head. */
const maxJoinedBytes = 16_384

export class Forwarding implements ResponseSink {
  readonly #request: IncomingMessage
  readonly #response: ServerResponse
  readonly #upstream: Upstream
  readonly #options: ForwardingOptions
  readonly #hasBody: boolean
  readonly #sent: KeptBody
  readonly #answered: KeptBody
  #instance: Instance | undefined
  #connection: UpstreamConnection | undefined
  #head: ResponseHead | undefined
  /** The first part of the answer, while its head was not sent. */
  #held: Buffer | undefined
  #isKept = false
  #isSent = false
  #isHeadSent = false
  #isDone = false
  #isClientGone = false

  constructor(
    request: IncomingMessage,
    response: ServerResponse,
    upstream: Upstream,
    options: ForwardingOptions,
  ) {
    this.#request = request
    this.#response = response
    this.#upstream = upstream
    this.#options = options
    this.#sent = new KeptBody(options.maxKeptBytes)
    this.#answered = new KeptBody(options.maxKeptBytes)
    const { headers } = request
    this.#hasBody = headers['transfer-encoding'] !== undefined || (headers['content-length'] ?? '0') !== '0'
  }

  /** Sends the request. Never throws: whatever fails is answered. */
  start(): void {
    this.#response.on('close', () => this.#onClientGone())
    try {
      const nowMs = performance.now()
      const instance = this.#upstream.choose(nowMs)
      this.#instance = instance
      const kept = instance.takeIdle()
      if (kept !== undefined) {
        this.#isKept = true
        this.#send(kept, instance)
      } else this.#sendOnNew(instance)
    } catch (error) {
      this.#refuse(error)
    }
  }

  #sendOnNew(instance: Instance): void {
    this.#isKept = false
    instance.open(performance.now()).then(
      connection => {
        if (this.#isDone) instance.onFree(connection)
        else this.#send(connection, instance)
      },
      error => this.#refuse(error),
    )
  }

  #send(connection: UpstreamConnection, instance: Instance): void {
    const { headers, method = 'GET', rawHeaders, socket } = this.#request
    const { target, host } = this.#options
    const length = headers['content-length']
    const isChunked = headers['transfer-encoding'] !== undefined
    const framing = isChunked
      ? 'transfer-encoding: chunked\r\n'
      : length === undefined
        ? ''
        : `content-length: ${length}\r\n`
    const fields = formatRequestFields({
      rawFields: rawHeaders,
      host: host ?? instance.address.authority,
      clientHost: headers.host,
      clientAddress: socket.remoteAddress ?? 'unknown',
      isTls: (socket as TLSSocket).encrypted === true,
    })
    this.#connection = connection
    this.#isSent = true
    connection.send(method, `${method} ${target} HTTP/1.1\r\n${fields}${framing}\r\n`, this, {
      isComplete: !this.#hasBody,
    })
    const { headTimeoutMs, idleTimeoutMs } = this.#upstream.options
    connection.deadlineMs = performance.now() + (this.#hasBody ? idleTimeoutMs : headTimeoutMs)
    if (this.#hasBody) this.#sendBody(connection, isChunked)
  }

  #sendBody(connection: UpstreamConnection, isChunked: boolean): void {
    const request = this.#request
    const { headTimeoutMs, idleTimeoutMs } = this.#upstream.options
    if (/^100-continue$/i.test(String(request.headers['expect'] ?? ''))) this.#response.writeContinue()
    request.on('data', (part: Buffer) => {
      if (this.#connection !== connection) return
      this.#sent.add(part)
      connection.deadlineMs = performance.now() + idleTimeoutMs
      if (isChunked) connection.write(`${part.length.toString(16)}\r\n`)
      const takesMore = connection.write(part)
      if (isChunked) connection.write('\r\n')
      if (!takesMore) request.pause()
    })
    request.on('end', () => {
      if (this.#connection !== connection) return
      if (isChunked) connection.write('0\r\n\r\n')
      connection.finish()
      connection.deadlineMs = performance.now() + headTimeoutMs
    })
    // Where the client leaves in the middle of its body, nothing of it is whole.
    request.on('error', () => {
      if (this.#connection === connection && !request.complete) this.#abandon()
    })
  }

  onDrain(): void {
    if (this.#request.isPaused()) this.#request.resume()
  }

  onHead(head: ResponseHead): void {
    this.#head = head
    this.#connection!.deadlineMs = performance.now() + this.#upstream.options.idleTimeoutMs
  }

  onBody(part: Buffer): void {
    this.#answered.add(part)
    const connection = this.#connection!
    connection.deadlineMs = performance.now() + this.#upstream.options.idleTimeoutMs
    if (!this.#isHeadSent && this.#held === undefined) {
      this.#held = part
      return
    }
    if (!this.#isHeadSent) this.#sendHead()
    this.#write(part, connection)
  }

  onSettled(): void {
    if (this.#isHeadSent || this.#head === undefined) return
    this.#sendHead()
    if (this.#head.length !== 0) this.#response.flushHeaders()
  }

  onEnd(): void {
    this.#connection = undefined
    if (this.#isHeadSent) this.#response.end()
    else this.#sendWhole()
    // What the API did not want to read must not keep the client's connection from its next request.
    if (this.#request.isPaused()) this.#request.resume()
    this.#finish()
  }

  onUpgrade(): void {
    // Never asked for here.
  }

  onFailure(error: LockstepError): void {
    const connection = this.#connection
    this.#connection = undefined
    if (this.#isHeadSent) {
      // The client must see that something is missing.
      this.#response.destroy()
      this.#head = undefined
      this.#finish()
      return
    }
    // A connection that rested may be gone: a request that harms nobody may be sent on another one.
    const mayRepeat = this.#isKept && connection?.isLost === true && this.#head === undefined
    const isSafe = !this.#options.isWrite && !this.#hasBody && !this.#isDone
    this.#head = undefined
    this.#held = undefined
    if (mayRepeat && isSafe) this.#sendOnNew(this.#instance!)
    else this.#refuse(error)
  }

  #sendHead(): void {
    const head = this.#head!
    this.#isHeadSent = true
    this.#response.writeHead(head.status, head.reason, this.#makeFields(head))
    const held = this.#held
    this.#held = undefined
    if (held !== undefined) this.#write(held, this.#connection!)
  }

  /** The whole answer has come at once: the client gets it in one piece as well. */
  #sendWhole(): void {
    const head = this.#head!
    const held = this.#held
    const fields = this.#makeFields(head)
    const mayHaveBody = this.#request.method !== 'HEAD' && head.status !== 204 && head.status !== 304
    if (head.length === undefined && mayHaveBody) fields.push('content-length', String(held?.length ?? 0))
    this.#response.writeHead(head.status, head.reason, fields)
    if (held === undefined) this.#response.end()
    else if (held.length <= maxJoinedBytes) this.#response.end(held.toString('latin1'), 'latin1')
    else this.#response.end(held)
  }

  #makeFields(head: ResponseHead): string[] {
    return makeAnswerFields(head.fields, this.#options.answerFields?.(head))
  }

  #write(part: Buffer, connection: UpstreamConnection): void {
    if (this.#isClientGone || this.#response.write(part)) return
    connection.socket.pause()
    // A client that takes nothing is ended by its own time limit.
    connection.deadlineMs = Number.POSITIVE_INFINITY
    const goOn = (): void => {
      this.#response.off('drain', goOn).off('close', goOn)
      if (this.#connection !== connection) return
      connection.deadlineMs = performance.now() + this.#upstream.options.idleTimeoutMs
      connection.socket.resume()
    }
    this.#response.on('drain', goOn).on('close', goOn)
  }

  #onClientGone(): void {
    this.#isClientGone = true
    if (this.#isDone) return
    const isWhole = !this.#hasBody || this.#request.complete
    if (!this.#options.isWrite || !isWhole) this.#abandon()
  }

  #abandon(): void {
    const connection = this.#connection
    this.#connection = undefined
    this.#head = undefined
    connection?.destroy()
    this.#finish()
  }

  #refuse(error: unknown): void {
    this.#head = undefined
    if (!this.#isDone && !this.#response.headersSent && !this.#response.destroyed) {
      // What is left of a refused body would otherwise be read as the next request.
      const isCut = this.#hasBody && !this.#request.complete
      sendProblem(this.#response, error, isCut)
      if (isCut) this.#request.resume()
    }
    this.#finish()
  }

  #finish(): void {
    if (this.#isDone) return
    this.#isDone = true
    this.#options.onDone({
      head: this.#head,
      isSent: this.#isSent,
      sentBody: this.#sent.body,
      answerBody: this.#answered.body,
    })
  }
}

/** Answers with a problem document (RFC 9457). */
export function sendProblem(response: ServerResponse, error: unknown, isLast: boolean): void {
  const known = isLockstepError(error)
    ? error
    : new LockstepError('internal', 'The sidecar failed. Its log says why.')
  const problem = toProblem(known)
  const body = JSON.stringify(problem)
  response.writeHead(problem.status, {
    'content-type': 'application/problem+json; charset=utf-8',
    'cache-control': 'no-store',
    'content-length': Buffer.byteLength(body),
    ...(problem.status === 503 ? { 'retry-after': '1' } : {}),
    ...(isLast ? { connection: 'close' } : {}),
  })
  response.end(body)
}

/** A body as far as it is small. */
class KeptBody {
  readonly #maxBytes: number
  #parts: Buffer[] | undefined = []
  #bytes = 0

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  add(part: Buffer): void {
    if (this.#parts === undefined) return
    this.#bytes += part.length
    if (this.#bytes <= this.#maxBytes) this.#parts.push(part)
    else this.#parts = undefined
  }

  get body(): Buffer | undefined {
    return this.#parts === undefined || this.#bytes === 0 ? undefined : Buffer.concat(this.#parts)
  }
}
