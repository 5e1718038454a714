/**
 * A real RabbitMQ for tests, with its MQTT plugin: a node of its own, that shares nothing with one of the system.
 *
 * It takes seconds to start, so there is one for a test file. What `rabbitmqctl` would do is in definitions that it
 * reads at its start.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { globSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import {
  type BrokerProgram,
  findProgram,
  freePort,
  makeProgramFolder,
  startBrokerProgram,
} from './broker-program.ts'

export interface RabbitMqOptions {
  /** Passwords by user name. */
  readonly users: Readonly<Record<string, string>>
  /** Further definitions in the order in which they are read, each as `rabbitmqctl import_definitions` takes it. */
  readonly definitions?: readonly string[]
  /** Further lines of rabbitmq.conf; `{dir}` stands for the folder. */
  readonly config?: string
  readonly files?: Readonly<Record<string, string>>
  readonly plugins?: readonly string[]
}

export interface RabbitMq extends BrokerProgram {
  readonly amqpPort: number
}

/** The script of the program itself: Debian's own in the PATH changes the user. */
const [script] = globSync('/usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin/rabbitmq-server')

export const skipWithoutRabbitMq: string | false =
  script !== undefined && findProgram('epmd') !== undefined
    ? false
    : 'the program rabbitmq-server is not installed'

/** Starts it and resolves when it takes connections. */
export async function startRabbitMq(options: RabbitMqOptions): Promise<RabbitMq> {
  const { users, definitions = [], config = '', files = {}, plugins = ['rabbitmq_mqtt'] } = options
  const [port, amqpPort, epmdPort, distributionPort] = await Promise.all([
    freePort(),
    freePort(),
    freePort(),
    freePort(),
  ])
  const lines = [
    `listeners.tcp.1 = 127.0.0.1:${amqpPort}`,
    `mqtt.listeners.tcp.1 = 127.0.0.1:${port}`,
    'mqtt.allow_anonymous = false',
    'load_definitions = {dir}/definitions',
    'log.console = true',
    'log.file = false',
    config,
    '',
  ]
  const dir = await makeProgramFolder('rabbitmq', {
    ...files,
    'rabbitmq.conf': lines.join('\n'),
    plugins: `[${plugins.join(',')}].`,
  })
  await mkdir(join(dir, 'definitions'))
  for (const [index, text] of [formatUsers(users), ...definitions].entries()) {
    await writeFile(join(dir, 'definitions', `${index}.json`), text)
  }
  // Erlang starts this one by itself otherwise, and leaves it behind.
  const epmd = spawn(findProgram('epmd')!, ['-port', `${epmdPort}`, '-address', '127.0.0.1'], {
    stdio: 'ignore',
  })
  const program = await startBrokerProgram(port, dir, {
    program: 'rabbitmq-server',
    path: script,
    args: [],
    ready: /Server startup complete/,
    env: {
      HOME: dir,
      ERL_EPMD_PORT: `${epmdPort}`,
      RABBITMQ_CONF_ENV_FILE: '/dev/null',
      RABBITMQ_NODENAME: `lockstep-${epmdPort}@localhost`,
      RABBITMQ_DIST_PORT: `${distributionPort}`,
      RABBITMQ_MNESIA_BASE: join(dir, 'data'),
      RABBITMQ_LOG_BASE: join(dir, 'log'),
      RABBITMQ_CONFIG_FILE: join(dir, 'rabbitmq.conf'),
      RABBITMQ_ENABLED_PLUGINS_FILE: join(dir, 'plugins'),
    },
  })
  const stop = async (): Promise<void> => {
    await program.stop()
    await endProcess(epmd)
  }
  process.once('exit', () => void epmd.kill('SIGKILL'))
  return { ...program, amqpPort, stop, [Symbol.asyncDispose]: stop }
}

/** Users and their passwords, as hashed by RabbitMQ: a salt, and SHA-256 of salt and password. Rights come from others. */
function formatUsers(users: Readonly<Record<string, string>>): string {
  return JSON.stringify({
    vhosts: [{ name: '/' }],
    users: Object.entries(users).map(([name, password]) => {
      const salt = randomBytes(4)
      const hash = createHash('sha256').update(salt).update(password).digest()
      return {
        name,
        password_hash: Buffer.concat([salt, hash]).toString('base64'),
        hashing_algorithm: 'rabbit_password_hashing_sha256',
        tags: '',
      }
    }),
  })
}

async function endProcess(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  child.kill('SIGKILL')
  await once(child, 'exit')
}
