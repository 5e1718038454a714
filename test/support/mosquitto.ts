/** A real Mosquitto for tests. */
import { pbkdf2Sync, randomBytes } from 'node:crypto'
import {
  type BrokerProgram,
  findProgram,
  freePort,
  makeProgramFolder,
  skipWithout,
  startBrokerProgram,
} from './broker-program.ts'

export { findProgram, freePort }

export interface MosquittoOptions {
  /** Further lines of mosquitto.conf; `{dir}` stands for the folder. Without it anyone may do anything. */
  readonly config?: string
  /** Files in the folder, such as an access control list, by name. */
  readonly files?: Readonly<Record<string, string>>
}

export type Mosquitto = BrokerProgram

export const mosquittoAvailable: boolean = findProgram('mosquitto') !== undefined

/** For `node:test`: the reason to skip where the program is missing, else `false`. */
export const skipWithoutMosquitto: string | false = skipWithout('mosquitto')

/** Starts Mosquitto and resolves when it takes connections. */
export async function startMosquitto(options: MosquittoOptions = {}): Promise<Mosquitto> {
  const { config = 'allow_anonymous true', files = {} } = options
  const port = await freePort()
  const lines = [
    // Without this line it gives up root's rights, and with them its folder.
    'user root',
    `listener ${port} 127.0.0.1`,
    'persistence false',
    'log_dest stderr',
    config,
    '',
  ]
  const dir = await makeProgramFolder('mosquitto', { ...files, 'mosquitto.conf': lines.join('\n') })
  return await startBrokerProgram(port, dir, {
    program: 'mosquitto',
    args: ['-c', `${dir}/mosquitto.conf`],
    ready: / running\s/,
  })
}

/** A password_file as mosquitto_passwd writes it: PBKDF2 with SHA-512, of 101 rounds. */
export function formatMosquittoPasswords(passwords: Readonly<Record<string, string>>): string {
  const lines = Object.entries(passwords).map(([user, password]) => {
    const salt = randomBytes(12)
    const hash = pbkdf2Sync(password, salt, 101, 64, 'sha512')
    return `${user}:$7$101$${salt.toString('base64')}$${hash.toString('base64')}\n`
  })
  return lines.join('')
}
