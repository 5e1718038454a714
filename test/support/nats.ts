/** A real NATS server for tests, or a cluster of them, with JetStream and its MQTT gateway. */
import {
  type BrokerProgram,
  freePort,
  makeProgramFolder,
  skipWithout,
  startBrokerProgram,
} from './broker-program.ts'

export interface NatsOptions {
  /** Of the server; in a cluster each has its own. @default 'lockstep' */
  readonly name?: string
  /** Further settings of the server; `{dir}` stands for the folder. Without them anyone may do anything. */
  readonly config?: string
  /** Further settings of the MQTT gateway, such as TLS. */
  readonly mqtt?: string
  readonly files?: Readonly<Record<string, string>>
  readonly env?: Readonly<Record<string, string>>
}

export interface Nats extends BrokerProgram {
  /** Where its own clients connect. */
  readonly natsPort: number
}

export const skipWithoutNats: string | false = skipWithout('nats-server')

/** Starts the server and resolves when it takes connections. */
export async function startNats(options: NatsOptions = {}): Promise<Nats> {
  const { name = 'lockstep', config = '', mqtt = '', files = {}, env = {} } = options
  const [port, natsPort] = [await freePort(), await freePort()]
  const lines = [
    `server_name: ${name}`,
    `listen: "127.0.0.1:${natsPort}"`,
    // Without a number it takes what it finds of the machine's memory and disk.
    'jetstream { store_dir: "{dir}/store", max_mem: 64MB, max_file: 256MB }',
    `mqtt { listen: "127.0.0.1:${port}", ${mqtt} }`,
    config,
    '',
  ]
  const dir = await makeProgramFolder('nats', { ...files, 'nats.conf': lines.join('\n') })
  const program = await startBrokerProgram(port, dir, {
    program: 'nats-server',
    args: ['-c', `${dir}/nats.conf`],
    env,
    ready: /Server is ready/,
  })
  return Object.assign(program, { natsPort })
}

/**
 * Starts a cluster on this machine, which keeps everything at each node, and resolves when all take connections; they may
 * refuse them until they have agreed on a leader. The nodes are to be stopped one by one.
 */
export async function startNatsCluster(size: number): Promise<readonly BrokerProgram[]> {
  const routePorts = await Promise.all(Array.from({ length: size }, freePort))
  const routes = routePorts.map(port => `"nats://127.0.0.1:${port}"`).join(', ')
  const mqtt = `stream_replicas: ${size}`
  return await Promise.all(
    routePorts.map((port, node) => {
      const config = `cluster { name: lockstep, listen: "127.0.0.1:${port}", routes: [${routes}] }`
      return startNats({ name: `node-${node}`, config, mqtt })
    }),
  )
}
