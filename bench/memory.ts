/** What does a live copy take of memory, beside the JSON of what it holds? */
import { loadCore, startProcess } from './harness/measured-process.ts'
import type { Figures, Prepared, Question, Setting } from './harness/question.ts'
import type { MemoryResult } from './programs/memory-follower.ts'

const program = new URL('./programs/memory-follower.ts', import.meta.url)
const name = "Lockstep's client"

export const question: Question = {
  name: 'memory',
  title: 'Memory of a follower of 100,000 resources: heap and external, after a garbage collection',
  budgetS: { full: 15, quick: 3 },
  prepare,
}

async function prepare({ quick }: Setting): Promise<Prepared> {
  const resources = 100_000
  return {
    columns: [
      { figure: 'jsonMib', title: 'JSON MiB', digits: 1 },
      { figure: 'copyMib', title: 'copy MiB', digits: 1 },
      { figure: 'ratio', title: 'copy : JSON', digits: 2 },
      { figure: 'changedRatio', title: 'after each was changed : JSON', digits: 2 },
      { figure: 'mapRatio', title: 'plain Map of the same : JSON', digits: 2 },
    ],
    variants: [{ name, measure: () => measure(resources) }],
    rounds: quick ? 1 : 3,
    claims: [
      { text: 'copy : JSON', value: round => round[name]?.['ratio'], target: { atMost: 2 } },
      {
        text: 'copy : JSON, after each was changed',
        value: round => round[name]?.['changedRatio'],
        target: { atMost: 2 },
      },
    ],
    notes: [
      `${resources.toLocaleString('en-US')} resources of about 150 bytes of JSON, with their versions.`,
    ],
    async [Symbol.asyncDispose]() {},
  }
}

async function measure(resources: number): Promise<Figures> {
  await using follower = await startProcess(
    program,
    { resources },
    { core: loadCore, nodeOptions: ['--expose-gc'] },
  )
  const { jsonBytes, copyBytes, changedBytes, mapBytes } = await follower.call<MemoryResult>('measure')
  return {
    jsonMib: jsonBytes / 2 ** 20,
    copyMib: copyBytes / 2 ** 20,
    ratio: copyBytes / jsonBytes,
    changedRatio: changedBytes / jsonBytes,
    mapRatio: mapBytes / jsonBytes,
  }
}
