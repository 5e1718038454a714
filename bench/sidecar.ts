/**
 * What does a sidecar cost, beside itself where it only passes requests on, and beside http-proxy-3? All PATCH, the worst case: each one is
 * noted on disk, observed by a GET of its own and recorded durably. And all GET of the same people.
 *
 * The API answers from memory, on the core of the load; each proxy has one core.
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
import type { GetLoadResult } from './programs/get-load.ts'
import type { LoadResult } from './programs/patch-load.ts'

const connections = 64
const people = 1_000
const programs = {
  api: new URL('./programs/plain-api.ts', import.meta.url),
  sidecar: new URL('./programs/sidecar.ts', import.meta.url),
  httpProxy: new URL('./peers/http-proxy-3.ts', import.meta.url),
  patch: new URL('./programs/patch-load.ts', import.meta.url),
  get: new URL('./programs/get-load.ts', import.meta.url),
}
const names = {
  direct: 'no proxy',
  bare: 'sidecar that only passes on',
  mirror: 'sidecar that mirrors',
  httpProxy: 'http-proxy-3',
}
const columns: readonly Column[] = [
  { figure: 'perS', title: 'requests/s' },
  { figure: 'p50Ms', title: 'p50 ms', digits: 2 },
  { figure: 'p99Ms', title: 'p99 ms', digits: 2 },
  { figure: 'cpuUs', title: 'proxy CPU µs/request', digits: 1 },
  { figure: 'loadBusy', title: 'load busy', digits: 2 },
]
type Kind = 'PATCH' | 'GET'

export const question: Question = {
  name: 'sidecar',
  title: `Requests through a sidecar to an API in memory: ${connections} keep-alive connections, ${people} resources`,
  budgetS: { full: 150, quick: 20 },
  prepare,
}

async function prepare({ quick, folder }: Setting): Promise<Prepared> {
  const api = await startProcess<{ port: number }>(programs.api, { people }, { core: loadCore })
  const upstream = `http://127.0.0.1:${api.ready.port}`
  const titled = (name: string, kind: Kind): string => `${name}, ${kind}`
  const through = (name: string, kind: Kind, program: URL, options: object): Variant => ({
    name: titled(name, kind),
    async measure() {
      await using proxy = await startProcess<{ port: number }>(
        program,
        { upstream, folder, ...options },
        { core: serverCore },
      )
      let cpuUs = 0
      const figures = await load(kind, proxy.ready.port, quick, async () => {
        cpuUs = (await proxy.cpu()).cpuUs
      })
      return { ...figures, cpuUs: ((await proxy.cpu()).cpuUs - cpuUs) / figures['requests']! }
    },
  })
  const variants = (['PATCH', 'GET'] as const).flatMap(kind => [
    { name: titled(names.direct, kind), measure: () => load(kind, api.ready.port, quick) },
    through(names.bare, kind, programs.sidecar, { mirrors: false }),
    through(names.mirror, kind, programs.sidecar, { mirrors: true }),
    through(names.httpProxy, kind, programs.httpProxy, {}),
  ])
  const claim = (kind: Kind, other: string, atLeast: number): Prepared['claims'][number] => ({
    text: `${titled(names.mirror, kind)} : ${other}`,
    value: ratio(titled(names.mirror, kind), titled(other, kind), 'perS'),
    target: { atLeast },
  })
  return {
    columns,
    variants,
    rounds: quick ? 1 : 5,
    claims: [
      claim('PATCH', names.bare, 0.5),
      claim('PATCH', names.httpProxy, 1),
      claim('GET', names.bare, 0.5),
      claim('GET', names.httpProxy, 1),
    ],
    notes: [
      'API and load share core 1, the proxy has core 0. The GETs with which the sidecar observes go to the same API.',
      'Writes of one resource that follow each other quickly are observed together: there are fewer changes than requests.',
    ],
    [Symbol.asyncDispose]: () => api[Symbol.asyncDispose](),
  }
}

async function load(
  kind: Kind,
  port: number,
  quick: boolean,
  onWarm = async (): Promise<void> => {},
): Promise<Figures> {
  const isPatch = kind === 'PATCH'
  const options = isPatch ? { port, connections, people } : { port, connections, path: '/people/person-7' }
  await using process = await startProcess(isPatch ? programs.patch : programs.get, options, {
    core: loadCore,
  })
  const durationMs = quick ? 500 : 2_500
  await process.call(isPatch ? 'warmUp' : 'run', isPatch ? { warmupMs: durationMs } : { durationMs })
  await onWarm()
  const result = await process.call<LoadResult & GetLoadResult>('run', { durationMs })
  if (result.errors > 0)
    throw new Error(`${result.errors} requests failed, the first with: ${result.firstError}`)
  const { writes, requests = writes, seconds, p50Ms, p99Ms, loadBusy } = result
  return { requests, perS: requests / seconds, p50Ms, p99Ms, loadBusy }
}
