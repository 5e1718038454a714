/**
 * Reads from the API on the sidecar's own account: never with what a client sent, so that what is mirrored does not depend on who
 * asked last.
 */
import { promisify } from 'node:util'
import { brotliDecompress, gunzip, inflate } from 'node:zlib'
import { LockstepError, quote } from '../contract/index.ts'
import type { Instance, ResponseHead, Upstream, UpstreamConnection } from '../upstream/index.ts'
import { findField } from './message-fields.ts'

export interface ApiReaderOptions {
  /** Sent with every request: `{ authorization: 'Bearer …' }`. */
  readonly headers: Readonly<Record<string, string>>
  /** How long an answer may take as a whole. */
  readonly timeoutMs: number
  /** The largest body, also of a list. */
  readonly maxBytes: number
}

export interface ApiAnswer {
  readonly status: number
  /** `name` in lower case. */
  header(name: string): string | undefined
  readonly body: Buffer
}

const decoders = {
  gzip: promisify(gunzip),
  'x-gzip': promisify(gunzip),
  deflate: promisify(inflate),
  br: promisify(brotliDecompress),
}

export class ApiReader {
  readonly #upstream: Upstream
  readonly #options: ApiReaderOptions

  constructor(upstream: Upstream, options: ApiReaderOptions) {
    this.#upstream = upstream
    this.#options = options
  }

  /** GETs a path. Errors: `api-unreachable`, `timeout`, `body-too-large`, `api-refused` for what is no HTTP. */
  async get(target: string, headers: Readonly<Record<string, string>> = {}): Promise<ApiAnswer> {
    const nowMs = performance.now()
    const instance = this.#upstream.choose(nowMs)
    const kept = instance.takeIdle()
    if (kept !== undefined) {
      const answer = await this.#ask(instance, kept, target, headers).catch(error => {
        // A connection that rested may be gone: that says nothing of the API.
        if (!kept.isLost) throw error
      })
      if (answer !== undefined) return answer
    }
    return await this.#ask(instance, await instance.open(nowMs), target, headers)
  }

  async #ask(
    instance: Instance,
    connection: UpstreamConnection,
    target: string,
    headers: Readonly<Record<string, string>>,
  ): Promise<ApiAnswer> {
    const { timeoutMs, maxBytes } = this.#options
    let text = `GET ${target} HTTP/1.1\r\nhost: ${instance.address.authority}\r\n`
    const all = {
      accept: 'application/json',
      'accept-encoding': 'identity',
      'user-agent': 'lockstep',
      'cache-control': 'no-cache',
      ...this.#options.headers,
      ...headers,
    }
    for (const [name, value] of Object.entries(all)) text += `${name}: ${value}\r\n`
    const { head, body } = await new Promise<{ head: ResponseHead; body: Buffer }>((resolve, reject) => {
      const parts: Buffer[] = []
      let bytes = 0
      let head: ResponseHead | undefined
      const nothing = (): void => {}
      const sink = {
        onHead(given: ResponseHead) {
          head = given
        },
        onBody(part: Buffer) {
          bytes += part.length
          if (bytes > maxBytes) connection.fail(tooLarge(target, maxBytes))
          else parts.push(part)
        },
        onEnd: () => resolve({ head: head!, body: parts.length === 1 ? parts[0]! : Buffer.concat(parts) }),
        onFailure: reject,
        onSettled: nothing,
        onUpgrade: nothing,
        onDrain: nothing,
      }
      connection.send('GET', `${text}\r\n`, sink, { isComplete: true })
      connection.deadlineMs = performance.now() + timeoutMs
    })
    const header = (name: string): string | undefined => findField(head.fields, name)
    return { status: head.status, header, body: await decode(header('content-encoding'), body, maxBytes) }
  }
}

async function decode(encoding: string | undefined, body: Buffer, maxBytes: number): Promise<Buffer> {
  const name = encoding?.trim().toLowerCase()
  if (name === undefined || name === '' || name === 'identity' || body.length === 0) return body
  const decoder = decoders[name as keyof typeof decoders]
  if (decoder === undefined) {
    throw new LockstepError('api-refused', `The API encodes what it was asked for plainly: ${quote(name)}.`)
  }
  try {
    return await decoder(body, { maxOutputLength: maxBytes })
  } catch (cause) {
    throw new LockstepError(
      'api-refused',
      `What the API sent cannot be decoded, or is over ${maxBytes} bytes.`,
      {
        cause,
      },
    )
  }
}

function tooLarge(target: string, maxBytes: number): LockstepError {
  return new LockstepError(
    'body-too-large',
    `The API's answer to ${quote(target)} is over ${maxBytes} bytes. Ask for smaller pages, or raise maxAnswerBytes.`,
  )
}
