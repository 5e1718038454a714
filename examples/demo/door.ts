/** The one front door of the demo: a gateway before the pages, the services and the legacy program, with two faces and two keys. */
import { randomBytes } from 'node:crypto'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { JsonObject } from 'lockstep/contract'
import { addKey, type Gateway, openGateway, openGatewayParts, readGatewaySettings } from 'lockstep/gateway'

export interface Door {
  readonly url: string
  /** API keys for the public face, by the plan that they have. */
  readonly keys: Readonly<Record<'limited' | 'unlimited', string>>
  /** Leads requests to the services and the legacy program from now on. */
  lead(services: Readonly<Record<string, string>>, legacy: string): Promise<void>
  close(): Promise<void>
}

export interface DoorOptions {
  readonly host: string
  readonly port: number
  readonly dataDir: string
  /** Where the pages are. */
  readonly pages: string
  /** What the gateway signs with for the services. */
  readonly audienceKey: string
}

/** Until the services are there, only the pages are, and say so. */
export async function openDoor({ host, port, dataDir, pages, audienceKey }: DoorOptions): Promise<Door> {
  await mkdir(dataDir, { recursive: true })
  const [keyFile, audienceFile] = ['keys.json', 'audience-key'].map(name => join(dataDir, name)) as [
    string,
    string,
  ]
  // A key can be shown only when it is made, so each start makes two.
  await rm(keyFile, { force: true })
  await writeFile(audienceFile, audienceKey, { mode: 0o600 })
  const make = async (plan: string): Promise<string> =>
    (await addKey(keyFile, { name: plan, account: plan, plan, scopes: ['*:read', '*:write'] })).key
  const keys = { limited: await make('limited'), unlimited: await make('unlimited') }

  // The pages are this process's own, and say by themselves that they start.
  const pagesService = { instances: [pages], at: ['/'], health: false }
  const settings: JsonObject = {
    listen: { host, port },
    limits: { drainMs: 500 },
    services: { pages: pagesService },
  }
  const gateway: Gateway = await openGateway({ settings })
  return {
    url: gateway.urls['internal']!,
    keys,
    async lead(services, legacy) {
      const all: JsonObject = {
        ...settings,
        faces: { internal: {}, public: { root: '/public/{version}' } },
        services: {
          pages: pagesService,
          ...Object.fromEntries(Object.entries(services).map(([name, url]) => [name, { instances: [url] }])),
        },
        legacy: { instances: [legacy], at: ['/api'] },
        docs: { title: 'The demo', everyMs: 5_000 },
        keys: { file: keyFile },
        plans: { limited: { perSecond: 1, burst: 5 }, unlimited: { unlimited: true } },
        audience: { keyFile: audienceFile },
      }
      await gateway.replace(all, await openGatewayParts(readGatewaySettings(all).settings))
    },
    close: () => gateway.close(),
  }
}

/** A secret that lives as long as the demo. */
export function makeAudienceKey(): string {
  return randomBytes(32).toString('hex')
}
