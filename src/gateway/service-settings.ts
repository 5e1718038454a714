/** What the configuration says of one service, or of the legacy program. */
import type { LockstepError } from '../contract/index.ts'
import { type HealthCheck, parseInstanceUrl, type UpstreamLimits } from '../upstream/index.ts'
import { normalizePath } from './request-target.ts'
import type { Section } from './section.ts'

/** When a version ends (RFC 9745, RFC 8594). */
export interface VersionSettings {
  readonly deprecatedMs: number | undefined
  readonly sunsetMs: number | undefined
  /** Where one reads more about it. */
  readonly link: string | undefined
}

export interface ComparisonSettings {
  /** Of the GETs, 0 to 1. */
  readonly share: number
  readonly maxBytes: number
  /** JSON Pointers, with `*` for places in arrays, that are not compared. */
  readonly ignore: readonly string[]
}

/** Where requests go, for all versions or for one. */
export interface PlaceSettings {
  readonly instances: readonly string[]
  /** The service's own root, empty or with a leading slash. */
  readonly root: string
}

export interface ServiceSettings extends PlaceSettings {
  /** Below the API's root, kept in what the service is asked for. */
  readonly paths: readonly string[]
  /** Below the API's root, left out of what the service is asked for. */
  readonly mount: string | undefined
  /** Anywhere, as they are. */
  readonly at: readonly string[]
  readonly faces: readonly string[] | undefined
  readonly versions: ReadonlyMap<string, PlaceSettings & VersionSettings> | undefined
  readonly health: HealthCheck | undefined
  readonly limits: UpstreamLimits
  readonly retries: number
  readonly maxBodyBytes: number
  readonly maxTunnels: number
  /** Whose `Host` the service is sent: the client's, or the instance's own. */
  readonly host: 'client' | 'instance'
  readonly compare: ComparisonSettings | undefined
}

const path = { form: /^\/.*$/, meaning: 'a path such as "/people"' }

/** Reads a service; `name` is what it is called, and where it is found unless it says otherwise. */
export function readService(section: Section, name: string, isLegacy: boolean): ServiceSettings {
  const place = readPlace(section, { instances: [], root: '' })
  const isMounted = section.value('mount') !== undefined
  const at = readPaths(section, 'at', isLegacy ? ['/'] : [])
  const usual = isLegacy || isMounted || at.length > 0 ? [] : [`/${name}`]
  const settings: ServiceSettings = {
    ...place,
    at,
    paths: isLegacy ? [] : readPaths(section, 'paths', usual),
    mount: isLegacy ? undefined : readPaths(section, 'mount', [])[0],
    faces: section.texts('faces', undefined, /^[a-z][a-z0-9-]*$/, 'the name of a face'),
    versions: isLegacy ? undefined : readVersions(section, place),
    health: readHealth(section),
    limits: readLimits(section),
    retries: section.count('retries', { or: 1, min: 0, max: 5 }),
    maxBodyBytes: section.count('maxBodyBytes', { or: 10_485_760, min: 0, max: Number.MAX_SAFE_INTEGER }),
    maxTunnels: section.count('maxTunnels', { or: 10_000, min: 0 }),
    host: section.text('host', 'client', /^(client|instance)$/, '"client" or "instance"') as
      | 'client'
      | 'instance',
    compare: isLegacy ? undefined : readComparison(section),
  }
  if (isMounted && settings.paths.length > 0)
    section.fault('mount', 'cannot stand beside "paths". Choose one')
  const isEverywhere = settings.versions === undefined
  if (isEverywhere && section.value('instances') === undefined)
    section.fault('', 'needs "instances": a list of addresses')
  section.end()
  return settings
}

export function readVersion(section: Section): VersionSettings {
  const version = {
    deprecatedMs: readDate(section, 'deprecated'),
    sunsetMs: readDate(section, 'sunset'),
    link: section.text('link', undefined, /^(https?:\/|\/)[^\s<>"]+$/, 'a URL'),
  }
  if ((version.sunsetMs ?? Infinity) < (version.deprecatedMs ?? 0)) {
    section.fault('sunset', 'is before "deprecated" (RFC 9745 §4)')
  }
  return version
}

function readVersions(section: Section, place: PlaceSettings): ServiceSettings['versions'] {
  const found = section.sections('versions', versionName, versionMeaning)
  if (found.size === 0) return undefined
  return new Map(
    [...found].map(([name, each]) => {
      const version = { ...readPlace(each, place), ...readVersion(each) }
      if (version.instances.length === 0 && each.value('instances') === undefined)
        each.fault('', 'needs "instances", here or for the whole service')
      each.end()
      return [name, version]
    }),
  )
}

export const versionName: RegExp = /^[A-Za-z0-9][\w.-]*$/
export const versionMeaning = 'letters, digits, dots and hyphens'

function readPlace(section: Section, or: PlaceSettings): PlaceSettings {
  const instances = section.texts(
    'instances',
    or.instances,
    /^https?:/,
    'an address such as "http://127.0.0.1:3001"',
  )
  const list = section.value('instances')
  for (const [index, url] of instances.entries()) {
    try {
      parseInstanceUrl(url)
    } catch (error) {
      const pointer = Array.isArray(list) ? `${section.at('instances')}/${index}` : section.at('instances')
      section.faults.push({
        pointer,
        detail: (error as LockstepError).message.replace(/\.$/, '. A path in front goes into "root"'),
      })
    }
  }
  if (new Set(instances).size !== instances.length) section.fault('instances', 'names an address twice')
  const root = section.text('root', or.root, path.form, path.meaning)
  return { instances, root: checkPath(section, 'root', root) }
}

export function readPaths(section: Section, name: string, or: readonly string[]): readonly string[] {
  const paths = section.texts(name, or, path.form, path.meaning)
  return paths.map(each => checkPath(section, name, each) || '/')
}

/** Gives it without a slash at its end. Whoever writes it in another form would wait for requests in vain. */
export function checkPath(section: Section, name: string, text: string): string {
  if (text === '') return ''
  try {
    if (normalizePath(text) === text) return text.replace(/\/$/, '')
    section.fault(name, `must be written ${JSON.stringify(normalizePath(text))}`)
  } catch (error) {
    section.fault(name, (error as LockstepError).message)
  }
  return ''
}

function readDate(section: Section, name: string): number | undefined {
  const text = section.text(
    name,
    undefined,
    /^\d{4}-\d\d-\d\d(T[\d:.]+(Z|[+-]\d\d:\d\d))?$/,
    'a date such as "2027-01-31"',
  )
  if (text === undefined) return undefined
  const ms = Date.parse(text)
  if (Number.isNaN(ms)) section.fault(name, 'is no day of the calendar')
  return ms
}

function readHealth(section: Section): HealthCheck | undefined {
  if (section.value('health') === false) return undefined
  const health = section.section('health')
  const check = {
    path: checkPath(health, 'path', health.text('path', '/health', path.form, path.meaning)) || '/',
    everyMs: health.count('everyMs', { or: 2_000, min: 10 }),
    timeoutMs: health.count('timeoutMs', { or: 2_000 }),
    failures: health.count('failures', { or: 2 }),
  }
  health.end()
  return check
}

function readLimits(section: Section): UpstreamLimits {
  const timeouts = section.section('timeouts')
  const breaker = section.section('breaker')
  const limits = {
    maxConnections: section.count('maxConnections', { or: 256 }),
    maxWaiting: section.count('maxWaiting', { or: 1_000, min: 0 }),
    connectTimeoutMs: timeouts.count('connectMs', { or: 2_000 }),
    headTimeoutMs: timeouts.count('headMs', { or: 30_000 }),
    idleTimeoutMs: timeouts.count('idleMs', { or: 120_000 }),
    breaker: {
      failures: breaker.count('failures', { or: 5 }),
      openMs: breaker.count('openMs', { or: 5_000 }),
    },
  }
  timeouts.end()
  breaker.end()
  return limits
}

function readComparison(section: Section): ComparisonSettings | undefined {
  const value = section.value('compare')
  if (value === undefined || value === false) return undefined
  const compare = value === true ? undefined : section.section('compare')
  const share = compare?.value('share') ?? 1
  if (typeof share !== 'number' || !(share > 0 && share <= 1))
    compare?.fault('share', 'must be over 0 and at most 1')
  const settings = {
    share: Number(share),
    maxBytes: compare?.count('maxBytes', { or: 1_048_576 }) ?? 1_048_576,
    ignore: compare?.texts('ignore', [], /^\//, 'a JSON Pointer such as "/items/*/updated"') ?? [],
  }
  compare?.end()
  return settings
}
