/** The gateway before one upstream, asking for an API key and counting requests by its plan. */
import { join } from 'node:path'
import { addKey, openGateway, openGatewayParts, readGatewaySettings } from 'lockstep/gateway'
import { runProgram } from '../harness/program.ts'

export interface GatewayProgramOptions {
  readonly upstream: string
  readonly folder: string
}

runProgram<GatewayProgramOptions>(async ({ upstream, folder }) => {
  const file = join(folder, `keys-${process.pid}.json`)
  const { key } = await addKey(file, { name: 'bench', account: 'bench', plan: 'bench', scopes: ['*:read'] })
  const settings = {
    listen: { port: 0 },
    limits: { drainMs: 500 },
    services: { small: { instances: [upstream], health: false } },
    keys: { file, faces: ['internal'] },
    plans: { bench: { perSecond: 500_000, burst: 500_000 } },
  }
  const parts = await openGatewayParts(readGatewaySettings(settings).settings)
  const gateway = await openGateway({ settings, ...parts })
  const port = Number(new URL(gateway.urls['internal']!).port)
  return {
    ready: { port, fields: [`authorization: Bearer ${key}`], path: '/api/v1/small' },
    commands: { rssMib: () => process.memoryUsage.rss() / 1_048_576 },
    close: () => gateway.close(),
  }
})
