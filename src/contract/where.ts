/**
 * Filters: conditions on an item's own members, as a list's query writes them: `status=open`, `age:gte=18`. Pure.
 *
 * What is given is text, and what it is compared as depends on what stands in the state: a number with a number, a text
 * with a text, in the order of UTF-16 code units. No schema is needed, so that a follower decides as the service does.
 * PROTOCOL.md §10.
 */
import { LockstepError, quote } from './error.ts'
import type { Json, JsonObject } from './json.ts'
import { decodeName, formatMemberPath, type MemberPath, parseMemberPath, readMember } from './member-path.ts'

/** What stands behind the colon of a condition. */
export type FilterOperator = 'eq' | 'ne' | 'lt' | 'lte' | 'gt' | 'gte' | 'in' | 'has' | 'starts' | 'exists'

/** What one operand says of the value of a member, which is `undefined` where there is none. */
type Test = (value: Json | undefined, operand: string) => boolean

const tests: Readonly<Record<FilterOperator, Test>> = {
  eq: (value, operand) => isEqual(value, operand),
  ne: (value, operand) => !isEqual(value, operand),
  lt: (value, operand) => order(value, operand) < 0,
  lte: (value, operand) => order(value, operand) <= 0,
  gt: (value, operand) => order(value, operand) > 0,
  gte: (value, operand) => order(value, operand) >= 0,
  in: (value, operand) => isEqual(value, operand),
  has: (value, operand) => Array.isArray(value) && value.some(item => isEqual(item, operand)),
  starts: (value, operand) => typeof value === 'string' && value.startsWith(operand),
  exists: (value, operand) => (value !== undefined) === (operand === 'true'),
}

/** Every operator. */
export const filterOperators: readonly FilterOperator[] = Object.keys(tests) as FilterOperator[]

export interface Condition {
  readonly path: MemberPath
  readonly operator: FilterOperator
  /** One; of `in` one or more, of which one must hold. */
  readonly operands: readonly string[]
}

/** All conditions must hold; none always holds. */
export type Where = readonly Condition[]

/** The most operands of one `in`. */
export const maxOperands = 200

/** Reads one condition: `age:gte` and `18`. Without an operator it is `eq`. Errors: `invalid-query`. */
export function parseCondition(name: string, value: string): Condition {
  const colon = name.lastIndexOf(':')
  const path = parseMemberPath(colon === -1 ? name : name.slice(0, colon))
  const operator = colon === -1 ? 'eq' : name.slice(colon + 1)
  if (!Object.hasOwn(tests, operator)) {
    throw new LockstepError(
      'invalid-query',
      `${quote(name)} has no known operator. Write one of ${filterOperators.join(', ')} behind the colon, as in "age:gte=18".`,
    )
  }
  if (operator === 'exists' && value !== 'true' && value !== 'false') {
    throw new LockstepError('invalid-query', `${quote(name)} is ${quote(value)}. Give true or false.`)
  }
  const operands = operator === 'in' ? parseOperands(name, value) : [value]
  // Ids are held in this form, however they are written.
  const isId = path.length === 1 && path[0] === 'id'
  return {
    path,
    operator: operator as FilterOperator,
    operands: isId ? operands.map(each => each.normalize('NFC')) : operands,
  }
}

/** Writes a condition as the name and value of a query parameter. */
export function formatCondition({
  path,
  operator,
  operands,
}: Condition): readonly [name: string, value: string] {
  const value = operator === 'in' ? operands.map(encodeOperand).join(',') : operands[0]!
  return [`${formatMemberPath(path)}:${operator}`, value]
}

/** Do all conditions hold of the state? Only its own members count. */
export function matchesWhere(state: JsonObject, where: Where): boolean {
  return where.every(({ path, operator, operands }) => {
    const value = readMember(state, path)
    return operands.some(operand => tests[operator](value, operand))
  })
}

/** A number of JSON, and nothing else that JavaScript would take for one. */
export function isNumberText(text: string): boolean {
  return /^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/.test(text)
}

function isEqual(value: Json | undefined, operand: string): boolean {
  if (typeof value === 'string') return value === operand
  if (typeof value === 'number') return isNumberText(operand) && value === Number(operand)
  return (value === null || typeof value === 'boolean') && String(value) === operand
}

/** Below, at or above 0; `NaN`, which is none of these, where the two have no order. */
function order(value: Json | undefined, operand: string): number {
  if (typeof value === 'string') return value < operand ? -1 : value > operand ? 1 : 0
  return typeof value === 'number' && isNumberText(operand) ? Math.sign(value - Number(operand)) : Number.NaN
}

function parseOperands(name: string, value: string): readonly string[] {
  const operands = value.split(',', maxOperands + 1).map(decodeName)
  if (operands.length <= maxOperands && !operands.includes(undefined)) return operands as string[]
  throw new LockstepError(
    'invalid-query',
    `${quote(name)} takes 1 to ${maxOperands} values with commas between them; a comma in a value is written %2C, a percent sign %25.`,
  )
}

function encodeOperand(operand: string): string {
  return operand.replaceAll('%', '%25').replaceAll(',', '%2C')
}
