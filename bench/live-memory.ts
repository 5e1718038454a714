/** What does a connected page that hears nothing take of the server's memory? */
import { startLivePair } from './harness/live-server.ts'
import { findNchan } from './harness/nchan.ts'
import {
  type Claim,
  type Figures,
  type Prepared,
  type Question,
  ratio,
  type Setting,
} from './harness/question.ts'
import type { PeerKind } from './programs/live-load.ts'

const names = {
  lockstep: 'Lockstep bridge',
  nchan: 'Nchan',
  socketIo: 'Socket.IO with recovery',
  ws: 'ws',
}
const sizes = [1_000, 10_000] as const
/** Pages that are there before any is counted. */
const first = 100
/** How often all of these have gone and come again. */
const churns = 40

export const question: Question = {
  name: 'live-memory',
  title: 'Memory of a page: resident memory of the server per connection',
  budgetS: { full: 60, quick: 30 },
  prepare,
}

async function prepare(setting: Setting): Promise<Prepared> {
  const hasNchan = findNchan() !== undefined
  const variant = (name: string, kind: PeerKind) => ({ name, measure: () => measure(setting, kind) })
  const claim = (size: number): Claim => ({
    text: `${names.lockstep} : ${names.nchan}, ${size.toLocaleString('en-US')} pages`,
    value: ratio(names.lockstep, names.nchan, `kb${size}`),
    target: { atMost: 1 },
  })
  return {
    columns: [
      ...sizes.map(size => ({
        figure: `kb${size}`,
        title: `kB per page, ${size.toLocaleString('en-US')} pages`,
        digits: 1,
      })),
      { figure: 'freshKb1000', title: 'kB per page, the first 1,000 after the start', digits: 1 },
    ],
    variants: [
      variant(names.lockstep, 'lockstep'),
      ...(hasNchan ? [variant(names.nchan, 'nchan')] : []),
      variant(names.socketIo, 'socket.io'),
      variant(names.ws, 'ws'),
    ],
    rounds: setting.quick ? 1 : 2,
    claims: [
      ...sizes.map(claim),
      {
        text: `${names.lockstep}, 10,000 pages`,
        value: round => round[names.lockstep]?.['kb10000'],
        target: { atMost: 6 },
        unit: 'kB',
      },
    ],
    notes: [
      `Of a server that has had ${(churns * 100).toLocaleString('en-US')} pages before, a hundred at a time: a server on Node takes memory for its garbage early, and the first thousand pages live in it for the most part. The last column is a server that has just begun. What the system itself keeps for sockets is in none of them.`,
      ...(hasNchan ? [] : ['Nchan is not installed: it was left out.']),
    ],
    async [Symbol.asyncDispose]() {},
  }
}

async function measure(setting: Setting, kind: PeerKind): Promise<Figures> {
  const largest = setting.quick ? 1_000 : 10_000
  const [fresh, used] = [new Map<number, number>(), new Map<number, number>()]
  await fill(setting, kind, { figures: fresh, largest: 1_000, churns: 0 })
  await fill(setting, kind, { figures: used, largest, churns: setting.quick ? 5 : churns })
  const figures: Record<string, number> = { freshKb1000: fresh.get(1_000)! }
  for (const [size, kb] of used) figures[`kb${size}`] = kb
  return figures
}

/** Starts a server, wears it in, and adds pages. */
async function fill(
  { folder }: Setting,
  kind: PeerKind,
  { figures, largest, churns }: { figures: Map<number, number>; largest: number; churns: number },
): Promise<void> {
  await using pair = await startLivePair({ kind }, folder)
  await pair.connect(first)
  await pair.load.call('churn', { times: churns })
  const before = await pair.server.rssBytes()
  for (const size of sizes) {
    if (size > largest) return
    await pair.connect(size, 0)
    figures.set(size, ((await pair.server.rssBytes()) - before) / (size - first) / 1_000)
  }
  // All of them are there still, and hear.
  await pair.connect(largest, 1)
}
