/**
 * All pages that see the same of a stream: what they are sent is made once, and is the same bytes for each.
 *
 * Its members have all been told everything up to one number, so none of them needs a position of its own. PROTOCOL.md §9.6.
 */
import type { Entry } from './backlog.ts'
import { conflate } from './conflation.ts'
import { formatInterval } from './frame.ts'
import type { Parcel } from './parcel.ts'
import { project } from './projection.ts'
import type { HoldReason, Place } from './seat.ts'
import type { View } from './view.ts'

/** Where frames go: the session of a page. */
export interface Outlet {
  /** It takes more now; otherwise it says later that it does again. */
  readonly isOpen: boolean
  send(parcel: Parcel): void
}

/** A page's place in one stream. */
export interface Seat extends Place {
  readonly outlet: Outlet
  readonly channel: Channel
  epoch: string | undefined
  seq: number
  sinceMs: number
  proofs: number
  /** `live`: it is a member of the channel and has no position of its own. */
  phase: 'waiting' | 'filling' | 'live' | 'ended'
  /** What it was last told, so that it is not told twice. */
  held: HoldReason | undefined
}

export interface Channel {
  readonly view: View
  readonly members: Set<Seat>
  /** Seats of any phase; without one the channel is forgotten. */
  seats: number
  /** Up to here all members have been told. */
  told: number
  /** What has come since and may concern them. */
  pending: Entry[]
  /** When a quiet channel is next told how far the stream is. */
  bookmarkAtMs: number
}

export function createChannel(view: View, told: number, bookmarkAtMs: number): Channel {
  return { view, members: new Set(), seats: 0, told, pending: [], bookmarkAtMs }
}

/** A part of an interval that makes one frame. */
export interface Part {
  readonly to: number
  readonly entries: readonly Entry[]
  /** Several changes of a resource are told as one. */
  readonly isConflated: boolean
}

const maxFrameChars = 262_144

/**
 * Cuts an interval so that no frame grows without limit; each part covers its own piece, so each is true by itself. From `conflateFrom` changes
 * on it looks whether fewer say the same.
 */
export function cutInterval(entries: readonly Entry[], to: number, conflateFrom: number): readonly Part[] {
  if (entries.length >= conflateFrom) {
    const joined = conflate(entries)
    const isConflated = joined.length < entries.length
    if (isConflated && countChars(joined) <= maxFrameChars) return [{ to, entries: joined, isConflated }]
  }
  const parts: Part[] = []
  let start = 0
  let chars = 0
  for (const [index, { text, seq }] of entries.entries()) {
    chars += text.length
    if (chars < maxFrameChars || index === entries.length - 1) continue
    parts.push({ to: seq, entries: entries.slice(start, index + 1), isConflated: false })
    start = index + 1
    chars = 0
  }
  parts.push({ to, entries: start === 0 ? entries : entries.slice(start), isConflated: false })
  return parts
}

function countChars(entries: readonly Entry[]): number {
  return entries.reduce((sum, { text }) => sum + text.length, 0)
}

export interface BuiltFrame {
  readonly text: string
  /** How many messages are in it. */
  readonly messages: number
}

/** Makes the frame of one part as the channel may see it. */
export function buildFrame(view: View, epoch: string, after: number, part: Part): BuiltFrame {
  const messages: string[] = []
  for (const entry of part.entries) {
    const text = project(entry, view)
    if (text !== undefined) messages.push(text)
  }
  const interval = { stream: view.stream, epoch, after, to: part.to, isConflated: part.isConflated }
  return { text: formatInterval(interval, messages), messages: messages.length }
}
