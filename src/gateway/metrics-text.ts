/** The gateway's numbers in the text format of Prometheus (0.0.4). Labels are routes and instances, never paths or clients. */
import type { Routing } from './routing.ts'
import { durationBuckets } from './traffic.ts'

export interface GatewayLoad {
  readonly inFlight: number
  readonly refused: number
  readonly connections: number
}

/** Writes all of them. */
export function formatMetrics(routing: Routing, load: GatewayLoad, nowMs: number): string {
  const lines: string[] = []
  const family = (name: string, type: 'counter' | 'gauge' | 'histogram', help: string): void => {
    lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`)
  }
  const sample = (name: string, labels: Readonly<Record<string, string>>, value: number): void => {
    const text = Object.entries(labels)
      .map(([label, of]) => `${label}="${of.replace(/[\\"]/g, '\\$&').replaceAll('\n', '\\n')}"`)
      .join(',')
    lines.push(`${name}${text === '' ? '' : `{${text}}`} ${value}`)
  }
  const routes = routing.routes.map(route => ({
    ...route,
    labels: {
      face: route.face,
      version: route.version ?? '',
      service: route.service,
      route: route.outside || '/',
    },
  }))

  family(
    'lockstep_gateway_requests_total',
    'counter',
    'Requests by the class of their status; 0xx where the client left.',
  )
  for (const { labels, traffic } of routes) {
    for (const [digit, count] of traffic.byClass.entries()) {
      if (count > 0) sample('lockstep_gateway_requests_total', { ...labels, status: `${digit}xx` }, count)
    }
  }
  const duration = 'lockstep_gateway_request_duration_seconds'
  family(duration, 'histogram', 'Time until the response was complete, or the WebSocket was open.')
  for (const { labels, traffic } of routes) {
    let below = 0
    for (const [index, bound] of durationBuckets.entries()) {
      below += traffic.durations[index]!
      sample(`${duration}_bucket`, { ...labels, le: String(bound) }, below)
    }
    sample(`${duration}_bucket`, { ...labels, le: '+Inf' }, traffic.requests)
    sample(`${duration}_sum`, labels, traffic.durationS)
    sample(`${duration}_count`, labels, traffic.requests)
  }
  family('lockstep_gateway_retries_total', 'counter', 'Requests that were sent once more.')
  for (const { labels, traffic } of routes) sample('lockstep_gateway_retries_total', labels, traffic.retries)
  family('lockstep_gateway_websockets', 'gauge', 'Open WebSockets.')
  for (const { labels, traffic } of routes) sample('lockstep_gateway_websockets', labels, traffic.tunnels)

  const instances = routing.upstreams.flatMap(({ name, instances: all }) =>
    all.map(instance => ({ instance, labels: { service: name, instance: instance.url } })),
  )
  family('lockstep_gateway_instance_up', 'gauge', 'Does the instance get requests? 1 or 0.')
  for (const { instance, labels } of instances) {
    const isUp = instance.isHealthy && instance.breaker.state(nowMs) !== 'open'
    sample('lockstep_gateway_instance_up', labels, Number(isUp))
  }
  family('lockstep_gateway_instance_in_flight', 'gauge', 'Requests that an instance has to answer.')
  for (const { instance, labels } of instances)
    sample('lockstep_gateway_instance_in_flight', labels, instance.inFlight)
  family(
    'lockstep_gateway_instance_failures_total',
    'counter',
    'Requests that an instance gave no usable answer to.',
  )
  for (const { instance, labels } of instances)
    sample('lockstep_gateway_instance_failures_total', labels, instance.failures)

  family('lockstep_gateway_in_flight', 'gauge', 'Requests that are being answered.')
  sample('lockstep_gateway_in_flight', {}, load.inFlight)
  family(
    'lockstep_gateway_refused_total',
    'counter',
    'Requests that were refused because there were too many at one time.',
  )
  sample('lockstep_gateway_refused_total', {}, load.refused)
  family('lockstep_gateway_connections', 'gauge', 'Connections of clients.')
  sample('lockstep_gateway_connections', {}, load.connections)
  return `${lines.join('\n')}\n`
}
