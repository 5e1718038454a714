/**
 * Paths of an API with names for what varies: `/api/v1/people/{person}/friends/{id}`. Read once, then matched and filled in. Pure.
 *
 * Paths are those of the API's own URLs, in whatever way it escapes them; what a name stands for is one segment, decoded.
 */
import { LockstepError, quote } from '../contract/index.ts'

export interface UrlPattern {
  /** As it was given, without the query. */
  readonly text: string
  /** What is asked for with it: `?limit=100`, or `''`. */
  readonly query: string
  readonly segments: readonly PatternSegment[]
  /** In their order. */
  readonly names: readonly string[]
}

export type PatternSegment = { readonly literal: string } | { readonly name: string }

/** What the names stand for in one URL. */
export type PatternValues = Readonly<Record<string, string>>

const maxSegments = 32

/** Errors: `invalid-option`. */
export function parseUrlPattern(text: string): UrlPattern {
  const mark = text.indexOf('?')
  const path = mark === -1 ? text : text.slice(0, mark)
  const refuse = (why: string): LockstepError =>
    new LockstepError(
      'invalid-option',
      `The path ${quote(text)} ${why}. Write one such as "/api/people/{id}".`,
    )
  if (!path.startsWith('/')) throw refuse('does not begin with a slash')
  if (!/^[\x21-\x7e]*$/.test(text)) throw refuse('holds what must be percent-encoded')
  const segments: PatternSegment[] = []
  const names: string[] = []
  for (const part of path.slice(1).split('/')) {
    const name = /^\{([A-Za-z][A-Za-z0-9_]*)\}$/.exec(part)?.[1]
    if (name === undefined && /[{}]/.test(part)) throw refuse('has braces that are not a whole segment')
    if (name === undefined) segments.push({ literal: decode(part) ?? part })
    else if (names.includes(name)) throw refuse(`names {${name}} twice`)
    else {
      names.push(name)
      segments.push({ name })
    }
  }
  if (segments.length > maxSegments) throw refuse(`has over ${maxSegments} segments`)
  return { text: path, query: mark === -1 ? '' : text.slice(mark), segments, names }
}

/** The decoded segments of a raw path; `undefined` where it is none that anybody could mean. A slash at the end is no segment. */
export function splitPath(path: string): readonly string[] | undefined {
  if (!path.startsWith('/')) return undefined
  const parts = (path.length > 1 && path.endsWith('/') ? path.slice(1, -1) : path.slice(1)).split('/')
  if (parts.length > maxSegments) return undefined
  const segments: string[] = []
  for (const part of parts) {
    const segment = decode(part)
    if (segment === undefined) return undefined
    segments.push(segment)
  }
  return segments
}

/** What the names stand for where the first segments are those of the pattern; `undefined` where they are not. */
export function matchPattern(pattern: UrlPattern, segments: readonly string[]): PatternValues | undefined {
  const { segments: wanted } = pattern
  if (segments.length < wanted.length) return undefined
  const values: Record<string, string> = {}
  for (const [index, part] of wanted.entries()) {
    const segment = segments[index]!
    if ('name' in part) {
      if (segment === '') return undefined
      values[part.name] = segment
    } else if (part.literal !== segment) return undefined
  }
  return values
}

/** The path with its names filled in. */
export function fillPattern(pattern: UrlPattern, values: PatternValues): string {
  return `/${pattern.segments
    .map(part => encodeURIComponent('name' in part ? values[part.name]! : part.literal))
    .join('/')}`
}

/** Where a pattern says more, it goes first: the one with a text where the other has a name. */
export function comparePatterns(a: UrlPattern, b: UrlPattern): number {
  const shared = Math.min(a.segments.length, b.segments.length)
  for (let index = 0; index < shared; index++) {
    const difference = Number('name' in a.segments[index]!) - Number('name' in b.segments[index]!)
    if (difference !== 0) return difference
  }
  return b.segments.length - a.segments.length
}

function decode(part: string): string | undefined {
  if (/^[\w\-.~]*$/.test(part)) return part
  try {
    return decodeURIComponent(part)
  } catch {
    return undefined
  }
}
