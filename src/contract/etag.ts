/**
 * Entity tags: what they say and how they are compared.
 *
 * `"k3f9.17"` is version 17 in epoch k3f9; `"k3f9.17;lang=fr"` is a variant of it, another representation of the same
 * version; a collection's tag counts its stream's changes instead: `"k3f9.s1042"`. The epoch is in the tag so that a version that comes back after a
 * restored backup is not taken for the old one. PROTOCOL.md §4, RFC 9110 §8.8.3.
 */
import { LockstepError, showField } from './error.ts'

export interface EntityTag {
  readonly weak: boolean
  /** What stands between the quotes. */
  readonly opaque: string
}

/** The strong tag of a resource's representation. `variant` names language, fields or audience, such as `lang=fr`. */
export function formatResourceTag(epoch: string, version: number, variant = ''): string {
  return variant === '' ? `"${epoch}.${version}"` : `"${epoch}.${version};${variant}"`
}

/** The strong tag of a collection's representation at a position of its stream. */
export function formatCollectionTag(epoch: string, seq: number, variant = ''): string {
  return variant === '' ? `"${epoch}.s${seq}"` : `"${epoch}.s${seq};${variant}"`
}

const tagPattern = /^(W\/)?"([\x21\x23-\x7e\x80-\xff]*)"$/

/** Reads one entity tag; `undefined` where it is none. */
export function parseEntityTag(text: string): EntityTag | undefined {
  const match = tagPattern.exec(text.trim())
  return match ? { weak: match[1] !== undefined, opaque: match[2]! } : undefined
}

/**
 * Reads an `If-Match` or `If-None-Match` field: `*`, or a list of tags.
 * Errors: `invalid-condition` for what is neither, so that a write is never let through by a misspelt condition.
 */
export function parseTagCondition(text: string): '*' | readonly EntityTag[] {
  if (text.trim() === '*') return '*'
  const tags = splitList(text).map(parseEntityTag)
  const known = tags.filter(tag => tag !== undefined)
  if (known.length === 0 || known.length < tags.length) {
    throw new LockstepError(
      'invalid-condition',
      `The condition ${showField(text) || '(empty)'} is neither "*" nor a list of entity tags. Send the ETag with its quotes, as in If-Match: "k3f9.17".`,
    )
  }
  return known
}

/** Strong comparison (RFC 9110 §8.8.3.2), for If-Match: neither may be weak. */
export function isSameTagStrong(a: EntityTag, b: EntityTag): boolean {
  return !a.weak && !b.weak && a.opaque === b.opaque
}

/** Weak comparison (RFC 9110 §8.8.3.2), for If-None-Match: only the opaque part counts. */
export function isSameTagWeak(a: EntityTag, b: EntityTag): boolean {
  return a.opaque === b.opaque
}

/** Without its variant: what a resource's tag says of the resource itself. */
function withoutVariant({ weak, opaque }: EntityTag): EntityTag {
  return { weak, opaque: opaque.split(';', 1)[0]! }
}

/**
 * Does If-Match hold? `current` is the tag of what is there; `undefined` where nothing is. A tag of any variant names the
 * version that it is of.
 */
export function satisfiesIfMatch(condition: string, current: string | undefined): boolean {
  const wanted = parseTagCondition(condition)
  const tag = current === undefined ? undefined : parseEntityTag(current)
  if (tag === undefined) return false
  const version = withoutVariant(tag)
  return wanted === '*' || wanted.some(other => isSameTagStrong(withoutVariant(other), version))
}

/**
 * Does If-None-Match hold (that is: does nothing match)? For a read another variant of the same version does not match:
 * the client does not hold what it asks for. For a write, `anyVariant`, it does.
 */
export function satisfiesIfNoneMatch(
  condition: string,
  current: string | undefined,
  { anyVariant = false }: { readonly anyVariant?: boolean } = {},
): boolean {
  const wanted = parseTagCondition(condition)
  const tag = current === undefined ? undefined : parseEntityTag(current)
  if (tag === undefined) return true
  const cut = anyVariant ? withoutVariant : (whole: EntityTag): EntityTag => whole
  return wanted !== '*' && !wanted.some(other => isSameTagWeak(cut(other), cut(tag)))
}

/** Cuts at the commas outside quotes. Empty items are allowed in HTTP lists (RFC 9110 §5.6.1) and left out. */
function splitList(text: string): string[] {
  const items: string[] = []
  let start = 0
  let quoted = false
  for (let index = 0; index < text.length; index++) {
    if (text[index] === '"') quoted = !quoted
    if (text[index] === ',' && !quoted) {
      items.push(text.slice(start, index))
      start = index + 1
    }
  }
  items.push(text.slice(start))
  return items.filter(item => item.trim() !== '')
}
