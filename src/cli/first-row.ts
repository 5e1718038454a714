/**
 * First rows: what a new collection begins with.
 *
 * Ids are texts in the protocol (PROTOCOL.md §4.1). Numbers, as in json-server files, become texts; rows
 * without an id get the lowest numbers that are free, so that the same file always gives the same ids.
 */
import {
  checkDepth,
  encodeSegment,
  type Fault,
  isJsonObject,
  isReservedSegment,
  type Json,
  type JsonObject,
} from 'lockstep/contract'
import type { Resource } from 'lockstep/service'

export interface FirstRow {
  /** One id for each `{…}` of the resource's template. */
  readonly parentIds: readonly string[]
  readonly id: string
  /** With its id. */
  readonly state: JsonObject
}

/** What was done to the ids of a collection's rows. */
export interface RowCounts {
  numericIds: number
  madeIds: number
}

export interface RowList {
  readonly rows: readonly Json[]
  readonly parentIds: readonly string[]
  /** Where the list stands in the file. */
  readonly pointer: string
}

/** Reads the rows of one list: gives them ids and checks them against the schema. Faults and counts are added to. */
export function readFirstRows(
  { rows, parentIds, pointer }: RowList,
  resource: Resource<object>,
  counts: RowCounts,
  faults: Fault[],
): FirstRow[] {
  const taken = new Set<string>()
  for (const [index, row] of rows.entries()) {
    const id = isJsonObject(row) ? readId(row['id']) : undefined
    if (id === undefined) continue
    if (taken.has(id))
      faults.push({ pointer: `${pointer}/${index}/id`, detail: `repeats the id ${JSON.stringify(id)}` })
    taken.add(id)
  }
  let lastMade = 0
  const makeId = (): string => {
    do lastMade++
    while (taken.has(String(lastMade)))
    return String(lastMade)
  }
  return rows.flatMap((row, index) => {
    const at = `${pointer}/${index}`
    if (!isJsonObject(row)) {
      faults.push({ pointer: at, detail: 'must be an object' })
      return []
    }
    if (Object.hasOwn(row, 'id') && readId(row['id']) === undefined) {
      faults.push({ pointer: `${at}/id`, detail: 'must be a text or a number' })
      return []
    }
    if (typeof row['id'] === 'number') counts.numericIds++
    if (!Object.hasOwn(row, 'id')) counts.madeIds++
    const { id: given, ...rest } = row
    const id = readId(given) ?? makeId()
    const state: JsonObject = { id, ...rest }
    faults.push(...checkRow(id, state, resource).map(fault => ({ ...fault, pointer: at + fault.pointer })))
    return [{ parentIds, id, state }]
  })
}

/** What is to be said about the ids of collections, by their templates. */
export function describeRowCounts(counts: ReadonlyMap<string, RowCounts>): string[] {
  const list = (kind: keyof RowCounts): string =>
    [...counts]
      .filter(([, each]) => each[kind] > 0)
      .map(([template, each]) => `${template} (${count(each[kind], 'row')})`)
      .join(', ')
  const [numeric, made] = [list('numericIds'), list('madeIds')]
  const notices: string[] = []
  if (numeric !== '') {
    notices.push(
      `Ids are texts here, so numbers became texts ("1" for 1) in ${numeric}. Other members, such as a postId, stay as they are.`,
    )
  }
  if (made !== '') notices.push(`Rows without an id got one: ${made}.`)
  return notices
}

export function count(number: number, noun: string): string {
  return `${number.toLocaleString('en-GB')} ${noun}${number === 1 ? '' : 's'}`
}

function readId(value: Json | undefined): string | undefined {
  if (typeof value === 'number') return String(value)
  return typeof value === 'string' ? value.normalize('NFC') : undefined
}

function checkRow(id: string, state: JsonObject, resource: Resource<object>): readonly Fault[] {
  try {
    if (isReservedSegment(id))
      return [{ pointer: '/id', detail: 'must not begin with "_", which is reserved' }]
    encodeSegment(id)
  } catch (error) {
    return [{ pointer: '/id', detail: `cannot be used: ${(error as Error).message}` }]
  }
  try {
    checkDepth(state)
  } catch (error) {
    return [{ pointer: '', detail: (error as Error).message }]
  }
  const bytes = Buffer.byteLength(JSON.stringify(state))
  if (bytes > resource.maxBodyBytes) {
    const detail = `has ${bytes} bytes as JSON; ${resource.maxBodyBytes} are allowed, or it could never be changed over HTTP`
    return [{ pointer: '', detail }]
  }
  return resource.validate(state)
}
