/**
 * Everything that the configuration says about where requests lead, built as a whole: tables, services, counters.
 *
 * A new configuration makes a new one of these. Services that stayed as they were keep their connections and their
 * health, and routes their counters.
 */
import { isDeepStrictEqual } from 'node:util'
import { LockstepError, type ReportError } from '../contract/index.ts'
import { Comparison } from './comparison.ts'
import type { PathPair } from './rewriting.ts'
import { type Route, RouteTable } from './route-table.ts'
import type { PlaceSettings, ServiceSettings, VersionSettings } from './service-settings.ts'
import { type FaceSettings, type GatewaySettings, legacyName } from './settings.ts'
import { Traffic } from './traffic.ts'
import { Upstream, type UpstreamOptions } from './upstream/upstream.ts'

export interface Routing {
  readonly settings: GatewaySettings
  readonly routes: readonly Route[]
  readonly upstreams: readonly Upstream[]
  /** Who is asked too, and compared, on routes that the legacy program still answers. */
  readonly comparisons: ReadonlyMap<Route, Comparison>
  /** The table for a port (`undefined` is that of the gateway) and a host, which may have a port behind it. */
  tableOf(port: number | undefined, host: string): RouteTable
}

/** Errors: `invalid-option` where two services take the same path. */
export function createRouting(settings: GatewaySettings, report: ReportError, before?: Routing): Routing {
  const upstreams = new Map<string, Upstream>()
  const routes: Route[] = []
  const comparisons = new Map<Route, Comparison>()
  const doors = new Map<string, RouteTable>()
  const traffics = new Map(before?.routes.map(route => [keyOf(route), route.traffic]))
  const byOrigin = new Map<string, Map<string, PathPair[]>>()

  const upstreamOf = (name: string, service: ServiceSettings, place: PlaceSettings): Upstream => {
    const { health, retries, limits } = service
    const options: UpstreamOptions = { ...limits, name, instances: place.instances, health, retries }
    const key = `${name} ${place.instances.join(' ')}`
    const kept =
      upstreams.get(key) ?? before?.upstreams.find(each => isDeepStrictEqual(each.options, options))
    const upstream = kept ?? new Upstream(options, report)
    upstreams.set(key, upstream)
    return upstream
  }
  const doorOf = (face: FaceSettings): RouteTable => {
    const key = `${face.port ?? ''} ${face.host ?? ''}`
    const found = doors.get(key) ?? new RouteTable(defaultFace(settings, face))
    doors.set(key, found)
    return found
  }

  const legacy =
    settings.legacy === undefined
      ? undefined
      : { settings: settings.legacy, upstream: upstreamOf(legacyName, settings.legacy, settings.legacy) }
  for (const [faceName, face] of settings.faces) {
    const door = doorOf(face)
    for (const version of settings.versions.size === 0 ? [undefined] : settings.versions.keys()) {
      door.addFace(rootOf(face, version), faceName)
    }
    if (!face.root.includes('{version}')) door.addFace(face.root, faceName)
  }
  for (const [faceName, face] of settings.faces) {
    const isFirst = faceName === settings.faces.keys().next().value
    const scope = byOriginOf(byOrigin, faceName)
    for (const planned of planRoutes(settings, faceName, face, isFirst)) {
      const { service, version, pairs, place, ending, name } = planned
      const upstream = upstreamOf(name, service, place)
      const own = pairs.toSorted((a, b) => b.inside.length - a.inside.length)
      for (const instance of place.instances)
        addPairs(scope, `${version} ${new URL(instance).origin}`, own, place.root)
      for (const pair of pairs) {
        const compare = service.compare === undefined || legacy === undefined ? undefined : service.compare
        const servicePlace = { root: place.root, ...pair, settings: service }
        const isLegacy = compare !== undefined
        const unkept = {
          face: faceName,
          version,
          service: isLegacy ? legacyName : name,
          outside: pair.outside,
          inside: isLegacy ? pair.outside : pair.inside,
          root: isLegacy ? legacy!.settings.root : place.root,
          settings: isLegacy ? legacy!.settings : service,
          upstream: isLegacy ? legacy!.upstream : upstream,
          notices: isLegacy ? [] : formatNotices(ending),
          own: withRoot(
            isLegacy ? [{ outside: '', inside: '' }] : own,
            isLegacy ? legacy!.settings.root : place.root,
          ),
          byOrigin: (origin: string) => scope.get(`${version} ${origin}`),
        }
        const route: Route = { ...unkept, traffic: traffics.get(keyOf(unkept)) ?? new Traffic() }
        if (compare !== undefined) comparisons.set(route, new Comparison(servicePlace, upstream, compare))
        if (doorOf(face).add(route)) routes.push(route)
        else {
          throw new LockstepError(
            'invalid-option',
            `The path ${pair.outside || '/'} of ${name} is taken by another service already. Take it out of one of both.`,
          )
        }
      }
    }
  }
  return {
    settings,
    routes,
    comparisons,
    upstreams: [...new Set(upstreams.values())],
    tableOf: createTableOf(doors, settings),
  }
}

interface Planned {
  readonly name: string
  readonly service: ServiceSettings
  readonly version: string | undefined
  readonly place: PlaceSettings
  readonly ending: VersionSettings | undefined
  readonly pairs: readonly PathPair[]
}

/** What one face has: each service in each version, what stands outside of the API, and the legacy program behind it all. */
function* planRoutes(
  settings: GatewaySettings,
  faceName: string,
  face: FaceSettings,
  isFirst: boolean,
): Generator<Planned> {
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

/** `Deprecation` (RFC 9745), `Sunset` (RFC 8594), and where one reads more. */
function formatNotices(ending: VersionSettings | undefined): string[] {
  if (ending === undefined) return []
  const { deprecatedMs, sunsetMs, link } = ending
  const fields: string[] = []
  if (deprecatedMs !== undefined) fields.push('deprecation', `@${Math.floor(deprecatedMs / 1_000)}`)
  if (sunsetMs !== undefined) fields.push('sunset', new Date(sunsetMs).toUTCString())
  if (link !== undefined && fields.length > 0) {
    fields.push(
      'link',
      `<${link}>; rel="${deprecatedMs === undefined ? 'sunset' : 'deprecation'}"; type="text/html"`,
    )
  }
  return fields
}

function rootOf(face: FaceSettings, version: string | undefined): string {
  return face.root.replace('{version}', version ?? '')
}

function strip(path: string): string {
  return path === '/' ? '' : path
}

/** What is outside of every face's root belongs to the face of that door that has no root of its own, else to the first. */
function defaultFace(settings: GatewaySettings, door: FaceSettings): string {
  const inDoor = [...settings.faces].filter(([, face]) => face.port === door.port && face.host === door.host)
  return (inDoor.find(([name]) => name === 'internal') ?? inDoor[0]!)[0]
}

function createTableOf(
  doors: ReadonlyMap<string, RouteTable>,
  settings: GatewaySettings,
): Routing['tableOf'] {
  const ports = new Set([...settings.faces.values()].map(face => face.port))
  const empty = new RouteTable(settings.faces.keys().next().value ?? 'internal')
  const hasHosts = [...settings.faces.values()].some(face => face.host !== undefined)
  return (port, host) => {
    const own = ports.has(port) ? (port ?? '') : ''
    const named = hasHosts ? doors.get(`${own} ${host.replace(/:\d+$/, '').toLowerCase()}`) : undefined
    return named ?? doors.get(`${own} `) ?? empty
  }
}

function keyOf(route: Pick<Route, 'face' | 'version' | 'service' | 'outside'>): string {
  return `${route.face} ${route.version} ${route.service} ${route.outside}`
}

function withRoot(pairs: readonly PathPair[], root: string): PathPair[] {
  return pairs.map(({ outside, inside }) => ({ outside, inside: root + inside }))
}

type Origins = Map<string, PathPair[]>

function byOriginOf(scopes: Map<string, Origins>, face: string): Origins {
  const found = scopes.get(face) ?? new Map<string, PathPair[]>()
  scopes.set(face, found)
  return found
}

function addPairs(scope: Origins, key: string, pairs: readonly PathPair[], root: string): void {
  const all = [...(scope.get(key) ?? []), ...withRoot(pairs, root)]
  scope.set(
    key,
    all.toSorted((a, b) => b.inside.length - a.inside.length),
  )
}
