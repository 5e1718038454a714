/** Who may read and publish what, as topic filters; and which pages of browsers may ask at all. */
import type { IncomingMessage } from 'node:http'
import { LockstepError, matchesTopicFilter, quote } from '../contract/index.ts'

/** Topic filters. What none of them covers is refused; topics with `$` are covered only by filters that begin with it. */
export interface TopicRights {
  readonly read: readonly string[]
  readonly publish: readonly string[]
}

/**
 * Says what whoever sends a request may do; `undefined`: it is not known who that is (401). Asked for each request, and of streams again
 * every 30 s.
 */
export type TopicAccess = (
  request: IncomingMessage,
) => TopicRights | undefined | Promise<TopicRights | undefined>

export const everything: TopicRights = { read: ['#'], publish: ['#'] }

export function mayRead({ read }: TopicRights, topic: string): boolean {
  return read.some(filter => matchesTopicFilter(filter, topic))
}

/** Errors: `access-denied`. */
export function checkRead(rights: TopicRights, topic: string): void {
  if (mayRead(rights, topic)) return
  throw new LockstepError('access-denied', `You may not read ${quote(topic)}.`)
}

/** Errors: `access-denied`. */
export function checkPublish({ publish }: TopicRights, topic: string): void {
  if (publish.some(filter => matchesTopicFilter(filter, topic))) return
  throw new LockstepError('access-denied', `You may not publish to ${quote(topic)}.`)
}

/**
 * A page of another site would act with its visitor's cookies, and reach what only the visitor can: it is refused, unless it is among
 * `origins`. A request without an origin is no browser's. Errors: `access-denied`.
 */
export function checkOrigin({ headers }: IncomingMessage, origins: ReadonlySet<string>): void {
  const { origin, host } = headers
  if (origin === undefined || origins.has(origin) || origins.has('*')) return
  if (URL.canParse(origin) && new URL(origin).host === host) return
  throw new LockstepError(
    'access-denied',
    `Pages of ${quote(origin)} may not do this here. Add it to the origins.`,
  )
}

/** What lets the pages of these origins read the answers. Cookies go along only where an origin is named. */
export function corsHeaders(
  { headers: { origin } }: IncomingMessage,
  origins: ReadonlySet<string>,
): Record<string, string> {
  if (origins.size === 0) return {}
  if (origins.has('*')) return { 'access-control-allow-origin': '*' }
  if (origin === undefined || !origins.has(origin)) return { vary: 'Origin' }
  return {
    vary: 'Origin',
    'access-control-allow-origin': origin,
    'access-control-allow-credentials': 'true',
  }
}
