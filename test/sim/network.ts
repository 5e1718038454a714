/** The simulated network between a client and the service: delays, lost answers, cuts, and connections that hang. */
import type { Exchange } from '../../src/service/http/exchange.ts'
import type { Runtime } from './runtime.ts'
import type { SimService } from './service.ts'

export class SimLink {
  /** Every request fails at once. */
  isCut = false
  /** Requests and streams hang: nothing comes, and nothing says so. */
  isBlackHole = false
  /** The probability that an answer is lost after the service has done its work. */
  lose = 0
  /** How much longer answers take. */
  extraMs = 0
  requests = 0
  readonly #runtime: Runtime
  readonly #service: SimService
  readonly #streams = new Set<() => void>()

  constructor(runtime: Runtime, service: SimService) {
    this.#runtime = runtime
    this.#service = service
  }

  /** Cuts the link and every stream on it. */
  cut(): void {
    this.isCut = true
    for (const end of [...this.#streams]) end()
  }

  readonly fetch: typeof fetch = (input, init) => {
    const signal = init?.signal ?? undefined
    if (signal?.aborted) return Promise.reject(signal.reason)
    return new Promise((resolve, reject) => {
      signal?.addEventListener('abort', () => reject(signal.reason))
      this.#exchange(new SimRequest(String(input), init), signal).then(
        answer => resolve(answer as never as Response),
        reject,
      )
    })
  }

  async #exchange(request: SimRequest, signal: AbortSignal | undefined): Promise<SimAnswer> {
    this.requests++
    const service = this.#service
    await this.#runtime.sleep(this.#runtime.between(1, 20))
    await this.#pass()
    if (!service.isUp) throw refused()
    const { boot } = service
    const { status, headers, body } = await service.handle(request)
    if (service.boot !== boot) throw refused()
    if (typeof body === 'object')
      return new SimAnswer(status, headers, this.#carry(body, request, boot, signal))
    await this.#runtime.sleep(this.#runtime.between(1, 20) + this.extraMs)
    await this.#pass()
    if (this.#runtime.chance(this.lose)) throw refused()
    return new SimAnswer(status, headers, body)
  }

  #carry(
    parts: AsyncIterable<string>,
    request: SimRequest,
    boot: number,
    signal: AbortSignal | undefined,
  ): ReadableStream<Uint8Array> {
    const iterator = parts[Symbol.asyncIterator]()
    const leave = (): void => {
      request.leave()
      void iterator.return?.()
    }
    let isOver = false
    return new ReadableStream<Uint8Array>({
      start: controller => {
        const end = (reason: unknown = refused()): void => {
          if (isOver) return
          isOver = true
          this.#streams.delete(end)
          controller.error(reason)
          leave()
        }
        this.#streams.add(end)
        this.#service.onKill(() => end())
        signal?.addEventListener('abort', () => end(signal.reason))
        void this.#pump(iterator, controller, () => isOver || this.#service.boot !== boot).catch(end)
      },
      cancel: () => {
        isOver = true
        leave()
      },
    })
  }

  async #pump(
    iterator: AsyncIterator<string>,
    controller: ReadableStreamDefaultController<Uint8Array>,
    isOver: () => boolean,
  ): Promise<void> {
    for (;;) {
      const { done, value } = await iterator.next()
      await this.#runtime.sleep(this.#runtime.between(1, 10))
      await this.#pass()
      if (isOver()) return
      if (done) {
        controller.close()
        return
      }
      controller.enqueue(encoder.encode(value))
    }
  }

  /** Waits for ever in a black hole, as a half-open connection does; fails where the link is cut. */
  async #pass(): Promise<void> {
    if (this.isBlackHole) await new Promise(() => {})
    if (this.isCut) throw refused()
  }
}

/** What the service sees of a request. Those of the Fetch API cost more than what most requests ask for. */
class SimRequest implements Exchange {
  readonly method: string
  readonly path: string
  readonly query: string
  readonly #headers: Headers | Readonly<Record<string, string>>
  readonly #body: string
  #gone: AbortController | undefined

  constructor(url: string, { method = 'GET', headers = {}, body }: RequestInit = {}) {
    const end = url.indexOf('?')
    const start = url.indexOf('/', url.indexOf('//') + 2)
    this.method = method
    this.path = end < 0 ? url.slice(start) : url.slice(start, end)
    this.query = end < 0 ? '' : url.slice(end + 1)
    this.#headers = headers as Headers | Record<string, string>
    this.#body = (body as string | undefined) ?? ''
  }

  header(name: string): string | undefined {
    return this.#headers instanceof Headers ? (this.#headers.get(name) ?? undefined) : this.#headers[name]
  }

  async readBody(): Promise<string> {
    return this.#body
  }

  get signal(): AbortSignal {
    this.#gone ??= new AbortController()
    return this.#gone.signal
  }

  /** Nobody reads the answer any more. */
  leave(): void {
    this.#gone?.abort()
  }
}

/** As much of a Response as the code here uses. */
class SimAnswer {
  readonly status: number
  readonly statusText = ''
  readonly headers: AnswerHeaders
  readonly #body: string | ReadableStream<Uint8Array> | undefined

  constructor(
    status: number,
    headers: Readonly<Record<string, string>>,
    body: string | ReadableStream<Uint8Array> | undefined,
  ) {
    this.status = status
    this.headers = new AnswerHeaders(Object.entries(headers))
    this.#body = status === 204 || status === 304 ? undefined : body
  }

  get ok(): boolean {
    return this.status >= 200 && this.status < 300
  }

  get body(): ReadableStream<Uint8Array> | readonly Uint8Array[] | null {
    const body = this.#body
    return typeof body === 'string' ? [encoder.encode(body)] : (body ?? null)
  }

  async text(): Promise<string> {
    return typeof this.#body === 'string' ? this.#body : ''
  }
}

/** By their names in lower case. */
class AnswerHeaders extends Map<string, string> {
  override get(name: string): string | undefined {
    return super.get(name) ?? (null as never)
  }
}

const encoder = new TextEncoder()

function refused(): TypeError {
  return new TypeError('fetch failed')
}
