/** A real Mosquitto for tests: on a free port, in a folder of its own, to be killed and started again. */
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'

export interface MosquittoOptions {
  /** Further lines of mosquitto.conf; `{dir}` stands for the folder. Without it anyone may do anything. */
  readonly config?: string
  /** Files in the folder, such as an access control list, by name. */
  readonly files?: Readonly<Record<string, string>>
}

export interface Mosquitto extends AsyncDisposable {
  readonly url: string
  readonly port: number
  /** Ends it as a power cut does, and resolves when it is gone. */
  kill(): Promise<void>
  /** Starts it again at the same port; ends it before where it runs. */
  restart(): Promise<void>
  /** Makes it hang with its connections open, and go on. */
  pause(): void
  resume(): void
  /** Ends it and removes the folder. Idempotent. */
  stop(): Promise<void>
}

/** Where the program is; `undefined` where it is not installed. */
export function findProgram(name: string): string | undefined {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/usr/local/sbin']
  return folders.map(folder => join(folder, name)).find(existsSync)
}

export const mosquittoAvailable: boolean = findProgram('mosquitto') !== undefined

/** For `node:test`: the reason to skip where the program is missing, else `false`. */
export const skipWithoutMosquitto: string | false = mosquittoAvailable
  ? false
  : 'the program mosquitto is not installed'

/** Starts Mosquitto and resolves when it takes connections. */
export async function startMosquitto(options: MosquittoOptions = {}): Promise<Mosquitto> {
  const dir = await mkdtemp(join(tmpdir(), 'lockstep-mosquitto-'))
  const port = await freePort()
  for (const [name, text] of Object.entries(options.files ?? {})) {
    await writeFile(join(dir, name), text, { mode: 0o700 })
  }
  const config = (options.config ?? 'allow_anonymous true').replaceAll('{dir}', dir)
  // Without the user line it gives up root's rights, and with them its folder.
  const lines = [
    'user root',
    `listener ${port} 127.0.0.1`,
    'persistence false',
    'log_dest stderr',
    config,
    '',
  ]
  const configPath = join(dir, 'mosquitto.conf')
  await writeFile(configPath, lines.join('\n'))
  let child = await run(configPath)

  const mosquitto: Mosquitto = {
    url: `mqtt://127.0.0.1:${port}`,
    port,
    kill: () => end(child, 'SIGKILL'),

    async restart() {
      await end(child, 'SIGKILL')
      child = await run(configPath)
    },

    pause: () => void child.kill('SIGSTOP'),
    resume: () => void child.kill('SIGCONT'),

    async stop() {
      await end(child, 'SIGKILL')
      await rm(dir, { recursive: true, force: true })
    },

    [Symbol.asyncDispose]: () => mosquitto.stop(),
  }
  return mosquitto
}

/** A port that was free a moment ago. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => {
        if (typeof address === 'object' && address !== null) resolve(address.port)
        else reject(new Error('the server has no port'))
      })
    })
  })
}

function run(configPath: string): Promise<ChildProcess> {
  const program = findProgram('mosquitto')
  if (program === undefined) return Promise.reject(new Error('mosquitto is not installed'))
  const child = spawn(program, ['-c', configPath], { stdio: ['ignore', 'ignore', 'pipe'] })
  const killAtExit = (): void => void child.kill('SIGKILL')
  process.once('exit', killAtExit)
  child.once('exit', () => process.off('exit', killAtExit))
  return new Promise((resolve, reject) => {
    let log = ''
    child.stderr.setEncoding('utf8')
    child.stderr.on('data', (text: string) => {
      log = `${log}${text}`.slice(-4096)
      if (/ running\s/.test(log)) resolve(child)
    })
    child.once('error', reject)
    child.once('exit', code => reject(new Error(`mosquitto ended with code ${code}: ${log}`)))
  })
}

function end(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve()
  return new Promise(resolve => {
    child.once('exit', () => resolve())
    child.kill(signal)
  })
}
