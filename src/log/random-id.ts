/** Short random ids: of epochs, transactions and guard words. */
import { randomBytes } from 'node:crypto'

const letters = 'abcdefghijklmnopqrstuvwxyz0123456789'

/** Eight of `[a-z0-9]`, about 41 bits: enough never to meet an earlier epoch of the same stream. */
export function randomId(): string {
  // 256 is not a multiple of 36, so the first letters come a little more often, which does no harm here.
  return Array.from(randomBytes(8), byte => letters[byte % letters.length]).join('')
}
