/** `lockstep gateway <config> --report`: what a running gateway says of its routes, as a table. */
import { LockstepError } from 'lockstep/contract'
import type { GatewayReport, GatewaySettings, RouteReport } from 'lockstep/gateway'
import { printable } from './terminal.ts'

/** Asks the admin port that the configuration names. Errors: `invalid-option`, `api-unreachable`. */
export async function fetchReport({ admin }: GatewaySettings): Promise<GatewayReport> {
  if (admin === undefined || admin.port === 0) {
    throw new LockstepError(
      'invalid-option',
      'The file names no port under "admin", where the gateway could be asked.',
    )
  }
  const url = `http://${admin.host.includes(':') ? `[${admin.host}]` : admin.host}:${admin.port}/routes`
  const response = await fetch(url, { signal: AbortSignal.timeout(10_000) }).catch(cause => {
    throw new LockstepError('api-unreachable', `Nothing answers at ${url}. Is the gateway running?`, {
      cause,
    })
  })
  if (!response.ok) throw new LockstepError('api-refused', `${url} was answered with ${response.status}.`)
  return (await response.json()) as GatewayReport
}

/** The routes, who has them, and what a comparison found. */
export function formatReport({ routes, carvedOut }: GatewayReport): string {
  const rows = [
    ['route', 'face', 'version', 'answered by', 'requests', 'mean ms', 'statuses'],
    ...routes.map(route => [
      printable(route.path),
      route.face,
      route.version ?? '–',
      route.comparison === undefined
        ? route.service
        : `${route.service} (compared with ${route.comparison.service})`,
      String(route.requests),
      route.meanMs === undefined ? '–' : route.meanMs.toFixed(1),
      Object.entries(route.statuses)
        .map(([status, count]) => `${status} ${count}`)
        .join(', '),
    ]),
  ]
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map(row => row[column]!.length)))
  const lines = rows.map(row =>
    row
      .map((cell, column) => cell.padEnd(widths[column]!))
      .join('  ')
      .trimEnd(),
  )
  const { services, legacy } = carvedOut
  const all = services + legacy
  const share = all === 0 ? '' : ` (${Math.round((services / all) * 100)} % carved out)`
  lines.push('', `Requests: ${services} to services, ${legacy} to the legacy program${share}.`)
  return [...lines, ...routes.flatMap(formatComparison)].join('\n')
}

function formatComparison({ path, comparison }: RouteReport): string[] {
  if (comparison === undefined) return []
  const { service, compared, equal, skipped, statuses, differences } = comparison
  const lines = [
    '',
    `${printable(path)}: ${service} beside the legacy program: ${compared} compared, ${equal} equal, ${skipped} skipped`,
  ]
  for (const [pair, count] of Object.entries(statuses)) lines.push(`  status ${pair}: ${count}`)
  for (const { pointer, kind, count, example } of differences) {
    lines.push(
      `  ${kind.padEnd(7)} ${printable(pointer || '(the whole)')}  ${count} times, last at ${printable(example)}`,
    )
  }
  return lines
}
