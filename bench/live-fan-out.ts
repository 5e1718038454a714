/**
 * How many deliveries of live messages a second, beside Nchan, Socket.IO, Feathers, and `ws` in a loop?
 *
 * Messages of 200 bytes are published in bursts; the next burst comes when every page has all of the last one. With one message at a time nobody
 * can put anything together: then it is one write of the system against another.
 */
import { startLivePair } from './harness/live-server.ts'
import { findNchan } from './harness/nchan.ts'
import {
  type Claim,
  type Column,
  type Figures,
  type Prepared,
  type Question,
  ratio,
  type Setting,
} from './harness/question.ts'
import type { BurstResult, PeerKind } from './programs/live-load.ts'

const names = {
  lockstep: 'Lockstep bridge',
  slow: 'Lockstep bridge, one more page that never reads',
  nchan: 'Nchan',
  socketIo: 'Socket.IO with recovery',
  feathers: 'Feathers, socket.io channel',
  ws: 'ws, send() in a loop',
}

const bursts = [1, 8, 32] as const

const columns: readonly Column[] = [
  ...bursts.map(size => ({
    figure: `perS${size}`,
    title: size === 1 ? 'deliveries/s, one at a time' : `in bursts of ${size}`,
  })),
  ...bursts.map(size => ({ figure: `cpuUs${size}`, title: `server CPU µs, ${size}`, digits: 2 })),
  { figure: 'loadBusy', title: 'load busy, at most', digits: 2 },
]

export const question: Question = createQuestion('live-fan-out', 1_000, { full: 115, quick: 25 })
export const questionOfMany: Question = createQuestion('live-fan-out-5000', 5_000, { full: 75, quick: 20 })

function createQuestion(name: string, pages: number, budgetS: Question['budgetS']): Question {
  return {
    name,
    title: `Live fan-out: messages of 200 bytes to ${pages.toLocaleString('en-US')} pages`,
    budgetS,
    prepare: setting => prepare(setting, pages),
  }
}

async function prepare(setting: Setting, pages: number): Promise<Prepared> {
  const clients = setting.quick ? pages / 10 : pages
  const isFew = pages === 1_000
  const kinds: readonly (readonly [string, PeerKind])[] = [
    [names.lockstep, 'lockstep'],
    ...(isFew ? ([[names.slow, 'lockstep']] as const) : []),
    ...(findNchan() === undefined ? [] : ([[names.nchan, 'nchan']] as const)),
    [names.socketIo, 'socket.io'],
    ...(isFew ? ([[names.feathers, 'feathers']] as const) : []),
    [names.ws, 'ws'],
  ]
  return {
    columns,
    variants: kinds.map(([name, kind]) => ({
      name,
      measure: () => measure(setting, kind, { clients, isSlow: name === names.slow }),
    })),
    rounds: setting.quick ? 1 : isFew ? 3 : 2,
    claims: createClaims(isFew),
    notes: [
      'Each page counts what it gets and checks that no number is missing and none comes twice.',
      'A message enters a peer by a POST of its own on one connection, pipelined; Lockstep by a write to a service on core 1, of which the bridge hears through a broker: that write is in the figures.',
      ...(findNchan() === undefined ? ['Nchan is not installed: it was left out.'] : []),
    ],
    async [Symbol.asyncDispose]() {},
  }
}

function createClaims(isFew: boolean): readonly Claim[] {
  const claim = (size: number, other: string, atLeast: number): Claim => ({
    text: `${size === 1 ? 'one at a time' : `bursts of ${size}`}: ${names.lockstep} : ${other}`,
    value: ratio(names.lockstep, other, `perS${size}`),
    target: { atLeast },
  })
  const slow: Claim = {
    text: `bursts of 8: ${names.slow} : without it`,
    value: ratio(names.slow, names.lockstep, 'perS8'),
    target: { atLeast: 0.95 },
  }
  return [
    claim(8, names.nchan, 4),
    claim(32, names.nchan, 5),
    claim(1, names.nchan, 0.95),
    claim(8, names.socketIo, 10),
    ...(isFew ? [slow] : []),
  ]
}

async function measure(
  { quick, folder }: Setting,
  kind: PeerKind,
  { clients, isSlow }: { clients: number; isSlow: boolean },
): Promise<Figures> {
  const durationMs = quick ? 200 : 800
  await using pair = await startLivePair({ kind }, folder)
  const { server, load } = pair
  await pair.connect(clients)
  if (isSlow) await load.call('stall')
  const figures: Record<string, number> = { loadBusy: 0 }
  for (const size of bursts) {
    await load.call('burst', { size, durationMs: durationMs / 2 })
    const before = await server.cpuUs()
    const result = await load.call<BurstResult>('burst', { size, durationMs })
    const usedUs = (await server.cpuUs()) - before
    figures[`perS${size}`] = result.deliveries / result.seconds
    figures[`cpuUs${size}`] = usedUs / result.deliveries
    figures['loadBusy'] = Math.max(figures['loadBusy']!, result.loadBusy)
  }
  return figures
}
