/**
 * What a canonical path says by itself: its stream, what it lies below, and the id at its end.
 *
 * Paths are taken as canonical (topic.ts) and are not checked again. PROTOCOL.md §2.
 */

/** The stream of a canonical path: its first segment, encoded. */
export function streamOf(path: string): string {
  const end = path.indexOf('/', 1)
  return end === -1 ? path.slice(1) : path.slice(1, end)
}

/** The path without its last segment: the collection of a resource, the resource that a nested collection belongs to, else `''`. */
export function parentOf(path: string): string {
  return path.slice(0, Math.max(0, path.lastIndexOf('/')))
}

/** The last segment of a path, encoded. */
export function lastSegmentOf(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1)
}

/** The id of a resource: the last segment of its path, decoded. */
export function idOf(path: string): string {
  return decodeURIComponent(lastSegmentOf(path))
}

/** Is it that path itself, or below it? */
export function isUnder(path: string, under: string): boolean {
  return path.startsWith(under) && (path.length === under.length || path[under.length] === '/')
}
