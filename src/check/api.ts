/**
 * Asks the API that is judged, and keeps a record of every exchange: the promises of PROTOCOL.md §4 are judged on all of them.
 *
 * It uses node:http and not `fetch`, so that a path is sent exactly as it is spelt here.
 */
import { Agent, request as requestHttp } from 'node:http'
import { request as requestHttps, Agent as SecureAgent } from 'node:https'
import { type Json, LockstepError } from '../contract/index.ts'

export interface AskOptions {
  readonly headers?: Readonly<Record<string, string>>
  /** Sent as JSON; a text is sent as it is. */
  readonly body?: Json
  /** @default 'application/json', with a body */
  readonly contentType?: string | false
  /** @default 20_000 */
  readonly timeoutMs?: number
}

export interface Exchange {
  readonly method: string
  /** Below the API root, as it was sent, with its query. */
  readonly target: string
  readonly status: number
  /** Lower case; several of one name are joined by commas. */
  readonly headers: Readonly<Record<string, string>>
  readonly text: string
  /** The body; `undefined` where it is empty or no JSON. */
  readonly json: Json | undefined
  /** By one clock that counts beginnings and ends: what began behind an end was sent after that answer had come. */
  readonly begunAt: number
  readonly endedAt: number
}

export interface Api extends Disposable {
  /** The root, without a trailing slash. */
  readonly root: string
  /** All answers so far, in the order in which they came. */
  readonly exchanges: readonly Exchange[]
  /** Errors: `api-unreachable`, `timeout`. */
  ask(method: string, target: string, options?: AskOptions): Promise<Exchange>
  /** Opens an event stream and gives its text as it comes, until it ends, `signal` fires or the limit is reached. */
  listen(target: string, signal: AbortSignal, onText: (text: string) => void): Promise<Exchange>
}

/** Answers are kept up to so many; a check of an API makes far fewer. */
const maxExchanges = 50_000
const maxBodyBytes = 32 * 1024 * 1024

export function createApi(root: string, headers: Readonly<Record<string, string>> = {}): Api {
  const isSecure = root.startsWith('https:')
  const agent = isSecure
    ? new SecureAgent({ keepAlive: true, maxSockets: 64 })
    : new Agent({ keepAlive: true, maxSockets: 64 })
  const exchanges: Exchange[] = []
  let clock = 0

  const send = (
    method: string,
    target: string,
    options: AskOptions,
    onText?: (text: string) => void,
    signal?: AbortSignal,
  ): Promise<Exchange> =>
    new Promise((resolve, reject) => {
      const { body, timeoutMs = 20_000, contentType = 'application/json' } = options
      const text = body === undefined ? undefined : typeof body === 'string' ? body : JSON.stringify(body)
      const begunAt = ++clock
      const url = new URL(root)
      const fail = (error: Error): void => {
        const what = `${method} ${root}${target}`
        reject(new LockstepError('api-unreachable', `${what} failed: ${error.message}.`, { cause: error }))
      }
      const request = (isSecure ? requestHttps : requestHttp)(
        {
          agent: onText === undefined ? agent : false,
          protocol: url.protocol,
          hostname: url.hostname.replace(/^\[|\]$/g, ''),
          port: url.port,
          // Not through URL, which would resolve and spell anew what is sent to see how it is taken.
          path: `${url.pathname.replace(/\/+$/, '')}${target}`,
          method,
          signal,
          headers: {
            accept: 'application/json',
            'accept-language': '*',
            ...headers,
            ...(text === undefined
              ? {}
              : {
                  ...(contentType === false ? {} : { 'content-type': contentType }),
                  'content-length': String(Buffer.byteLength(text)),
                }),
            ...options.headers,
          },
        },
        response => {
          let received = ''
          const end = (): void => {
            if (timer !== undefined) clearTimeout(timer)
            const exchange: Exchange = {
              method,
              target,
              status: response.statusCode ?? 0,
              headers: readHeaders(response.headersDistinct),
              text: received,
              json: parse(received),
              begunAt,
              endedAt: ++clock,
            }
            if (exchanges.length < maxExchanges) exchanges.push(exchange)
            resolve(exchange)
          }
          response.setEncoding('utf8')
          response.on('data', (part: string) => {
            received += part
            onText?.(part)
            if (received.length > maxBodyBytes) request.destroy(new Error(`over ${maxBodyBytes} bytes came`))
          })
          response.on('end', end)
          response.on('error', error => (signal?.aborted ? end() : fail(error)))
        },
      )
      const timer =
        onText === undefined
          ? setTimeout(() => request.destroy(new Error(`no answer within ${timeoutMs / 1_000} s`)), timeoutMs)
          : undefined
      request.on('error', error => {
        clearTimeout(timer)
        fail(error)
      })
      request.end(text)
    })

  return {
    root,
    exchanges,
    ask: (method, target, options = {}) => send(method, target, options),
    listen: (target, signal, onText) =>
      send('GET', target, { headers: { accept: 'text/event-stream' } }, onText, signal),
    [Symbol.dispose]() {
      agent.destroy()
    },
  }
}

function readHeaders(distinct: NodeJS.Dict<string[]>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(distinct).map(([name, values]) => [name, (values ?? []).join(', ')]),
  )
}

function parse(text: string): Json | undefined {
  if (text === '') return undefined
  try {
    return JSON.parse(text) as Json
  } catch {
    return undefined
  }
}
