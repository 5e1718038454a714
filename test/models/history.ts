/**
 * The small world of the models: two resources, values of three members, and the rows of a change log.
 *
 * A value is a number: three bits each for the members x, y and z, 0 where a member is missing. What somebody holds
 * of both resources (a copy, a baseline, the service's state) is one number too: per resource three bits of version
 * and nine of value. So states are compared and copied fast.
 */

/** `changes` is a merge patch, or where `isWhole` the state itself: after a creation, and after a PUT. */
export interface Operation {
  readonly event: 'created' | 'modified' | 'deleted'
  readonly resource: number
  readonly changes: number
  readonly isWhole: boolean
}

/** A row of the change log; its number is its place. `value` is 0 after a deletion. */
export interface Row extends Operation {
  readonly version: number
  readonly value: number
}

export const resourceCount = 2
const bits = 12
const mask = (1 << bits) - 1

export function create(resource: number, changes: number): Operation {
  return { event: 'created', resource, changes, isWhole: true }
}

export function modify(resource: number, changes: number): Operation {
  return { event: 'modified', resource, changes, isWhole: false }
}

export function replace(resource: number, changes: number): Operation {
  return { event: 'modified', resource, changes, isWhole: true }
}

export function remove(resource: number): Operation {
  return { event: 'deleted', resource, changes: 0, isWhole: true }
}

/** A value, or the changes to one. */
export function value(members: { x?: number; y?: number; z?: number }): number {
  return (members.x ?? 0) | ((members.y ?? 0) << 3) | ((members.z ?? 0) << 6)
}

/** Applies changes to a value. */
export function patch(base: number, changes: number): number {
  let result = base
  for (let shift = 0; shift < 9; shift += 3) {
    const member = (changes >> shift) & 7
    if (member !== 0) result = (result & ~(7 << shift)) | (member << shift)
  }
  return result
}

/** 0 where nothing is known of the resource. */
export function versionIn(held: number, resource: number): number {
  return (held >> (resource * bits + 9)) & 7
}

/** 0 where the resource is not there. */
export function valueIn(held: number, resource: number): number {
  return (held >> (resource * bits)) & 511
}

export function withResource(held: number, resource: number, version: number, newValue: number): number {
  const shift = resource * bits
  return (held & ~(mask << shift)) | (((version << 9) | newValue) << shift)
}

/** Version and value of a resource as one number, by which such pairs are compared. */
export function pairIn(held: number, resource: number): number {
  return (held >> (resource * bits)) & mask
}

/** What a collection shows of what the service holds: no tombstones. */
export function shownOf(held: number): number {
  let shown = held
  for (let resource = 0; resource < resourceCount; resource++) {
    if (valueIn(held, resource) === 0) shown = withResource(shown, resource, 0, 0)
  }
  return shown
}

/** The rows that operations make on top of `held`. `forgetsVersions` lets a re-created resource begin at 1 again. */
export function writeRows(
  operations: readonly Operation[],
  held = 0,
  { forgetsVersions = false }: { forgetsVersions?: boolean } = {},
): Row[] {
  let state = held
  return operations.map(operation => {
    const { event, resource, changes, isWhole } = operation
    const base = valueIn(state, resource)
    if ((event === 'created') !== (base === 0))
      throw new Error(`The script cannot be: ${event} where it cannot be.`)
    const version = event === 'created' && forgetsVersions ? 1 : versionIn(state, resource) + 1
    const after = isWhole ? changes : patch(base, changes)
    state = withResource(state, resource, version, after)
    return { ...operation, version, value: after }
  })
}

/** Every script of so many operations that can be; the first is about resource A. Each writes values of its own. */
export function allScripts(length: number): Operation[][] {
  const extend = (script: readonly Operation[]): Operation[][] => {
    if (script.length === length) return [[...script]]
    const held = foldRows(writeRows(script)).at(-1)!
    const place = script.length
    const changes = (1 + place) << ((place % 3) * 3)
    const resources = place === 0 ? [0] : [0, 1]
    return resources.flatMap(resource => {
      const isThere = valueIn(held, resource) !== 0
      const next = isThere
        ? [modify(resource, changes), replace(resource, changes), remove(resource)]
        : [create(resource, changes)]
      return next.flatMap(operation => extend([...script, operation]))
    })
  }
  return extend([])
}

/** What the service holds after the first n rows, for n = 0, 1, 2 … */
export function foldRows(rows: readonly Row[], held = 0): number[] {
  const states = [held]
  for (const { resource, version, value } of rows) {
    states.push(withResource(states.at(-1)!, resource, version, value))
  }
  return states
}

/** All pairs of version and value that a service ever had, by resource. */
export function pairsOf(states: readonly number[]): ReadonlySet<number>[] {
  return Array.from(
    { length: resourceCount },
    (_, resource) => new Set(states.map(held => pairIn(held, resource))),
  )
}

export function formatRow({ event, resource, version }: Row): string {
  return `${event} ${'AB'[resource]} v${version}`
}

export function formatHeld(held: number): string {
  const parts: string[] = []
  for (let resource = 0; resource < resourceCount; resource++) {
    const members = [...'xyz'].flatMap((name, i) => {
      const member = (valueIn(held, resource) >> (i * 3)) & 7
      return member === 0 ? [] : [`${name}:${member}`]
    })
    const shown = members.length === 0 ? 'nothing' : `{${members.join(' ')}}`
    parts.push(`${'AB'[resource]} v${versionIn(held, resource)} ${shown}`)
  }
  return parts.join(', ')
}
