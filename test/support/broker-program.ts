/** A real broker for tests, as a process that is killed, hung and started again, in a folder of its own. */
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'

export interface BrokerProgram extends AsyncDisposable {
  /** Where MQTT clients connect. */
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

export interface BrokerCommand {
  readonly program: string
  /** Where it is. @default where the PATH says */
  readonly path?: string | undefined
  readonly args: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  /** What it prints when it takes connections. */
  readonly ready: RegExp
}

/** Files in a folder of its own; `{dir}` in a text stands for the folder. */
export async function makeProgramFolder(
  name: string,
  files: Readonly<Record<string, string>>,
): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), `lockstep-${name}-`))
  for (const [file, text] of Object.entries(files)) {
    await writeFile(join(dir, file), text.replaceAll('{dir}', dir), { mode: 0o700 })
  }
  return dir
}

/** Starts it and resolves when it takes connections. */
export async function startBrokerProgram(
  port: number,
  dir: string,
  command: BrokerCommand,
): Promise<BrokerProgram> {
  let child = await run(command)
  const broker: BrokerProgram = {
    url: `mqtt://127.0.0.1:${port}`,
    port,
    kill: () => end(child),

    async restart() {
      await end(child)
      child = await run(command)
    },

    pause: () => void signalGroup(child, 'SIGSTOP'),
    resume: () => void signalGroup(child, 'SIGCONT'),

    async stop() {
      await end(child)
      await rm(dir, { recursive: true, force: true })
    },

    [Symbol.asyncDispose]: () => broker.stop(),
  }
  return broker
}

/** Where the program is; `undefined` where it is not installed. */
export function findProgram(name: string): string | undefined {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/usr/local/sbin']
  return folders.map(folder => join(folder, name)).find(existsSync)
}

/** For `node:test`: the reason to skip where the program is missing, else `false`. */
export function skipWithout(name: string): string | false {
  return findProgram(name) === undefined ? `the program ${name} is not installed` : false
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

// A group of its own does not hear of Ctrl-C; what is killed at exit must be so then too.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => process.exit(1))

/** In a process group of its own: some are scripts that start the broker. */
function run(command: BrokerCommand): Promise<ChildProcess> {
  const { program, path = findProgram(program), args, env, ready } = command
  if (path === undefined) return Promise.reject(new Error(`${program} is not installed`))
  const child = spawn(path, args, {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  })
  const killAtExit = (): void => signalGroup(child, 'SIGKILL')
  process.once('exit', killAtExit)
  child.once('exit', () => process.off('exit', killAtExit))
  return new Promise((resolve, reject) => {
    let log = ''
    const hear = (text: string): void => {
      log = `${log}${text}`.slice(-4096)
      if (ready.test(log)) resolve(child)
    }
    child.stdout.setEncoding('utf8').on('data', hear)
    child.stderr.setEncoding('utf8').on('data', hear)
    child.once('error', reject)
    child.once('exit', code => reject(new Error(`${program} ended with code ${code}: ${log}`)))
  })
}

function signalGroup(child: ChildProcess, signal: NodeJS.Signals): void {
  if (child.pid === undefined) return
  try {
    process.kill(-child.pid, signal)
  } catch {
    // The group is gone.
  }
}

/** Both outputs are closed when the last process of the group is gone. */
function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve()
  return new Promise(resolve => {
    child.once('close', () => resolve())
    signalGroup(child, 'SIGKILL')
  })
}
