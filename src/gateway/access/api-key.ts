/**
 * API keys: how one is made, read and kept. A key is shown once; what is kept says nothing of it.
 *
 * `lsk_`, 32 random bytes and a checksum, so that a mistyped key is told from a wrong one, and that scanners find keys in what was published.
 * With so much randomness a fast hash keeps it as well as a slow one.
 */
import { createHmac, hash, randomBytes } from 'node:crypto'
import { crc32 } from 'node:zlib'

const keyForm = /^lsk_([A-Za-z0-9_-]{43})([A-Za-z0-9_-]{6})$/

/** In characters. */
export const keyLength = 53

/** What finds a key, or most of one, where none may stand: in a URL. */
export const keyTrace: RegExp = /lsk_[A-Za-z0-9_-]{16}/

export function createApiKey(): string {
  const secret = randomBytes(32).toString('base64url')
  return `lsk_${secret}${checksumOf(secret)}`
}

/** Is it the text of a key? Says nothing of whether there is such a key. */
export function isApiKey(text: string): boolean {
  const [, secret, checksum] = keyForm.exec(text) ?? []
  return secret !== undefined && checksumOf(secret) === checksum
}

/** What is kept of a key. With a pepper, a secret that is kept elsewhere, the file of keys alone is not even good for guessing. */
export function hashApiKey(key: string, pepper: string | undefined): string {
  if (pepper === undefined) return hash('sha256', key, 'base64url')
  return createHmac('sha256', pepper).update(key).digest('base64url')
}

function checksumOf(secret: string): string {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(crc32(secret))
  return bytes.toString('base64url')
}
