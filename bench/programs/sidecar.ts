/** The sidecar before an API, with everything durable; it mirrors the people, or only passes them on. */
import { join } from 'node:path'
import { openSqliteLog } from 'lockstep/log'
import { openSidecar } from 'lockstep/sidecar'
import { runProgram } from '../harness/program.ts'

export interface SidecarProgramOptions {
  readonly upstream: string
  readonly folder: string
  readonly mirrors: boolean
}

runProgram<SidecarProgramOptions>(async ({ upstream, folder, mirrors }) => {
  const file = join(folder, `sidecar-${process.pid}.db`)
  const log = await openSqliteLog({ file })
  const sidecar = await openSidecar({
    upstream,
    resources: mirrors ? { people: {} } : { others: { list: false, item: '/others/{id}' } },
    log,
    journalFile: `${file}-intents`,
    scanEveryMs: 0,
  })
  await sidecar.ready
  return {
    ready: { port: sidecar.port },
    commands: { changes: async () => (await sidecar.service.heads())[0]!.seq },
    close: async () => {
      await sidecar.close(0)
      await log.close()
    },
  }
})
