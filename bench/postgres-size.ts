/** Does a write to PostgreSQL cost more the longer the change log is? */
import { loadCore, type MeasuredProcess, startProcess } from './harness/measured-process.ts'
import { findPostgres, startPostgres } from './harness/postgres.ts'
import type { Prepared, Question, Setting, Variant } from './harness/question.ts'
import type { WriterOptions, WriterResult } from './programs/postgres-writer.ts'

const program = new URL('./programs/postgres-writer.ts', import.meta.url)

export const question: Question = {
  name: 'postgres-size',
  title: 'A write to PostgreSQL through Lockstep, 64 at once, with so many changes in the log',
  budgetS: { full: 60, quick: 15 },
  prepare,
}

async function prepare({ quick, progress }: Setting): Promise<Prepared> {
  // Ten million take minutes to make: for whoever has the time.
  const isLong = process.env['BENCH_LONG'] === '1'
  const sizes = [1_000, 100_000, ...(isLong ? [10_000_000] : [])]
  const postgres = await startPostgres(findPostgres()!)
  const writers: MeasuredProcess<unknown>[] = []
  const variants: Variant[] = []
  const nameOf = (size: number): string => `${size.toLocaleString('en-US')} changes in the log`
  for (const rows of sizes) {
    progress(`filling a log with ${rows.toLocaleString('en-US')} changes`)
    const options: WriterOptions = { url: await postgres.createDatabase(), way: 'log', connections: 64, rows }
    const writer = await startProcess(program, options, { core: loadCore })
    writers.push(writer)
    variants.push({
      name: nameOf(rows),
      async measure() {
        const { writesPerS } = await writer.call<WriterResult>('run', { durationMs: quick ? 500 : 2_000 })
        return { usPerWrite: 1_000_000 / writesPerS }
      },
    })
  }
  const [least, most] = [nameOf(sizes[0]!), nameOf(sizes.at(-1)!)]
  return {
    columns: [{ figure: 'usPerWrite', title: 'µs/write' }],
    variants,
    rounds: quick ? 2 : 5,
    claims: [
      {
        text: `${most} : ${least}`,
        value: round => {
          const [large, small] = [round[most]?.['usPerWrite'], round[least]?.['usPerWrite']]
          return large === undefined || small === undefined ? undefined : large / small
        },
        target: { atMost: 1.5 },
      },
    ],
    notes: ['BENCH_LONG=1 adds a log of 10,000,000 changes, which takes minutes to make and 3 GB.'],
    async [Symbol.asyncDispose]() {
      await Promise.all(writers.map(writer => writer.stop()))
      await postgres.stop()
    },
  }
}
