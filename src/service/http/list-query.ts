/**
 * The query of a list: page, filters, order and count, each member checked against the schema. PROTOCOL.md §4.8 and §10.
 */
import {
  type Condition,
  decodeName,
  formatCondition,
  formatMemberPath,
  formatSort,
  isNumberText,
  type Json,
  LockstepError,
  parseCondition,
  parseSort,
  quote,
  type SortKey,
  type Where,
} from '../../contract/index.ts'
import { maxPageSize, type Resource } from '../resource.ts'
import { findItems, findMember, listNames, typesOf } from '../schema-member.ts'
import { isMeaningless, readCount, readFlag } from './exchange.ts'
import { checkMember, shorten, type ViewQuery, viewParameters } from './view.ts'

export interface ListQuery {
  readonly limit: number
  /** An id, where the list has no order of its own. */
  readonly after: string | undefined
  /** A place in the order. */
  readonly cursor: string | undefined
  readonly versions: boolean
  readonly count: boolean
  readonly where: Where
  readonly sort: readonly SortKey[]
  readonly view: ViewQuery
}

const ownParameters = ['limit', 'after', 'cursor', 'versions', 'count', 'sort'] as const
type Parameter = (typeof ownParameters)[number] | keyof ViewQuery

/** The most conditions of one request. */
const maxConditions = 20

/** Reads the query of a list. Errors: `invalid-query`. */
export function readListQuery(resource: Resource<object>, query: string): ListQuery {
  const { parameters, where } = query === '' ? noQuery : split(resource, query)
  const { limit, after, cursor, versions, count, sort, ...view } = parameters
  for (const condition of where) checkCondition(resource, condition)
  const keys = sort === undefined ? [] : readSort(resource, sort)
  if (after !== undefined && keys.length > 0) {
    throw new LockstepError(
      'invalid-query',
      'after= is for lists in order of ids. With sort= follow the Link to the next page.',
    )
  }
  if (cursor !== undefined && keys.length === 0) {
    throw new LockstepError(
      'invalid-query',
      'cursor= is for lists with sort=. Follow the Link to the next page as it is.',
    )
  }
  return {
    limit: readCount('limit', limit, { fallback: resource.pageSize, max: maxPageSize }),
    after,
    cursor,
    versions: readFlag('versions', versions),
    count: readFlag('count', count),
    where,
    sort: keys,
    view,
  }
}

/** Is it a plain page, which the change log can give by itself? */
export function isPlain({ where, sort, count }: ListQuery): boolean {
  return where.length === 0 && sort.length === 0 && !count
}

/** What stands in the ETag for filters, order, place and count; `''` for a plain page. */
export function formatListVariant(query: ListQuery): string {
  if (isPlain(query)) return ''
  const { where, sort, cursor, count } = query
  const conditions = where.map(condition => formatCondition(condition).join('=')).sort()
  const parts = JSON.stringify([conditions, formatSort(sort), cursor, count])
  return `list=${shorten(parts, 0)}`
}

/** The query of the page that goes on at `place`; what is counted once is not counted again. */
export function formatNextQuery(
  query: ListQuery,
  place: { readonly after: string } | { readonly cursor: string },
): string {
  const { limit, versions, sort, where, view } = query
  const parameters = new URLSearchParams({ limit: String(limit) })
  if (versions) parameters.set('versions', 'true')
  for (const [name, value] of Object.entries(view)) if (value !== undefined) parameters.set(name, value)
  for (const condition of where) parameters.append(...(formatCondition(condition) as [string, string]))
  if (sort.length > 0) parameters.set('sort', formatSort(sort))
  // The id stands here in the encoding of paths, as everywhere.
  return 'after' in place ? `${parameters}&after=${place.after}` : `${parameters}&cursor=${place.cursor}`
}

interface SplitQuery {
  readonly parameters: { readonly [Name in Parameter]?: string }
  readonly where: readonly Condition[]
}

const noQuery: SplitQuery = { parameters: {}, where: [] }

/** What is no parameter is a condition on a member; with its operator it is one, whatever it is called. */
function split(resource: Resource<object>, query: string): SplitQuery {
  const known = [...ownParameters, ...viewParameters(resource)]
  const parameters: { [Name in Parameter]?: string } = {}
  const where: Condition[] = []
  const seen = new Set<string>()
  for (const [name, value] of new URLSearchParams(query)) {
    if (isMeaningless(name)) continue
    if (seen.has(name))
      throw new LockstepError('invalid-query', `The query parameter ${quote(name)} is given twice.`)
    seen.add(name)
    const parameter = known.find(other => other === name)
    if (parameter !== undefined) parameters[parameter] = value
    else if (isReserved(name)) throw unknownParameter(resource, name, known)
    else where.push(readCondition(resource, name, value, known))
  }
  if (where.length > maxConditions) {
    throw new LockstepError(
      'invalid-query',
      `There are ${where.length} conditions; at most ${maxConditions} are allowed.`,
    )
  }
  return { parameters, where }
}

function readCondition(
  resource: Resource<object>,
  name: string,
  value: string,
  known: readonly string[],
): Condition {
  const isMember = name.includes(':') || findMember(resource.schema, [firstNameOf(name)]).length > 0
  if (!isMember) throw unknownParameter(resource, name, known)
  return parseCondition(name, value)
}

function unknownParameter(
  { schema }: Resource<object>,
  name: string,
  known: readonly string[],
): LockstepError {
  const members = listNames(schema, []).slice(0, 50)
  return new LockstepError(
    'invalid-query',
    `There is no query parameter ${quote(name)} here, and no member of this name to filter by. Parameters: ${known.join(', ')}. Members: ${members.join(', ') || 'any'}.`,
  )
}

/** Is it a parameter of other collections? Where any member is known it must not be taken for one. */
function isReserved(name: string): boolean {
  return name === 'fields' || name === 'lang' || name === 'embed'
}

function firstNameOf(path: string): string {
  const [name = ''] = path.split('/', 1)
  return decodeName(name) ?? name
}

function readSort(resource: Resource<object>, text: string): readonly SortKey[] {
  const keys = parseSort(text)
  for (const { path } of keys) {
    const types = checkPath(resource, path, 'sort')
    if (types === undefined || ['string', 'number', 'boolean', 'null'].some(type => types.has(type))) continue
    throw new LockstepError(
      'invalid-query',
      `sort names ${quote(formatMemberPath(path))}, which has no order: it is ${listOf(types)}.`,
    )
  }
  return keys
}

/** Refuses a condition that can never hold: of a misspelt member, or a text where a number stands. Errors: `invalid-query`. */
function checkCondition(resource: Resource<object>, condition: Condition): void {
  const { path, operator, operands } = condition
  const types = checkPath(resource, path, 'A filter')
  if (types === undefined || operator === 'exists') return
  const member = formatMemberPath(path)
  const refuse = (advice: string): LockstepError =>
    new LockstepError(
      'invalid-query',
      `${quote(`${member}:${operator}`)} cannot be used: ${quote(member)} is ${listOf(types)}. ${advice}`,
    )
  if (operator === 'has') {
    if (!types.has('array')) throw refuse(`Write ${member}=… for a value of its own.`)
    const items = typesOf(resource.schema, findItems(resource.schema, findMember(resource.schema, path)))
    if (!canBe(operands, items)) throw refuse(`Its items are ${listOf(items)}.`)
    return
  }
  if (operator === 'starts' && !types.has('string')) throw refuse('Only a text has a beginning.')
  if (canBe(operands, types)) return
  if (types.has('array')) throw refuse(`Write ${member}:has=… for one of its items.`)
  throw refuse(
    types.has('object') ? `Name a member of it: ${member}/….` : `${quote(operands.join(','))} is none.`,
  )
}

/** The types of what stands there. Errors: `invalid-query` where nothing can, and behind an array. */
function checkPath(
  { schema }: Resource<object>,
  path: readonly string[],
  what: string,
): ReadonlySet<string> | undefined {
  checkMember(schema, path, what)
  for (let length = 1; length < path.length; length++) {
    const types = typesOf(schema, findMember(schema, path.slice(0, length)))
    if (types === undefined || types.has('object')) continue
    const array = formatMemberPath(path.slice(0, length))
    throw new LockstepError(
      'invalid-query',
      `${what} names ${quote(formatMemberPath(path))}, but ${quote(array)} is ${listOf(types)}.`,
    )
  }
  return typesOf(schema, findMember(schema, path))
}

/** May each of the texts be a value of these types? */
function canBe(operands: readonly string[], types: ReadonlySet<string> | undefined): boolean {
  return operands.every(
    operand =>
      types === undefined ||
      types.has('string') ||
      (types.has('number') && isNumberText(operand)) ||
      (types.has('boolean') && (operand === 'true' || operand === 'false')) ||
      (types.has('null') && operand === 'null'),
  )
}

function listOf(types: ReadonlySet<Json> | undefined): string {
  return types === undefined ? 'anything' : [...types].join(' or ')
}
