import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after } from 'node:test'
import { openSqliteLog } from '../../src/log/sqlite.ts'
import { testChangeLog } from '../suites/change-log.ts'

const folder = mkdtempSync(join(tmpdir(), 'lockstep-log-'))
after(() => rmSync(folder, { recursive: true, force: true }))

let opened = 0
testChangeLog('SQLite log', options => openSqliteLog({ file: join(folder, `${opened++}.db`), ...options }))
