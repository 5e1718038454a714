/** The port to what decides who may send a request, and how many: keys, tokens, plans, CORS. */
import type { GatewayAnswer, GatewayRequest } from './request.ts'

/** What was decided about one request. An empty object lets it pass as it is. */
export interface Admission {
  /** Answered instead of the service: 401, 403 or 429, as a problem document. Nothing reaches a service then. */
  readonly refused?: GatewayAnswer
  /** Set on the request to the service, whatever the client sent under these names; `undefined` leaves one out. Lower case. */
  readonly requestHeaders?: Readonly<Record<string, string | undefined>>
  /** Set on the response, whoever makes it: `RateLimit`, CORS. `undefined` leaves one of the service out. */
  readonly responseHeaders?: Readonly<Record<string, string | undefined>>
  /**
   * Is what let it in still good? Asked at least every 30 s while a response or WebSocket stays open, which ends where it is not: the key was
   * revoked, the token is over. Missing where nothing can end.
   */
  readonly stillHolds?: () => boolean
}

/** Is asked about each request that a route leads somewhere, upgrades and own pages included. */
export interface Admitter {
  /** MUST answer without a promise where it can: it is on the way of every request. A rejection is a 503 to the client. */
  admit(request: GatewayRequest): Admission | Promise<Admission>
  /** The answer to a CORS preflight; `undefined` where the request is none. Asked before {@link admit}. */
  preflight?(request: GatewayRequest): GatewayAnswer | undefined
  /** May be called twice. */
  close(): Promise<void>
}
