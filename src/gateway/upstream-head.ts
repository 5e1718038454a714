/** The head of a request as a service is sent it. */
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

/** How a body is sent that came with these fields: with the same length, or in chunks. */
export function formatFraming(headers: Readonly<NodeJS.Dict<string | string[]>>): string {
  const length = headers['content-length']
  if (headers['transfer-encoding'] !== undefined) return 'transfer-encoding: chunked\r\n'
  return length === undefined ? '' : `content-length: ${length}\r\n`
}
