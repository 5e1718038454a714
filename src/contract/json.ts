/**
 * JSON values: parsing that loses nothing, and equality.
 *
 * `JSON.parse` alone would turn 1e400 into Infinity (and that into null), and 12345678901234567890 into
 * 12345678901234567000. Such a text is refused instead of altered. A member named twice counts once, the last one, as in
 * every common parser. PROTOCOL.md §4.
 */
import { LockstepError, quote } from './error.ts'

export type Json = null | boolean | number | string | Json[] | JsonObject
export interface JsonObject {
  [name: string]: Json
}

/** The deepest nesting of a JSON text that is read. */
export const maxJsonDepth = 64
/** The deepest nesting of a state, so that a message, list or feed page that wraps it can still be read. */
export const maxStateDepth = 60

/** A quick look: only text with a long run of digits or a large exponent can hold a number that changes. */
const suspicious = /\d{16}|\d[eE][+-]?\d{3}/

/**
 * Parses a JSON text.
 * Errors: `invalid-json` with the parser's reason; `unsafe-number` for a number that would come out as another
 * one; `json-too-deep` over 64 levels.
 */
export function parseJson(text: string): Json {
  let value: Json
  try {
    value = JSON.parse(text) as Json
  } catch (error) {
    throw new LockstepError(
      'invalid-json',
      `The body is not JSON: ${error instanceof Error ? error.message : String(error)}.`,
    )
  }
  checkDepth(value, maxJsonDepth)
  if (suspicious.test(text)) checkNumbers(text)
  return value
}

/** Is it an object in the JSON sense: neither null nor an array? */
export function isJsonObject(value: Json | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Are two JSON values the same value? The order of members does not count; 0 and -0 are one number. */
export function isEqualJson(a: Json | undefined, b: Json | undefined): boolean {
  if (a === b) return true
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false
  if (Array.isArray(a) || Array.isArray(b)) {
    if (!Array.isArray(a) || !Array.isArray(b) || a.length !== b.length) return false
    return a.every((item, index) => isEqualJson(item, b[index]))
  }
  const names = Object.keys(a)
  if (names.length !== Object.keys(b).length) return false
  return names.every(name => Object.hasOwn(b, name) && isEqualJson(a[name], b[name]))
}

/** Sets an own member even where its name is `__proto__`, which plain assignment would take as the prototype. */
export function setMember(target: JsonObject, name: string, value: Json): void {
  if (name === '__proto__') {
    Object.defineProperty(target, name, { value, writable: true, enumerable: true, configurable: true })
  } else {
    target[name] = value
  }
}

/**
 * Refuses what is nested deeper than a state may be (`{}` and `[]` are one level deep, numbers and texts none).
 * Errors: `json-too-deep`. It goes no deeper than it allows, so that a bomb cannot overflow the stack.
 */
export function checkDepth(value: Json, maxDepth: number = maxStateDepth): void {
  if (!isDeeper(value, maxDepth)) return
  throw new LockstepError(
    'json-too-deep',
    `The JSON is nested more than ${maxDepth} levels deep. Flatten it, or store it as a text.`,
  )
}

function isDeeper(value: Json | undefined, levels: number): boolean {
  if (typeof value !== 'object' || value === null) return false
  if (levels === 0) return true
  if (Array.isArray(value)) return value.some(item => isDeeper(item, levels - 1))
  for (const name in value) if (isDeeper(value[name], levels - 1)) return true
  return false
}

type SourceReviver = (this: unknown, name: string, value: unknown, context: { source?: string }) => unknown

function checkNumbers(text: string): void {
  const reviver: SourceReviver = (_name, value, context) => {
    if (typeof value === 'number' && context.source !== undefined && !isSameNumber(context.source, value)) {
      throw new LockstepError(
        'unsafe-number',
        `The number ${quote(context.source, 40)} cannot be held exactly (it would become ${value}). Send it as a string.`,
      )
    }
    return value
  }
  // The third argument is in Node 24 but not yet in TypeScript's own declaration.
  JSON.parse(text, reviver as (this: unknown, name: string, value: unknown) => unknown)
}

/**
 * Fractions, and numbers with an exponent, are rounded by every JSON parser alike, so only what changes visibly
 * counts: infinity, a number other than 0 that became 0, and an integer that would be written as another one.
 * 9223372036854775808 is such a one, though a double holds it: JSON.stringify makes 9223372036854776000 of it.
 */
function isSameNumber(source: string, value: number): boolean {
  if (!Number.isFinite(value)) return false
  if (value === 0) return !/[1-9]/.test(source.replace(/[eE].*$/, ''))
  if (Number.isSafeInteger(value) || !Number.isInteger(value)) return true
  const [, digits] = /^(-?\d+)(?:\.0+)?$/.exec(source) ?? []
  return digits === undefined || BigInt(digits) === expandInteger(String(value))
}

/** The integer that JavaScript writes as `1.2e+21`. */
function expandInteger(written: string): bigint {
  const [mantissa = '', exponent = '0'] = written.split('e')
  const [whole = '', fraction = ''] = mantissa.split('.')
  return BigInt(whole + fraction.padEnd(Number(exponent), '0'))
}
