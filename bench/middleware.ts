/** What does the mirror inside of an application cost its routes? Fastify with SQLite behind it, with it and without. */
import { join } from 'node:path'
import { loadCore, serverCore, startProcess } from './harness/measured-process.ts'
import {
  type Column,
  type Figures,
  type Prepared,
  type Question,
  ratio,
  type Setting,
} from './harness/question.ts'
import type { GetLoadResult } from './programs/get-load.ts'
import type { MirroredFastifyOptions } from './programs/mirrored-fastify.ts'
import type { LoadResult } from './programs/patch-load.ts'

const people = 1_000
const connections = 64

const programs = {
  application: new URL('./programs/mirrored-fastify.ts', import.meta.url),
  patch: new URL('./programs/patch-load.ts', import.meta.url),
  get: new URL('./programs/get-load.ts', import.meta.url),
}

const columns: readonly Column[] = [
  { figure: 'perS', title: 'requests/s' },
  { figure: 'p50Ms', title: 'p50 ms', digits: 2 },
  { figure: 'p99Ms', title: 'p99 ms', digits: 1 },
  { figure: 'cpuUs', title: 'server CPU µs/request', digits: 1 },
  { figure: 'loadBusy', title: 'load busy', digits: 2 },
]

const kinds = { none: 'as it was', read: 'mirrored, read anew', whole: 'mirrored, answers are whole' }
const nameOf = (route: string, mirror: keyof typeof kinds): string => `${route}: ${kinds[mirror]}`

export const question: Question = {
  name: 'middleware',
  title: `A mirror inside of Fastify with SQLite: ${connections} keep-alive connections, ${people} resources of about 150 bytes`,
  budgetS: { full: 150, quick: 16 },
  prepare,
}

async function prepare(setting: Setting): Promise<Prepared> {
  const claim = (route: string, mirror: 'read' | 'whole', before = route): Prepared['claims'][number] => ({
    text: `${nameOf(route, mirror)} : ${kinds.none}`,
    value: ratio(nameOf(route, mirror), nameOf(before, 'none'), 'perS'),
    target: { atLeast: 0.85 },
  })
  return {
    columns,
    variants: (['PATCH, FULL', 'PATCH, NORMAL', 'GET', 'GET, reads false'] as const).flatMap(route =>
      (['none', 'read', 'whole'] as const)
        .filter(mirror =>
          route === 'GET, reads false' ? mirror === 'read' : route !== 'GET' || mirror !== 'whole',
        )
        .map(mirror => ({ name: nameOf(route, mirror), measure: () => measure(setting, route, mirror) })),
    ),
    rounds: setting.quick ? 2 : 5,
    claims: [
      claim('PATCH, FULL', 'whole'),
      claim('PATCH, FULL', 'read'),
      claim('GET', 'read'),
      claim('GET, reads false', 'read', 'GET'),
    ],
    notes: [
      'The mirror notes each write on disk before the handler runs, and waits for the durable commit of its log before it answers. With NORMAL the application itself waits for no disk.',
    ],
    async [Symbol.asyncDispose]() {},
  }
}

let files = 0

async function measure(
  { quick, folder }: Setting,
  route: string,
  mirror: MirroredFastifyOptions['mirror'],
): Promise<Figures> {
  const times = quick ? { warmupMs: 200, durationMs: 400 } : { warmupMs: 2_400, durationMs: 2_400 }
  const synchronous = route === 'PATCH, NORMAL' ? 'NORMAL' : 'FULL'
  const options: MirroredFastifyOptions = {
    file: join(folder, `middleware-${++files}.db`),
    people,
    synchronous,
    mirror,
    reads: route !== 'GET, reads false',
  }
  await using server = await startProcess<{ port: number }>(programs.application, options, {
    core: serverCore,
  })
  const { port } = server.ready
  const isGet = route.startsWith('GET')
  const load = isGet ? programs.get : programs.patch
  const asked = isGet ? { port, connections, path: '/people/person-7' } : { port, connections, people }
  await using client = await startProcess(load, asked, { core: loadCore })
  if (isGet) check(await client.call<Result>('run', { durationMs: times.warmupMs }))
  else check(await client.call<Result>('warmUp', times))
  const before = await server.cpu()
  const result = check(await client.call<Result>('run', times))
  const after = await server.cpu()
  const count = 'writes' in result ? result.writes : result.requests
  const { seconds, p50Ms, p99Ms, loadBusy } = result
  return { perS: count / seconds, p50Ms, p99Ms, cpuUs: (after.cpuUs - before.cpuUs) / count, loadBusy }
}

type Result = LoadResult | GetLoadResult

function check<R extends Result>(result: R): R {
  if (result.errors === 0) return result
  throw new Error(`${result.errors} requests failed, the first with: ${result.firstError}`)
}
