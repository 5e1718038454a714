/** What a request asks to be published: its body, by its media type. PROTOCOL.md §16. */
import { isUtf8 } from 'node:buffer'
import type { IncomingMessage } from 'node:http'
import { LockstepError } from '../contract/index.ts'
import { readBytes } from './answer.ts'
import { readJsonPayload } from './value.ts'

export interface Payload {
  readonly bytes: Uint8Array
  /** It comes from the form of a page, which is to be shown again. */
  readonly isForm: boolean
  readonly retain: boolean | undefined
}

/** Errors: `body-too-large`, `invalid-json`, `unsupported-media-type`, `invalid-query`. */
export async function readPayload(
  request: IncomingMessage,
  query: URLSearchParams,
  maxBytes: number,
): Promise<Payload> {
  const retain = readRetain(query)
  const { 'content-type': type = '', 'content-encoding': encoding = 'identity' } = request.headers
  if (encoding !== 'identity')
    throw new LockstepError('unsupported-media-type', 'The body is compressed. Send it as it is.')
  const bytes = await readBytes(request, maxBytes)
  const mediaType = type.split(';', 1)[0]!.trim().toLowerCase()
  if (mediaType === 'application/x-www-form-urlencoded') return readForm(bytes, retain)
  if (bytes.length > 0 && /^application\/(json|[^/]+\+json)$/.test(mediaType))
    return { bytes: Buffer.from(readJsonPayload(readText(bytes))), isForm: false, retain }
  return { bytes, isForm: false, retain }
}

function readText(bytes: Buffer): string {
  if (isUtf8(bytes)) return bytes.toString()
  throw new LockstepError(
    'invalid-json',
    'The body is no JSON: it is not UTF-8. Send it as application/octet-stream.',
  )
}

/** What `curl -d` sends is called a form too: it is one only where it has the member that forms have. */
function readForm(bytes: Buffer, retain: boolean | undefined): Payload {
  const text = bytes.toString()
  if (!/^payload=|&payload=/.test(text)) return { bytes, isForm: false, retain }
  const form = new URLSearchParams(text)
  const payload = form.get('payload') ?? ''
  // Forms end their lines as in a letter of the past.
  return {
    bytes: Buffer.from(payload.replaceAll('\r\n', '\n')),
    isForm: true,
    retain: retain ?? form.has('retain'),
  }
}

function readRetain(query: URLSearchParams): boolean | undefined {
  const text = query.get('retain')
  if (text === null) return undefined
  if (text === 'true' || text === '') return true
  if (text === 'false') return false
  throw new LockstepError('invalid-query', `retain is true or false.`)
}
