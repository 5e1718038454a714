/**
 * How fast does a follower catch up that was away for 200,000 changes?
 *
 * By plain pages it takes in each change; by compact ones only what became of each resource, which is what
 * Lockstep's client asks for when it is more than a page behind.
 */
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
import type { CatchUpOptions, CatchUpResult } from './programs/catch-up-follower.ts'
import type { ServiceProgramReady } from './programs/lockstep-service.ts'

const servicePath = new URL('./programs/lockstep-service.ts', import.meta.url)
const followerPath = new URL('./programs/catch-up-follower.ts', import.meta.url)

const names = {
  plain: 'by hand, plain pages of 1,000',
  compact: 'by hand, compact pages of 1,000',
  client: "Lockstep's client",
}

const columns: readonly Column[] = [
  { figure: 'changesPerS', title: 'changes/s' },
  { figure: 'seconds', title: 'seconds', digits: 2 },
  { figure: 'serverCpuUs', title: 'server CPU µs/change', digits: 2 },
  { figure: 'followerCpuUs', title: 'follower CPU µs/change', digits: 2 },
]

export const question: Question = {
  name: 'catch-up',
  title: 'Catching up by the feed over HTTP: from the first request to the copy that is right',
  budgetS: { full: 60, quick: 7 },
  prepare,
}

async function prepare({ quick, folder }: Setting): Promise<Prepared> {
  const changes = quick ? 20_000 : 200_000
  const people = quick ? 2_000 : 20_000
  const measure = (by: CatchUpOptions['by']) => (): Promise<Figures> =>
    measureOne(join(folder, `catch-up-${++files}.db`), { by, changes, people })
  return {
    columns,
    variants: [
      { name: names.plain, measure: measure('pages') },
      { name: names.compact, measure: measure('compact pages') },
      { name: names.client, measure: measure('client') },
    ],
    rounds: quick ? 2 : 3,
    claims: [
      {
        text: `${names.plain}: changes/s`,
        value: round => round[names.plain]?.['changesPerS'],
        target: { atLeast: 100_000 },
        unit: '/s',
        digits: 0,
      },
      {
        text: `${names.client} : ${names.plain}`,
        value: ratio(names.client, names.plain, 'changesPerS'),
        target: { atLeast: 1 },
      },
    ],
    notes: [
      `${changes.toLocaleString('en-US')} changes of ${people.toLocaleString('en-US')} resources; the copy is compared with the API afterwards. Compact pages carry each resource once: there, changes/s counts what was caught up with.`,
    ],
    async [Symbol.asyncDispose]() {},
  }
}

let files = 0

async function measureOne(
  file: string,
  { by, changes, people }: { by: CatchUpOptions['by']; changes: number; people: number },
): Promise<Figures> {
  await using service = await startProcess<ServiceProgramReady>(
    servicePath,
    { file, people },
    { core: serverCore },
  )
  const options: CatchUpOptions = { api: `http://127.0.0.1:${service.ready.port}`, by }
  await using follower = await startProcess(followerPath, options, { core: loadCore })
  await service.call('change', { count: changes })
  const head = await service.call<number>('head')
  const [serverBefore, followerBefore] = [await service.cpu(), await follower.cpu()]
  const { seconds, resources } = await follower.call<CatchUpResult>('catchUp', { head })
  const [serverAfter, followerAfter] = [await service.cpu(), await follower.cpu()]
  if (resources !== people) throw new Error(`The copy holds ${resources} of ${people} resources.`)
  return {
    changesPerS: changes / seconds,
    seconds,
    serverCpuUs: (serverAfter.cpuUs - serverBefore.cpuUs) / changes,
    followerCpuUs: (followerAfter.cpuUs - followerBefore.cpuUs) / changes,
  }
}
