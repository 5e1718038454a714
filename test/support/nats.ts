/** A real NATS server for tests, with JetStream and its MQTT gateway. */
import {
  type BrokerProgram,
  freePort,
  makeProgramFolder,
  skipWithout,
  startBrokerProgram,
} from './broker-program.ts'

export interface NatsOptions {
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
  const { config = '', mqtt = '', files = {}, env = {} } = options
  const [port, natsPort] = [await freePort(), await freePort()]
  const lines = [
    'server_name: lockstep',
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
