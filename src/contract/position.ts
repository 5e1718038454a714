/**
 * Positions and markers: places in streams, and the lower bounds made of them.
 *
 * A position `people:k3f9:1042` is one change of one stream in one epoch; it is also the id of that message.
 * A marker holds at most one position per stream and says "everything up to here is in what you hold".
 * Markers combine by the minimum. PROTOCOL.md §5.
 */
import { LockstepError, quote } from './error.ts'

export interface Position {
  /** The stream's name as in topics (percent-encoded, so it holds no colon). */
  readonly stream: string
  /** The random short id of the stream's history: 1 to 32 of `[A-Za-z0-9]`. */
  readonly epoch: string
  /** 1, 2, 3 … per stream and epoch; 0 stands before the first. */
  readonly seq: number
}

/** The positions of one or more streams, one each, ordered by stream. `[]` bounds nothing. */
export type Marker = readonly Position[]

/** The most streams that one marker may hold. */
export const maxMarkerStreams = 32

const pattern = /^([A-Za-z0-9_%-]{1,1536}):([A-Za-z0-9]{1,32}):(0|[1-9]\d{0,15})$/
const shortPattern = /^([A-Za-z0-9]{1,32}):(0|[1-9]\d{0,15})$/

export function formatPosition({ stream, epoch, seq }: Position): string {
  return `${stream}:${epoch}:${seq}`
}

/** Errors: `invalid-position`. */
export function parsePosition(text: string): Position {
  const [, stream, epoch, digits] = pattern.exec(text) ?? []
  const seq = Number(digits)
  if (stream === undefined || epoch === undefined || !Number.isSafeInteger(seq)) {
    throw new LockstepError(
      'invalid-position',
      `The position ${quote(text)} cannot be read. It looks like "people:k3f9:1042".`,
    )
  }
  return { stream, epoch, seq }
}

/** Reads `k3f9:1042` or `people:k3f9:1042` as a position of the given stream. Errors: `invalid-position`. */
export function parsePositionIn(stream: string, text: string): Position {
  const [, epoch, digits] = shortPattern.exec(text) ?? []
  const seq = Number(digits)
  if (epoch !== undefined && Number.isSafeInteger(seq)) return { stream, epoch, seq }
  const position = parsePosition(text)
  if (position.stream !== stream) {
    throw new LockstepError(
      'invalid-position',
      `The position ${quote(text)} belongs to the stream ${quote(position.stream)}, not to ${quote(stream)}.`,
    )
  }
  return position
}

/** Writes a marker: the positions in order of their streams, joined by commas. */
export function formatMarker(marker: Marker): string {
  return [...marker].sort(byStream).map(formatPosition).join(',')
}

/** Reads a marker; white space around commas is allowed, as in HTTP lists. Errors: `invalid-position`. */
export function parseMarker(text: string): Marker {
  const parts = text.split(',', maxMarkerStreams + 1).map(part => part.trim())
  if (parts.length > maxMarkerStreams) {
    throw new LockstepError('invalid-position', `The marker names more than ${maxMarkerStreams} streams.`)
  }
  const positions = parts.length === 1 && parts[0] === '' ? [] : parts.map(parsePosition)
  const streams = new Set(positions.map(position => position.stream))
  if (streams.size !== positions.length) {
    throw new LockstepError('invalid-position', `The marker ${quote(text)} names a stream twice.`)
  }
  return positions.sort(byStream)
}

/** How two positions stand to each other; `incomparable` where stream or epoch differ. */
export type PositionOrder = 'before' | 'same' | 'after' | 'incomparable'

export function comparePositions(a: Position, b: Position): PositionOrder {
  if (a.stream !== b.stream || a.epoch !== b.epoch) return 'incomparable'
  return a.seq < b.seq ? 'before' : a.seq > b.seq ? 'after' : 'same'
}

/**
 * The marker of something made of several parts: per stream the minimum.
 * `undefined` where two parts are of different epochs of one stream: the older one must be fetched again.
 */
export function minimumMarker(markers: readonly Marker[]): Marker | undefined {
  const lowest = new Map<string, Position>()
  for (const position of markers.flat()) {
    const other = lowest.get(position.stream)
    if (other !== undefined && other.epoch !== position.epoch) return undefined
    if (other === undefined || position.seq < other.seq) lowest.set(position.stream, position)
  }
  return [...lowest.values()].sort(byStream)
}

/** Does a copy at `held` hold everything up to `wanted`? Each stream of `wanted` must be held, in its epoch, as far. */
export function isAtLeast(held: Marker, wanted: Marker): boolean {
  return wanted.every(position =>
    held.some(other => ['same', 'after'].includes(comparePositions(other, position))),
  )
}

function byStream(a: Position, b: Position): number {
  return a.stream < b.stream ? -1 : a.stream > b.stream ? 1 : 0
}
