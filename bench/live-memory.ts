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

export const question: Question = {
  name: 'live-memory',
  title: 'Memory of a page: resident memory of the server per connection',
  budgetS: { full: 60, quick: 12 },
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
    columns: sizes.map(size => ({
      figure: `kb${size}`,
      title: `kB per page, ${size.toLocaleString('en-US')} pages`,
      digits: 1,
    })),
    variants: [
      variant(names.lockstep, 'lockstep'),
      ...(hasNchan ? [variant(names.nchan, 'nchan')] : []),
      variant(names.socketIo, 'socket.io'),
      variant(names.ws, 'ws'),
    ],
    rounds: setting.quick ? 1 : 3,
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
      'Of a server that has had 1,000 pages before which are gone, so that what it takes once for all is not counted. What the system keeps for sockets is in none of them.',
      ...(hasNchan ? [] : ['Nchan is not installed: it was left out.']),
    ],
    async [Symbol.asyncDispose]() {},
  }
}

async function measure({ quick, folder }: Setting, kind: PeerKind): Promise<Figures> {
  await using pair = await startLivePair({ kind }, folder)
  const figures: Record<string, number> = {}
  await pair.connect(100)
  const before = await pair.server.rssBytes()
  for (const size of quick ? ([1_000] as const) : sizes) {
    await pair.connect(size)
    figures[`kb${size}`] = ((await pair.server.rssBytes()) - before) / (size - 100) / 1_000
  }
  return figures
}
