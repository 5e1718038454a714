/** A program as a child process that is killed, ended and started again, on the same port. */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'

export interface RestartableProcess extends AsyncDisposable {
  /** What the program said: where it listens; 0 where it does not. */
  readonly port: number
  /** Starts it, and resolves when it says that it is up. */
  start(): Promise<void>
  /** Ends it with SIGKILL, and resolves when it is gone. */
  kill(): Promise<void>
  /** Asks it to end with SIGTERM, and resolves when it has. */
  end(): Promise<void>
}

/**
 * Starts a program that sends `{ port }` to its parent when it is up. It finds the port to take in `PORT`, 0 at first, and the rest of `env`
 * beside it.
 */
export async function startRestartable(
  program: URL,
  env: Readonly<Record<string, string>>,
): Promise<RestartableProcess> {
  let child: ChildProcess | undefined
  let port = 0
  const start = async (): Promise<void> => {
    const started = fork(program, {
      env: { ...process.env, ...env, PORT: String(port) },
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    })
    child = started
    let said = ''
    started.stderr!.setEncoding('utf8').on('data', (text: string) => {
      said = `${said}${text}`.slice(-4_096)
    })
    const ended = once(started, 'exit').then(([code]) => {
      throw new Error(`The program ended with ${code} before it was up: ${said}`)
    })
    ended.catch(() => {})
    const [message] = await Promise.race([once(started, 'message') as Promise<[{ port: number }]>, ended])
    port = message.port
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
