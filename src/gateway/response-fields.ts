/** The fields of a service's response, as the client gets them. */
import type { ResponseHead } from '../upstream/index.ts'
import { isHopByHop } from './forwarded-headers.ts'
import { type ReferenceMap, rewriteCookie, rewriteLink, rewriteReference } from './rewriting.ts'

export interface FieldContext {
  /** Made only where a field needs it. */
  readonly map: () => ReferenceMap
  readonly instanceHost: string
  /** Set by us, whatever the service says. In lower case. */
  readonly set: Readonly<Record<string, string | undefined>> | undefined
  /** Added, as names and values in turn. */
  readonly notices: readonly string[]
  readonly requestId: string
}

/** Many services use few names; each is brought to lower case once. */
const maxKnownNames = 1_000
const lowerNames = new Map<string, string>()

/** Gives names and values in turn. The length is kept, everything else about the connection is not. */
export function makeResponseFields({ fields, status }: ResponseHead, context: FieldContext): string[] {
  const { set, notices, requestId } = context
  const made: string[] = []
  let hasId = false
  let named: Set<string> | undefined
  for (let index = 0; index < fields.length; index += 2) {
    const name = lowerName(fields[index]!)
    const value = fields[index + 1]!
    if (isHopByHop(name)) {
      if (name === 'connection') {
        named ??= new Set()
        for (const option of value.split(',')) named.add(option.trim().toLowerCase())
      }
      continue
    }
    if (status === 204 && name === 'content-length') continue
    if (set !== undefined && name !== 'vary' && name in set) continue
    switch (name) {
      case 'location':
      case 'content-location':
        made.push(name, rewriteReference(value, context.map()))
        break
      case 'link':
        made.push(name, rewriteLink(value, context.map()))
        break
      case 'set-cookie':
        made.push(name, rewriteCookie(value, context.map(), context.instanceHost))
        break
      case 'x-request-id':
        hasId = true
        made.push(name, value)
        break
      default:
        made.push(name, value)
    }
  }
  if (named !== undefined) removeNamed(made, named)
  if (!hasId) made.push('x-request-id', requestId)
  for (const each of notices) made.push(each)
  if (set !== undefined) for (const name in set) if (set[name] !== undefined) made.push(name, set[name])
  return made
}

/** As names and values in turn, without those that are left out. */
export function listFields(set: Readonly<Record<string, string | undefined>> = {}): string[] {
  return Object.entries(set).flatMap(([name, value]) => (value === undefined ? [] : [name, value]))
}

/** A service may take a field of its own for this hop only; the framing is never its to take. */
function removeNamed(fields: string[], named: ReadonlySet<string>): void {
  for (let index = fields.length - 2; index >= 0; index -= 2) {
    const name = fields[index]!
    if (named.has(name) && name !== 'content-length' && name !== 'set-cookie') fields.splice(index, 2)
  }
}

function lowerName(name: string): string {
  const before = lowerNames.get(name)
  if (before !== undefined) return before
  const lower = name.toLowerCase()
  if (lowerNames.size < maxKnownNames) lowerNames.set(name, lower)
  return lower
}
