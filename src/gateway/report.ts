/** What the gateway says of itself: which routes there are, who has them, what went over them, and what a comparison found. */
import type { ComparisonReport } from './comparison.ts'
import type { Routing } from './routing.ts'
import { legacyName } from './settings.ts'

export interface RouteReport {
  readonly path: string
  readonly face: string
  readonly version: string | undefined
  /** Who answers. `legacy` has every route that no service has taken. */
  readonly service: string
  readonly requests: number
  /** By class of status. */
  readonly statuses: Readonly<Record<string, number>>
  readonly meanMs: number | undefined
  /** RFC 3339; missing where there was none. */
  readonly lastRequest: string | undefined
  /** Where the legacy program still answers, and a service is compared with it. */
  readonly comparison: ({ readonly service: string } & ComparisonReport) | undefined
}

export interface GatewayReport {
  readonly routes: readonly RouteReport[]
  /** How many of the requests went to services, and to the legacy program. */
  readonly carvedOut: { readonly services: number; readonly legacy: number }
}

export interface GatewayHealth {
  /** `degraded`: a service has no instance that is well. `failing`: none has. */
  readonly status: 'ok' | 'degraded' | 'failing'
  readonly services: Readonly<
    Record<
      string,
      { readonly status: 'ok' | 'degraded' | 'failing'; readonly instances: number; readonly well: number }
    >
  >
  readonly uptimeMs: number
}

export function makeReport(routing: Routing): GatewayReport {
  const carvedOut = { services: 0, legacy: 0 }
  const routes = routing.routes.map((route): RouteReport => {
    const { traffic, face, version, service } = route
    const comparison = routing.comparisons.get(route)
    carvedOut[service === legacyName ? 'legacy' : 'services'] += traffic.requests
    const counts = traffic.byClass.map((count, digit) => [`${digit}xx`, count] as const)
    return {
      path: route.outside || '/',
      face,
      version,
      service,
      requests: traffic.requests,
      statuses: Object.fromEntries(counts.filter(([, count]) => count > 0)),
      meanMs:
        traffic.requests === 0 ? undefined : Math.round((traffic.durationS / traffic.requests) * 1e6) / 1e3,
      lastRequest: traffic.lastMs === undefined ? undefined : new Date(traffic.lastMs).toISOString(),
      comparison:
        comparison === undefined ? undefined : { service: comparison.service, ...comparison.report() },
    }
  })
  return { routes, carvedOut }
}

export function makeHealth({ upstreams }: Routing, startedMs: number, nowMs: number): GatewayHealth {
  const services: Record<string, GatewayHealth['services'][string]> = {}
  for (const { name, instances } of upstreams) {
    const well = instances.filter(
      ({ isHealthy, breaker }) => isHealthy && breaker.state(nowMs) !== 'open',
    ).length
    const status = well === instances.length ? 'ok' : well > 0 ? 'degraded' : 'failing'
    services[name] = { status, instances: instances.length, well }
  }
  const all = Object.values(services)
  const isFailing = all.length > 0 && all.every(({ status }) => status === 'failing')
  const status = isFailing ? 'failing' : all.some(each => each.status !== 'ok') ? 'degraded' : 'ok'
  return { status, services, uptimeMs: Math.round(nowMs - startedMs) }
}
