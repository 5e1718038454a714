/**
 * Where a service names places by its own paths, brought to the paths of the front: `Location`, `Link`, cookies.
 *
 * A reference that leads nowhere behind the front is left as it is.
 */

/** What stands outside and inside in front of the same paths. */
export interface PathPair {
  /** As clients see it, such as `/api/v1/people`; empty for everything. */
  readonly outside: string
  /** As the service sees it, such as `/people`; empty for everything. */
  readonly inside: string
}

/** The services that references may lead to. */
export interface ReferenceMap {
  /** Those of the service that answers, the longest inside first. */
  readonly own: readonly PathPair[]
  /** Those of any service, by the origin of one of its instances. */
  readonly byOrigin: (origin: string) => readonly PathPair[] | undefined
  /** The origin that the client asked; references to it are the service's own, too. */
  readonly frontOrigin: string
}

/** A reference (RFC 3986) as the client can use it. */
export function rewriteReference(reference: string, map: ReferenceMap): string {
  if (reference.charCodeAt(0) === 47 && reference.charCodeAt(1) !== 47)
    return toOutside(reference, map.own) ?? reference
  const parts = /^(https?:\/\/[^/?#]+)(.*)$/i.exec(reference)
  if (parts === null) return reference
  const origin = parts[1]!.toLowerCase()
  const path = parts[2]!.startsWith('/') ? parts[2]! : `/${parts[2]}`
  if (origin.slice(origin.indexOf(':')) === map.frontOrigin.slice(map.frontOrigin.indexOf(':'))) {
    const outside = toOutside(path, map.own)
    return outside === undefined ? reference : map.frontOrigin + outside
  }
  const pairs = map.byOrigin(origin)
  return (pairs === undefined ? undefined : toOutside(path, pairs)) ?? reference
}

/** Every target of a `Link` field (RFC 8288). */
export function rewriteLink(value: string, map: ReferenceMap): string {
  let text = ''
  let isQuoted = false
  for (let at = 0; at < value.length; at++) {
    const character = value[at]!
    if (isQuoted && character === '\\') {
      text += character + (value[++at] ?? '')
      continue
    }
    if (character === '"') isQuoted = !isQuoted
    const end = character === '<' && !isQuoted ? value.indexOf('>', at) : -1
    if (end === -1) {
      text += character
      continue
    }
    text += `<${rewriteReference(value.slice(at + 1, end), map)}>`
    at = end
  }
  return text
}

/** A `Set-Cookie` whose path is the service's, for the paths of the front; a domain of the service's own host is left out. */
export function rewriteCookie(value: string, map: ReferenceMap, instanceHost: string): string {
  const [pair = '', ...attributes] = value.split(';')
  const kept = attributes.flatMap(attribute => {
    const [name = '', text = ''] = splitOnce(attribute)
    if (name === 'domain' && text.replace(/^\./, '').toLowerCase() === instanceHost) return []
    return name === 'path' ? [` Path=${cookiePath(text, map.own)}`] : [attribute]
  })
  return [pair, ...kept].join(';')
}

function splitOnce(attribute: string): string[] {
  const at = attribute.indexOf('=')
  if (at === -1) return [attribute.trim().toLowerCase()]
  return [attribute.slice(0, at).trim().toLowerCase(), attribute.slice(at + 1).trim()]
}

/** A cookie for all of a service is for all of its paths, and no others where that can be said. */
function cookiePath(path: string, own: readonly PathPair[]): string {
  if (!path.startsWith('/')) return path
  const outside = toOutside(path, own)
  if (outside !== undefined) return outside
  const below = own.filter(({ inside }) => path === '/' || inside.startsWith(`${path.replace(/\/$/, '')}/`))
  if (below.length === 0) return path
  return below.map(pair => pair.outside).reduce(commonPath) || '/'
}

function commonPath(one: string, other: string): string {
  const [a, b] = [one.split('/'), other.split('/')]
  const end = a.findIndex((segment, index) => segment !== b[index])
  return (end === -1 ? a : a.slice(0, end)).join('/')
}

function toOutside(path: string, pairs: readonly PathPair[]): string | undefined {
  for (const { inside, outside } of pairs) {
    if (!path.startsWith(inside)) continue
    const next = path[inside.length]
    if (inside === '' || next === undefined || next === '/' || next === '?' || next === '#') {
      return outside + path.slice(inside.length) || '/'
    }
  }
  return undefined
}
