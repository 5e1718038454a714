/**
 * Which resource of the API a URL is about, and which ones a request may change: the resources, and the rules for what a request
 * changes elsewhere. Pure.
 */
import { isReservedSegment, type Json, LockstepError, quote, tryEncodeSegment } from '../contract/index.ts'
import { readPointer } from './json-pointer.ts'
import { collectionPath, type Mirrored, resourcePath } from './mirrored.ts'
import {
  comparePatterns,
  matchPattern,
  type PatternValues,
  parseUrlPattern,
  splitPath,
  type UrlPattern,
} from './url-pattern.ts'

/** By the method and path of a request, which resources it changes: `{ 'POST /orders': ['/people/{body.personId}', '/stock'] }`. */
export type Touches = Readonly<Record<string, readonly string[]>>

/** Where a URL leads. */
export interface Target {
  readonly mirrored: Mirrored
  readonly kind: 'collection' | 'resource'
  /** The canonical path. */
  readonly path: string
  /** Is the URL below it, as `/people/ann/publish` is? */
  readonly isBelow: boolean
}

/** What a rule needs of a request to say what it touches. */
export interface TouchContext {
  readonly body: Json | undefined
  readonly answer: Json | undefined
}

export interface TouchRule {
  readonly method: string
  readonly pattern: UrlPattern
  readonly targets: readonly string[]
}

/** A rule that fits a request, and what the names in its path stand for. */
export interface FittingRule {
  readonly rule: TouchRule
  readonly values: PatternValues
}

export class TargetTable {
  readonly mirrored: readonly Mirrored[]
  readonly #places: readonly { readonly pattern: UrlPattern; readonly mirrored: Mirrored; isList: boolean }[]
  readonly #rules: readonly TouchRule[]

  /** Errors: `invalid-option`. */
  constructor(mirrored: readonly Mirrored[], touches: Touches) {
    this.mirrored = mirrored
    this.#places = mirrored
      .flatMap(each => [
        ...listsOf(each).map(pattern => ({ pattern, mirrored: each, isList: true })),
        { pattern: each.item, mirrored: each, isList: false },
      ])
      .sort((a, b) => comparePatterns(a.pattern, b.pattern))
    this.#rules = Object.entries(touches).map(([request, targets]) => readRule(request, targets))
  }

  /** The resource of a raw path; what lies below one is about that one. */
  find(path: string): Target | undefined {
    const segments = splitPath(path)
    return segments === undefined ? undefined : this.findSegments(segments)
  }

  findSegments(segments: readonly string[]): Target | undefined {
    let below: Target | undefined
    let depth = 0
    for (const { pattern, mirrored, isList } of this.#places) {
      const size = pattern.segments.length
      if (size < depth || (isList && size !== segments.length)) continue
      const values = matchPattern(pattern, segments)
      if (values === undefined) continue
      const isBelow = size < segments.length
      const target = makeTarget(mirrored, isList, values, isBelow)
      if (target === undefined) continue
      if (!isBelow) return target
      if (size > depth) [below, depth] = [target, size]
    }
    return below
  }

  /** The rules that fit a request. */
  findRules(method: string, path: string): readonly FittingRule[] {
    if (this.#rules.length === 0) return []
    const segments = splitPath(path)
    if (segments === undefined) return []
    return this.#rules.flatMap(rule => {
      if (rule.method !== method || rule.pattern.segments.length !== segments.length) return []
      const values = matchPattern(rule.pattern, segments)
      return values === undefined ? [] : [{ rule, values }]
    })
  }

  /** The canonical paths that fitting rules lead to; where a name cannot be filled in, the collection that it would be in. */
  touched(rules: readonly FittingRule[], context: TouchContext): readonly string[] {
    const paths = new Set<string>()
    for (const { rule, values } of rules) {
      for (const text of rule.targets) {
        const path = this.#touchedBy(text, values, context)
        if (path !== undefined) paths.add(path)
      }
    }
    return [...paths]
  }

  #touchedBy(text: string, values: PatternValues, context: TouchContext): string | undefined {
    const segments: string[] = []
    for (const part of text.slice(1).split('/')) {
      const name = /^\{(.*)\}$/.exec(part)?.[1]
      const segment = name === undefined ? decodeURIComponent(part) : readName(name, values, context)
      if (segment === undefined) break
      segments.push(segment)
    }
    return this.findSegments(segments)?.path
  }
}

/** Where it is listed, and what its items lie below: some APIs take new ones there, and list them elsewhere. */
function listsOf({ list, item }: Mirrored): readonly UrlPattern[] {
  const home = item.text.endsWith('/{id}') ? item.text.slice(0, -'/{id}'.length) : ''
  const lists = list === undefined ? [] : [list]
  return home === '' || home === list?.text ? lists : [...lists, parseUrlPattern(home)]
}

function makeTarget(
  mirrored: Mirrored,
  isList: boolean,
  values: PatternValues,
  isBelow: boolean,
): Target | undefined {
  try {
    if (isList) return { mirrored, kind: 'collection', path: collectionPath(mirrored, values), isBelow }
    // What cannot be an id is something that the API has for all of them: `/people/_bulk`.
    const isItem = tryEncodeSegment(values['id']!) !== undefined && !isReservedSegment(values['id']!)
    if (!isItem)
      return { mirrored, kind: 'collection', path: collectionPath(mirrored, values), isBelow: true }
    return { mirrored, kind: 'resource', path: resourcePath(mirrored, values), isBelow }
  } catch {
    // A parent that no path can have is not mirrored, nor what is below it.
    return undefined
  }
}

function readName(name: string, values: PatternValues, { body, answer }: TouchContext): string | undefined {
  const [from, ...rest] = name.split('.')
  const value: Json | undefined =
    from === 'body' && rest.length > 0
      ? readPointer(body, rest)
      : from === 'answer' && rest.length > 0
        ? readPointer(answer, rest)
        : values[name]
  return typeof value === 'string' || typeof value === 'number' ? String(value) : undefined
}

/** Errors: `invalid-option`. */
function readRule(request: string, targets: readonly string[]): TouchRule {
  const [, method, path] = /^([A-Z]{3,10}) (\/\S*)$/.exec(request) ?? []
  if (method === undefined || path === undefined) {
    throw new LockstepError(
      'invalid-option',
      `${quote(request)} is no method with a path. Write one such as "POST /orders".`,
    )
  }
  const pattern = parseUrlPattern(path)
  for (const target of targets) checkTarget(request, pattern, target)
  return { method, pattern, targets }
}

function checkTarget(request: string, pattern: UrlPattern, target: string): void {
  const known = pattern.names.map(name => `{${name}}`).concat('{body.member}', '{answer.member}')
  const unknown = [...target.matchAll(/\{([^}]*)\}/g)].find(
    ([, name]) => !pattern.names.includes(name!) && !/^(body|answer)\..+$/.test(name!),
  )
  if (target.startsWith('/') && unknown === undefined) return
  throw new LockstepError(
    'invalid-option',
    unknown === undefined
      ? `${quote(request)} touches ${quote(target)}, which is no path of the API. Write one such as "/people/{body.person}".`
      : `${quote(request)} touches ${quote(target)}, where nothing says what ${unknown[0]} is. Known: ${known.join(', ')}.`,
  )
}
