/** How long does a live message take to each of 1,000 pages, at a rate that leaves everyone time? */
import { startLivePair } from './harness/live-server.ts'
import { findNchan } from './harness/nchan.ts'
import type { Figures, Prepared, Question, Setting } from './harness/question.ts'
import { ratio } from './harness/question.ts'
import type { LatencyResult, PeerKind } from './programs/live-load.ts'

const perSecond = 20
const names = { lockstep: 'Lockstep bridge', nchan: 'Nchan', socketIo: 'Socket.IO with recovery' }

export const question: Question = {
  name: 'live-latency',
  title: `Live latency: ${perSecond} messages/s of 200 bytes to 1,000 pages`,
  budgetS: { full: 60, quick: 10 },
  prepare,
}

async function prepare(setting: Setting): Promise<Prepared> {
  const hasNchan = findNchan() !== undefined
  const variant = (name: string, kind: PeerKind) => ({ name, measure: () => measure(setting, kind) })
  return {
    columns: [
      { figure: 'p50Ms', title: 'p50 ms', digits: 2 },
      { figure: 'p99Ms', title: 'p99 ms', digits: 2 },
      { figure: 'cpuUs', title: 'server CPU µs/delivery', digits: 2 },
    ],
    variants: [
      variant(names.lockstep, 'lockstep'),
      ...(hasNchan ? [variant(names.nchan, 'nchan')] : []),
      variant(names.socketIo, 'socket.io'),
    ],
    rounds: setting.quick ? 1 : 4,
    claims: [
      {
        text: `p99 of ${names.lockstep} : ${names.nchan}`,
        value: ratio(names.lockstep, names.nchan, 'p99Ms'),
        target: { atMost: 1 },
      },
    ],
    notes: [
      'From publishing, on the core of the pages, to each page. All of a message go out one after another: half of that is the p50.',
      ...(hasNchan ? [] : ['Nchan is not installed: it was left out.']),
    ],
    async [Symbol.asyncDispose]() {},
  }
}

async function measure({ quick, folder }: Setting, kind: PeerKind): Promise<Figures> {
  await using pair = await startLivePair({ kind }, folder)
  const { server, load } = pair
  await pair.connect(quick ? 100 : 1_000)
  await load.call('latency', { perSecond, durationMs: quick ? 200 : 500 })
  const before = await server.cpuUs()
  const durationMs = quick ? 300 : 2_000
  const { p50Ms, p99Ms, deliveries } = await load.call<LatencyResult>('latency', { perSecond, durationMs })
  return { p50Ms, p99Ms, cpuUs: ((await server.cpuUs()) - before) / deliveries }
}
