/** Runs test/system/people-service.ts as a child that can be killed and started again on the same port. */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'

export interface PeopleProcess extends AsyncDisposable {
  readonly url: string
  /** Ends the process with SIGKILL and waits until it is gone. */
  kill(): Promise<void>
  /** Starts it again, on the same port and file. */
  start(): Promise<void>
}

export interface PeopleProcessOptions {
  readonly logFile: string
  readonly brokerUrl: string
  readonly username?: string
  readonly password?: string
}

/** Starts the service and resolves when it answers. */
export async function startPeopleProcess(options: PeopleProcessOptions): Promise<PeopleProcess> {
  let child: ChildProcess | undefined
  let port = 0
  const start = async (): Promise<void> => {
    child = fork(new URL('../system/people-service.ts', import.meta.url), {
      env: {
        ...process.env,
        LOG_FILE: options.logFile,
        BROKER_URL: options.brokerUrl,
        BROKER_USER: options.username ?? '',
        BROKER_PASSWORD: options.password ?? '',
        PORT: String(port),
      },
      execArgv: ['--conditions=lockstep-source'],
    })
    const [message] = (await once(child, 'message')) as [{ port: number }]
    port = message.port
  }
  const kill = async (): Promise<void> => {
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    const gone = once(child, 'exit')
    child.kill('SIGKILL')
    await gone
  }
  await start()
  return { url: `http://127.0.0.1:${port}`, kill, start, [Symbol.asyncDispose]: kill }
}
