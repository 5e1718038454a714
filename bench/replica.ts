/** What does a copy in a file take of memory and time, with more and more in it? */
import { join } from 'node:path'
import { loadCore, startProcess } from './harness/measured-process.ts'
import type { Figures, Prepared, Question, Setting } from './harness/question.ts'
import type { ReplicaResult } from './programs/replica-follower.ts'

const program = new URL('./programs/replica-follower.ts', import.meta.url)

export const question: Question = {
  name: 'replica',
  title: 'A follower whose copy is in a SQLite file: memory, first baseline, changes, restart',
  budgetS: { full: 60, quick: 3 },
  prepare,
}

async function prepare({ quick, folder }: Setting): Promise<Prepared> {
  const sizes = quick ? [1_000, 10_000] : [10_000, 100_000, 1_000_000]
  const nameOf = (size: number): string => `${size.toLocaleString('en-US')} resources`
  const largest = nameOf(sizes.at(-1)!)
  let runs = 0
  return {
    columns: [
      { figure: 'jsonMib', title: 'JSON MiB', digits: 1 },
      { figure: 'fileMib', title: 'file MiB', digits: 1 },
      { figure: 'copyMib', title: 'memory MiB', digits: 1 },
      { figure: 'baselineS', title: 'baseline s', digits: 2 },
      { figure: 'changesPerS', title: 'changes/s' },
      { figure: 'openMs', title: 'restart ms', digits: 1 },
      { figure: 'iterateS', title: 'read all s', digits: 2 },
      { figure: 'whereMs', title: 'where by index ms', digits: 2 },
    ],
    variants: sizes.map(size => ({
      name: nameOf(size),
      measure: () => measure(size, join(folder, `replica-${++runs}.db`)),
    })),
    rounds: 1,
    claims: [
      {
        text: 'memory of the largest',
        value: round => round[largest]?.['copyMib'],
        target: { atMost: 64 },
        unit: 'MiB',
      },
      {
        text: 'restart with the largest',
        value: round => round[largest]?.['openMs'],
        target: { atMost: 100 },
        unit: 'ms',
      },
    ],
    notes: [
      'Memory is heap and external after a garbage collection, each resource having been changed once.',
    ],
    async [Symbol.asyncDispose]() {},
  }
}

async function measure(resources: number, file: string): Promise<Figures> {
  await using follower = await startProcess(
    program,
    { resources, file },
    { core: loadCore, nodeOptions: ['--expose-gc'] },
  )
  const { jsonBytes, fileBytes, copyBytes, ...rest } = await follower.call<ReplicaResult>('measure')
  const mib = 2 ** 20
  return { jsonMib: jsonBytes / mib, fileMib: fileBytes / mib, copyMib: copyBytes / mib, ...rest }
}
