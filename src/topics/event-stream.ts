/** A stream of messages as server-sent events: one event a message, its data a JSON object. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { StreamSink } from './topic-stream.ts'

export function openEventStream(
  request: IncomingMessage,
  response: ServerResponse,
  headers: Readonly<Record<string, string>>,
): StreamSink {
  request.socket.setTimeout(0)
  request.socket.setNoDelay(true)
  response.writeHead(200, {
    ...headers,
    'content-type': 'text/event-stream; charset=utf-8',
    'cache-control': 'no-store',
    'x-accel-buffering': 'no',
    'x-content-type-options': 'nosniff',
  })
  // Where it is not the end of a server, whoever reads comes back after this time.
  response.write('retry: 2000\n\n')
  return {
    get unsentBytes() {
      return response.writableLength
    },
    send(entry) {
      response.write(`data: ${entry}\n\n`)
    },
    ping() {
      response.write(':\n\n')
    },
    end(code) {
      // Who takes nothing would never take the end either.
      if (code === 'too-slow') response.destroy()
      else response.end(code === 'closed' ? '' : `event: end\ndata: {"code":"${code}"}\n\n`)
    },
  }
}
