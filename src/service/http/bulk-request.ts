/** What a bulk may ask for: reading its body, with every fault at its place, and the limits of it. PROTOCOL.md §4.15. */
import {
  checkCount,
  checkOptions,
  type Fault,
  isJsonObject,
  type Json,
  type JsonObject,
  LockstepError,
  quote,
} from '../../contract/index.ts'
import type { WriteMethod } from './operation.ts'

export interface BulkOptions {
  /** Operations of one bulk. @default 1_000 */
  readonly maxOperations?: number
  /** The largest body in bytes; each operation's own body may be as large as that of a single request. @default 8_388_608 */
  readonly maxBodyBytes?: number
  /** How many characters of states the answer may hold; once it has them, further operations are refused. @default 67_108_864 */
  readonly maxResultChars?: number
}

/** One write of a bulk. */
export interface BulkOperation {
  readonly method: WriteMethod
  /** Of the resource; a POST has it in its body, if at all. */
  readonly id?: string
  readonly body?: Json
  readonly contentType?: string
  /** The language in which texts are written. */
  readonly lang?: string
  readonly ifMatch?: string
  readonly ifNoneMatch?: string
}

export interface BulkRequest {
  readonly atomic: boolean
  readonly operations: readonly BulkOperation[]
}

const maxFaults = 100
const required: Readonly<Record<WriteMethod, readonly string[]>> = {
  POST: ['body'],
  PUT: ['id', 'body'],
  PATCH: ['id', 'body'],
  DELETE: ['id'],
}
const optional: Readonly<Record<WriteMethod, readonly string[]>> = {
  POST: ['contentType', 'lang'],
  PUT: ['contentType', 'lang', 'ifMatch', 'ifNoneMatch'],
  PATCH: ['contentType', 'lang', 'ifMatch', 'ifNoneMatch'],
  DELETE: ['ifMatch', 'ifNoneMatch'],
}

/** Fills in the defaults; `undefined` for `false`. Errors: `invalid-option` for what is not a whole number from 1 up. */
export function readBulkOptions(options: BulkOptions | false = {}): Required<BulkOptions> | undefined {
  if (options === false) return undefined
  checkOptions('bulk of openService', options, {
    maxOperations: true,
    maxBodyBytes: true,
    maxResultChars: true,
  })
  const { maxOperations = 1_000, maxBodyBytes = 8_388_608, maxResultChars = 67_108_864 } = options
  const limits = { maxOperations, maxBodyBytes, maxResultChars }
  for (const [name, value] of Object.entries(limits)) checkCount(`bulk.${name}`, value)
  return limits
}

/** Reads the body of a bulk. Errors: `invalid-bulk`, with all faults. */
export function parseBulkRequest(body: Json, maxOperations: number): BulkRequest {
  if (!isJsonObject(body)) throw invalidBulk([{ pointer: '', detail: 'must be an object' }])
  const { atomic = false, operations = [] } = body
  const faults: Fault[] = findUnknown(body, ['atomic', 'operations'], '')
  if (typeof atomic !== 'boolean') faults.push({ pointer: '/atomic', detail: 'must be true or false' })
  if (!Array.isArray(operations) || operations.length === 0 || operations.length > maxOperations) {
    const detail = `must be an array of 1 to ${maxOperations} operations`
    throw invalidBulk([...faults, { pointer: '/operations', detail }])
  }
  for (const [index, operation] of operations.entries()) {
    for (const fault of findFaults(operation, `/operations/${index}`)) faults.push(fault)
  }
  if (faults.length > 0) throw invalidBulk(faults)
  return { atomic: atomic as boolean, operations: operations as unknown as readonly BulkOperation[] }
}

function findFaults(operation: Json, pointer: string): Fault[] {
  if (!isJsonObject(operation)) return [{ pointer, detail: 'must be an object' }]
  const { method } = operation
  if (typeof method !== 'string' || !Object.hasOwn(required, method))
    return [{ pointer: `${pointer}/method`, detail: `must be one of ${Object.keys(required).join(', ')}` }]
  const needed = required[method as WriteMethod]
  const known = ['method', ...needed, ...optional[method as WriteMethod]]
  const faults = findUnknown(operation, known, pointer, ` of a ${method}`)
  for (const name of needed) {
    if (!Object.hasOwn(operation, name)) faults.push({ pointer: `${pointer}/${name}`, detail: 'is required' })
  }
  for (const [name, value] of Object.entries(operation)) {
    if (known.includes(name) && name !== 'body' && typeof value !== 'string')
      faults.push({ pointer: `${pointer}/${name}`, detail: 'must be a string' })
  }
  return faults
}

/** A member that is not known is refused: a condition that is misspelt must not be one that is left out. */
function findUnknown(object: JsonObject, known: readonly string[], pointer: string, of = ''): Fault[] {
  return Object.keys(object)
    .filter(name => !known.includes(name))
    .map(name => ({
      pointer: `${pointer}/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`,
      detail: `is not a known member${of}`,
    }))
}

function invalidBulk(faults: readonly Fault[]): LockstepError {
  const { pointer, detail } = faults[0]!
  const more = faults.length > 1 ? ` (and ${faults.length - 1} more)` : ''
  return new LockstepError(
    'invalid-bulk',
    `The body is not a bulk: ${pointer === '' ? 'it' : quote(pointer)} ${detail}${more}.`,
    { faults: faults.slice(0, maxFaults) },
  )
}
