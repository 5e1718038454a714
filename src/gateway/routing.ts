/**
 * Everything that the configuration says about where requests lead, built as a whole: tables, services, counters.
 *
 * A new configuration makes a new one of these. Services that stayed as they were keep their connections and their
 * health, and routes their counters.
 */
import { isDeepStrictEqual } from 'node:util'
import type { ReportError } from '../contract/index.ts'
import { Upstream, type UpstreamOptions } from '../upstream/index.ts'
import { Comparison } from './comparison.ts'
import type { PathPair } from './rewriting.ts'
import { planRoutes, rootOf } from './route-plan.ts'
import { type Route, RouteTable } from './route-table.ts'
import type { PlaceSettings, ServiceSettings, VersionSettings } from './service-settings.ts'
import { type FaceSettings, type GatewaySettings, legacyName } from './settings.ts'
import { Traffic } from './traffic.ts'

export interface Routing {
  readonly settings: GatewaySettings
  readonly routes: readonly Route[]
  readonly upstreams: readonly Upstream[]
  /** Who is asked too, and compared, on routes that the legacy program still answers. */
  readonly comparisons: ReadonlyMap<Route, Comparison>
  /** The table for a port (`undefined` is that of the gateway) and a host, which may have a port behind it. */
  tableOf(port: number | undefined, host: string): RouteTable
}

/** Builds it from settings that were checked. */
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
    const scope = byOriginOf(byOrigin, faceName)
    for (const planned of planRoutes(settings, faceName)) {
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
        doorOf(face).add(route)
        routes.push(route)
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
