/** What does one message cost a follower, and does it cost more the more the copy holds? */
import { loadCore, type MeasuredProcess, startProcess } from './harness/measured-process.ts'
import type { Prepared, Question, Setting, Variant } from './harness/question.ts'
import type { ChangeCostResult } from './programs/change-follower.ts'

const program = new URL('./programs/change-follower.ts', import.meta.url)

export const question: Question = {
  name: 'change-cost',
  title: "A message in Lockstep's client: from its JSON text to the listener of the change",
  budgetS: { full: 25, quick: 4 },
  prepare,
}

async function prepare({ quick, progress }: Setting): Promise<Prepared> {
  const sizes = quick ? [100, 10_000] : [100, 10_000, 1_000_000]
  const changes = quick ? 20_000 : 50_000
  const followers: MeasuredProcess<unknown>[] = []
  const variants: Variant[] = []
  const nameOf = (size: number): string => `${size.toLocaleString('en-US')} resources held`
  for (const resources of sizes) {
    progress(`taking a baseline of ${resources.toLocaleString('en-US')} resources`)
    const follower = await startProcess(program, { resources, changes }, { core: loadCore })
    followers.push(follower)
    variants.push({
      name: nameOf(resources),
      measure: async () => ({ ...(await follower.call<ChangeCostResult>('measure')) }),
    })
  }
  const [least, most] = [nameOf(sizes[0]!), nameOf(sizes.at(-1)!)]
  return {
    columns: [{ figure: 'usPerChange', title: 'µs/change', digits: 2 }],
    variants,
    rounds: quick ? 2 : 5,
    claims: [
      {
        text: `${most} : ${least}`,
        value: round => {
          const [large, small] = [round[most]?.['usPerChange'], round[least]?.['usPerChange']]
          return large === undefined || small === undefined ? undefined : large / small
        },
        target: { atMost: 2 },
      },
    ],
    notes: [
      'Random resources, one member changed in each. Flat is called what stays below 2: a large copy does not fit into the processor caches, whatever the code does.',
    ],
    async [Symbol.asyncDispose]() {
      await Promise.all(followers.map(follower => follower.stop()))
    },
  }
}
