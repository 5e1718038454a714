/** What a write and a page of the feed cost with so many changes in the log: the same for each kind of log. */
import type { SqliteLog } from 'lockstep/log'
import { loadCore, type MeasuredProcess, startProcess } from './measured-process.ts'
import type { Claim, Prepared, Setting, Variant } from './question.ts'
import { percentile } from './summary.ts'

/** Ten million are for whoever has the minutes that it takes to make them. */
export const isLong: boolean = process.env['BENCH_LONG'] === '1'

export interface LogSizes extends Pick<Prepared, 'columns' | 'variants' | 'claims' | 'rounds' | 'notes'> {
  stop(): Promise<void>
}

const pageLimit = 500

/** Starts `program` once for each size, with the options for a log of so many changes; it has the commands `run` and `pages`. */
export async function prepareSizes(
  program: URL,
  optionsFor: (rows: number) => Promise<object>,
  { quick, progress }: Setting,
): Promise<LogSizes> {
  const sizes = [1_000, 100_000, ...(isLong ? [10_000_000] : [])]
  const writers: MeasuredProcess<unknown>[] = []
  const variants: Variant[] = []
  for (const rows of sizes) {
    progress(`filling a log with ${rows.toLocaleString('en-US')} changes`)
    const writer = await startProcess(program, await optionsFor(rows), { core: loadCore })
    writers.push(writer)
    variants.push({
      name: nameOf(rows),
      async measure() {
        const durationMs = quick ? 500 : 2_000
        const { writesPerS } = await writer.call<{ writesPerS: number }>('run', { durationMs })
        const usPerPage = await writer.call<number>('pages', { pages: quick ? 50 : 500 })
        return { usPerWrite: 1_000_000 / writesPerS, usPerPage }
      },
    })
  }
  const [least, most] = [nameOf(sizes[0]!), nameOf(sizes.at(-1)!)]
  return {
    columns: [
      { figure: 'usPerWrite', title: 'µs/write' },
      { figure: 'usPerPage', title: `µs/page of ${pageLimit}` },
    ],
    variants,
    claims: [isFlat('a write', 'usPerWrite', most, least), isFlat('a page', 'usPerPage', most, least)],
    rounds: quick ? 2 : 5,
    notes: [
      'µs/write is the time for all writes by their number, 64 being on their way at once. Pages begin at random places; their median counts.',
      'BENCH_LONG=1 adds a log of 10,000,000 changes.',
    ],
    async stop() {
      await Promise.all(writers.map(writer => writer.stop()))
    },
  }
}

/** The median time of so many pages at random places, in microseconds. */
export async function readPages(
  log: Pick<SqliteLog, 'readChanges'>,
  stream: string,
  rows: number,
  pages: number,
): Promise<number> {
  const times: number[] = []
  for (let count = 0; count < pages; count++) {
    const after = Math.floor(Math.random() * (rows - pageLimit))
    const startMs = performance.now()
    const { changes } = await log.readChanges(stream, { after, limit: pageLimit })
    times.push((performance.now() - startMs) * 1_000)
    if (changes.length !== pageLimit || changes[0]!.seq !== after + 1) throw new Error('The page is wrong.')
  }
  return percentile(Float64Array.from(times).sort(), 0.5)
}

function nameOf(size: number): string {
  return `${size.toLocaleString('en-US')} changes in the log`
}

function isFlat(what: string, figure: string, most: string, least: string): Claim {
  return {
    text: `${what}, ${most} : ${least}`,
    value: round => {
      const [large, small] = [round[most]?.[figure], round[least]?.[figure]]
      return large === undefined || small === undefined ? undefined : large / small
    },
    target: { atMost: 1.5 },
  }
}
