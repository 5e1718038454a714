/**
 * A thousand pages were cut off and missed 50 messages each; all come back at once. How long until the last of them has everything?
 *
 * Peers that keep nothing for those who are away cannot be asked. Lockstep is asked twice: with nothing in the change log but this, and with a million changes
 * before it.
 */
import { join } from 'node:path'
import { openSqliteLog } from 'lockstep/log'
import { defineResource, openService } from 'lockstep/service'
import { startLivePair } from './harness/live-server.ts'
import { findNchan } from './harness/nchan.ts'
import { createPerson, personSchema } from './harness/people.ts'
import {
  type Claim,
  type Figures,
  type Prepared,
  type Question,
  ratio,
  type Setting,
} from './harness/question.ts'
import type { PeerKind, StormResult } from './programs/live-load.ts'

const missed = 50
const names = {
  lockstep: 'Lockstep bridge',
  large: 'Lockstep bridge, 1,000,000 changes in the log',
  nchan: 'Nchan, ws+meta',
  socketIo: 'Socket.IO with recovery',
}

export const question: Question = {
  name: 'live-storm',
  title: `Reconnect storm: 1,000 pages at once, each of which missed ${missed} messages`,
  budgetS: { full: 120, quick: 25 },
  prepare,
}

async function prepare(setting: Setting): Promise<Prepared> {
  const { quick, folder, progress } = setting
  const hasNchan = findNchan() !== undefined
  const changes = quick ? 10_000 : 1_000_000
  progress(`writing ${changes.toLocaleString('en-US')} changes`)
  const large = await fillLog(folder, changes)
  const variant = (name: string, kind: PeerKind, file?: string) => ({
    name,
    measure: () => measure(setting, kind, file),
  })
  const claim = (own: string, other: string, atMost: number): Claim => ({
    text: `${own} : ${other}`,
    value: ratio(own, other, 'allMs'),
    target: { atMost },
  })
  return {
    columns: [
      { figure: 'allMs', title: 'all have everything, ms' },
      { figure: 'halfMs', title: 'half of them, ms' },
      { figure: 'cpuUs', title: 'server CPU µs/page' },
      { figure: 'loadBusy', title: 'load busy', digits: 2 },
    ],
    variants: [
      variant(names.lockstep, 'lockstep'),
      variant(names.large, 'lockstep', large),
      ...(hasNchan ? [variant(names.nchan, 'nchan-with-ids')] : []),
      variant(names.socketIo, 'socket.io'),
    ],
    rounds: quick ? 1 : 3,
    claims: [names.lockstep, names.large].flatMap(own => [
      claim(own, names.nchan, 0.35),
      claim(own, names.socketIo, 0.15),
    ]),
    notes: [
      "Each round is the median of three storms. Lockstep's pages each show a ticket of their own, which is verified; the peers ask for none.",
      ...(hasNchan ? [] : ['Nchan is not installed: it was left out.']),
    ],
    async [Symbol.asyncDispose]() {},
  }
}

/** A log that has been written by a service, as all of them are. */
async function fillLog(folder: string, changes: number): Promise<string> {
  const file = join(folder, 'large.db')
  const people = defineResource('people', { schema: personSchema })
  await using log = await openSqliteLog({ file })
  await using service = await openService({ resources: [people], log })
  await service.transaction(async tx => {
    for (let number = 0; number < 8; number++) await tx.create(people, createPerson(number))
  })
  for (let written = 8; written < changes; ) {
    await service.transaction(async tx => {
      for (let count = 0; count < 1_000 && written < changes; count++, written++) {
        await tx.patch(people, `person-${written % 8}`, { email: `changed-${written}@mail.example.com` })
      }
    })
  }
  return file
}

async function measure({ quick, folder }: Setting, kind: PeerKind, file?: string): Promise<Figures> {
  await using pair = await startLivePair({ kind, file }, folder)
  const { server, load } = pair
  const pages = quick ? 100 : 1_000
  await pair.connect(pages)
  const storms: Figures[] = []
  for (let count = 0; count < (quick ? 1 : 3); count++) {
    await load.call('cutAll', { missed })
    const before = await server.cpuUs()
    const { allMs, halfMs, loadBusy } = await load.call<StormResult>('comeBack')
    const cpuUs = ((await server.cpuUs()) - before) / pages
    storms.push({ allMs, halfMs, loadBusy, cpuUs })
  }
  storms.sort((a, b) => a['allMs']! - b['allMs']!)
  return storms[storms.length >> 1]!
}
