/**
 * Ids for resources that bring none: 26 characters of Crockford's base 32 in lower case, 48 bits of time before
 * 80 random bits, so that they sort by the time of creation and need no encoding in paths and topics.
 */
import { randomFillSync } from 'node:crypto'

const digits = '0123456789abcdefghjkmnpqrstvwxyz'

/** Makes an id. Two made in the same millisecond sort in any order. */
export function createTimeSortableId(timeMs: number = Date.now()): string {
  let time = ''
  for (let rest = timeMs, index = 0; index < 10; index++) {
    time = digits.charAt(rest % 32) + time
    rest = Math.floor(rest / 32)
  }
  return time + createRandomText()
}

/** May it be the id of a request: 1 to 128 visible ASCII characters? */
export function isRequestId(text: string): boolean {
  return /^[\x21-\x7e]{1,128}$/.test(text)
}

/** Makes a short random id for a request that brings none. */
export function createRequestId(): string {
  return createRandomText()
}

const pool = { bytes: new Uint8Array(4_096), used: 4_096 }

/** 16 random digits. The bytes come from a pool: asking the system for each request costs as much as its routing. */
function createRandomText(): string {
  if (pool.used === pool.bytes.length) {
    randomFillSync(pool.bytes)
    pool.used = 0
  }
  let text = ''
  for (const end = pool.used + 16; pool.used < end; pool.used++)
    text += digits.charAt(pool.bytes[pool.used]! % 32)
  return text
}
