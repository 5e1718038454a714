/**
 * What the attribute `data-live` says: which members of which resources an element shows, and as what.
 *
 * `data-live="/users/johndoe#/name title=/users/johndoe#/email"` shows the name as the element's text and the email as
 * its title. Bindings are parted by white space; a JSON Pointer (RFC 6901) stands behind the `#` as in a URL's fragment. A binding
 * that begins with `#` belongs to the path that the nearest `data-live-path` around it names.
 */
import type { Json, JsonObject } from '../../contract/index.ts'
import { LiveError } from './live-error.ts'
import { canonicalPath } from './path-around.ts'

export interface Binding {
  /** The attribute that is set; `''` is the element's text. */
  readonly name: string
  readonly path: string
  /** The pointer's segments, decoded. */
  readonly tokens: readonly string[]
}

const form = /^(?:([A-Za-z][\w.:-]*)=)?(\/[^#]*)?#((?:\/.*)?)$/
/** What a browser would run, or take as markup or style: never set from a resource. */
const forbiddenName = /^(on.*|srcdoc|style)$/i

/** Reads the attribute's text. `base` is the path around it. Errors: `invalid-option`. */
export function parseBindings(text: string, base = ''): readonly Binding[] {
  return (text.match(/\S+/g) ?? []).map(part => parseBinding(part, base))
}

function parseBinding(part: string, base: string): Binding {
  const [, name = '', path, pointer] = form.exec(part) ?? []
  if (pointer === undefined || !(path || base) || forbiddenName.test(name)) {
    throw new LiveError('invalid-option', `data-live="${part}" cannot be used: write "/users/johndoe#/name".`)
  }
  return { name, path: canonicalPath(path || base), tokens: parsePointer(pointer) }
}

function parsePointer(pointer: string): readonly string[] {
  return decodeURIComponent(pointer)
    .split('/')
    .slice(1)
    .map(token => token.replaceAll('~1', '/').replaceAll('~0', '~'))
}

/**
 * The member that the tokens lead to; `undefined` where there is none, `null` where something on the way is null: of a merge patch
 * that is what it says nothing of, and what it takes away.
 */
export function lookUp(state: Json | undefined, tokens: readonly string[]): Json | undefined {
  let value = state
  for (const token of tokens) {
    if (value === null) return null
    const members = typeof value === 'object' ? (value as JsonObject) : {}
    value = Object.hasOwn(members, token) ? members[token] : undefined
  }
  return value
}

/** How a value is read by people: texts and numbers as they are, nothing for null, JSON for what has members. */
export function formatValue(value: Json | undefined): string {
  return typeof value === 'object' && value ? JSON.stringify(value) : `${value ?? ''}`
}
