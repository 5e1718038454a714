/** Does a write to PostgreSQL, or a page of the feed, cost more the longer the change log is? */
import { isLong, prepareSizes } from './harness/log-size.ts'
import { findPostgres, startPostgres } from './harness/postgres.ts'
import type { Prepared, Question, Setting } from './harness/question.ts'
import type { WriterOptions } from './programs/postgres-writer.ts'

const program = new URL('./programs/postgres-writer.ts', import.meta.url)

export const question: Question = {
  name: 'postgres-size',
  title: 'A write to PostgreSQL through Lockstep, 64 at once, and a page, with so many changes in the log',
  budgetS: { full: isLong ? 300 : 60, quick: 15 },
  prepare,
}

async function prepare(setting: Setting): Promise<Prepared> {
  const postgres = await startPostgres(findPostgres()!)
  const optionsFor = async (rows: number): Promise<WriterOptions> => ({
    url: await postgres.createDatabase(),
    way: 'log',
    connections: 64,
    rows,
  })
  const { stop, ...sizes } = await prepareSizes(program, optionsFor, setting)
  return {
    ...sizes,
    async [Symbol.asyncDispose]() {
      await stop()
      await postgres.stop()
    },
  }
}
