/**
 * What a canonical path says about where a resource is kept: its stream, its collection, and what lies below it.
 *
 * Paths are taken as canonical (contract/topic.ts) and are not checked again. PROTOCOL.md §2.
 */
import { LockstepError, quote } from '../contract/index.ts'

/** The stream of a canonical path: its first segment. */
export function streamOf(path: string): string {
  const end = path.indexOf('/', 1)
  return end === -1 ? path.slice(1) : path.slice(1, end)
}

/** The collection that a resource is listed in: its path up to the last slash. */
export function collectionOf(path: string): string {
  return path.slice(0, path.lastIndexOf('/'))
}

/** Is it that path itself, or below it? */
export function isUnder(path: string, under: string): boolean {
  return path.startsWith(under) && (path.length === under.length || path[under.length] === '/')
}

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
