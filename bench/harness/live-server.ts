/** The peers of the live benchmarks: each started on the core of the server, with its load on the other. */
import type { ConnectRequest, LiveLoadOptions, LiveLoadReady, PeerKind } from '../programs/live-load.ts'
import { loadCore, type MeasuredProcess, serverCore, startProcess } from './measured-process.ts'
import { findNchan, startNchan } from './nchan.ts'

/** The server alone, however it is looked at. */
interface LiveServer extends AsyncDisposable {
  readonly port: number
  cpuUs(): Promise<number>
  rssBytes(): Promise<number>
}

/** A server and its load. */
export interface LivePair extends AsyncDisposable {
  readonly server: LiveServer
  readonly load: MeasuredProcess<LiveLoadReady>
  /** Connects until there are so many pages, and publishes so many messages, which all of them have to hear. */
  connect(pages: number, messages?: number): Promise<void>
}

const programs = {
  load: new URL('../programs/live-load.ts', import.meta.url),
  lockstep: new URL('../programs/live-bridge.ts', import.meta.url),
  ws: new URL('../peers/live-ws.ts', import.meta.url),
  'socket.io': new URL('../peers/live-socket-io.ts', import.meta.url),
  feathers: new URL('../peers/live-feathers.ts', import.meta.url),
}

export async function startLivePair(options: LiveLoadOptions, folder: string): Promise<LivePair> {
  const load = await startProcess<LiveLoadReady>(programs.load, options, { core: loadCore })
  try {
    const server = await startServer(options.kind, load.ready, folder)
    return {
      server,
      load,
      async connect(pages, messages) {
        const request: ConnectRequest = { port: server.port, pages, messages }
        await load.call('connect', request)
      },
      async [Symbol.asyncDispose]() {
        await load.stop()
        await server[Symbol.asyncDispose]()
      },
    }
  } catch (error) {
    await load.stop()
    throw error
  }
}

async function startServer(kind: PeerKind, service: LiveLoadReady, folder: string): Promise<LiveServer> {
  if (kind === 'nchan' || kind === 'nchan-with-ids') {
    const nchan = await startNchan(findNchan()!, folder)
    return {
      port: nchan.port,
      cpuUs: async () => nchan.cpuUs(),
      rssBytes: async () => nchan.rssBytes(),
      [Symbol.asyncDispose]: nchan.stop,
    }
  }
  const process = await startProcess<{ port: number }>(programs[kind], service, { core: serverCore })
  return {
    port: process.ready.port,
    cpuUs: async () => (await process.cpu()).cpuUs,
    rssBytes: () => process.call('rss'),
    [Symbol.asyncDispose]: process.stop,
  }
}
