/**
 * JSON Patch (RFC 6902): reading one, and applying it to a state.
 *
 * A state may have members of any name and come from anyone, so only own members are ever looked at, two values
 * are compared in linear time, and what `copy` adds is bounded. Patches are taken as data: no I/O, no clock.
 * PROTOCOL.md §4.14.
 */
import {
  checkDepth,
  type Fault,
  isEqualJson,
  isJsonObject,
  type Json,
  type JsonObject,
  LockstepError,
  quote,
  setMember,
} from '../contract/index.ts'

/** One operation; its pointers are JSON Pointers (RFC 6901). */
export interface JsonPatchOperation {
  readonly op: 'add' | 'remove' | 'replace' | 'move' | 'copy' | 'test'
  readonly path: string
  /** Where `op` is `move` or `copy`. */
  readonly from: string
  /** Where `op` is `add`, `replace` or `test`. */
  readonly value: Json
}

/** The most operations of one patch. */
const maxOperations = 1_000
const maxFaults = 100
const members: Readonly<Record<JsonPatchOperation['op'], readonly ('path' | 'from' | 'value')[]>> = {
  add: ['path', 'value'],
  remove: ['path'],
  replace: ['path', 'value'],
  move: ['from', 'path'],
  copy: ['from', 'path'],
  test: ['path', 'value'],
}

/** Reads the body of a PATCH; members that are not known are ignored. Errors: `invalid-patch`, with all faults. */
export function parseJsonPatch(body: Json): readonly JsonPatchOperation[] {
  if (!Array.isArray(body)) throw invalidPatch([{ pointer: '', detail: 'must be an array of operations' }])
  if (body.length > maxOperations)
    throw invalidPatch([{ pointer: '', detail: `must have at most ${maxOperations} operations` }])
  const faults = body.flatMap(findFaults)
  if (faults.length > 0) throw invalidPatch(faults)
  return body as unknown as readonly JsonPatchOperation[]
}

/**
 * Applies the operations one after another, all or none, and gives what is then in the place of the document;
 * `undefined` where it was removed. `target` and `operations` stay as they are. What is copied may have `maxCopiedChars` of JSON in all.
 * Errors: `patch-conflict` with the operation's index and the pointer that does not fit; `body-too-large`, `json-too-deep`.
 */
export function applyJsonPatch(
  target: Json,
  operations: readonly JsonPatchOperation[],
  maxCopiedChars: number,
): Json | undefined {
  // The document is the member '' of this object: so each pointer, the empty one too, names a member of something.
  const holder: JsonObject = { '': copyOf(target) }
  const copy = createCopy(maxCopiedChars)
  for (const [index, operation] of operations.entries()) {
    const misfit = applyOperation(holder, operation, copy)
    if (misfit !== undefined) throw patchConflict(operation, index, misfit)
  }
  const result = memberOf(holder, '')
  // Moving and copying can nest as deep as a patch is long.
  if (result !== undefined) checkDepth(result)
  return result
}

/** Which member of an operation does not fit the document, and why. */
interface Misfit {
  readonly member: 'path' | 'from' | 'value'
  readonly detail: string
}

function applyOperation(
  holder: JsonObject,
  { op, path, from, value }: JsonPatchOperation,
  copy: (value: Json) => Json,
): Misfit | undefined {
  switch (op) {
    case 'add':
      return add(holder, path, copyOf(value))
    case 'remove':
      return remove(holder, path) === undefined ? missing('path') : undefined
    case 'replace':
      return replace(holder, path, copyOf(value))
    case 'move': {
      const moved = remove(holder, from)
      return moved === undefined ? missing('from') : add(holder, path, moved)
    }
    case 'copy': {
      const source = valueAt(holder, from)
      return source === undefined ? missing('from') : add(holder, path, copy(source))
    }
    case 'test': {
      const found = valueAt(holder, path)
      if (found === undefined) return missing('path')
      return isEqualJson(found, value) ? undefined : { member: 'value', detail: 'is not the value there' }
    }
  }
}

function add(holder: JsonObject, path: string, value: Json): Misfit | undefined {
  const { parent, name } = locate(holder, path)
  if (Array.isArray(parent)) {
    const index = name === '-' ? parent.length : indexOf(name)
    if (!(index <= parent.length))
      return { member: 'path', detail: `is no place in an array of ${parent.length}` }
    parent.splice(index, 0, value)
  } else if (isJsonObject(parent)) {
    setMember(parent, name, value)
  } else {
    return { member: 'path', detail: 'leads into what is no object and no array' }
  }
  return undefined
}

/** Removes what is there and gives it; `undefined` where nothing is. */
function remove(holder: JsonObject, path: string): Json | undefined {
  const { parent, name } = locate(holder, path)
  const value = memberOf(parent, name)
  if (Array.isArray(parent) && value !== undefined) parent.splice(indexOf(name), 1)
  else if (isJsonObject(parent)) delete parent[name]
  return value
}

function replace(holder: JsonObject, path: string, value: Json): Misfit | undefined {
  const { parent, name } = locate(holder, path)
  if (memberOf(parent, name) === undefined) return missing('path')
  if (Array.isArray(parent)) parent[indexOf(name)] = value
  else setMember(parent as JsonObject, name, value)
  return undefined
}

function missing(member: 'path' | 'from'): Misfit {
  return { member, detail: 'does not exist' }
}

function valueAt(holder: JsonObject, pointer: string): Json | undefined {
  const { parent, name } = locate(holder, pointer)
  return memberOf(parent, name)
}

function locate(holder: JsonObject, pointer: string): { parent: Json | undefined; name: string } {
  const names = pointer.split('/').map(token => token.replaceAll('~1', '/').replaceAll('~0', '~'))
  const name = names.pop()!
  let parent: Json | undefined = holder
  for (const step of names) parent = memberOf(parent, step)
  return { parent, name }
}

/** An own member or an element; `undefined` where there is none of the name. */
function memberOf(value: Json | undefined, name: string): Json | undefined {
  if (Array.isArray(value)) return value[indexOf(name)]
  return isJsonObject(value) && Object.hasOwn(value, name) ? value[name] : undefined
}

/** The index that a token means (RFC 6901 §4: digits without leading zeros); NaN where it means none. */
function indexOf(token: string): number {
  return /^(0|[1-9][0-9]*)$/.test(token) ? Number(token) : Number.NaN
}

function copyOf(value: Json): Json {
  return JSON.parse(JSON.stringify(value)) as Json
}

/** Copies that double what was copied before would soon fill the memory, so all of them together are bounded. */
function createCopy(maxChars: number): (value: Json) => Json {
  let chars = 0
  return value => {
    checkDepth(value)
    const text = JSON.stringify(value)
    chars += text.length
    if (chars <= maxChars) return JSON.parse(text) as Json
    throw new LockstepError(
      'body-too-large',
      `The patch copies over ${maxChars} characters of JSON. Copy less, or PUT the whole state.`,
    )
  }
}

function findFaults(operation: Json, index: number): Fault[] {
  if (!isJsonObject(operation)) return [{ pointer: `/${index}`, detail: 'must be an object' }]
  const { op, path, from } = operation
  if (typeof op !== 'string' || !Object.hasOwn(members, op)) {
    return [{ pointer: `/${index}/op`, detail: `must be one of ${Object.keys(members).join(', ')}` }]
  }
  const faults = members[op as JsonPatchOperation['op']].flatMap((member): Fault[] => {
    const pointer = `/${index}/${member}`
    if (!Object.hasOwn(operation, member)) return [{ pointer, detail: 'is required' }]
    if (member === 'value' || isPointer(operation[member])) return []
    return [{ pointer, detail: 'must be a JSON Pointer: empty, or with a slash before each name' }]
  })
  if (faults.length === 0 && op === 'move' && String(path).startsWith(`${from}/`))
    return [{ pointer: `/${index}/path`, detail: 'must not be inside of what is moved' }]
  return faults
}

function isPointer(value: Json | undefined): boolean {
  return typeof value === 'string' && /^(\/|$)/.test(value) && !/~(?![01])/.test(value)
}

function invalidPatch(faults: readonly Fault[]): LockstepError {
  const { pointer, detail } = faults[0]!
  const more = faults.length > 1 ? ` (and ${faults.length - 1} more)` : ''
  return new LockstepError(
    'invalid-patch',
    `The body is not a JSON Patch (RFC 6902): ${pointer === '' ? 'it' : pointer} ${detail}${more}.`,
    { faults: faults.slice(0, maxFaults) },
  )
}

function patchConflict(
  { op, path, from }: JsonPatchOperation,
  index: number,
  { member, detail }: Misfit,
): LockstepError {
  const pointer = member === 'from' ? from : path
  const what =
    member === 'value' ? `the value at ${quote(pointer)} is another one` : `${quote(pointer)} ${detail}`
  return new LockstepError(
    'patch-conflict',
    `Operation ${index} (${op}) does not fit the resource: ${what}. Nothing was changed. GET it and decide again.`,
    { faults: [{ pointer: `/${index}/${member}`, detail }], extra: { operation: index, pointer } },
  )
}
