/** How requests are answered: whole bodies, problem documents, and the headers that go with them. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { LockstepError, toProblem } from '../contract/index.ts'

export interface Answer {
  readonly status: number
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string | Uint8Array
}

export function sendAnswer(
  request: IncomingMessage,
  response: ServerResponse,
  { status, headers = {}, body }: Answer,
): void {
  const length = body === undefined ? {} : { 'content-length': Buffer.byteLength(body) }
  // What is left of a body that was not read would be taken for the next request.
  const rest = request.complete ? {} : { connection: 'close' }
  response.writeHead(status, { 'x-content-type-options': 'nosniff', ...headers, ...length, ...rest })
  response.end(request.method === 'HEAD' ? undefined : body)
}

/** The answer to an error: a problem document (RFC 9457). Of 5xx `onError` is told. */
export function problemAnswer(
  error: unknown,
  headers: Readonly<Record<string, string>>,
  onError: (error: unknown) => void,
): Answer {
  const problem = toProblem(error)
  if (problem.status >= 500) onError(error)
  return {
    status: problem.status,
    headers: {
      ...headers,
      'content-type': 'application/problem+json; charset=utf-8',
      'cache-control': 'no-store',
      ...(problem.status === 503 ? { 'retry-after': '1' } : {}),
    },
    body: `${JSON.stringify(problem)}\n`,
  }
}

/** Errors: `body-too-large`; `closed` where the request breaks off. */
export function readBytes(request: IncomingMessage, maxBytes: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const parts: Buffer[] = []
    let bytes = 0
    request.on('data', (part: Buffer) => {
      bytes += part.length
      // What comes behind is not kept, but taken: else the answer might not reach its reader.
      if (bytes <= maxBytes) parts.push(part)
      else
        reject(
          new LockstepError('body-too-large', `The body is over ${maxBytes} bytes. Publish less at once.`),
        )
    })
    request.on('end', () => resolve(Buffer.concat(parts)))
    request.on('close', () => reject(new LockstepError('closed', 'The request broke off.')))
    request.on('error', () => {})
  })
}
