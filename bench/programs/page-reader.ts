/** Fills a change log with so many rows, and tells what reading one page of it costs. */
import { openSqliteLog, type SqliteLog } from 'lockstep/log'
import { runProgram } from '../harness/program.ts'
import { percentile } from '../harness/summary.ts'

export interface PageOptions {
  readonly file: string
  readonly rows: number
}

export interface PageResult {
  readonly usPerPage: number
}

const pageLimit = 500
const people = 1_000
const perWork = 5_000

runProgram<PageOptions>(async ({ file, rows }) => {
  const log = await openSqliteLog({ file })
  await fill(log, rows)
  return {
    commands: {
      async measure({ pages }: { pages: number }): Promise<PageResult> {
        const times: number[] = []
        for (let count = 0; count < pages; count++) {
          const after = Math.floor(Math.random() * (rows - pageLimit))
          const startMs = performance.now()
          const { changes } = await log.readChanges('people', { after, limit: pageLimit })
          times.push((performance.now() - startMs) * 1_000)
          if (changes.length !== pageLimit || changes[0]!.seq !== after + 1)
            throw new Error('The page is wrong.')
        }
        return {
          usPerPage: percentile(
            times.sort((a, b) => a - b),
            0.5,
          ),
        }
      },
    },
    close: () => log.close(),
  }
})

async function fill(log: SqliteLog, rows: number): Promise<void> {
  await log.ensureStreams(['people'])
  const timeMs = Date.now()
  for (let done = 0; done < rows; done += perWork) {
    await log.write(async transaction => {
      for (let row = done; row < Math.min(rows, done + perWork); row++) {
        const path = `/people/${row % people}`
        const version = Math.floor(row / people) + 1
        const stateText = `{"id":"${row % people}","count":${row}}`
        const event = version === 1 ? 'created' : 'modified'
        await transaction.write({ event, path, topicPath: path, version, stateText, timeMs })
      }
    })
  }
}
