/** A service with a broker, and bridges on servers of their own that keep pages of it live. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createMemoryHub, type MemoryHub } from '../../src/broker/memory.ts'
import { type Bridge, type BridgeOptions, mountBridge, openBridge } from '../../src/live/index.ts'
import { Reports } from '../support/reports.ts'
import { openTestService, type TestService } from '../support/service.ts'

export interface OpenedBridge extends AsyncDisposable {
  readonly bridge: Bridge
  readonly server: Server
  /** Of the bridge: `http://127.0.0.1:…/live`. */
  readonly url: string
  readonly reports: Reports
  close(): Promise<void>
}

/** Opens a bridge on a server on any free port. */
export async function openTestBridge(options: BridgeOptions): Promise<OpenedBridge> {
  const reports = new Reports()
  const bridge = await openBridge({ onError: reports.onError, ...options })
  const server = createServer((_request, response) => response.writeHead(404).end('not of the bridge'))
  mountBridge(bridge, server)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const close = async (): Promise<void> => {
    await bridge.close()
    server.closeAllConnections()
    await new Promise(done => server.close(done))
  }
  const { port } = server.address() as AddressInfo
  return {
    bridge,
    server,
    url: `http://127.0.0.1:${port}/live`,
    reports,
    close,
    [Symbol.asyncDispose]: close,
  }
}

export interface Scene extends AsyncDisposable {
  readonly service: TestService
  readonly hub: MemoryHub
  /** Opens a bridge; all are closed with the scene. */
  open(options?: Partial<BridgeOptions>): Promise<OpenedBridge>
  /** A bridge's options: the service's streams, heard over the broker unless `events` says otherwise. */
  sources(kind?: 'broker' | 'events'): BridgeOptions['sources']
  /** Writes people of these names, one change each. */
  write(...names: readonly string[]): Promise<void>
  /** Where the stream of people is. */
  marker(): Promise<string>
}

export async function openScene(options: Parameters<typeof openTestService>[0] = {}): Promise<Scene> {
  const hub = createMemoryHub()
  const service = await openTestService({ broker: hub.connect(), relay: { headEveryMs: 200 }, ...options })
  const opened: AsyncDisposable[] = []
  const sources: Scene['sources'] = (kind = 'broker') => {
    const broker = kind === 'broker' ? hub.connect() : undefined
    return [{ api: service.service, streams: ['people', 'projects'], broker }]
  }
  return {
    service,
    hub,
    sources,
    async open(bridgeOptions = {}) {
      const bridge = await openTestBridge({ sources: sources(), access: 'public', ...bridgeOptions })
      opened.push(bridge)
      return bridge
    },
    async write(...names) {
      for (const name of names) {
        const { status } = await service.ask('PUT', `/people/${name}`, { body: { name, age: ages++ } })
        assert.ok(status === 200 || status === 201)
      }
    },
    async marker() {
      const { headers } = await service.ask('GET', '/people?limit=1')
      return headers.get('lockstep-marker')!
    },
    async [Symbol.asyncDispose]() {
      for (const bridge of opened.reverse()) await bridge[Symbol.asyncDispose]()
      await service[Symbol.asyncDispose]()
    },
  }
}

/** Each write changes something. */
let ages = 1

/** The names in messages, by their resources. */
export function namesOf(messages: readonly { readonly [name: string]: unknown }[]): readonly string[] {
  return messages.map(({ resource }) => String(resource).split('/').at(-1)!)
}
