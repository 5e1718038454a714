/**
 * Tickets: short-lived signed texts that say who may follow what, made with a page and shown by it to any bridge that has the keys.
 *
 * They are opaque to pages. A ticket is `1.{key id}.{payload}.{HMAC-SHA-256}`, payload and signature in base64url; the signature
 * covers all that stands before it. PROTOCOL.md §9.11.
 */
import { createHmac, createSecretKey, type KeyObject, timingSafeEqual } from 'node:crypto'
import {
  checkCount,
  checkOptions,
  isJsonObject,
  type Json,
  type JsonObject,
  LockstepError,
  parseJson,
  quote,
} from '../contract/index.ts'
import { maxTicketChars } from './frame.ts'
import { type Follow, readFollows } from './view.ts'

export interface TicketKey {
  /** Its name in tickets: 1 to 32 of `[A-Za-z0-9_-]`. */
  readonly id: string
  /** At least 32 bytes, random; the same for all bridges and page servers. */
  readonly secret: string | Uint8Array
}

export interface TicketsOptions {
  /** The first one signs, all are accepted. To rotate: add a key behind, put it first, take the old one out a lifetime later. */
  readonly keys: readonly TicketKey[]
  /** How long a ticket is good. What was withdrawn is delivered no longer than this. @default 60_000 */
  readonly lifetimeMs?: number
  /** Milliseconds since 1970. @default Date.now */
  readonly now?: () => number
}

/** What a ticket says. */
export interface Grant {
  /** Who it was made for, such as a user's or session's id. */
  readonly audience: string
  readonly follow: readonly Follow[]
  /** Milliseconds since 1970. */
  readonly expiresAtMs: number
}

export interface Tickets {
  readonly lifetimeMs: number
  /** Makes a ticket that is good from now on. Errors: `invalid-frame`, `invalid-path`, `invalid-option` where it would be too long. */
  issue(grant: { readonly audience: string; readonly follow: readonly Follow[] }): string
  /** Errors: `invalid-ticket` for what was not signed with one of the keys, `ticket-expired`. */
  verify(ticket: string): Grant
  /** How long it is still good. */
  remainingMs(grant: Grant): number
}

const minSecretBytes = 32

/** Makes what issues and verifies tickets. Errors: `invalid-option`. */
export function createTickets(options: TicketsOptions): Tickets {
  checkOptions('createTickets', options, { keys: true, lifetimeMs: true, now: true })
  const keys = readKeys(options.keys)
  const [signing] = keys
  const byId = new Map(keys)
  const lifetimeMs = checkCount('lifetimeMs', options.lifetimeMs ?? 60_000, { min: 1_000, max: 86_400_000 })
  const now = options.now ?? Date.now

  return {
    lifetimeMs,
    issue({ audience, follow }) {
      const claims = {
        aud: audience,
        exp: now() + lifetimeMs,
        follow: readFollows(follow as unknown as Json),
      }
      const payload = Buffer.from(JSON.stringify(claims)).toString('base64url')
      const [id, secret] = signing!
      const open = `1.${id}.${payload}`
      const ticket = `${open}.${sign(open, secret).toString('base64url')}`
      if (ticket.length <= maxTicketChars) return ticket
      throw new LockstepError(
        'invalid-option',
        `A ticket for ${follow.length} paths would be over ${maxTicketChars} characters. Grant whole collections, or fewer fields.`,
      )
    },
    verify(ticket) {
      const claims = open(ticket, byId)
      const { aud, exp } = claims
      if (typeof aud !== 'string' || typeof exp !== 'number') throw invalid('it says too little')
      if (exp <= now()) {
        throw new LockstepError('ticket-expired', 'The ticket has expired. Renew it, or load the page again.')
      }
      return { audience: aud, follow: readFollows(claims['follow']), expiresAtMs: exp }
    },
    remainingMs: ({ expiresAtMs }) => expiresAtMs - now(),
  }
}

function readKeys(keys: readonly TicketKey[]): readonly (readonly [id: string, secret: KeyObject])[] {
  if (!Array.isArray(keys) || keys.length === 0) {
    throw new LockstepError(
      'invalid-option',
      'createTickets was given no keys: keys: [{ id: "a", secret: … }].',
    )
  }
  const read = keys.map(({ id, secret }: TicketKey) => {
    const bytes = Buffer.from(secret ?? '')
    if (typeof id !== 'string' || !/^[\w-]{1,32}$/.test(id) || bytes.length < minSecretBytes) {
      throw new LockstepError(
        'invalid-option',
        `The key ${quote(id)} needs an id of 1 to 32 letters, digits, "_" or "-", and a secret of at least ${minSecretBytes} bytes.`,
      )
    }
    // A key that is ready: with bytes each signature would cost several times as much.
    return [id, createSecretKey(bytes)] as const
  })
  if (new Set(read.map(([id]) => id)).size === read.length) return read
  throw new LockstepError('invalid-option', 'Two keys of createTickets have the same id. Give each its own.')
}

function open(ticket: string, keys: ReadonlyMap<string, KeyObject>): JsonObject {
  const [, text, id, payload, signature] = /^(1\.([\w-]{1,32})\.([\w-]+))\.([\w-]{43})$/.exec(ticket) ?? []
  const secret = keys.get(id ?? '')
  if (text === undefined || secret === undefined) throw invalid('it is none of ours')
  if (!timingSafeEqual(sign(text, secret), Buffer.from(signature!, 'base64url')))
    throw invalid('its signature is wrong')
  const claims = parseJson(Buffer.from(payload!, 'base64url').toString())
  if (!isJsonObject(claims)) throw invalid('it says nothing')
  return claims
}

function sign(text: string, secret: KeyObject): Buffer {
  return createHmac('sha256', secret).update(text).digest()
}

function invalid(reason: string): LockstepError {
  return new LockstepError('invalid-ticket', `The ticket cannot be used: ${reason}. Load the page again.`)
}
