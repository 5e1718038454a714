/** The key or token of a request: from a header, never from the URL. */
import type { GatewayRequest } from '../request.ts'
import { keyTrace } from './api-key.ts'

/** `ambiguous`: several, of which nobody could tell which counts; `in-url`: it stands where it may be logged. */
export type Credential = { readonly kind: 'none' | 'ambiguous' | 'in-url' } | GivenCredential

export interface GivenCredential {
  readonly kind: 'key' | 'token'
  readonly text: string
}

const queryNames = /(^|&)(api[-_]?key|access[-_]?token|id[-_]?token)=/i

export function readCredential({ headers, path, query }: GatewayRequest): Credential {
  if (keyTrace.test(path) || keyTrace.test(decode(query)) || queryNames.test(decode(query)))
    return { kind: 'in-url' }
  const { authorization, 'x-api-key': apiKey } = headers
  if (authorization === undefined && apiKey === undefined) return { kind: 'none' }
  if (typeof authorization === 'string' && apiKey === undefined) {
    const [, text] = /^bearer +([\x21-\x2b\x2d-\x7e]+)$/i.exec(authorization) ?? []
    if (text === undefined) return { kind: 'ambiguous' }
    return { kind: text.startsWith('lsk_') ? 'key' : 'token', text }
  }
  if (typeof apiKey === 'string' && authorization === undefined && !apiKey.includes(','))
    return { kind: 'key', text: apiKey }
  return { kind: 'ambiguous' }
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
