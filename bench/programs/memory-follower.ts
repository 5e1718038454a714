/** Follows a large collection and tells what the copy takes of memory. Needs `--expose-gc`. */
import { connect } from 'lockstep/client'
import { baseline, createChange, serveCollection } from '../harness/collection.ts'
import { runProgram } from '../harness/program.ts'

export interface MemoryOptions {
  readonly resources: number
}

export interface MemoryResult {
  readonly jsonBytes: number
  /** What the copy added to heap and external memory. */
  readonly copyBytes: number
  /** The same, after each of them was changed once. */
  readonly changedBytes: number
  /** The same for what a plain `Map` of the same states takes. */
  readonly mapBytes: number
}

runProgram<MemoryOptions>(async ({ resources }) => ({
  commands: {
    async measure(): Promise<MemoryResult> {
      // Whatever is loaded and compiled at the first use does not count.
      const first = await follow(100)
      first.changeAll()
      await first.close()
      const before = await used()
      const { close, states, jsonBytes, changeAll } = await follow(resources)
      const copyBytes = (await used()) - before
      if (states.size !== resources) throw new Error(`The copy holds ${states.size} resources.`)
      const mapBytes = await measureMap(states)
      changeAll()
      const changedBytes = (await used()) - before
      await close()
      return { jsonBytes, copyBytes, changedBytes, mapBytes }
    },
  },
}))

async function follow(resources: number): Promise<{
  readonly states: ReadonlyMap<string, object>
  readonly jsonBytes: number
  /** Changes one member of each. */
  changeAll(): void
  close(): Promise<void>
}> {
  const collection = serveCollection(resources)
  const { fetch, broker, deliver } = collection
  const connection = await connect<{ people: { id: string } }>({
    api: 'http://bench.invalid',
    topicPrefix: '',
    broker,
    fetch,
  })
  const follower = connection.follow('/people')
  await follower.ready
  const changeAll = (): void => {
    for (let number = 0; number < resources; number++) {
      deliver(createChange({ number, version: 2, seq: baseline.seq + 1 + number }))
    }
    const { seq } = follower.position!
    if (seq !== baseline.seq + resources) throw new Error(`The copy is at ${seq}: changes were not taken in.`)
  }
  const { jsonBytes } = collection
  return { states: follower.state, jsonBytes, changeAll, close: () => connection.close() }
}

/** The least that JavaScript objects can do: each state parsed from its JSON, in one Map by id. */
async function measureMap(states: ReadonlyMap<string, object>): Promise<number> {
  const before = await used()
  const map = new Map<string, object>()
  for (const state of states.values()) {
    const own = JSON.parse(JSON.stringify(state)) as { id: string }
    map.set(own.id, own)
  }
  const after = await used()
  return map.size === states.size ? after - before : Number.NaN
}

async function used(): Promise<number> {
  for (let count = 0; count < 3; count++) {
    globalThis.gc!()
    await new Promise(resolve => setImmediate(resolve))
  }
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}
