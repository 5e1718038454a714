/** Follows a large collection with its copy in a file, and tells what that takes. Needs `--expose-gc`. */
import { statSync } from 'node:fs'
import { type CollectionFollower, type Connection, connect } from 'lockstep/client'
import { baseline, createChange, type ServedCollection, serveCollection } from '../harness/collection.ts'
import { runProgram } from '../harness/program.ts'

export interface ReplicaBenchOptions {
  readonly resources: number
  readonly file: string
}

export interface ReplicaResult {
  readonly jsonBytes: number
  readonly fileBytes: number
  /** Heap and external memory that following added, the copy whole and each of it changed once. */
  readonly copyBytes: number
  /** Until the first baseline is in the file. */
  readonly baselineS: number
  /** Changes taken in per second. */
  readonly changesPerS: number
  /** From `follow` to the first state, after a restart. */
  readonly openMs: number
  /** Reading all states. */
  readonly iterateS: number
  /** Finding one by an index. */
  readonly whereMs: number
}

type Followed = {
  readonly connection: Connection<{ people: { id: string; email: string } }>
  readonly people: CollectionFollower<{ id: string; email: string }>
}

runProgram<ReplicaBenchOptions>(async ({ resources, file }) => ({
  commands: {
    async measure(): Promise<ReplicaResult> {
      const warm = await follow(serveCollection(100), `${file}.warm`)
      await warm.people.ready
      await warm.connection.close()
      const before = await used()
      const collection = serveCollection(resources)
      const startMs = performance.now()
      const { connection, people } = await follow(collection, file)
      await people.ready
      const baselineS = secondsSince(startMs)
      const { jsonBytes } = collection
      const changesPerS = resources / (await changeAll(collection, people, resources))
      const copyBytes = (await used()) - before
      await connection.close()
      const openedMs = performance.now()
      const again = await follow(collection, file)
      if (again.people.state.get('person-7') === undefined) throw new Error('The copy is not there.')
      const openMs = performance.now() - openedMs
      const iterateMs = performance.now()
      let count = 0
      for (const _ of again.people.state) count++
      if (count !== resources) throw new Error(`The copy holds ${count} resources.`)
      const iterateS = secondsSince(iterateMs)
      const email = again.people.state.get(`person-${resources - 1}`)!.email
      const whereMs = performance.now()
      if ([...again.people.where({ email })].length === 0) throw new Error('Nothing was found.')
      const foundMs = performance.now() - whereMs
      await again.connection.close()
      const fileBytes = statSync(file).size
      const memory = { jsonBytes, fileBytes, copyBytes }
      return { ...memory, baselineS, changesPerS, openMs, iterateS, whereMs: foundMs }
    },
  },
}))

async function follow({ fetch, broker }: ServedCollection, file: string): Promise<Followed> {
  const connection = await connect<{ people: { id: string; email: string } }>({
    api: 'http://bench.invalid',
    topicPrefix: '',
    broker,
    fetch,
  })
  return { connection, people: connection.follow('/people', { replica: { file, indexes: ['email'] } }) }
}

/** Changes one member of each; gives the seconds. */
async function changeAll(
  { deliver }: ServedCollection,
  people: Followed['people'],
  resources: number,
): Promise<number> {
  const startMs = performance.now()
  for (let number = 0; number < resources; number++) {
    deliver(createChange({ number, version: 2, seq: baseline.seq + 1 + number }))
    if (number % 500 === 499) await new Promise(resolve => setImmediate(resolve))
  }
  const { seq } = people.position!
  if (seq !== baseline.seq + resources) throw new Error(`The copy is at ${seq}: changes were not taken in.`)
  return secondsSince(startMs)
}

function secondsSince(startMs: number): number {
  return (performance.now() - startMs) / 1_000
}

async function used(): Promise<number> {
  for (let count = 0; count < 3; count++) {
    globalThis.gc!()
    await new Promise(resolve => setImmediate(resolve))
  }
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}
