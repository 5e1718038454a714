/**
 * What is mirrored, as a configuration file says it: the options of `openSidecar` that are plain data. Every fault is found, with its
 * place. Pure.
 */
import { type Fault, isJsonObject, isLockstepError, type Json, type JsonObject } from '../contract/index.ts'
import { type Mirrored, type MirroredOptions, readMirrored } from './mirrored.ts'
import { TargetTable, type Touches } from './target-table.ts'

export interface MirrorSettings {
  readonly upstream?: string
  readonly resources?: Readonly<Record<string, MirroredOptions>>
  readonly touches?: Touches
  readonly headers?: Readonly<Record<string, string>>
  readonly root?: string
  readonly topicPrefix?: string
  readonly hostHeader?: 'client' | 'upstream'
  readonly scanEveryMs?: number
}

const members: Readonly<Record<keyof MirrorSettings, 'text' | 'object' | 'count' | 'hostHeader'>> = {
  upstream: 'text',
  resources: 'object',
  touches: 'object',
  headers: 'object',
  root: 'text',
  topicPrefix: 'text',
  hostHeader: 'hostHeader',
  scanEveryMs: 'count',
}
/** Of a resource. */
const kinds: Readonly<Record<keyof MirroredOptions, (value: Json) => string | undefined>> = {
  list: value => (value === false ? undefined : needText(value)),
  item: needText,
  items: needText,
  id: needText,
  listed: needText,
  state: needText,
  ignore: value =>
    Array.isArray(value) && value.every(each => typeof each === 'string')
      ? undefined
      : 'must be a list of JSON Pointers, such as ["/lastSeen"]',
  whole: value => (typeof value === 'boolean' ? undefined : 'must be true or false'),
  pages: value => {
    const [name, ...others] = isJsonObject(value) ? Object.keys(value).filter(each => each !== 'first') : []
    const isKnown = name !== undefined && others.length === 0 && /^(page|offset|next)$/.test(name)
    return isKnown && typeof (value as JsonObject)[name] === 'string'
      ? undefined
      : 'must say one of page, offset and next, such as { "page": "page" }'
  },
}

/** Reads it; the settings can be used where there are no faults. */
export function readMirrorSettings(value: Json): {
  readonly settings: MirrorSettings
  readonly faults: readonly Fault[]
} {
  if (!isJsonObject(value)) return { settings: {}, faults: [{ pointer: '', detail: 'must be an object' }] }
  const faults: Fault[] = []
  for (const [name, member] of Object.entries(value)) {
    const pointer = pointerTo(name)
    const kind = Object.hasOwn(members, name) ? members[name as keyof MirrorSettings] : undefined
    if (kind === undefined)
      faults.push({ pointer, detail: `is not known here; known: ${Object.keys(members).join(', ')}` })
    else if (!fits(kind, member)) faults.push({ pointer, detail: needs[kind] })
  }
  if (faults.length === 0) faults.push(...findResourceFaults(value))
  return { settings: value as MirrorSettings, faults }
}

const needs = {
  text: 'must be a text',
  object: 'must be an object',
  count: 'must be a whole number from 0',
  hostHeader: 'must be "client" or "upstream"',
} as const

function fits(kind: keyof typeof needs, value: Json): boolean {
  if (kind === 'text') return typeof value === 'string'
  if (kind === 'object') return isJsonObject(value)
  if (kind === 'count') return Number.isSafeInteger(value) && (value as number) >= 0
  return value === 'client' || value === 'upstream'
}

function findResourceFaults(value: JsonObject): Fault[] {
  const faults: Fault[] = []
  const mirrored: Mirrored[] = []
  for (const [template, given] of Object.entries((value['resources'] ?? {}) as JsonObject)) {
    const pointer = `${pointerTo('resources')}${pointerTo(template)}`
    const options = given ?? {}
    const wrong = findOptionFaults(options, pointer)
    faults.push(...wrong)
    if (wrong.length > 0) continue
    tellFault(faults, pointer, () => mirrored.push(readMirrored(template, options as MirroredOptions)))
  }
  for (const [request, targets] of Object.entries((value['touches'] ?? {}) as JsonObject)) {
    const pointer = `${pointerTo('touches')}${pointerTo(request)}`
    if (!Array.isArray(targets) || !targets.every(each => typeof each === 'string'))
      faults.push({ pointer, detail: 'must be a list of paths, such as ["/people/{body.person}"]' })
    else tellFault(faults, pointer, () => new TargetTable(mirrored, { [request]: targets as string[] }))
  }
  for (const [name, header] of Object.entries((value['headers'] ?? {}) as JsonObject)) {
    const isUsable = typeof header === 'string' && /^[\w-]+$/.test(name) && /^[\t\x20-\x7e]*$/.test(header)
    if (!isUsable)
      faults.push({ pointer: `${pointerTo('headers')}${pointerTo(name)}`, detail: 'cannot be a header' })
  }
  return faults
}

function findOptionFaults(options: Json, pointer: string): Fault[] {
  if (!isJsonObject(options))
    return [{ pointer, detail: 'must be an object; {} where there is nothing to say' }]
  return Object.entries(options).flatMap(([name, member]) => {
    const at = `${pointer}${pointerTo(name)}`
    if (!Object.hasOwn(kinds, name))
      return [{ pointer: at, detail: `is not known here; known: ${Object.keys(kinds).join(', ')}` }]
    const detail = kinds[name as keyof MirroredOptions](member)
    return detail === undefined ? [] : [{ pointer: at, detail }]
  })
}

function tellFault(faults: Fault[], pointer: string, read: () => unknown): void {
  try {
    read()
  } catch (error) {
    if (!isLockstepError(error)) throw error
    faults.push({ pointer, detail: error.message })
  }
}

function needText(value: Json): string | undefined {
  return typeof value === 'string' ? undefined : 'must be a text'
}

function pointerTo(name: string): string {
  return `/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`
}
