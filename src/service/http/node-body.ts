/** The body of a `node:http` request: read as text within limits, or thrown away. */
import { isUtf8 } from 'node:buffer'
import type { IncomingMessage } from 'node:http'
import { LockstepError } from '../../contract/index.ts'
import type { Deadlines } from './deadlines.ts'

/** What is taken of a refused body, so that its client comes to read the answer. */
const restLimits = { bytes: 16_777_216, ms: 500 }

/** Reads a body. Errors: `body-too-large`, `request-timeout`, `invalid-json` where it is not UTF-8. */
export function readBody(request: IncomingMessage, maxBytes: number, deadlines: Deadlines): Promise<string> {
  const tooLarge = (): LockstepError =>
    new LockstepError('body-too-large', `The body is over ${maxBytes} bytes. Send less, or in parts.`)
  if (Number(request.headers['content-length'] ?? 0) > maxBytes) return Promise.reject(tooLarge())
  if (request.readableEnded) {
    return Promise.reject(
      new LockstepError(
        'invalid-option',
        'The body was read before it came to Lockstep. Mount Lockstep before what parses bodies.',
      ),
    )
  }
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    let size = 0
    const expire = (): void =>
      fail(
        new LockstepError(
          'request-timeout',
          `The body did not arrive within ${deadlines.timeoutMs / 1_000} s.`,
        ),
      )
    const stop = (): void => {
      deadlines.delete(expire)
      request.off('data', onData).off('end', onEnd).off('error', onClose).off('close', onClose)
    }
    const fail = (error: unknown): void => {
      stop()
      reject(error)
    }
    const onData = (chunk: Buffer): void => {
      size += chunk.length
      if (size > maxBytes) fail(tooLarge())
      else chunks.push(chunk)
    }
    const onEnd = (): void => {
      stop()
      const body = chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks)
      if (isUtf8(body)) resolve(body.toString())
      else
        reject(
          new LockstepError('invalid-json', 'The body is not UTF-8 text. Send JSON in UTF-8 (RFC 8259).'),
        )
    }
    const onClose = (): void =>
      fail(new LockstepError('request-timeout', 'The connection closed before the body was complete.'))
    deadlines.add(expire)
    request.on('data', onData).on('end', onEnd).on('error', onClose).on('close', onClose)
    if (request.destroyed) onClose()
  })
}

/**
 * Throws away what is left of a body, within bounds: where a connection closes with bytes unread, the client is told of
 * a reset, and may lose the answer that it has not read yet.
 */
export function takeRest(request: IncomingMessage): Promise<void> {
  return new Promise(resolve => {
    let left = restLimits.bytes
    const take = (chunk: Buffer): void => {
      left -= chunk.length
      if (left < 0) done()
    }
    const done = (): void => {
      clearTimeout(timer)
      request.off('data', take).off('end', done).off('close', done)
      resolve()
    }
    const timer = setTimeout(done, restLimits.ms)
    request.on('data', take).on('end', done).on('close', done)
    if (request.destroyed) done()
  })
}

/** Is a part of the request's body still to come, or to be read? */
export function isUnread({ complete, headers }: IncomingMessage): boolean {
  if (complete) return false
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0
}
