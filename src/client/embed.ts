/**
 * Embeds as a follower shows them: what a state refers to, and the members `_embedded` and `_problems` beside it, as the
 * service would show them. Pure. PROTOCOL.md §10.10.
 */
import {
  type ErrorCode,
  errorCodes,
  type Fields,
  type Json,
  type JsonObject,
  type MemberPath,
  readMember,
  selectFields,
  setMember,
  tryEncodeSegment,
} from '../contract/index.ts'

/** A member that holds ids of a collection. */
export interface Reference {
  /** As `embed` names it. */
  readonly name: string
  readonly path: MemberPath
  /** The collection's URL as the API writes it. */
  readonly href: string
  readonly url: string
}

/** What became of an id: a state, or why there is none. */
export type Found = { readonly state: JsonObject } | { readonly code: ErrorCode; readonly detail: string }
export type Find = (reference: Reference, id: string) => Found

/** The ids that a state refers to; what is no id is left out. */
export function idsOf(state: JsonObject, { path }: Reference): readonly string[] {
  const value = readMember(state, path)
  const ids = Array.isArray(value) ? value : [value]
  return ids.flatMap(id => (isId(id) ? [id.normalize('NFC')] : []))
}

/** What is shown, with what the whole state refers to beside it. `fields` narrows what is embedded. */
export function embed(
  shown: JsonObject,
  whole: JsonObject,
  references: readonly Reference[],
  { find, fields }: { readonly find: Find; readonly fields: Fields | undefined },
): JsonObject {
  const embedded: JsonObject = {}
  const problems: Json[] = []
  const narrowed = fields?.get('_embedded')
  for (const reference of references) {
    const { name, path, href } = reference
    const value = readMember(whole, path)
    if (value === undefined || value === null) continue
    const show = (id: Json, pointer: string): Json => {
      const found: Found = isId(id)
        ? find(reference, id.normalize('NFC'))
        : { code: 'invalid-id', detail: 'The member holds no id.' }
      if ('state' in found) {
        const inner = narrowed?.get(name)
        return inner === undefined ? found.state : selectFields(found.state, inner)
      }
      const { code, detail } = found
      const resource = `${href}/${isId(id) ? (tryEncodeSegment(id) ?? encodeURIComponent(id.toWellFormed())) : ''}`
      problems.push({ pointer, resource, code, status: errorCodes[code].status, detail })
      return null
    }
    const pointer = `/_embedded/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`
    const shownValue = Array.isArray(value)
      ? value.map((id, index) => show(id, `${pointer}/${index}`))
      : show(value, pointer)
    if (narrowed === undefined || narrowed.has(name)) setMember(embedded, name, shownValue)
  }
  const result: JsonObject = {}
  for (const name of Object.keys(shown)) setMember(result, name, shown[name]!)
  result['_embedded'] = embedded
  if (problems.length > 0) result['_problems'] = problems
  return result
}

function isId(value: Json | undefined): value is string {
  return typeof value === 'string'
}
