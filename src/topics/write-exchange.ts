/** A write as the request that the service knows. */
import { LockstepError } from '../contract/index.ts'

/** A request as a service takes it. */
export interface WriteExchange {
  readonly method: string
  readonly path: string
  readonly query: string
  header(name: string): string | undefined
  readBody(maxBytes: number): Promise<string>
  readonly signal: AbortSignal
}

/** Its answer; those to writes are texts. */
export interface WriteReply {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body?: string | AsyncIterable<string>
}

export interface WriteRequest {
  readonly method: string
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
  readonly signal: AbortSignal
}

export function createExchange({ method, path, headers, body, signal }: WriteRequest): WriteExchange {
  return {
    method,
    path,
    query: '',
    header: name => (Object.hasOwn(headers, name) ? headers[name] : undefined),
    async readBody(maxBytes) {
      const bytes = Buffer.byteLength(body)
      if (bytes <= maxBytes) return body
      throw new LockstepError('body-too-large', `The body has ${bytes} bytes; ${maxBytes} are allowed.`)
    },
    signal,
  }
}
