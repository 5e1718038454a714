/**
 * What does a gateway cost, beside others? GET of a small answer, with a key check and a rate limit where the gateway has them.
 *
 * The upstream is nginx that answers by itself, on the core of the load; each gateway has one core and one thread.
 */
import { loadCore, serverCore, startProcess } from './harness/measured-process.ts'
import {
  type Column,
  type Figures,
  type Prepared,
  type Question,
  ratio,
  type Setting,
  type Variant,
} from './harness/question.ts'
import {
  benchKey,
  findWebServer,
  startHaproxyGateway,
  startNginxGateway,
  startUpstream,
  type WebServer,
} from './harness/web-server.ts'
import type { GetLoadResult } from './programs/get-load.ts'

const connections = 64
const programs = {
  gateway: new URL('./programs/gateway.ts', import.meta.url),
  fastify: new URL('./peers/fastify-proxy.ts', import.meta.url),
  httpProxy: new URL('./peers/http-proxy-3.ts', import.meta.url),
  load: new URL('./programs/get-load.ts', import.meta.url),
}
const names = {
  direct: 'no gateway',
  own: 'Lockstep, key and limit',
  overload: 'Lockstep, 5 × the connections',
  nginx: 'nginx, key map and limit_req',
  haproxy: 'HAProxy, key and stick table',
  fastify: '@fastify/http-proxy, neither',
  httpProxy: 'http-proxy-3, neither',
  idleDirect: 'no gateway, 1 connection',
  idle: 'Lockstep, 1 connection',
}
const columns: readonly Column[] = [
  { figure: 'perS', title: 'requests/s' },
  { figure: 'p50Ms', title: 'p50 ms', digits: 3 },
  { figure: 'p99Ms', title: 'p99 ms', digits: 2 },
  { figure: 'cpuUs', title: 'gateway CPU µs/request', digits: 1 },
  { figure: 'grownMib', title: 'memory grown MiB', digits: 1 },
  { figure: 'loadBusy', title: 'load busy', digits: 2 },
]

export const question: Question = {
  name: 'gateway',
  title: `GET through a gateway to a trivial upstream: ${connections} keep-alive connections, one core each`,
  budgetS: { full: 240, quick: 25 },
  prepare,
}

interface Target {
  readonly port: number
  readonly path?: string
  readonly fields?: readonly string[]
}

async function prepare(setting: Setting): Promise<Prepared> {
  const { quick, folder } = setting
  const nginx = findWebServer('nginx')
  if (nginx === undefined) throw new Error('nginx is not installed; it is the upstream.')
  const haproxy = findWebServer('haproxy')
  const upstream = await startUpstream(nginx, folder, loadCore)
  const url = `http://127.0.0.1:${upstream.port}`
  const keyed = (server: WebServer): Target => ({
    port: server.port,
    fields: [`authorization: Bearer ${benchKey}`],
  })
  const web = (name: string, open: () => Promise<WebServer>): Variant => ({
    name,
    async measure() {
      await using server = await open()
      return await load(quick, keyed(server), connections)
    },
  })
  const node = (name: string, program: URL, count: number): Variant => ({
    name,
    measure: () => measureNode(quick, program, { upstream: url, folder }, count),
  })
  const variants: Variant[] = [
    { name: names.direct, measure: () => load(quick, { port: upstream.port }, connections) },
    node(names.own, programs.gateway, connections),
    web(names.nginx, () => startNginxGateway(nginx, folder, serverCore, upstream.port)),
    ...(haproxy === undefined
      ? []
      : [web(names.haproxy, () => startHaproxyGateway(haproxy, folder, serverCore, upstream.port))]),
    node(names.fastify, programs.fastify, connections),
    node(names.httpProxy, programs.httpProxy, connections),
    node(names.overload, programs.gateway, connections * 5),
    { name: names.idleDirect, measure: () => load(quick, { port: upstream.port }, 1) },
    node(names.idle, programs.gateway, 1),
  ]
  const claim = (other: string, atLeast: number): Prepared['claims'][number] => ({
    text: `${names.own} : ${other}`,
    value: ratio(names.own, other, 'perS'),
    target: { atLeast },
  })
  return {
    columns,
    variants,
    rounds: quick ? 1 : 5,
    claims: [
      claim(names.fastify, 1.5),
      claim(names.httpProxy, 2.5),
      claim(names.nginx, 0.45),
      {
        text: `${names.overload} : ${names.own}`,
        value: ratio(names.overload, names.own, 'perS'),
        target: { atLeast: 0.8 },
      },
      {
        text: 'added latency of an idle gateway, p50',
        value: round => {
          const [with_, without] = [round[names.idle]?.['p50Ms'], round[names.idleDirect]?.['p50Ms']]
          return with_ === undefined || without === undefined ? undefined : with_ - without
        },
        target: { atMost: 0.3 },
        unit: 'ms',
        digits: 3,
      },
    ],
    notes: [
      'Upstream and load share core 1, the gateway has core 0. Memory grown is that of the second half of the load beside the first.',
      'express-gateway (1.16.11, last released in 2021) is left out: it brings Express 4 and over 700 packages.',
      ...(haproxy === undefined ? ['HAProxy is not installed: its variant was left out.'] : []),
    ],
    [Symbol.asyncDispose]: () => upstream[Symbol.asyncDispose](),
  }
}

async function measureNode(quick: boolean, program: URL, options: object, count: number): Promise<Figures> {
  await using server = await startProcess<Target>(program, options, { core: serverCore })
  const isOwn = program === programs.gateway
  let cpuUs = 0
  let rss = 0
  const figures = await load(quick, server.ready, count, async () => {
    cpuUs = (await server.cpu()).cpuUs
    if (isOwn) rss = await server.call<number>('rssMib')
  })
  const used = (await server.cpu()).cpuUs - cpuUs
  const cpuPerRequest = { cpuUs: used / figures['requests']! }
  if (!isOwn) return { ...figures, ...cpuPerRequest }
  return { ...figures, ...cpuPerRequest, grownMib: (await server.call<number>('rssMib')) - rss }
}

async function load(
  quick: boolean,
  target: Target,
  count: number,
  onWarm = async (): Promise<void> => {},
): Promise<Figures> {
  const { port, path = '/small', fields } = target
  await using process = await startProcess(
    programs.load,
    { port, path, fields, connections: count },
    { core: loadCore },
  )
  const durationMs = quick ? 500 : 2_500
  check(await process.call<GetLoadResult>('run', { durationMs }))
  await onWarm()
  const { requests, seconds, p50Ms, p99Ms, loadBusy } = check(
    await process.call<GetLoadResult>('run', { durationMs }),
  )
  return { requests, perS: requests / seconds, p50Ms, p99Ms, loadBusy }
}

function check(result: GetLoadResult): GetLoadResult {
  if (result.errors === 0) return result
  throw new Error(
    `${result.errors} of ${result.requests} requests failed, the first with: ${result.firstError}`,
  )
}
