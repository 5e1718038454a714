/** A request as it came in, brought to what every part decides by. Errors are told before anything is asked of anybody. */
import type { IncomingMessage } from 'node:http'
import type { TLSSocket } from 'node:tls'
import { LockstepError, parseTraceparent, quote } from '../contract/index.ts'
import { readClientAddress } from './client-address.ts'
import { isForwarded } from './forwarded-headers.ts'
import type { GatewayRequest } from './request.ts'
import { parseRequestTarget } from './request-target.ts'
import type { Match, Route, RouteTable } from './route-table.ts'

/** What the parts may read although no service is sent it. */
const readable = new Set([
  'host',
  'connection',
  'content-length',
  'transfer-encoding',
  'upgrade',
  'expect',
  'te',
  'trailer',
])
const hostForm = /^[A-Za-z0-9.\-_~]+(?::\d{1,5})?$|^\[[0-9A-Fa-f:.]+\](?::\d{1,5})?$/
const idForm = /^[\x21-\x7e]{1,128}$/

export interface Incoming extends GatewayRequest {
  readonly route: Route | undefined
  readonly host: string
  readonly isTls: boolean
  /** The id goes to the service too; not where the service may name its place in a trace instead. */
  readonly hasOwnId: boolean
}

export interface IncomingOptions {
  readonly trustedHops: number
  /** The table for the host that the request names. */
  readonly tableOf: (host: string) => RouteTable
}

/** Reads it. Errors: `invalid-path`, `invalid-request`. */
export function readIncoming(request: IncomingMessage, options: IncomingOptions): Incoming {
  const headers = request.headers as NodeJS.Dict<string | string[]>
  const host = readHost(request)
  const { path, query } = parseRequestTarget(request.url ?? '/', host)
  const { face, route }: Match = options.tableOf(host).match(path)
  const { trustedHops } = options
  const remoteAddress = readClientAddress(
    request.socket.remoteAddress,
    headers['x-forwarded-for'],
    trustedHops,
  )
  const proto = trustedHops > 0 ? String(headers['x-forwarded-proto'] ?? '') : ''
  const isTls = /(?:^|,)\s*https\s*$/i.test(proto) || (proto === '' && isEncrypted(request))
  const given = headers['x-request-id']
  const isGiven = typeof given === 'string' && idForm.test(given)
  const traceparent = headers['traceparent']
  const isTraced = traceparent !== undefined && parseTraceparent(String(traceparent)) !== undefined
  if (!isTraced && traceparent !== undefined) {
    delete headers['traceparent']
    delete headers['tracestate']
  }
  for (const name in headers) if (!isForwarded(name) && !readable.has(name)) delete headers[name]
  headers['host'] = host
  return {
    id: isGiven ? given : isTraced ? String(traceparent) : makeId(),
    method: request.method ?? 'GET',
    path,
    query,
    headers,
    remoteAddress,
    face,
    ...(route === undefined
      ? {}
      : { service: route.service, pathInService: route.inside + path.slice(route.outside.length) || '/' }),
    route,
    host,
    isTls,
    hasOwnId: isGiven || !isTraced,
  }
}

/** Two hosts, or none, would be routed by one and answered for the other. */
function readHost({ headers, rawHeaders, httpVersionMajor }: IncomingMessage): string {
  let count = 0
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = rawHeaders[index]!
    if (name.length === 4 && name.toLowerCase() === 'host') count++
  }
  const host =
    httpVersionMajor < 2 ? headers.host : ((headers[':authority'] as string | undefined) ?? headers.host)
  if (count > 1 || host === undefined || !hostForm.test(host)) {
    const what = count > 1 ? 'names its host twice' : `names the host ${quote(host ?? '')}, which is none`
    throw new LockstepError('invalid-request', `The request ${what}.`)
  }
  return host
}

function isEncrypted(request: IncomingMessage): boolean {
  return (request.socket as TLSSocket).encrypted === true
}

const idPrefix = Math.random().toString(36).slice(2, 10)
let lastId = 0

/** An id need not be a secret, only another one each time. */
function makeId(): string {
  lastId++
  return `${idPrefix}-${lastId.toString(36)}`
}
