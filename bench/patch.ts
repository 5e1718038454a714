/**
 * How many PATCH requests a second, beside services that one writes without Lockstep?
 *
 * The others keep the state only; one of them also the row of an outbox, as one writes it by hand. Lockstep checks it against a schema, writes the change beside it and, with a
 * broker, publishes it; it is faster where requests that arrive together share one durable commit.
 */
import { join } from 'node:path'
import { loadCore, type MeasuredProcess, serverCore, startProcess } from './harness/measured-process.ts'
import { type Mosquitto, startMosquitto } from './harness/mosquitto.ts'
import {
  type Column,
  type Figures,
  type Prepared,
  type Question,
  ratio,
  type Setting,
  type Variant,
} from './harness/question.ts'
import type { LoadResult } from './programs/patch-load.ts'

const people = 1_000
const connections = 64

const programs = {
  httpAlone: new URL('./peers/http-alone.ts', import.meta.url),
  bare: new URL('./peers/bare.ts', import.meta.url),
  fastify: new URL('./peers/fastify.ts', import.meta.url),
  feathers: new URL('./peers/feathers.ts', import.meta.url),
  feathersSubscriber: new URL('./peers/feathers-subscriber.ts', import.meta.url),
  lockstep: new URL('./programs/lockstep-service.ts', import.meta.url),
  subscriber: new URL('./programs/subscriber.ts', import.meta.url),
  load: new URL('./programs/patch-load.ts', import.meta.url),
}

const names = {
  httpAlone: 'node:http alone, keeps nothing',
  bareFull: 'node:http + node:sqlite, FULL',
  bareNormal: 'node:http + node:sqlite, NORMAL',
  outboxNormal: 'node:http + node:sqlite with an outbox, NORMAL',
  fastifyFull: 'Fastify + node:sqlite, FULL',
  feathers: 'Feathers in memory, 1 subscriber',
  alone: 'Lockstep, FULL',
  embedded: 'Lockstep, FULL, embedded broker, 1 subscriber',
  mosquitto: 'Lockstep, FULL, Mosquitto, 1 subscriber',
}

const columns: readonly Column[] = [
  { figure: 'writesPerS', title: 'writes/s' },
  { figure: 'p50Ms', title: 'p50 ms', digits: 2 },
  { figure: 'p99Ms', title: 'p99 ms', digits: 1 },
  { figure: 'cpuUs', title: 'server CPU µs/write', digits: 1 },
  { figure: 'deliveredPerS', title: 'delivered/s' },
  { figure: 'loadBusy', title: 'load busy', digits: 2 },
]

export const question: Question = {
  name: 'patch',
  title: `PATCH over HTTP: ${connections} keep-alive connections, ${people} resources of about 150 bytes`,
  budgetS: { full: 270, quick: 22 },
  prepare,
}

async function prepare(setting: Setting): Promise<Prepared> {
  const { quick, mosquitto: program, folder } = setting
  const mosquitto = program === undefined ? undefined : await startMosquitto(program, folder)
  const variants = createVariants(setting, mosquitto)
  const withBroker = mosquitto === undefined ? names.embedded : names.mosquitto
  const claim = (own: string, other: string, atLeast: number): Prepared['claims'][number] => ({
    text: `${own} : ${other}`,
    value: ratio(own, other, 'writesPerS'),
    target: { atLeast },
  })
  return {
    columns,
    variants,
    rounds: quick ? 2 : 5,
    claims: [
      claim(names.alone, names.bareFull, 3),
      claim(names.alone, names.bareNormal, 1.2),
      claim(names.alone, names.outboxNormal, 1),
      claim(names.alone, names.fastifyFull, 3),
      claim(names.alone, names.feathers, 2),
      claim(withBroker, names.bareFull, 3),
      claim(withBroker, names.feathers, 2),
    ],
    notes: [
      'Each write reads the state, merges, and stores it. Only Lockstep also stores and, with a broker, publishes the change. The load, the subscriber and Mosquitto share core 1.',
      ...(mosquitto === undefined ? ['Mosquitto is not installed: its variant was left out.'] : []),
    ],
    async [Symbol.asyncDispose]() {
      await mosquitto?.stop()
    },
  }
}

function createVariants(setting: Setting, mosquitto: Mosquitto | undefined): Variant[] {
  const file = (): string => join(setting.folder, `patch-${++files}.db`)
  const table = (program: URL, synchronous: 'FULL' | 'NORMAL', outbox?: boolean) => (): Promise<Figures> =>
    measure(setting, program, { file: file(), people, synchronous, outbox })
  const lockstep = (broker?: string) => (): Promise<Figures> =>
    measure(setting, programs.lockstep, { file: file(), people, broker }, startMqttSubscriber)
  const variants: Variant[] = [
    { name: names.httpAlone, measure: () => measure(setting, programs.httpAlone, {}) },
    { name: names.bareFull, measure: table(programs.bare, 'FULL') },
    { name: names.bareNormal, measure: table(programs.bare, 'NORMAL') },
    { name: names.outboxNormal, measure: table(programs.bare, 'NORMAL', true) },
    { name: names.fastifyFull, measure: table(programs.fastify, 'FULL') },
    {
      name: names.feathers,
      measure: () =>
        measure(setting, programs.feathers, { people }, ({ port }) =>
          startProcess(programs.feathersSubscriber, { url: `http://127.0.0.1:${port}` }, { core: loadCore }),
        ),
    },
    { name: names.alone, measure: lockstep() },
    { name: names.embedded, measure: lockstep('embedded') },
  ]
  if (mosquitto !== undefined) variants.push({ name: names.mosquitto, measure: lockstep(mosquitto.url) })
  return variants
}

let files = 0

interface Ready {
  readonly port: number
  readonly brokerUrl?: string
}

type StartSubscriber = (ready: Ready) => Promise<MeasuredProcess<unknown> | undefined>

async function startMqttSubscriber({ brokerUrl: url }: Ready): Promise<MeasuredProcess<unknown> | undefined> {
  if (url === undefined) return undefined
  return await startProcess(programs.subscriber, { url, filter: 'people/#' }, { core: loadCore })
}

async function measure(
  { quick }: Setting,
  program: URL,
  options: object,
  startSubscriber?: StartSubscriber,
): Promise<Figures> {
  const times = quick ? { warmupMs: 200, durationMs: 400 } : { warmupMs: 2_400, durationMs: 2_400 }
  await using server = await startProcess<Ready>(program, options, { core: serverCore })
  const { port } = server.ready
  await using subscriber = await startSubscriber?.(server.ready)
  await using load = await startProcess(programs.load, { port, connections, people }, { core: loadCore })
  check(await load.call<LoadResult>('warmUp', times))
  const [cpuBefore, receivedBefore] = [await server.cpu(), await subscriber?.call<number>('received')]
  const result = check(await load.call<LoadResult>('run', times))
  const [cpuAfter, received] = [await server.cpu(), await subscriber?.call<number>('received')]
  const { writes, seconds, p50Ms, p99Ms, loadBusy } = result
  return {
    writesPerS: writes / seconds,
    p50Ms,
    p99Ms,
    cpuUs: (cpuAfter.cpuUs - cpuBefore.cpuUs) / writes,
    ...(received !== undefined && { deliveredPerS: (received - receivedBefore!) / seconds }),
    loadBusy,
  }
}

function check(result: LoadResult): LoadResult {
  if (result.errors === 0) return result
  throw new Error(
    `${result.errors} of ${result.writes} requests failed, the first with: ${result.firstError}`,
  )
}
