/**
 * What became of a schema, for those who send it and for those who get it: a request may take more, a response may give less.
 * References are followed, circles are looked at once. Modelled on the rules of oasdiff. Pure.
 */
import { isJsonObject, type Json, type JsonObject } from '../../contract/index.ts'
import type { Report } from './finding.ts'
import { follow, joinPointer } from './reference-walk.ts'
import { objectOf } from './site.ts'

/** `request`: clients send it. `response`: clients get it. */
export type Direction = 'request' | 'response'

export interface Comparison {
  readonly before: JsonObject
  readonly after: JsonObject
  readonly direction: Direction
  readonly report: Report
  /** The pairs that were looked at. */
  readonly seen: Set<string>
}

const maxDepth = 40

export function compareSchemas(
  comparison: Comparison,
  before: Json | undefined,
  after: Json | undefined,
  pointer: string,
  depth = 0,
): void {
  if (depth > maxDepth || before === undefined) return
  const pair = `${comparison.direction} ${nameOf(before)} ${nameOf(after)}`
  if (nameOf(before) !== '' && nameOf(after) !== '') {
    if (comparison.seen.has(pair)) return
    comparison.seen.add(pair)
  }
  const one = flatten(comparison.before, before)
  const other = flatten(comparison.after, after ?? true)
  if (
    JSON.stringify(one) === JSON.stringify(other) &&
    nameOf(before) === nameOf(after) &&
    comparison.before === comparison.after
  )
    return
  compareTypes(comparison, one, other, pointer)
  compareValues(comparison, one, other, pointer)
  compareBounds(comparison, one, other, pointer)
  compareMembers(comparison, one, other, pointer, depth)
  compareAlternatives(comparison, one, other, pointer, depth)
  if (one['items'] !== undefined)
    compareSchemas(comparison, one['items'], other['items'], `${pointer}/items`, depth + 1)
}

function nameOf(schema: Json | undefined): string {
  const { $ref } = objectOf(schema)
  return typeof $ref === 'string' ? $ref : ''
}

/** With what it refers to, and with the members of all that it must be at once. */
function flatten(document: JsonObject, schema: Json, depth = 0): JsonObject {
  const found = objectOf(follow(document, schema))
  const { allOf, ...rest } = found
  if (!Array.isArray(allOf) || depth > maxDepth) return found
  let result: JsonObject = rest
  for (const each of allOf) {
    const part = flatten(document, each, depth + 1)
    result = {
      ...part,
      ...result,
      ...(part['properties'] || result['properties']
        ? { properties: { ...objectOf(part['properties']), ...objectOf(result['properties']) } }
        : {}),
      ...(part['required'] || result['required']
        ? { required: [...listOf(part['required']), ...listOf(result['required'])] }
        : {}),
    }
  }
  return result
}

function listOf(value: Json | undefined): Json[] {
  return Array.isArray(value) ? value : []
}

function typesOf({ type, const: value, enum: values }: JsonObject): ReadonlySet<string> | undefined {
  if (type !== undefined) return new Set([type].flat().map(String))
  const known = value !== undefined ? [value] : listOf(values)
  if (known.length === 0) return undefined
  return new Set(known.map(each => (each === null ? 'null' : Array.isArray(each) ? 'array' : typeof each)))
}

/** Does it take everything that the other takes? */
function covers(wide: ReadonlySet<string> | undefined, narrow: ReadonlySet<string> | undefined): boolean {
  if (wide === undefined) return true
  if (narrow === undefined) return false
  return [...narrow].every(type => wide.has(type) || (type === 'integer' && wide.has('number')))
}

function compareTypes(
  { direction, report }: Comparison,
  before: JsonObject,
  after: JsonObject,
  pointer: string,
): void {
  const [one, other] = [typesOf(before), typesOf(after)]
  const isKept = direction === 'request' ? covers(other, one) : covers(one, other)
  if (!isKept) {
    const show = (types: ReadonlySet<string> | undefined): string =>
      types === undefined ? 'anything' : [...types].join(' or ')
    report('breaking', `${direction}-type-changed`, `${pointer}/type`, `was ${show(one)}, is ${show(other)}`)
  } else if (
    before['format'] !== after['format'] &&
    (direction === 'request' ? after : before)['format'] !== undefined
  ) {
    report(
      'breaking',
      `${direction}-format-changed`,
      `${pointer}/format`,
      `was ${before['format'] ?? 'none'}, is ${after['format'] ?? 'none'}`,
    )
  }
}

function compareValues(
  { direction, report }: Comparison,
  before: JsonObject,
  after: JsonObject,
  pointer: string,
): void {
  const values = (schema: JsonObject): string[] | undefined => {
    if (schema['const'] !== undefined) return [JSON.stringify(schema['const'])]
    return Array.isArray(schema['enum']) ? schema['enum'].map(each => JSON.stringify(each)) : undefined
  }
  const [one, other] = [values(before), values(after)]
  if (direction === 'request') {
    if (other === undefined) return
    if (one === undefined)
      report('breaking', 'request-enum-added', `${pointer}/enum`, `only ${other.join(', ')} is taken now`)
    for (const value of one ?? [])
      if (!other.includes(value))
        report('breaking', 'request-enum-value-removed', `${pointer}/enum`, `${value} is not taken any more`)
  } else if (one !== undefined) {
    if (other === undefined)
      report('breaking', 'response-enum-removed', `${pointer}/enum`, 'any value may come now')
    for (const value of other ?? [])
      if (!one.includes(value))
        report('warning', 'response-enum-value-added', `${pointer}/enum`, `${value} may come now`)
  }
}

const lower = ['minimum', 'exclusiveMinimum', 'minLength', 'minItems', 'minProperties']
const upper = ['maximum', 'exclusiveMaximum', 'maxLength', 'maxItems', 'maxProperties']

function compareBounds(
  { direction, report }: Comparison,
  before: JsonObject,
  after: JsonObject,
  pointer: string,
): void {
  for (const keyword of [...lower, ...upper]) {
    const none = lower.includes(keyword) ? -Infinity : Infinity
    const [one, other] = [before, after].map(schema =>
      typeof schema[keyword] === 'number' ? (schema[keyword] as number) : none,
    ) as [number, number]
    const isNarrower = lower.includes(keyword) ? other > one : other < one
    const isWider = lower.includes(keyword) ? other < one : other > one
    if (direction === 'request' ? isNarrower : isWider) {
      const show = (value: number): string => (Number.isFinite(value) ? String(value) : 'none')
      report(
        'breaking',
        `${direction}-bound-changed`,
        `${pointer}/${keyword}`,
        `${keyword} was ${show(one)}, is ${show(other)}`,
      )
    }
  }
  if (before['pattern'] === after['pattern']) return
  if (direction === 'request' && after['pattern'] !== undefined)
    report(
      before['pattern'] === undefined ? 'breaking' : 'warning',
      'request-pattern-changed',
      `${pointer}/pattern`,
      `must be like ${after['pattern']} now`,
    )
  if (direction === 'response' && before['pattern'] !== undefined)
    report('warning', 'response-pattern-changed', `${pointer}/pattern`, `was like ${before['pattern']}`)
}

function compareMembers(
  comparison: Comparison,
  before: JsonObject,
  after: JsonObject,
  pointer: string,
  depth: number,
): void {
  const { direction, report } = comparison
  const [one, other] = [objectOf(before['properties']), objectOf(after['properties'])]
  const [needed, needs] = [new Set(listOf(before['required'])), new Set(listOf(after['required']))]
  const isRequest = direction === 'request'
  const isClosed = after['additionalProperties'] === false
  for (const [name, member] of Object.entries(one)) {
    const place = `${pointer}/properties${joinPointer(name)}`
    if (Object.hasOwn(other, name)) {
      compareSchemas(comparison, member, other[name], place, depth + 1)
      if (isRequest && needs.has(name) && !needed.has(name))
        report('breaking', 'request-member-became-required', place, `"${name}" is required now`)
      if (!isRequest && needed.has(name) && !needs.has(name))
        report('breaking', 'response-member-became-optional', place, `"${name}" may be missing now`)
    } else if (isRequest) {
      report(
        isClosed ? 'breaking' : 'warning',
        'request-member-removed',
        place,
        isClosed ? `"${name}" is refused now` : `"${name}" is not known any more`,
      )
    } else {
      report(needed.has(name) ? 'breaking' : 'warning', 'response-member-removed', place, `"${name}" is gone`)
    }
  }
  for (const name of Object.keys(other)) {
    if (Object.hasOwn(one, name)) continue
    const place = `${pointer}/properties${joinPointer(name)}`
    if (isRequest && needs.has(name))
      report('breaking', 'request-required-member-added', place, `"${name}" is new and required`)
    else report('info', `${direction}-member-added`, place, `"${name}" is new`)
  }
  if (
    isRequest &&
    isClosed &&
    before['additionalProperties'] !== false &&
    (before['type'] !== undefined || Object.keys(one).length > 0)
  )
    report(
      'breaking',
      'request-additional-members-refused',
      `${pointer}/additionalProperties`,
      'other members are refused now',
    )
  if (isJsonObject(before['additionalProperties'] ?? null) && after['additionalProperties'] !== undefined)
    compareSchemas(
      comparison,
      before['additionalProperties'],
      after['additionalProperties'],
      `${pointer}/additionalProperties`,
      depth + 1,
    )
}

/** Alternatives are told apart by what they refer to, else by their text. */
function compareAlternatives(
  comparison: Comparison,
  before: JsonObject,
  after: JsonObject,
  pointer: string,
  depth: number,
): void {
  const { direction, report } = comparison
  for (const keyword of ['oneOf', 'anyOf']) {
    const [one, other] = [listOf(before[keyword]), listOf(after[keyword])]
    if (one.length === 0 && other.length === 0) continue
    const key = (each: Json): string => nameOf(each) || JSON.stringify(each)
    const left = other.filter(each => !one.some(was => key(was) === key(each)))
    for (const [index, was] of one.entries()) {
      const at = other.findIndex(each => key(each) === key(was))
      if (at !== -1) compareSchemas(comparison, was, other[at], `${pointer}/${keyword}/${at}`, depth + 1)
      else if (left.length > 0)
        compareSchemas(comparison, was, left.shift(), `${pointer}/${keyword}/${index}`, depth + 1)
      else if (direction === 'request')
        report(
          'breaking',
          'request-alternative-removed',
          `${pointer}/${keyword}/${index}`,
          'one of the alternatives is not taken any more',
        )
    }
    if (direction === 'response' && one.length > 0)
      for (const _each of left)
        report(
          'breaking',
          'response-alternative-added',
          `${pointer}/${keyword}`,
          'another alternative may come now',
        )
  }
}
