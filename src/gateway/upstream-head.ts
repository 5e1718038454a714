/** The head of a request as a service is sent it. */

import type { IncomingMessage } from 'node:http'
import type { Http2ServerRequest } from 'node:http2'
import type { Instance } from '../upstream/index.ts'
import { formatForwarded, readConnectionOptions } from './forwarded-headers.ts'
import type { Incoming } from './incoming.ts'
import type { Route } from './route-table.ts'

export interface UpstreamHeadOptions {
  readonly route: Pick<Route, 'root' | 'inside' | 'outside' | 'settings'>
  readonly instance: Instance
  readonly requestHeaders: Readonly<Record<string, string | undefined>> | undefined
  /** Lines about the body and the connection. */
  readonly framing: string
}

/** Writes it, with the empty line at its end. Errors: `invalid-request`. */
export function formatUpstreamHead(incoming: Incoming, options: UpstreamHeadOptions): string {
  const { route, instance, requestHeaders, framing } = options
  const { method, path, query, headers, host, isTls, remoteAddress, id, hasOwnId } = incoming
  const target = route.root + route.inside + path.slice(route.outside.length)
  const slash = target.charCodeAt(0) === 47 ? '' : '/'
  const connection = headers['connection']
  const without = typeof connection === 'string' ? readConnectionOptions(connection) : undefined
  const node = remoteAddress.includes(':') ? `"[${remoteAddress}]"` : remoteAddress
  const proto = isTls ? 'https' : 'http'
  const sentHost = route.settings.host === 'client' ? host : instance.address.authority
  return (
    `${method} ${slash}${target}${query === '' ? '' : `?${query}`} HTTP/1.1\r\nhost: ${sentHost}\r\n` +
    formatForwarded(headers, without, requestHeaders) +
    `x-forwarded-for: ${remoteAddress}\r\nx-forwarded-proto: ${proto}\r\nx-forwarded-host: ${host}\r\n` +
    `forwarded: for=${node};host="${host}";proto=${proto}\r\n${hasOwnId ? `x-request-id: ${id}\r\n` : ''}${framing}\r\n`
  )
}

/** Does a body come with it? By HTTP/2 nothing in the fields has to say so. */
export function hasBody(request: IncomingMessage): boolean {
  if (request.httpVersionMajor >= 2) return !(request as unknown as Http2ServerRequest).stream.endAfterHeaders
  const { headers } = request
  return headers['transfer-encoding'] !== undefined || (headers['content-length'] ?? '0') !== '0'
}

/** In chunks where nothing says its length, or where that is not what ends it: by HTTP/2 frames do. */
export function isChunked(request: IncomingMessage): boolean {
  return request.httpVersionMajor >= 2 || request.headers['content-length'] === undefined
}

/** How the body of a request is sent. */
export function formatFraming(request: IncomingMessage): string {
  const length = request.headers['content-length']
  if (!hasBody(request)) return length === undefined ? '' : 'content-length: 0\r\n'
  return isChunked(request) ? 'transfer-encoding: chunked\r\n' : `content-length: ${length}\r\n`
}
