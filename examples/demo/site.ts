/** What the front door serves once the services are there: pages, the bridge that keeps them live, and what browsers load. */
import type { Broker } from 'lockstep/broker'
import {
  type Bridge,
  type BrowserFiles,
  createBrowserFiles,
  createPages,
  openBridge,
  type Pages,
} from 'lockstep/live'

export interface Site {
  /** The services' URLs by name. */
  readonly services: Readonly<Record<string, string>>
  readonly brokerUrl: string
  readonly pages: Pages
  readonly bridge: Bridge
  readonly files: BrowserFiles
}

export interface SiteOptions {
  readonly services: Readonly<Record<string, string>>
  readonly broker: Broker & { readonly url: string }
}

const modules = [
  'views',
  'browser/everywhere',
  'browser/dashboard',
  'browser/person',
  'browser/gap',
  'browser/diagram',
]

export async function openSite({ services, broker }: SiteOptions): Promise<Site> {
  const sources = Object.entries(services).map(([name, api]) => ({ api, streams: [name], broker }))
  return {
    services,
    brokerUrl: broker.url,
    pages: createPages({ sources }),
    bridge: await openBridge({ sources, access: 'public' }),
    files: createBrowserFiles({
      modules: Object.fromEntries(
        modules.map(name => [`/assets/${name}.ts`, new URL(`./pages/${name}.ts`, import.meta.url)]),
      ),
    }),
  }
}
