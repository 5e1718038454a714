import { after, before, describe } from 'node:test'
import { openPostgresLog } from '../../src/log/postgres.ts'
import { testChangeLog } from '../suites/change-log.ts'
import { type Postgres, skipWithoutPostgres, startPostgres } from '../support/postgres.ts'

describe('PostgreSQL log', { skip: skipWithoutPostgres }, () => {
  let postgres: Postgres
  let schemas = 0
  before(async () => {
    postgres = await startPostgres()
  })
  after(() => postgres.stop())

  testChangeLog('PostgreSQL log', options =>
    openPostgresLog({ url: postgres.url(), schema: `log_${schemas++}`, maxConnections: 4, ...options }),
  )
})
