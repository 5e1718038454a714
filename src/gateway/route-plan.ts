/** Which paths lead to which service, for each face and version, as the configuration says it. */
import type { Fault } from '../contract/index.ts'
import type { PathPair } from './rewriting.ts'
import type { PlaceSettings, ServiceSettings, VersionSettings } from './service-settings.ts'
import { type FaceSettings, type GatewaySettings, legacyName } from './settings.ts'

/** A service for one face and version. */
export interface Planned {
  readonly name: string
  readonly service: ServiceSettings
  readonly version: string | undefined
  readonly place: PlaceSettings
  readonly ending: VersionSettings | undefined
  readonly pairs: readonly PathPair[]
}

/** What one face has: each service in each version, what stands outside of the API, and the legacy program behind it all. */
export function* planRoutes(settings: GatewaySettings, faceName: string): Generator<Planned> {
  const face = settings.faces.get(faceName)!
  const isFirst = faceName === settings.faces.keys().next().value
  for (const [name, service] of settings.services) {
    const isShown = service.faces?.includes(faceName) ?? true
    const versions = settings.versions.size === 0 ? [undefined] : [...settings.versions.keys()]
    for (const version of isShown ? versions : []) {
      const own = version === undefined ? undefined : service.versions?.get(version)
      if (service.versions !== undefined && own === undefined) continue
      const root = rootOf(face, version)
      const pairs = service.paths.map(path => ({ outside: root + strip(path), inside: strip(path) }))
      if (service.mount !== undefined) pairs.push({ outside: root + strip(service.mount), inside: '' })
      const general = version === undefined ? undefined : settings.versions.get(version)
      const ending = own === undefined || general === undefined ? (own ?? general) : joinEndings(own, general)
      if (pairs.length > 0) yield { name, service, version, place: own ?? service, ending, pairs }
    }
    if (service.at.length > 0 && (service.faces?.includes(faceName) ?? isFirst)) {
      yield {
        name,
        service,
        version: undefined,
        place: service,
        ending: undefined,
        pairs: asTheyAre(service.at),
      }
    }
  }
  const { legacy } = settings
  if (legacy !== undefined && (legacy.faces?.includes(faceName) ?? isFirst)) {
    const pairs = asTheyAre(legacy.at)
    yield { name: legacyName, service: legacy, version: undefined, place: legacy, ending: undefined, pairs }
  }
}

function asTheyAre(paths: readonly string[]): PathPair[] {
  return paths.map(path => ({ outside: strip(path), inside: strip(path) }))
}

function joinEndings(own: VersionSettings, general: VersionSettings): VersionSettings {
  return {
    deprecatedMs: own.deprecatedMs ?? general.deprecatedMs,
    sunsetMs: own.sunsetMs ?? general.sunsetMs,
    link: own.link ?? general.link,
  }
}

/** Paths that two services take for the same clients. */
export function findConflicts(settings: GatewaySettings): Fault[] {
  const taken = new Map<string, string>()
  const faults = new Map<string, Fault>()
  for (const [faceName, face] of settings.faces) {
    for (const { name, pairs } of planRoutes(settings, faceName)) {
      for (const { outside } of pairs) {
        const key = `${face.port ?? ''} ${face.host ?? ''} ${outside}`
        const other = taken.get(key)
        taken.set(key, name)
        if (other === undefined) continue
        const pointer = name === legacyName ? '/legacy' : `/services/${name}`
        const whose = other === name ? 'here already' : `by ${other} already`
        faults.set(pointer, { pointer, detail: `takes ${outside || '/'}, which is taken ${whose}` })
      }
    }
  }
  return [...faults.values()]
}

/** The root of a face in one version; without the placeholder where there are none. */
export function rootOf(face: FaceSettings, version: string | undefined): string {
  return face.root.replace('{version}', version ?? '')
}

function strip(path: string): string {
  return path === '/' ? '' : path
}
