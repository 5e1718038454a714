/**
 * What does telling of a change cost in PostgreSQL, and how should the changes get their numbers?
 *
 * By a sequencer behind the commit, by a counter in the transaction, or by a log that commits together what arrives
 * together; beside the same transaction that tells of nothing.
 */
import type { WriterResult } from './harness/log-writes.ts'
import { loadCore, startProcess } from './harness/measured-process.ts'
import { findPostgres, type Postgres, startPostgres } from './harness/postgres.ts'
import { type Prepared, type Question, ratio, type Setting, type Variant } from './harness/question.ts'
import type { WriterOptions } from './programs/postgres-writer.ts'

const program = new URL('./programs/postgres-writer.ts', import.meta.url)
const connections = 64

const names: Readonly<Record<WriterOptions['way'], string>> = {
  'no row': 'a transaction each, no row for the change',
  sequencer: 'a transaction each, numbered by the sequencer',
  counter: 'a transaction each, numbered by a counter',
  record: 'a transaction each, with record',
  log: 'Lockstep, which commits together',
}

export const question: Question = {
  name: 'postgres',
  title: `Writes to PostgreSQL: ${connections} writers, 1,000 resources of about 150 bytes`,
  budgetS: { full: 120, quick: 20 },
  prepare,
}

async function prepare({ quick }: Setting): Promise<Prepared> {
  const postgres = await startPostgres(findPostgres()!)
  const ways = Object.keys(names) as WriterOptions['way'][]
  const rate = (
    own: WriterOptions['way'],
    other: WriterOptions['way'],
    atLeast: number,
  ): Prepared['claims'][number] => ({
    text: `${names[own]} : ${names[other]}`,
    value: ratio(names[own], names[other], 'writesPerS'),
    target: { atLeast },
  })
  const seen = (way: WriterOptions['way']): Prepared['claims'][number] => ({
    text: `${names[way]}: from the commit to another instance, p50`,
    value: round => round[names[way]]?.['seenMs'],
    target: { atMost: 25 },
    unit: ' ms',
    digits: 1,
  })
  return {
    columns: [
      { figure: 'writesPerS', title: 'writes/s' },
      { figure: 'p50Ms', title: 'p50 ms', digits: 1 },
      { figure: 'p99Ms', title: 'p99 ms', digits: 1 },
      { figure: 'seenMs', title: 'seen p50 ms', digits: 1 },
    ],
    variants: ways.map(
      (way): Variant => ({ name: names[way], measure: () => measure(postgres, way, quick) }),
    ),
    rounds: quick ? 1 : 5,
    claims: [
      rate('sequencer', 'no row', 0.8),
      rate('sequencer', 'counter', 1),
      rate('record', 'no row', 0.8),
      rate('log', 'no row', 0.8),
      seen('record'),
      seen('log'),
    ],
    notes: [
      'Each write reads and locks a row, stores it changed and commits durably. The server has core 0, the writers core 1.',
      'Seen is the time from the answer to the commit until another instance, which is told nothing, has read the message, at about 100 writes a second.',
    ],
    [Symbol.asyncDispose]: () => postgres.stop(),
  }
}

async function measure(
  postgres: Postgres,
  way: WriterOptions['way'],
  quick: boolean,
): Promise<Record<string, number>> {
  const options: WriterOptions = { url: await postgres.createDatabase(), way, connections }
  await using writer = await startProcess(program, options, { core: loadCore })
  await writer.call('run', { durationMs: quick ? 300 : 1_000 })
  const result = await writer.call<WriterResult>('run', { durationMs: quick ? 600 : 3_000 })
  if (way === 'no row') return { ...result }
  return { ...result, seenMs: await writer.call<number>('seen', { writes: quick ? 50 : 100 }) }
}
