/**
 * Paths as a store sees them: what lies below one in the order of its index, and what can name a stream.
 *
 * Paths are taken as canonical (contract/topic.ts) and are not checked again. PROTOCOL.md §2.
 */
import { LockstepError, quote } from '../contract/index.ts'

/** Everything below a path lies strictly between these two, since `0` follows `/` in ASCII. */
export function rangeBelow(path: string): { readonly from: string; readonly to: string } {
  return { from: `${path}/`, to: `${path}0` }
}

/** Errors: `invalid-option` for what cannot be the first segment of a canonical path. */
export function checkStreamName(stream: string): void {
  if (/^[A-Za-z0-9_%-]+$/.test(stream)) return
  throw new LockstepError(
    'invalid-option',
    `${quote(stream)} cannot be a stream. Give the first segment of a path, percent-encoded.`,
  )
}
