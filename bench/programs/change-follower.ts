/** Follows a collection of some size and tells what one message costs, from its bytes to the listener. */
import type { Delivery } from 'lockstep/broker'
import { connect } from 'lockstep/client'
import { baseline, createChange, serveCollection } from '../harness/collection.ts'
import { runProgram } from '../harness/program.ts'
import { percentile } from '../harness/summary.ts'

export interface ChangeCostOptions {
  readonly resources: number
  readonly changes: number
}

export interface ChangeCostResult {
  /** The median of parts of the run. */
  readonly usPerChange: number
}

const perPart = 1_000

runProgram<ChangeCostOptions>(async ({ resources, changes }) => {
  const { fetch, broker, deliver } = serveCollection(resources)
  const connection = await connect<{ people: { id: string } }>({
    api: 'http://bench.invalid',
    topicPrefix: '',
    broker,
    fetch,
  })
  const follower = connection.follow('/people')
  await follower.ready
  let heard = 0
  follower.on('change', () => {
    heard++
  })
  const versions = new Map<number, number>()
  let seq: number = baseline.seq
  let random = 987_654_321

  const createMessages = (): Delivery[] =>
    Array.from({ length: perPart }, () => {
      random = (Math.imul(random, 1_664_525) + 1_013_904_223) >>> 0
      const number = random % resources
      const version = (versions.get(number) ?? 1) + 1
      versions.set(number, version)
      seq++
      return createChange({ number, version, seq })
    })

  return {
    commands: {
      async measure(): Promise<ChangeCostResult> {
        const times: number[] = []
        const before = heard
        for (let done = 0; done < changes; done += perPart) {
          const messages = createMessages()
          const startMs = performance.now()
          for (const message of messages) deliver(message)
          times.push(((performance.now() - startMs) * 1_000) / perPart)
          // Timers of the follower must not be starved.
          await new Promise(resolve => setImmediate(resolve))
        }
        if (heard - before !== times.length * perPart) {
          throw new Error(`${heard - before} of ${times.length * perPart} changes were heard.`)
        }
        return {
          usPerChange: percentile(
            times.sort((a, b) => a - b),
            0.5,
          ),
        }
      },
    },
    close: () => connection.close(),
  }
})
