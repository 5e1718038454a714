/** Does a write to SQLite, or a page of the feed, cost more the longer the change log is? */
import { join } from 'node:path'
import { isLong, prepareSizes } from './harness/log-size.ts'
import type { Prepared, Question, Setting } from './harness/question.ts'
import type { SqliteWriterOptions } from './programs/sqlite-writer.ts'

const program = new URL('./programs/sqlite-writer.ts', import.meta.url)

export const question: Question = {
  name: 'sqlite-size',
  title: 'A write to SQLite through Lockstep, 64 at once, and a page, with so many changes in the log',
  budgetS: { full: isLong ? 240 : 60, quick: 10 },
  prepare,
}

async function prepare(setting: Setting): Promise<Prepared> {
  const optionsFor = async (rows: number): Promise<SqliteWriterOptions> => ({
    file: join(setting.folder, `size-${rows}.db`),
    writers: 64,
    rows,
  })
  const { stop, ...sizes } = await prepareSizes(program, optionsFor, setting)
  return { ...sizes, [Symbol.asyncDispose]: stop }
}
