/**
 * Which fields of a request reach a service, and which of a response reach the client.
 *
 * A request is written anew from what was read, never passed on as bytes: each field once, framing by us, and without
 * what a client must not be able to say: how it was forwarded, who it is, under which other name the service would hear
 * it. RFC 9110 §7.6.1.
 */
import { LockstepError, quote } from '../contract/index.ts'

/** Between two neighbours only. */
const hopByHop = [
  ...['connection', 'keep-alive', 'proxy-connection', 'proxy-authenticate', 'proxy-authorization'],
  ...['te', 'trailer', 'transfer-encoding', 'upgrade', 'http2-settings'],
]
/** What the gateway says itself, or nobody does. */
const ours = [
  ...['host', 'content-length', 'expect', 'forwarded', 'x-forwarded', 'x-request-id', 'via'],
  ...['x-real-ip', 'x-client-ip', 'x-cluster-client-ip', 'true-client-ip', 'cf-connecting-ip', 'x-remote-ip'],
  ...['x-remote-addr', 'x-originating-ip', 'x-original-url', 'x-original-uri', 'x-original-host', 'x-host'],
  ...['x-rewrite-url', 'x-http-method-override', 'x-http-method', 'x-method-override'],
  ...['remote-user', 'x-remote-user', 'x-authenticated-user', 'x-authenticated-userid'],
]
const oursByPrefix = /^(?:x-forwarded-|lockstep-|:)/
const hop = new Set(hopByHop)
const neverFromClients = new Set([...hopByHop, ...ours])
/** What `Connection` may name without harm, since it is no field that anybody relies on behind us. */
const harmlessOptions = new Set([
  'close',
  'keep-alive',
  'upgrade',
  'te',
  'trailer',
  'http2-settings',
  'proxy-connection',
])
/** Naming one of these would take away what decides who the client is, or how the message ends. */
const protectedFields =
  /^(?:authorization|cookie|content-[a-z-]+|if-[a-z-]+|idempotency-key|trace(?:parent|state)|origin|range|x-api-key|accept[a-z-]*)$/

/** Names are looked at once; anybody may invent more of them, so not all are kept. */
const maxKnownNames = 1_000
const known = new Map<string, boolean>()

/** May a client say this to a service? `name` in lower case. A name with an underscore never: many programs read it as a hyphen. */
export function isForwarded(name: string): boolean {
  const before = known.get(name)
  if (before !== undefined) return before
  const answer = !neverFromClients.has(name) && !oursByPrefix.test(name) && !name.includes('_')
  if (known.size < maxKnownNames) known.set(name, answer)
  return answer
}

/**
 * The further fields that `Connection` takes away on this hop; `undefined` where there are none. Errors: `invalid-request`
 * where it names one that is set or relied on.
 */
export function readConnectionOptions(connection: string): ReadonlySet<string> | undefined {
  let named: Set<string> | undefined
  for (const part of connection.split(',')) {
    const option = part.trim().toLowerCase()
    if (option === '' || harmlessOptions.has(option)) continue
    if (!/^[!#$%&'*+\-.^`|~\w]+$/.test(option) || protectedFields.test(option) || !isForwarded(option)) {
      throw new LockstepError(
        'invalid-request',
        `Connection names ${quote(option)}, which may not be taken from a request on its way.`,
      )
    }
    named ??= new Set()
    named.add(option)
  }
  return named
}

/** Is this field of a response for us, not for the client? */
export function isHopByHop(name: string): boolean {
  return hop.has(name)
}

/** Writes the fields that a service is to see, each as `name: value` and a line end. */
export function formatForwarded(
  headers: Readonly<NodeJS.Dict<string | string[]>>,
  without: ReadonlySet<string> | undefined,
  set: Readonly<Record<string, string | undefined>> | undefined,
): string {
  let text = ''
  for (const name in headers) {
    if (!isForwarded(name) || without?.has(name) === true) continue
    if (set !== undefined && name in set) continue
    const value = headers[name]
    if (typeof value === 'string') text += `${name}: ${value}\r\n`
    else if (value !== undefined) for (const each of value) text += `${name}: ${each}\r\n`
  }
  if (set !== undefined) {
    for (const name in set) if (set[name] !== undefined) text += `${name}: ${set[name]}\r\n`
  }
  return text
}
