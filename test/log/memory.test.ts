import { createMemoryLog } from '../../src/log/memory.ts'
import { testChangeLog } from '../suites/change-log.ts'

testChangeLog('memory log', async options => createMemoryLog(options))
