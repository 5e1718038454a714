/** The answer to a write as a message: the status, headers and body of the answer that REST would give. PROTOCOL.md §18. */
import type { WriteReply } from './write-exchange.ts'

/** What of the headers means something here. */
const told = [
  'etag',
  'location',
  'lockstep-marker',
  'lockstep-topic',
  'idempotency-replayed',
  'retry-after',
  'x-request-id',
  'allow',
]

export function formatReply({ status, headers, body }: WriteReply, correlation: string | undefined): string {
  const shown = Object.fromEntries(
    told.flatMap(name => (headers[name] === undefined ? [] : [[name, headers[name]]])),
  )
  const given = correlation === undefined ? '' : `,"correlation":${JSON.stringify(correlation)}`
  // It is JSON already, and stays as it was written.
  const content = typeof body === 'string' && body !== '' ? `,"body":${body.trim()}` : ''
  return `{"status":${status}${given},"headers":${JSON.stringify(shown)}${content}}`
}
