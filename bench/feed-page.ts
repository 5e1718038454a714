/** What does a page of the change log cost, and does it cost more the longer the log is? */
import { join } from 'node:path'
import { type MeasuredProcess, serverCore, startProcess } from './harness/measured-process.ts'
import type { Prepared, Question, Setting, Variant } from './harness/question.ts'
import type { PageResult } from './programs/page-reader.ts'

const program = new URL('./programs/page-reader.ts', import.meta.url)

export const question: Question = {
  name: 'feed-page',
  title: 'Reading 500 changes at a random place of the change log',
  budgetS: { full: 110, quick: 6 },
  prepare,
}

async function prepare({ quick, folder, progress }: Setting): Promise<Prepared> {
  const sizes = quick ? [1_000, 100_000] : [1_000, 100_000, 10_000_000]
  const pages = quick ? 100 : 500
  const readers: MeasuredProcess<unknown>[] = []
  const variants: Variant[] = []
  const nameOf = (size: number): string => `${size.toLocaleString('en-US')} changes in the log`
  for (const rows of sizes) {
    progress(`filling a log with ${rows.toLocaleString('en-US')} changes`)
    const file = join(folder, `page-${rows}.db`)
    const reader = await startProcess(program, { file, rows }, { core: serverCore })
    readers.push(reader)
    variants.push({
      name: nameOf(rows),
      measure: async () => ({ ...(await reader.call<PageResult>('measure', { pages })) }),
    })
  }
  const [least, most] = [nameOf(sizes[0]!), nameOf(sizes.at(-1)!)]
  return {
    columns: [{ figure: 'usPerPage', title: 'µs/page' }],
    variants,
    rounds: quick ? 2 : 5,
    claims: [
      {
        text: `${most} : ${least}`,
        value: round => {
          const [large, small] = [round[most]?.['usPerPage'], round[least]?.['usPerPage']]
          return large === undefined || small === undefined ? undefined : large / small
        },
        target: { atMost: 1.5 },
      },
    ],
    notes: [
      `The median of ${pages} pages, in SQLite, without HTTP. Flat is called what stays below 1.5: a short log lies in the page cache of SQLite, a long one in that of the system.`,
    ],
    async [Symbol.asyncDispose]() {
      await Promise.all(readers.map(reader => reader.stop()))
    },
  }
}
