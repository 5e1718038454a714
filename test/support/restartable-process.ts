/** A program as a child process that is killed, ended and started again, on the same port. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'

export interface RestartableProcess extends AsyncDisposable {
  /** Where the program listens; 0 where it does not. */
  readonly port: number
  /** Starts it, and resolves when it says that it is up. */
  start(): Promise<void>
  /** Ends it with SIGKILL, and resolves when it is gone. */
  kill(): Promise<void>
  /** Asks it to end with SIGTERM, and resolves when it has. */
  end(): Promise<void>
}

/**
 * Starts a program that prints a line when it is up, which ends with its port where it listens. Where `env` has a `PORT`, the later
 * starts get the one that was found at the first.
 */
export async function startRestartable(
  program: URL,
  env: Readonly<Record<string, string>>,
): Promise<RestartableProcess> {
  let child: ChildProcess | undefined
  let port = 0
  const start = async (): Promise<void> => {
    const ownEnv = port === 0 ? env : { ...env, PORT: String(port) }
    child = spawn(process.execPath, [program.pathname], {
      env: { ...process.env, ...ownEnv },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    const line = await firstLine(child)
    port = Number(/:(\d+)$/.exec(line)?.[1] ?? 0)
  }
  const finish = async (signal: NodeJS.Signals): Promise<void> => {
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    const gone = once(child, 'exit')
    child.kill(signal)
    await gone
  }
  await start()
  return {
    get port() {
      return port
    },
    start,
    kill: () => finish('SIGKILL'),
    end: () => finish('SIGTERM'),
    [Symbol.asyncDispose]: () => finish('SIGKILL'),
  }
}

/** Rejects where the program ends before it prints one. It does not outlive this process. */
function firstLine(child: ChildProcess): Promise<string> {
  const killAtExit = (): void => void child.kill('SIGKILL')
  process.once('exit', killAtExit)
  return new Promise((resolve, reject) => {
    let [printed, said] = ['', '']
    child.stdout!.setEncoding('utf8').on('data', (text: string) => {
      printed = `${printed}${text}`.slice(-4_096)
      if (printed.includes('\n')) resolve(printed.slice(0, printed.indexOf('\n')))
    })
    child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      said = `${said}${text}`.slice(-4_096)
    })
    child.once('error', reject)
    child.once('exit', code => {
      process.off('exit', killAtExit)
      reject(new Error(`The program ended with ${code} before it was up: ${said}`))
    })
  })
}
