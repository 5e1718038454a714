/**
 * Conditions as an application writes them, the same for `follow`, for `where` of a follower, and in a list's query:
 * `{ status: 'open', 'age:gte': 18, 'address/city': 'Oslo', 'id:in': ['a', 'b'] }`.
 *
 * What they mean is contract/where.ts, so a follower finds what the service would. PROTOCOL.md §10.6.
 */
import {
  describeValue,
  type FilterOperator,
  isLockstepError,
  LockstepError,
  maxOperands,
  parseCondition,
  quote,
  type Where,
} from '../contract/index.ts'

type Scalar = string | number | boolean | null
/** What a member is compared with; with `in`, an array of these. */
export type ConditionValue = Scalar | readonly Scalar[]

/** By member path, with an operator behind a colon where it is not `eq`. All must hold. */
export type Conditions<State = unknown> = string extends keyof State
  ? Readonly<Record<string, ConditionValue>>
  : [keyof State] extends [never]
    ? Readonly<Record<string, ConditionValue>>
    : {
        readonly [Name in keyof State & string as
          | Name
          | `${Name}:${FilterOperator}`
          | `${Name}/${string}`]?: ConditionValue
      }

/** The most conditions of one view or question. */
export const maxConditions = 20

/** Errors: `invalid-option`. */
export function readConditions(conditions: Conditions): Where {
  if (!isPlainObject(conditions)) {
    throw new LockstepError(
      'invalid-option',
      `where was given ${describeValue(conditions)}. Give members with their values, such as { "address/city": "Oslo", "age:gte": 18 }; for other questions filter the values of state.`,
    )
  }
  const entries = Object.entries(conditions)
  if (entries.length > maxConditions) {
    throw new LockstepError(
      'invalid-option',
      `where has ${entries.length} conditions, and at most ${maxConditions}. Filter the values of state for the rest.`,
    )
  }
  return entries.map(([name, value]) => readCondition(name, value))
}

function readCondition(name: string, value: ConditionValue): Where[number] {
  const isList = name.endsWith(':in')
  const values = isList && Array.isArray(value) ? value : [value as Scalar]
  if (isList !== Array.isArray(value) || !values.every(isScalar)) {
    const wanted = isList
      ? 'an array of strings, numbers, booleans or null'
      : 'a string, a number, a boolean or null'
    const isObject = isPlainObject(value)
    throw refuse(`is ${isObject ? 'an object' : describeValue(value)}. Give ${wanted}.`, name)
  }
  if (values.length === 0 || values.length > maxOperands) {
    throw refuse(`has ${values.length} values. Give 1 to ${maxOperands}.`, name)
  }
  const texts = values.map(String)
  try {
    return parseCondition(name, isList ? texts.map(encode).join(',') : texts[0]!)
  } catch (error) {
    throw isLockstepError(error) ? refuse(`cannot be used: ${error.message}`, name) : error
  }
}

function refuse(what: string, name: string): LockstepError {
  return new LockstepError('invalid-option', `The condition ${quote(name)} ${what}`)
}

function encode(text: string): string {
  return text.replaceAll('%', '%25').replaceAll(',', '%2C')
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
