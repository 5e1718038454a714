/** Runs test/system/people-service.ts as a child that can be killed and started again on the same port. */
import { type ChildProcess, type ForkOptions, fork } from 'node:child_process'
import { once } from 'node:events'

export interface PeopleProcess extends AsyncDisposable {
  readonly url: string
  /** Ends the process with SIGKILL and waits until it is gone. */
  kill(): Promise<void>
  /** Starts it again, on the same port and file. */
  start(): Promise<void>
  /** From the next start on no file of it may be larger, as on a disk that is full; `undefined` lifts the limit. */
  setMaxFileKib(limit: number | undefined): void
}

export interface PeopleProcessOptions {
  /** A file, or the URL of a PostgreSQL. */
  readonly logFile: string
  readonly brokerUrl: string
  readonly username?: string
  readonly password?: string
  /** As setMaxFileKib. */
  readonly maxFileKib?: number
}

/** Starts the service and resolves when it answers. */
export async function startPeopleProcess(options: PeopleProcessOptions): Promise<PeopleProcess> {
  let child: ChildProcess | undefined
  let port = 0
  let { maxFileKib } = options
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
      ...limited(maxFileKib),
    })
    const started = once(child, 'message') as Promise<[{ port: number }]>
    const ended = once(child, 'exit').then(([code]) => {
      throw new Error(`The service ended with ${code} before it answered.`)
    })
    ended.catch(() => {})
    const [message] = await Promise.race([started, ended])
    port = message.port
  }
  const kill = async (): Promise<void> => {
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    const gone = once(child, 'exit')
    child.kill('SIGKILL')
    await gone
  }
  await start()
  return {
    url: `http://127.0.0.1:${port}`,
    kill,
    start,
    setMaxFileKib(limit) {
      maxFileKib = limit
    },
    [Symbol.asyncDispose]: kill,
  }
}

/** Node ignores the signal of a file that grows too large, so that the write fails as on a full disk. */
function limited(maxFileKib: number | undefined): ForkOptions {
  if (maxFileKib === undefined) return {}
  const script = `ulimit -f ${maxFileKib * 2}; exec "$0" "$1"`
  return { execPath: '/bin/sh', execArgv: ['-c', script, process.execPath] }
}
