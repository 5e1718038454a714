/**
 * The target of a request (`/api/v1/people?limit=2`), brought to one form.
 *
 * Whoever routes, authorizes and answers has to see the same path, so what two programs could read differently (escaped
 * slashes, dot segments behind an escape or a `;`, empty segments) is either resolved here, once, or refused.
 */
import { LockstepError, quote } from '../contract/index.ts'

export interface RequestTarget {
  /** See `GatewayRequest.path`. */
  readonly path: string
  /** As it came, without the `?`. */
  readonly query: string
}

/** What needs nothing done: by far the most paths. */
const plain = /^(?:\/(?!\.\.?(?:[/;]|$))[\w\-.~!$&'()*+,;=:@]+)*\/?$/
/** What may stand in a path and in a query at all (RFC 3986), escapes included. */
const pathCharacters = /^(?:[\w\-.~!$&'()*+,;=:@/]|%[0-9A-Fa-f]{2})*$/
const queryCharacters = /^[\x21\x22\x24-\x7e]*$/
/** A slash, a backslash or a control character, escaped; or such a one, a dot or an escape, escaped twice, for programs that decode twice. */
const unsafeEscape = /%(?:2f|5c|[01][0-9a-f]|7f|25(?:2[5ef]|5c|[01][0-9a-f]|7f))/i
const unreserved = /[\w\-.~]/

/**
 * Reads the target of a request line. `host` is that of the request's `Host`: a target that names another one is refused.
 * Errors: `invalid-path`.
 */
export function parseRequestTarget(target: string, host: string | undefined): RequestTarget {
  const local = target.charCodeAt(0) === 47 ? target : cutOrigin(target, host)
  const mark = local.indexOf('?')
  const path = mark === -1 ? local : local.slice(0, mark)
  const query = mark === -1 ? '' : local.slice(mark + 1)
  if (!queryCharacters.test(query)) {
    throw new LockstepError('invalid-path', 'The query holds characters that must be percent-encoded.')
  }
  return { path: plain.test(path) ? path : normalizePath(path), query }
}

/** Errors: `invalid-path`. */
export function normalizePath(path: string): string {
  const refuse = (why: string): LockstepError =>
    new LockstepError('invalid-path', `The path ${quote(path)} ${why}.`)
  if (!path.startsWith('/')) throw refuse('does not begin with a slash')
  if (!pathCharacters.test(path)) throw refuse('holds what must be percent-encoded')
  if (unsafeEscape.test(path)) {
    throw refuse('holds an escaped slash, backslash or control character, which programs read differently')
  }
  const decoded = path.replace(/%([0-9A-Fa-f]{2})/g, (whole, digits: string) => {
    const character = String.fromCharCode(Number.parseInt(digits, 16))
    return unreserved.test(character) ? character : whole.toUpperCase()
  })
  const segments = decoded.slice(1).split('/')
  const kept: string[] = []
  for (const [index, segment] of segments.entries()) {
    const isLast = index === segments.length - 1
    if (segment === '' && !isLast) throw refuse('has an empty segment')
    if (/^\.\.?;/.test(segment)) throw refuse('has a dot segment with parameters')
    if (segment === '..' && kept.pop() === undefined) throw refuse('leads out of the root')
    if (segment !== '.' && segment !== '..') kept.push(segment)
    else if (isLast) kept.push('')
  }
  return `/${kept.join('/')}`
}

/** A proxy's client may write the whole URL (RFC 9112 §3.2.2). It MUST NOT be another host's than the one that is routed by. */
function cutOrigin(target: string, host: string | undefined): string {
  const parts = /^https?:\/\/([^/?#]*)(.*)$/i.exec(target)
  if (parts === null || host === undefined || parts[1]!.toLowerCase() !== host.toLowerCase()) {
    throw new LockstepError(
      'invalid-path',
      `The target ${quote(target)} is neither a path nor a URL of the host that the request names.`,
    )
  }
  return parts[2]!.startsWith('/') ? parts[2]! : `/${parts[2]}`
}
