/**
 * The frames between pages and bridge as texts: those of the bridge are written, those of a page are read and checked. PROTOCOL.md §9.
 */
import {
  formatPosition,
  isJsonObject,
  type JsonObject,
  LockstepError,
  type Position,
  parseJson,
  parseMarker,
  quote,
} from '../contract/index.ts'
import type { HoldReason, RefreshReason } from './seat.ts'
import { type Follow, readFollows } from './view.ts'

export interface Hello {
  readonly type: 'hello'
  /** `undefined`: what the ticket grants. */
  readonly follow: readonly Follow[] | undefined
  /** The positions by stream. */
  readonly positions: ReadonlyMap<string, Position>
  readonly ticket: string | undefined
  /** Streams without a position begin with what comes from now on. */
  readonly isFromNow: boolean
}

export type PageFrame =
  | Hello
  | { readonly type: 'renew'; readonly ticket: string }
  | { readonly type: 'pong' }
  /** A frame of a later protocol. */
  | { readonly type: 'unknown' }

/** The longest ticket in characters. */
export const maxTicketChars = 8_192

/** Reads a frame of a page. Errors: `invalid-frame`, `invalid-json` and the like for what a frame cannot hold. */
export function parsePageFrame(text: string): PageFrame {
  const frame = parseJson(text)
  if (!isJsonObject(frame) || typeof frame['type'] !== 'string') throw invalid(text, 'it has no type')
  const { type, ticket } = frame
  if (type === 'pong') return { type }
  if (ticket !== undefined && (typeof ticket !== 'string' || ticket.length > maxTicketChars)) {
    throw invalid(text, `its ticket is no text of up to ${maxTicketChars} characters`)
  }
  if (type === 'renew') {
    if (ticket === undefined) throw invalid(text, 'it has no ticket')
    return { type, ticket }
  }
  return type === 'hello' ? readHello(text, frame, ticket) : { type: 'unknown' }
}

function readHello(text: string, frame: JsonObject, ticket: string | undefined): Hello {
  const { protocol, follow, marker = '', from } = frame
  if (protocol !== 1) throw invalid(text, 'its protocol is not 1, the one that this bridge speaks')
  if (typeof marker !== 'string') throw invalid(text, 'its marker is no text')
  if (from !== undefined && from !== 'now') throw invalid(text, 'its "from" is not "now"')
  return {
    type: 'hello',
    follow: follow === undefined ? undefined : readFollows(follow),
    positions: new Map(parseMarker(marker).map(position => [position.stream, position])),
    ticket,
    isFromNow: from === 'now',
  }
}

function invalid(text: string, reason: string): LockstepError {
  return new LockstepError('invalid-frame', `The frame ${quote(text)} cannot be read: ${reason}.`)
}

/** What an interval covers. */
export interface Interval {
  readonly stream: string
  readonly epoch: string
  readonly after: number
  readonly to: number
  readonly isConflated?: boolean
}

/** `messages` are JSON texts. */
export function formatInterval(interval: Interval, messages: readonly string[]): string {
  const { stream, epoch, after, to, isConflated } = interval
  const conflated = isConflated ? '"conflated":true,' : ''
  return `{"type":"interval","stream":"${stream}","epoch":"${epoch}","after":${after},"to":${to},${conflated}"messages":[${messages.join(',')}]}`
}

export interface Welcome {
  readonly pingEveryMs: number
  readonly deadAfterMs: number
  /** `undefined` where nothing expires. */
  readonly leaseMs: number | undefined
}

export function formatWelcome(welcome: Welcome): string {
  return JSON.stringify({ type: 'welcome', protocol: 1, ...welcome })
}

export function formatLive(stream: string): string {
  return `{"type":"live","stream":"${stream}"}`
}

export function formatHold(stream: string, reason: HoldReason): string {
  return `{"type":"hold","stream":"${stream}","reason":"${reason}"}`
}

export function formatRefresh(stream: string, reason: RefreshReason, marker: Position | undefined): string {
  const at = marker === undefined ? '' : `,"marker":"${formatPosition(marker)}"`
  return `{"type":"refresh","stream":"${stream}","reason":"${reason}"${at}}`
}

export function formatTicket(ticket: string | undefined, leaseMs: number): string {
  return JSON.stringify({ type: 'ticket', ticket, leaseMs })
}

export interface Close {
  readonly status: number
  readonly code: string
  readonly detail: string
  /** `undefined`: the page does not come back by itself. */
  readonly retryAfterMs: number | undefined
}

export function formatClose(close: Close): string {
  return JSON.stringify({ type: 'close', ...close })
}

export const pingFrame = '{"type":"ping"}'
