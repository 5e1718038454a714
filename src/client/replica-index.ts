/**
 * Looking for states in a replica by what is in them: the indexes, and what of a search SQLite can do.
 *
 * SQL narrows a search down; whether a state fulfils the conditions is decided by contract/where.ts, the same in memory
 * and for a file. Only equality is narrowed down: SQLite has another order of texts than UTF-16 code units.
 */
import type { DatabaseSync } from 'node:sqlite'
import {
  type Condition,
  describeValue,
  formatMemberPath,
  isLockstepError,
  isNumberText,
  LockstepError,
  type MemberPath,
  parseMemberPath,
  quote,
  type Where,
} from '../contract/index.ts'

type Value = string | number | null

/** Ways to read rows that may fulfil conditions: a row fulfils the tests of one of them at most. */
export interface Narrowing {
  /** Tests in SQL, their values numbered from `?3` on. */
  readonly ways: readonly string[]
  readonly values: readonly Value[]
}

/** More values of one member are not looked for one by one. */
const maxWays = 20

/** What every row that fulfils the conditions fulfils. */
export function narrowRows(where: Where): Narrowing {
  const values: Value[] = []
  const test = (sql: string, value: Value): string => ` AND ${sql} IS ?${values.push(value) + 2}`
  let common = ''
  let ways: readonly string[] | undefined
  for (const condition of where) {
    const sql = memberSql(condition.path)
    const candidates = candidatesOf(condition)
    if (sql === undefined || candidates === undefined) continue
    if (candidates.length === 1) common += test(sql, candidates[0]!)
    // A way for each value, since SQLite would sort what an index gives for several of them.
    else if (candidates.length <= maxWays) ways ??= candidates.map(candidate => test(sql, candidate))
  }
  return { ways: (ways ?? ['']).map(way => common + way), values }
}

/** What may stand there where the condition holds, as `json_extract` gives it; `undefined` where that is not to be listed. */
function candidatesOf({ operator, operands }: Condition): readonly Value[] | undefined {
  if (operator !== 'eq' && operator !== 'in') return undefined
  if (!operands.every(isSayable)) return undefined
  const candidates = operands.flatMap((operand): Value[] => {
    if (isNumberText(operand)) return [operand, Number(operand)]
    if (operand === 'null') return [operand, null]
    return operand === 'true' || operand === 'false' ? [operand, Number(operand === 'true')] : [operand]
  })
  return [...new Set(candidates)]
}

/** Does SQLite compare it as JavaScript does? It keeps whole numbers of 64 bits, and reads others less exactly. */
function isSayable(operand: string): boolean {
  if (!operand.isWellFormed() || operand.includes('\0')) return false
  if (!isNumberText(operand)) return true
  const value = Number(operand)
  const isShort = Math.abs(value) < 1e15 && Math.abs(value) > 1e-15 && Number(value.toPrecision(15)) === value
  return Number.isSafeInteger(value) || isShort
}

/** The SQL of a member, as an index has it; `undefined` where SQLite cannot be told of it. */
function memberSql(path: MemberPath): string | undefined {
  if (path.length === 1 && path[0] === 'id') return 'id'
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what cannot be said
  if (path.some(name => /["\\\u0000-\u001f]/.test(name) || !name.isWellFormed())) return undefined
  const names = path.map(name => `."${name}"`).join('')
  return `json_extract(state, '$${names.replaceAll("'", "''")}')`
}

/** Reads the member path of an index. Errors: `invalid-option`. */
export function readIndex(text: string): { readonly name: string; readonly sql: string } {
  const refuse = (why: string): LockstepError =>
    new LockstepError(
      'invalid-option',
      `The index ${typeof text === 'string' ? quote(text) : describeValue(text)} cannot be used: ${why} Write the member as "email" or "address/city".`,
    )
  if (typeof text !== 'string') throw refuse('it is no text.')
  try {
    const path = parseMemberPath(text)
    const name = formatMemberPath(path)
    const sql = memberSql(path)
    if (sql === undefined)
      throw refuse('quotes, backslashes and control characters cannot be in a name here.')
    if (name.length > maxIndexChars) throw refuse(`it has over ${maxIndexChars} characters.`)
    // To SQLite "Name" and "name" are one name; this is another way to write the same path.
    const distinct = name.replace(/[A-Z]/g, letter => `%${letter.charCodeAt(0).toString(16)}`)
    return { name: indexPrefix + distinct, sql }
  } catch (error) {
    throw isLockstepError(error, 'invalid-query') ? refuse(error.message) : error
  }
}

const indexPrefix = 'lockstep_member '
const maxIndexChars = 500

/** Makes the indexes that are missing and drops those that nobody wants any more. */
export function ensureIndexes(database: DatabaseSync, paths: readonly string[]): void {
  const wanted = new Map(paths.map(readIndex).map(({ name, sql }) => [name, sql]))
  const rows = database.prepare("SELECT name FROM sqlite_schema WHERE type = 'index'").all()
  const present = new Set(rows.map(row => row['name'] as string).filter(name => name.startsWith(indexPrefix)))
  for (const name of present) if (!wanted.has(name)) database.exec(`DROP INDEX "${name}"`)
  for (const [name, sql] of wanted) {
    if (present.has(name)) continue
    database.exec(`CREATE INDEX "${name}" ON lockstep_row (generation, ${sql}, id)`)
  }
}
