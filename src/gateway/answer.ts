/** What the gateway answers by itself: problem documents, and the answers of its parts. */
import type { ServerResponse } from 'node:http'
import { errorCodes, isLockstepError, toProblem } from '../contract/index.ts'
import type { GatewayAnswer } from './request.ts'

/** The answer to an error, as a problem document (RFC 9457). */
export function problemAnswer(error: unknown): GatewayAnswer {
  const problem = toProblem(error)
  const isPassing = isLockstepError(error) && errorCodes[error.code].retry
  return {
    status: problem.status,
    headers: {
      'content-type': 'application/problem+json',
      'cache-control': 'no-store',
      ...(isPassing && problem.status === 503 ? { 'retry-after': '1' } : {}),
    },
    body: JSON.stringify(problem),
  }
}

/** Sends it, with further fields as names and values in turn, and gives the status. */
export function sendAnswer(response: ServerResponse, answer: GatewayAnswer, more: readonly string[]): number {
  const { status, headers = {}, body } = answer
  const fields = [...more]
  for (const [name, value] of Object.entries(headers)) {
    for (const each of typeof value === 'string' ? [value] : value) fields.push(name, each)
  }
  const hasBody = status >= 200 && status !== 204 && status !== 304
  if (hasBody) fields.push('content-length', String(body === undefined ? 0 : Buffer.byteLength(body)))
  writeHead(response, status, undefined, fields)
  response.end(response.req.method === 'HEAD' || !hasBody ? undefined : body)
  return status
}

/** The compatible responses of HTTP/2 take no lists, and no field about the connection. */
export function writeHead(
  response: ServerResponse,
  status: number,
  reason: string | undefined,
  fields: readonly string[],
): void {
  if (response.req.httpVersionMajor < 2) {
    if (reason === undefined) response.writeHead(status, fields as string[])
    else response.writeHead(status, reason, fields as string[])
    return
  }
  const headers: Record<string, string | string[]> = {}
  for (let index = 0; index < fields.length; index += 2) {
    const name = fields[index]!.toLowerCase()
    if (name === 'connection') continue
    const before = headers[name]
    const value = fields[index + 1]!
    headers[name] = before === undefined ? value : [...(Array.isArray(before) ? before : [before]), value]
  }
  response.writeHead(status, headers)
}
