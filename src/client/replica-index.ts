/**
 * Looking for states by what is in them: conditions by JSON Pointer (RFC 6901), and the indexes of a replica.
 *
 * A pointer leads through members only, not through arrays. An index narrows a search down; whether a state
 * fulfils the conditions is decided here, the same in memory and for a file.
 */
import type { DatabaseSync } from 'node:sqlite'
import {
  describeValue,
  isJsonObject,
  type Json,
  type JsonObject,
  LockstepError,
  quote,
} from '../contract/index.ts'

/** What members must be, by JSON Pointer: `{ '/address/city': 'Oslo' }`. */
export type Conditions = Readonly<Record<string, string | number | boolean | null>>

interface Condition {
  readonly members: readonly string[]
  readonly value: string | number | boolean | null
}

/** Gives a test for states. Errors: `invalid-option` where a pointer or value cannot be used. */
export function compileConditions(conditions: Conditions): (state: JsonObject) => boolean {
  if (!isPlainObject(conditions)) {
    throw new LockstepError(
      'invalid-option',
      `where was given ${describeValue(conditions)}. Give members with their values, such as { "/address/city": "Oslo" }; for other questions filter the values of state.`,
    )
  }
  const all: Condition[] = Object.entries(conditions).map(([pointer, value]) => {
    if (!isScalar(value)) {
      const what = isPlainObject(value) ? 'an object' : describeValue(value)
      throw new LockstepError(
        'invalid-option',
        `The condition ${quote(pointer)} is ${what}. Give a string, a number, a boolean or null.`,
      )
    }
    return { members: parsePointer(pointer), value }
  })
  return state => all.every(({ members, value }) => lookUp(state, members) === value)
}

/** Anything else, a Map for one, would have no members, and so find everything. */
function isPlainObject(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false
  const prototype = Object.getPrototypeOf(value) as object | null
  return prototype === null || Object.getPrototypeOf(prototype) === null
}

function isScalar(value: unknown): boolean {
  return value === null || ['string', 'boolean'].includes(typeof value) || Number.isFinite(value)
}

function lookUp(state: JsonObject, members: readonly string[]): Json | undefined {
  let value: Json | undefined = state
  for (const name of members) {
    if (value === undefined || !isJsonObject(value) || !Object.hasOwn(value, name)) return undefined
    value = value[name]
  }
  return value
}

/** The SQL of the member, as an index has it. */
export function memberSql(pointer: string): string {
  const path = parsePointer(pointer)
    .map(name => `."${name}"`)
    .join('')
  return `json_extract(state, '$${path.replaceAll("'", "''")}')`
}

const indexPrefix = 'lockstep_member '

/** Makes the indexes that are missing and drops those that nobody wants any more. */
export function ensureIndexes(database: DatabaseSync, pointers: readonly string[]): void {
  const wanted = new Map(pointers.map(pointer => [indexPrefix + pointer, memberSql(pointer)]))
  const rows = database.prepare("SELECT name FROM sqlite_schema WHERE type = 'index'").all()
  const present = new Set(rows.map(row => row['name'] as string).filter(name => name.startsWith(indexPrefix)))
  for (const name of present) if (!wanted.has(name)) database.exec(`DROP INDEX "${name}"`)
  for (const [name, sql] of wanted) {
    if (present.has(name)) continue
    database.exec(`CREATE INDEX "${name}" ON lockstep_row (generation, ${sql}, id)`)
  }
}

function parsePointer(pointer: string): string[] {
  // SQLite cannot be told of a member whose name holds one of these.
  const isPointer = typeof pointer === 'string' && /^(\/([^~/]|~[01])*)+$/.test(pointer)
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is refused
  if (!isPointer || /["\\\u0000-\u001f]/.test(pointer) || !pointer.isWellFormed() || pointer.length > 500) {
    throw new LockstepError(
      'invalid-option',
      `${quote(pointer)} is no JSON Pointer to a member. Write it as "/email" or "/address/city", without quotes and control characters.`,
    )
  }
  return pointer
    .slice(1)
    .split('/')
    .map(part => part.replaceAll('~1', '/').replaceAll('~0', '~'))
}
