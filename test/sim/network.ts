/** The simulated network between a client and the service: delays, lost answers, cuts, and connections that hang. */
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
      this.#exchange(new Request(String(input), { ...init, signal: null }), signal).then(resolve, reject)
    })
  }

  async #exchange(request: Request, signal: AbortSignal | undefined): Promise<Response> {
    this.requests++
    const service = this.#service
    await this.#runtime.sleep(this.#runtime.between(1, 20))
    await this.#pass()
    if (!service.isUp) throw refused()
    const { boot } = service
    const response = await service.fetch(request)
    if (service.boot !== boot) throw refused()
    const { status } = response
    const headers = Object.fromEntries(response.headers)
    if (headers['content-type']?.startsWith('text/event-stream')) {
      return new Response(this.#carry(response.body!, boot, signal), { status, headers })
    }
    const text = await response.text()
    await this.#runtime.sleep(this.#runtime.between(1, 20) + this.extraMs)
    await this.#pass()
    if (this.#runtime.chance(this.lose)) throw refused()
    return new Response(text === '' ? null : text, { status, headers })
  }

  #carry(
    body: ReadableStream<Uint8Array>,
    boot: number,
    signal: AbortSignal | undefined,
  ): ReadableStream<Uint8Array> {
    const reader = body.getReader()
    let isOver = false
    return new ReadableStream<Uint8Array>({
      start: controller => {
        const end = (reason: unknown = refused()): void => {
          if (isOver) return
          isOver = true
          this.#streams.delete(end)
          controller.error(reason)
          reader.cancel().catch(() => {})
        }
        this.#streams.add(end)
        this.#service.onKill(() => end())
        signal?.addEventListener('abort', () => end(signal.reason))
        void this.#pump(reader, controller, () => isOver || this.#service.boot !== boot).catch(end)
      },
      cancel: () => {
        isOver = true
        reader.cancel().catch(() => {})
      },
    })
  }

  async #pump(
    reader: ReadableStreamDefaultReader<Uint8Array>,
    controller: ReadableStreamDefaultController<Uint8Array>,
    isOver: () => boolean,
  ): Promise<void> {
    for (;;) {
      const { done, value } = await reader.read()
      await this.#runtime.sleep(this.#runtime.between(1, 10))
      await this.#pass()
      if (isOver()) return
      if (done) {
        controller.close()
        return
      }
      controller.enqueue(value)
    }
  }

  /** Waits for ever in a black hole, as a half-open connection does; fails where the link is cut. */
  async #pass(): Promise<void> {
    if (this.isBlackHole) await new Promise(() => {})
    if (this.isCut) throw refused()
  }
}

function refused(): TypeError {
  return new TypeError('fetch failed')
}
