/**
 * One request and its response, on their way between a client and an instance of a service.
 *
 * Both bodies are streamed, each as fast as its reader takes it. A request of which a service may have heard is sent
 * again only where that does no harm: its method is idempotent, and it has no body.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { isLockstepError, LockstepError } from '../contract/index.ts'
import type { Instance, ResponseHead, ResponseSink, UpstreamConnection } from '../upstream/index.ts'
import { problemAnswer, sendAnswer, writeHead } from './answer.ts'
import type { Incoming } from './incoming.ts'
import type { OpenStreams } from './open-streams.ts'
import { listFields, makeResponseFields } from './response-fields.ts'
import type { ReferenceMap } from './rewriting.ts'
import type { Route } from './route-table.ts'
import { formatFraming, formatUpstreamHead, hasBody, isChunked } from './upstream-head.ts'

export interface ExchangeOptions {
  readonly route: Route
  /** Set on the request to the service. */
  readonly requestHeaders: Readonly<Record<string, string | undefined>> | undefined
  /** Set on the response to the client. */
  readonly responseHeaders: Readonly<Record<string, string | undefined>> | undefined
  /** Is what let the request in still good? `undefined` where nothing can end. */
  readonly stillHolds: (() => boolean) | undefined
  /** Where what stays open is known. */
  readonly streams: OpenStreams
  /** Hears the body of the response, as far as it is read. */
  readonly tee: ResponseTee | undefined
  /** Called once, when the response is at its end; status 0 where the client left before there was one. */
  readonly onDone: (status: number, error: LockstepError | undefined) => void
}

export interface ResponseTee {
  onHead(head: ResponseHead): void
  onBody(part: Buffer): void
  onEnd(): void
  /** It does not come to its end. */
  onGone(): void
}

const idempotent = new Set(['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE'])
/** Up to so much is sent to the client as one text together with its head. */
const maxJoinedBytes = 16_384

export class Exchange implements ResponseSink {
  readonly #request: IncomingMessage
  readonly #response: ServerResponse
  readonly #incoming: Incoming
  readonly #options: ExchangeOptions
  readonly #hasBody: boolean
  #instance: Instance | undefined
  #connection: UpstreamConnection | undefined
  #attempts = 0
  #head: ResponseHead | undefined
  /** The first part of the body, while the head was not sent. */
  #held: Buffer | undefined
  #isHeadSent = false
  #isDone = false
  #isBodyBegun = false
  #bodyBytes = 0
  #forget: (() => void) | undefined

  constructor(
    request: IncomingMessage,
    response: ServerResponse,
    incoming: Incoming,
    options: ExchangeOptions,
  ) {
    this.#request = request
    this.#response = response
    this.#incoming = incoming
    this.#options = options
    this.#hasBody = hasBody(request)
  }

  /** Sends the request. Never throws: whatever fails is answered. */
  start(): void {
    this.#response.on('close', () => this.#onClientGone())
    try {
      const { maxBodyBytes } = this.#options.route.settings
      if (Number(this.#request.headers['content-length'] ?? 0) > maxBodyBytes) throw tooLarge(maxBodyBytes)
      this.#options.route.upstream.retryBudget.earn()
      this.#attempt(undefined)
    } catch (error) {
      this.#refuse(error)
    }
  }

  #attempt(before: Instance | undefined): void {
    const { upstream } = this.#options.route
    const nowMs = performance.now()
    const instance = upstream.choose(nowMs, before)
    this.#attempts++
    this.#instance = instance
    instance.inFlight++
    instance.requests++
    instance.breaker.begin()
    const kept = instance.takeIdle()
    if (kept !== undefined) this.#send(kept, instance)
    else this.#sendOnNew(instance, nowMs)
  }

  #sendOnNew(instance: Instance, nowMs: number): void {
    instance.open(nowMs).then(
      connection => {
        if (this.#isDone) instance.onFree(connection)
        else this.#send(connection, instance)
      },
      (error: LockstepError) => {
        if (this.#isDone) return
        this.#release(isLockstepError(error, 'overloaded') ? undefined : false)
        // Nothing was sent, so that any request may go elsewhere.
        this.#retryOr(error, true)
      },
    )
  }

  #send(connection: UpstreamConnection, instance: Instance): void {
    const { method } = this.#incoming
    // It was free a moment ago; the service may have closed it since.
    if (!connection.isUsable) {
      this.#release(false)
      this.#retryOr(new LockstepError('api-unreachable', 'The service closed the connection.'), true)
      return
    }
    let text: string
    try {
      const framing = formatFraming(this.#request)
      text = formatUpstreamHead(this.#incoming, { ...this.#options, instance, framing })
    } catch (error) {
      instance.onFree(connection)
      this.#release(undefined)
      this.#refuse(error)
      return
    }
    this.#connection = connection
    const isBodyToCome = this.#hasBody
    connection.send(method, text, this, { isComplete: !isBodyToCome })
    const { headTimeoutMs, idleTimeoutMs } = this.#options.route.upstream.options
    connection.deadlineMs = performance.now() + (isBodyToCome ? idleTimeoutMs : headTimeoutMs)
    if (isBodyToCome) this.#sendBody(connection)
  }

  #sendBody(connection: UpstreamConnection): void {
    this.#isBodyBegun = true
    const request = this.#request
    const { maxBodyBytes } = this.#options.route.settings
    const { headTimeoutMs, idleTimeoutMs } = this.#options.route.upstream.options
    const inChunks = isChunked(request)
    if (/^100-continue$/i.test(String(request.headers['expect'] ?? ''))) this.#response.writeContinue()
    request.on('data', (part: Buffer) => {
      if (this.#connection !== connection) return
      this.#bodyBytes += part.length
      if (this.#bodyBytes > maxBodyBytes) {
        this.#abandon()
        this.#refuse(tooLarge(maxBodyBytes))
        return
      }
      connection.deadlineMs = performance.now() + idleTimeoutMs
      if (inChunks) connection.write(`${part.length.toString(16)}\r\n`)
      const takesMore = connection.write(part)
      if (inChunks) connection.write('\r\n')
      if (!takesMore) request.pause()
    })
    request.on('end', () => {
      if (this.#connection !== connection) return
      if (inChunks) connection.write('0\r\n\r\n')
      connection.finish()
      connection.deadlineMs = performance.now() + headTimeoutMs
    })
  }

  onDrain(): void {
    if (this.#request.isPaused()) this.#request.resume()
  }

  onHead(head: ResponseHead): void {
    this.#head = head
    // What has begun to answer is well; a stream may take hours to end.
    this.#instance!.breaker.end(true, performance.now())
    this.#connection!.deadlineMs = performance.now() + this.#options.route.upstream.options.idleTimeoutMs
    this.#options.tee?.onHead(head)
  }

  onBody(part: Buffer): void {
    this.#options.tee?.onBody(part)
    if (!this.#isHeadSent && this.#held === undefined) {
      this.#held = part
      return
    }
    if (!this.#isHeadSent) this.#sendHead()
    const connection = this.#connection!
    connection.deadlineMs = performance.now() + this.#options.route.upstream.options.idleTimeoutMs
    this.#write(part, connection)
  }

  onSettled(): void {
    if (!this.#isHeadSent && this.#head !== undefined) {
      this.#sendHead()
      if (this.#head.length !== 0) this.#response.flushHeaders()
    }
  }

  onEnd(): void {
    const response = this.#response
    this.#options.tee?.onEnd()
    this.#connection = undefined
    this.#release(true)
    if (this.#isHeadSent) response.end()
    else this.#sendWhole()
    // What a service did not want to read must not keep the client's connection from its next request.
    if (this.#request.isPaused()) this.#request.resume()
    this.#finish(this.#head!.status, undefined)
  }

  onUpgrade(): void {
    // Never asked for here.
  }

  onFailure(error: LockstepError): void {
    const connection = this.#connection
    this.#connection = undefined
    this.#release(false)
    if (this.#isHeadSent) {
      // The client must see that something is missing.
      this.#response.destroy()
      this.#finish(this.#head!.status, error)
      return
    }
    const { method } = this.#incoming
    const mayRepeat =
      connection?.isLost === true && this.#head === undefined && !this.#isBodyBegun && idempotent.has(method)
    this.#head = undefined
    this.#held = undefined
    this.#retryOr(error, mayRepeat)
  }

  #retryOr(error: LockstepError, mayRepeat: boolean): void {
    const { upstream, traffic } = this.#options.route
    const isLeft = this.#attempts <= upstream.options.retries
    if (
      mayRepeat &&
      isLeft &&
      !isLockstepError(error, 'overloaded') &&
      upstream.retryBudget.spend(performance.now())
    ) {
      traffic.retries++
      try {
        this.#attempt(this.#instance)
        return
      } catch {
        // The first error says more than that nobody else is there.
      }
    }
    this.#refuse(error)
  }

  #sendHead(): void {
    const head = this.#head!
    this.#isHeadSent = true
    const fields = this.#makeFields(head)
    writeHead(this.#response, head.status, head.reason, fields)
    this.#forget = this.#options.streams.add({
      stillHolds: this.#options.stillHolds,
      end: () => this.#response.destroy(),
      leave: isEventStream(fields) ? () => this.#leave() : undefined,
    })
    const held = this.#held
    this.#held = undefined
    if (held !== undefined) this.#write(held, this.#connection!)
  }

  /** The whole response has come at once: the client gets it in one piece as well. */
  #sendWhole(): void {
    const head = this.#head!
    const held = this.#held
    const fields = this.#makeFields(head)
    const mayHaveBody = this.#incoming.method !== 'HEAD' && head.status !== 204 && head.status !== 304
    if (head.length === undefined && mayHaveBody) fields.push('content-length', String(held?.length ?? 0))
    writeHead(this.#response, head.status, head.reason, fields)
    if (held === undefined) this.#response.end()
    else if (held.length <= maxJoinedBytes) this.#response.end(held.toString('latin1'), 'latin1')
    else this.#response.end(held)
  }

  #makeFields(head: ResponseHead): string[] {
    const { route, responseHeaders } = this.#options
    const { host, isTls, id } = this.#incoming
    const frontOrigin = `${isTls ? 'https' : 'http'}://${host.toLowerCase()}`
    return makeResponseFields(head, {
      map: (): ReferenceMap => ({ own: route.own, byOrigin: route.byOrigin, frontOrigin }),
      instanceHost: this.#instance!.address.host,
      set: responseHeaders,
      notices: route.notices,
      requestId: id,
    })
  }

  #write(part: Buffer, connection: UpstreamConnection): void {
    if (this.#response.write(part)) return
    // A client that takes nothing for so long is cut off.
    connection.socket.pause()
    this.#response.once('drain', () => {
      if (this.#connection !== connection) return
      connection.deadlineMs = performance.now() + this.#options.route.upstream.options.idleTimeoutMs
      connection.socket.resume()
    })
  }

  #onClientGone(): void {
    if (this.#isDone) return
    this.#abandon()
    this.#finish(0, undefined)
  }

  /** An event stream that ends is asked for again, from where it was. */
  #leave(): void {
    if (this.#isDone) return
    this.#abandon()
    this.#response.end()
    this.#finish(this.#head!.status, undefined)
  }

  /** Ends what runs at the service without blaming it. */
  #abandon(): void {
    const connection = this.#connection
    this.#connection = undefined
    connection?.destroy()
    this.#release(undefined)
  }

  #release(isWell: boolean | undefined): void {
    const instance = this.#instance
    if (instance === undefined || instance.inFlight === 0) return
    if (this.#isReleased === this.#attempts) return
    this.#isReleased = this.#attempts
    instance.inFlight--
    if (isWell === false) instance.failures++
    instance.breaker.end(isWell, performance.now())
  }

  /** The attempt whose place at its instance was given back. */
  #isReleased = 0

  #refuse(error: unknown): void {
    if (this.#isDone) return
    if (this.#isHeadSent) {
      this.#response.destroy()
      this.#finish(this.#head!.status, isLockstepError(error) ? error : undefined)
      return
    }
    const { responseHeaders, route } = this.#options
    const answer = problemAnswer(error)
    const fields = ['x-request-id', this.#incoming.id, ...route.notices, ...listFields(responseHeaders)]
    // What is left of a refused body would otherwise be read as the next request.
    const isCut = this.#hasBody && !this.#request.complete
    if (isCut) fields.push('connection', 'close')
    if (this.#response.destroyed) this.#finish(0, undefined)
    else this.#finish(sendAnswer(this.#response, answer, fields), isLockstepError(error) ? error : undefined)
    if (isCut) this.#request.resume()
  }

  #finish(status: number, error: LockstepError | undefined): void {
    if (this.#isDone) return
    this.#isDone = true
    this.#forget?.()
    this.#options.tee?.onGone()
    this.#options.onDone(status, error)
  }
}

function isEventStream(fields: readonly string[]): boolean {
  const at = fields.indexOf('content-type')
  return at !== -1 && /^text\/event-stream\b/i.test(fields[at + 1]!)
}

function tooLarge(maxBytes: number): LockstepError {
  return new LockstepError('body-too-large', `The body is over ${maxBytes} bytes. Send less, or in parts.`)
}
