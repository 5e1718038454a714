/** Writes through a change log, and how fast so many writers make them: the same for each kind of log. */
import type { PostgresLog, SqliteLog } from 'lockstep/log'
import { createPerson } from './people.ts'
import { percentile } from './summary.ts'

export interface WriterResult {
  readonly writesPerS: number
  readonly p50Ms: number
  readonly p99Ms: number
}

/** Changes a person; the message has this cause. */
export type Write = (person: number, cause: string) => Promise<unknown>

export const people = 1_000
export const stream = 'people'

/** Each write reads the person, and stores it changed. */
export function writeThrough(log: Pick<SqliteLog | PostgresLog, 'write'>): Write {
  return (person, cause) =>
    log.write(async tx => {
      const path = `/${stream}/person-${person}`
      const before = await tx.read(path)
      await tx.write({
        event: before.stateText === undefined ? 'created' : 'modified',
        path,
        topicPath: path,
        version: before.version + 1,
        stateText: stateOf(person, cause),
        changesText: before.stateText === undefined ? undefined : JSON.stringify({ email: cause }),
        timeMs: Date.now(),
        cause,
      })
    })
}

export function stateOf(person: number, cause: string): string {
  return JSON.stringify({ ...createPerson(person), email: cause })
}

/** Lets so many writers write, each one write at a time. */
export async function runWriters(write: Write, writers: number, durationMs: number): Promise<WriterResult> {
  const latencies: number[] = []
  const startMs = performance.now()
  const endMs = startMs + durationMs
  let count = 0
  await Promise.all(
    Array.from({ length: writers }, async () => {
      for (let beginMs = performance.now(); beginMs < endMs; beginMs = performance.now()) {
        // Each person in turn: a lock is waited for by chance only.
        await write((count++ * 7_919) % people, `run-${count}`)
        latencies.push(performance.now() - beginMs)
      }
    }),
  )
  const seconds = (performance.now() - startMs) / 1_000
  const sorted = Float64Array.from(latencies).sort()
  return {
    writesPerS: latencies.length / seconds,
    p50Ms: percentile(sorted, 0.5),
    p99Ms: percentile(sorted, 0.99),
  }
}
